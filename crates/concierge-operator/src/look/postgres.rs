//! One look at a PostgreSQL server, from the concierge's own database: databases, roles and memberships are the same
//! seen from anywhere. Every name is qualified, as every name must be in a session of the admin.

use sql_client::{Row, Statement};

use super::{Names, tagged};
use crate::ledger::postgres::{SCRIPTS, TABLE};
use crate::validate::{Account, Request};

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

/// Whether the admin may take a membership away. Since version 16 only who granted it may, and a superuser counts as the
/// first of the cluster, whose number is 10; everybody else's REVOKE is a warning that changes nothing.
const OURS_TO_REVOKE: &str = "pg_catalog.current_setting('server_version_num')::integer < 160000 \
OR pg_catalog.pg_get_userbyid(m.grantor) = current_user \
OR (m.grantor = 10 AND (SELECT me.rolsuper FROM pg_catalog.pg_roles me WHERE me.rolname = current_user))";

/// The kinds of relation that hold rows.
const RELATIONS: &str = "('r', 'p', 'v', 'm', 'f')";

/// What the server holds under the names of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database, when it exists.
    pub database: Option<DatabaseView>,
    /// The request's roles that exist.
    pub roles: Vec<RoleView>,
    /// What the role that can only read may do with the database, such as `CONNECT`, in alphabetical order.
    pub reader_rights: Vec<String>,
    /// How many kinds of thing that are made in the database it will be able to read.
    pub reader_defaults: i64,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// Its name.
    pub name: String,
    /// It may log in, and make neither databases nor roles.
    pub plain: bool,
    /// The admin made itself a member.
    pub joined: bool,
    /// How many connections it may have; -1 for as many as the server takes.
    pub connections: i64,
    /// It is superuser, or may replicate or pass over row security, which only a superuser can change.
    pub privileged: bool,
    /// In or on how many other databases it has rights.
    pub elsewhere: usize,
    /// The roles that it is a member of, and that the admin can take it out of.
    pub member_of: Vec<String>,
    /// Of how many others it is a member.
    pub kept_in: usize,
}

impl Found {
    /// The role of that name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&RoleView> {
        self.roles.iter().find(|role| role.name == name)
    }
}

/// What the role that can only read cannot read yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Schemas of the application.
    pub schemas: Vec<String>,
    /// Its tables and views, with their schemas.
    pub tables: Vec<(String, String)>,
}

/// The text of one look.
pub fn look(names: &Names) -> String {
    let Names { databases, users, .. } = names;
    let rights = "pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a";
    let class = |name| format!("'pg_catalog.{name}'::pg_catalog.regclass");
    format!(
        "SELECT 'claim', \"name\", \"kind\", \"owner\", \"origin\", NULL, NULL, NULL FROM {TABLE} \
         WHERE (\"kind\" = 'database' AND \"name\" IN ({databases})) OR (\"kind\" = 'user' AND \"name\" IN ({users})) \
         UNION ALL SELECT 'script', \"name\", \"hash\", \"state\", \"message\", NULL, NULL, NULL FROM {SCRIPTS} \
         WHERE \"name\" IN ({databases}) \
         UNION ALL SELECT 'database', d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text, \
         pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datallowconn::text, \
         (EXISTS (SELECT 1 FROM {rights} WHERE a.grantee = 0))::text, \
         ((SELECT pg_catalog.count(DISTINCT a.privilege_type) FROM {rights} WHERE a.grantee = d.datdba) = {RIGHTS})::text \
         FROM pg_catalog.pg_database d WHERE d.datname::text IN ({databases}) \
         UNION ALL SELECT 'role', r.rolname::text, (r.rolcanlogin AND NOT r.rolcreatedb AND NOT r.rolcreaterole)::text, \
         (EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles me ON me.oid = m.member \
         WHERE m.roleid = r.oid AND m.grantor = me.oid AND me.rolname = current_user))::text, \
         r.rolconnlimit::text, (r.rolsuper OR r.rolreplication OR r.rolbypassrls)::text, NULL, NULL \
         FROM pg_catalog.pg_roles r WHERE r.rolname::text IN ({users}) \
         UNION ALL SELECT 'member', r.rolname::text, o.rolname::text, ({OURS_TO_REVOKE})::text, NULL, NULL, NULL, NULL \
         FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member \
         JOIN pg_catalog.pg_roles o ON o.oid = m.roleid WHERE r.rolname::text IN ({users}) \
         UNION ALL SELECT 'right', r.rolname::text, d.datname::text, a.privilege_type, NULL, NULL, NULL, NULL \
         FROM pg_catalog.pg_database d CROSS JOIN LATERAL {rights} JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
         WHERE d.datname::text IN ({databases}) AND r.rolname::text IN ({users}) \
         UNION ALL SELECT 'depends', r.rolname::text, d.datname::text, \
         pg_catalog.count(*) FILTER (WHERE s.classid = {defaults})::text, NULL, NULL, NULL, NULL \
         FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid \
         JOIN pg_catalog.pg_database d \
         ON d.oid = s.dbid OR (s.dbid = 0 AND s.classid = {database_class} AND d.oid = s.objid) \
         WHERE s.refclassid = {authid} AND r.rolname::text IN ({users}) GROUP BY r.rolname, d.datname",
        authid = class("pg_authid"),
        database_class = class("pg_database"),
        defaults = class("pg_default_acl"),
    )
}

/// Reads what the rows of [`look`] say about a request, but those of the concierge's own tables.
#[must_use]
pub fn found(request: &Request, rows: &[Row]) -> Found {
    let database = request.database.as_str();
    let reader = request.reader.as_ref().map(|reader| reader.user.as_str());
    let of_reader = |tag| {
        let here = |(role, row): &(&str, &Row)| Some(*role) == reader && row.text(2) == Some(database);
        tagged(rows, tag).filter(here).map(|(_, row)| row)
    };
    let mut reader_rights: Vec<_> = of_reader("right").map(|row| text(row, 3)).collect();
    reader_rights.sort();
    let is_ours = |name: &str| request.possible_accounts().any(|account| account.user.as_str() == name);
    Found {
        database: tagged(rows, "database").find(|(name, _)| *name == database).map(|(_, row)| DatabaseView {
            owner: text(row, 2),
            encoding: text(row, 3),
            locale: text(row, 4),
            open: is(row, 5),
            public: is(row, 6),
            complete: is(row, 7),
        }),
        roles: tagged(rows, "role")
            .filter(|(name, _)| is_ours(name))
            .map(|(name, row)| role(name, row, database, rows))
            .collect(),
        reader_rights,
        reader_defaults: of_reader("depends").find_map(|row| row.integer(3)).unwrap_or_default(),
    }
}

fn role(name: &str, row: &Row, database: &str, rows: &[Row]) -> RoleView {
    let of_role = |tag| tagged(rows, tag).filter(move |(role, _)| *role == name).map(|(_, row)| row);
    let memberships = || of_role("member");
    RoleView {
        name: name.to_owned(),
        plain: is(row, 2),
        joined: is(row, 3),
        connections: row.integer(4).unwrap_or_default(),
        privileged: is(row, 5),
        elsewhere: of_role("depends").filter(|row| row.text(2) != Some(database)).count(),
        member_of: memberships().filter(|row| is(row, 3)).map(|row| text(row, 2)).collect(),
        kept_in: memberships().filter(|row| !is(row, 3)).count(),
    }
}

fn text(row: &Row, column: usize) -> String {
    row.text(column).unwrap_or_default().to_owned()
}

fn is(row: &Row, column: usize) -> bool {
    row.boolean(column) == Some(true)
}

/// The statement that asks for what the role that can only read cannot read yet, of what the application's role owns.
/// It runs inside the database, and so names everything in full.
#[must_use]
pub fn look_inside(request: &Request, reader: &Account) -> Statement {
    let sql = format!(
        "SELECT 'schema', n.nspname::text, NULL FROM pg_catalog.pg_namespace n \
         JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner LEFT JOIN pg_catalog.pg_roles r ON r.rolname = '{reader}' \
         WHERE o.rolname IN ('{owner}', 'pg_database_owner') \
         AND NOT COALESCE(pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE'), false) \
         UNION ALL SELECT 'table', n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles o ON o.oid = c.relowner \
         LEFT JOIN pg_catalog.pg_roles r ON r.rolname = '{reader}' \
         WHERE c.relkind IN {RELATIONS} AND c.relpersistence <> 't' AND o.rolname = '{owner}' \
         AND NOT COALESCE(pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT'), false)",
        owner = request.application.user,
        reader = reader.user,
    );
    Statement::new("looking into the database", sql)
}

/// Reads the rows of [`look_inside`].
#[must_use]
pub fn inside(rows: &[Row]) -> Inside {
    Inside {
        schemas: tagged(rows, "schema").map(|(schema, _)| schema.to_owned()).collect(),
        tables: tagged(rows, "table").map(|(schema, row)| (schema.to_owned(), text(row, 2))).collect(),
    }
}

/// The statement that counts what the login that runs it could change in its database; 0 for one that can only read.
#[must_use]
pub fn count_writable() -> Statement {
    let sql = format!(
        "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' \
         AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')) \
         + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN {RELATIONS} \
         AND c.oid >= {FIRST_OWN_OID}::pg_catalog.oid \
         AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) \
         + pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')::integer"
    );
    Statement::new("asking what the user may change", sql)
}

/// The statement that counts the sessions that a user has.
#[must_use]
pub fn count_sessions(account: &Account) -> Statement {
    let sql = format!("SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE usename = '{}'", account.user);
    Statement::new("counting the user's sessions", sql)
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
    use crate::plan::fixtures::{fulfilled_on_postgres, postgres_request, readable};

    fn row(columns: &[&str]) -> Row {
        Row::new(columns.iter().map(|column| Some((*column).to_owned())).collect())
    }

    #[test]
    fn a_look_is_one_statement() {
        let sql = readable(look::statement(&postgres_request("{}")).expose_text());
        insta::assert_snapshot!(sql.replace(" UNION", "\nUNION"), @r#"
        SELECT 'claim', "name", "kind", "owner", "origin", NULL, NULL, NULL FROM "concierge"."ownership" WHERE ("kind" = 'database' AND "name" IN ('myapp')) OR ("kind" = 'user' AND "name" IN ('myapp_app', 'myapp_ro'))
        UNION ALL SELECT 'script', "name", "hash", "state", "message", NULL, NULL, NULL FROM "concierge"."scripts" WHERE "name" IN ('myapp')
        UNION ALL SELECT 'database', d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datallowconn::text, (EXISTS (SELECT 1 FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = 0))::text, ((SELECT pg_catalog.count(DISTINCT a.privilege_type) FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = d.datdba) = 3)::text FROM pg_catalog.pg_database d WHERE d.datname::text IN ('myapp')
        UNION ALL SELECT 'role', r.rolname::text, (r.rolcanlogin AND NOT r.rolcreatedb AND NOT r.rolcreaterole)::text, (EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles me ON me.oid = m.member WHERE m.roleid = r.oid AND m.grantor = me.oid AND me.rolname = current_user))::text, r.rolconnlimit::text, (r.rolsuper OR r.rolreplication OR r.rolbypassrls)::text, NULL, NULL FROM pg_catalog.pg_roles r WHERE r.rolname::text IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'member', r.rolname::text, o.rolname::text, (pg_catalog.current_setting('server_version_num')::integer < 160000 OR pg_catalog.pg_get_userbyid(m.grantor) = current_user OR (m.grantor = 10 AND (SELECT me.rolsuper FROM pg_catalog.pg_roles me WHERE me.rolname = current_user)))::text, NULL, NULL, NULL, NULL FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member JOIN pg_catalog.pg_roles o ON o.oid = m.roleid WHERE r.rolname::text IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'right', r.rolname::text, d.datname::text, a.privilege_type, NULL, NULL, NULL, NULL FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee WHERE d.datname::text IN ('myapp') AND r.rolname::text IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'depends', r.rolname::text, d.datname::text, pg_catalog.count(*) FILTER (WHERE s.classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass)::text, NULL, NULL, NULL, NULL FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid JOIN pg_catalog.pg_database d ON d.oid = s.dbid OR (s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.oid = s.objid) WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname::text IN ('myapp_app', 'myapp_ro') GROUP BY r.rolname, d.datname
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
            row(&["role", "MyApp_app", "false", "true", "-1", "false"]),
            row(&["database", "myapp", "myapp_app", "UTF8", "C.UTF-8", "true", "false", "true"]),
            row(&["role", "myapp_app", "true", "false", "-1", "false"]),
            row(&["depends", "myapp_app", "myapp", "0"]),
        ];
        let request = postgres_request("{}");
        assert_eq!(found(&request, &rows), fulfilled_on_postgres());
        assert_eq!(found(&request, &rows[..2]), Found::default());
    }

    #[test]
    fn a_role_has_its_own_memberships_and_rights() {
        let rows = [
            row(&["role", "myapp_app", "true", "false", "5", "true"]),
            row(&["role", "myapp_ro", "true", "false", "5", "false"]),
            row(&["member", "myapp_app", "dba", "true"]),
            row(&["member", "myapp_app", "of_others", "false"]),
            row(&["member", "other_app", "other", "true"]),
            row(&["right", "myapp_ro", "myapp", "TEMPORARY"]),
            row(&["right", "myapp_ro", "myapp", "CONNECT"]),
            row(&["right", "myapp_ro", "other", "CREATE"]),
            row(&["depends", "myapp_ro", "myapp", "2"]),
            row(&["depends", "myapp_app", "other", "0"]),
        ];
        let found = found(&postgres_request("{}"), &rows);
        let role = found.role("myapp_app").unwrap();
        assert_eq!((role.connections, role.privileged, role.elsewhere), (5, true, 1));
        assert_eq!((role.member_of.as_slice(), role.kept_in), (&["dba".to_owned()][..], 1));
        assert_eq!(found.role("myapp_ro").unwrap().elsewhere, 0);
        assert_eq!((found.reader_rights, found.reader_defaults), (vec!["CONNECT".into(), "TEMPORARY".into()], 2));
    }

    #[test]
    fn what_is_asked_inside_a_database_names_everything_in_full() {
        let request = postgres_request("{readOnlyUser: true}");
        let statements = [look_inside(&request, request.wanted_reader().unwrap()), count_writable()];
        let sql = statements.map(|statement| statement.expose_text().to_owned()).join("\n");
        insta::assert_snapshot!(sql, @"
        SELECT 'schema', n.nspname::text, NULL FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner LEFT JOIN pg_catalog.pg_roles r ON r.rolname = 'myapp_ro' WHERE o.rolname IN ('myapp_app', 'pg_database_owner') AND NOT COALESCE(pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE'), false) UNION ALL SELECT 'table', n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles o ON o.oid = c.relowner LEFT JOIN pg_catalog.pg_roles r ON r.rolname = 'myapp_ro' WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND o.rolname = 'myapp_app' AND NOT COALESCE(pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT'), false)
        SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')) + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid >= 16384::pg_catalog.oid AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) + pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')::integer
        ");
        let rows = [row(&["schema", "s", ""]), row(&["table", "s", "t"])];
        assert_eq!(inside(&rows), Inside { schemas: vec!["s".into()], tables: vec![("s".into(), "t".into())] });
    }
}
