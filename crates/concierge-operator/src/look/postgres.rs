//! One look at a PostgreSQL server, from the concierge's own database: databases, roles and memberships are the same
//! seen from anywhere. Every name is qualified, as every name must be in a session of the admin.

use sql_client::{Row, Statement};

use super::{Names, tagged};
use crate::ledger::postgres::TABLE;
use crate::validate::Request;

/// CREATE, CONNECT and TEMPORARY.
const RIGHTS: usize = 3;

/// The first number of what was not there when the cluster was made.
const FIRST_OWN_OID: u32 = 16_384;

/// The catalogues in which everything that somebody makes in a database leaves a row.
const CONTENTS: [&str; 10] = [
    "pg_namespace",
    "pg_class",
    "pg_proc",
    "pg_type",
    "pg_operator",
    "pg_collation",
    "pg_extension",
    "pg_language",
    "pg_foreign_data_wrapper",
    "pg_largeobject_metadata",
];

/// What the server holds under the names of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database, when it exists.
    pub database: Option<DatabaseView>,
    /// The role, when it exists.
    pub role: Option<RoleView>,
}

/// A database as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseView {
    /// The role that owns it.
    pub owner: String,
    /// Its encoding, which cannot change.
    pub encoding: String,
    /// The locale it sorts by, which cannot change.
    pub locale: String,
    /// Whether it takes connections at all.
    pub open: bool,
    /// Whether roles without a grant may do anything with it.
    pub public: bool,
    /// Whether its owner has every right on it.
    pub complete: bool,
}

/// A role as the server describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// It may log in, and make neither databases nor roles.
    pub plain: bool,
    /// The admin made itself a member.
    pub joined: bool,
}

/// The text of one look.
pub fn look(names: &Names) -> String {
    let Names { databases, users } = names;
    let rights = "pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a";
    format!(
        "SELECT 'claim', \"name\", \"kind\", \"owner\", \"origin\", NULL, NULL, NULL FROM {TABLE} \
         WHERE (\"kind\" = 'database' AND \"name\" IN ({databases})) OR (\"kind\" = 'user' AND \"name\" IN ({users})) \
         UNION ALL SELECT 'database', d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text, \
         pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datallowconn::text, \
         (EXISTS (SELECT 1 FROM {rights} WHERE a.grantee = 0))::text, \
         ((SELECT pg_catalog.count(DISTINCT a.privilege_type) FROM {rights} WHERE a.grantee = d.datdba) = {RIGHTS})::text \
         FROM pg_catalog.pg_database d WHERE d.datname::text IN ({databases}) \
         UNION ALL SELECT 'role', r.rolname::text, (r.rolcanlogin AND NOT r.rolcreatedb AND NOT r.rolcreaterole)::text, \
         (EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles me ON me.oid = m.member \
         WHERE m.roleid = r.oid AND m.grantor = me.oid AND me.rolname = current_user))::text, NULL, NULL, NULL, NULL \
         FROM pg_catalog.pg_roles r WHERE r.rolname::text IN ({users})"
    )
}

/// Reads what the rows of [`look`] say about a request, but the claims.
#[must_use]
pub fn found(request: &Request, rows: &[Row]) -> Found {
    let row = |tag, name: &str| tagged(rows, tag).find(|(found, _)| *found == name).map(|(_, row)| row);
    let text = |row: &Row, column| row.text(column).unwrap_or_default().to_owned();
    let is = |row: &Row, column| row.boolean(column) == Some(true);
    Found {
        database: row("database", request.database.as_str()).map(|row| DatabaseView {
            owner: text(row, 2),
            encoding: text(row, 3),
            locale: text(row, 4),
            open: is(row, 5),
            public: is(row, 6),
            complete: is(row, 7),
        }),
        role: row("role", request.user.as_str()).map(|row| RoleView { plain: is(row, 2), joined: is(row, 3) }),
    }
}

/// The statement that counts what was made in a database; 0 is an empty one. It runs inside the database, where
/// somebody may have planted whatever has no qualified name.
#[must_use]
pub fn count_contents() -> Statement {
    let counts = CONTENTS.map(|catalogue| {
        format!("(SELECT pg_catalog.count(*) FROM pg_catalog.{catalogue} WHERE oid >= {FIRST_OWN_OID}::pg_catalog.oid)")
    });
    Statement::new("counting what the database holds", format!("SELECT {}", counts.join(" + ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look;
    use crate::plan::fixtures::{postgres_request, readable};

    fn row(columns: &[&str]) -> Row {
        Row::new(columns.iter().map(|column| Some((*column).to_owned())).collect())
    }

    #[test]
    fn a_look_is_one_statement() {
        let sql = readable(look::statement(&postgres_request("{}")).expose_text());
        insta::assert_snapshot!(sql.replace(" UNION", "\nUNION"), @r#"
        SELECT 'claim', "name", "kind", "owner", "origin", NULL, NULL, NULL FROM "concierge"."ownership" WHERE ("kind" = 'database' AND "name" IN ('myapp')) OR ("kind" = 'user' AND "name" IN ('myapp_app'))
        UNION ALL SELECT 'database', d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datallowconn::text, (EXISTS (SELECT 1 FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = 0))::text, ((SELECT pg_catalog.count(DISTINCT a.privilege_type) FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = d.datdba) = 3)::text FROM pg_catalog.pg_database d WHERE d.datname::text IN ('myapp')
        UNION ALL SELECT 'role', r.rolname::text, (r.rolcanlogin AND NOT r.rolcreatedb AND NOT r.rolcreaterole)::text, (EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles me ON me.oid = m.member WHERE m.roleid = r.oid AND m.grantor = me.oid AND me.rolname = current_user))::text, NULL, NULL, NULL, NULL FROM pg_catalog.pg_roles r WHERE r.rolname::text IN ('myapp_app')
        "#);
        insta::assert_snapshot!(count_contents().expose_text().replace(" + ", "\n+ "), @"
        SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_type WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_operator WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_collation WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_extension WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_language WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_foreign_data_wrapper WHERE oid >= 16384::pg_catalog.oid)
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata WHERE oid >= 16384::pg_catalog.oid)
        ");
    }

    #[test]
    fn rows_become_a_view() {
        let rows = [
            row(&["database", "MyApp", "other", "UTF8", "C.UTF-8", "true", "true", "false"]),
            row(&["role", "MyApp_app", "false", "true"]),
            row(&["database", "myapp", "myapp_app", "UTF8", "C.UTF-8", "true", "false", "true"]),
            row(&["role", "myapp_app", "true", "false"]),
        ];
        let database = DatabaseView {
            owner: "myapp_app".into(),
            encoding: "UTF8".into(),
            locale: "C.UTF-8".into(),
            open: true,
            public: false,
            complete: true,
        };
        let role = RoleView { plain: true, joined: false };
        let request = postgres_request("{}");
        assert_eq!(found(&request, &rows), Found { database: Some(database), role: Some(role) });
        assert_eq!(found(&request, &rows[..2]), Found::default());
    }
}
