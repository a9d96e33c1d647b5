//! The ownership table on PostgreSQL. It has a database of its own, in which the admin's sessions are, and which is
//! closed to everybody else before it takes its first connection.

use sql_client::quote::postgres::text;
use sql_client::{Row, Statement};

/// The database that every server has, for the one time when ours is not there yet.
pub const MAINTENANCE_DATABASE: &str = "postgres";

/// The table, qualified and quoted.
pub const TABLE: &str = "\"concierge\".\"ownership\"";

/// The table of the scripts that were run, qualified and quoted.
pub const SCRIPTS: &str = "\"concierge\".\"scripts\"";

/// What there is of the database: no row, or whether it takes connections and whether others may connect.
#[must_use]
pub fn look_for_database() -> Statement {
    let sql = "SELECT d.datallowconn, EXISTS (SELECT 1 FROM \
               pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = 0) \
               FROM pg_catalog.pg_database d WHERE d.datname = 'db_concierge'";
    Statement::new("looking for the concierge's own database", sql)
}

/// What is missing of it. Template0 holds nothing that anybody could have planted.
#[must_use]
pub fn create_database(found: &[Row]) -> Vec<Statement> {
    let found = found.first();
    let is = |column| found.and_then(|row| row.boolean(column));
    let create = "CREATE DATABASE \"db_concierge\" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false";
    let steps = [
        (found.is_none(), "creating the concierge's own database", create),
        (
            is(1) != Some(false),
            "closing the concierge's own database",
            "REVOKE ALL ON DATABASE \"db_concierge\" FROM PUBLIC",
        ),
        (
            is(0) != Some(true),
            "opening the concierge's own database",
            "ALTER DATABASE \"db_concierge\" ALLOW_CONNECTIONS true",
        ),
    ];
    steps.into_iter().filter(|(lacking, ..)| *lacking).map(|(_, what, sql)| Statement::new(what, sql)).collect()
}

/// The statements that make the tables; safe to repeat.
#[must_use]
pub fn create_tables() -> [Statement; 3] {
    let table = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (\"kind\" text NOT NULL, \"name\" text NOT NULL, \"owner\" text NOT NULL, \
         \"origin\" text NOT NULL, \"uid\" text NOT NULL, \
         \"claimed_at\" timestamptz NOT NULL DEFAULT pg_catalog.now(), PRIMARY KEY (\"kind\", \"name\"))"
    );
    let scripts = format!(
        "CREATE TABLE IF NOT EXISTS {SCRIPTS} (\"name\" text NOT NULL PRIMARY KEY, \"owner\" text NOT NULL, \
         \"hash\" text NOT NULL, \"state\" text NOT NULL, \"message\" text NOT NULL, \
         \"changed_at\" timestamptz NOT NULL DEFAULT pg_catalog.now())"
    );
    [
        Statement::new("creating the concierge's own schema", "CREATE SCHEMA IF NOT EXISTS \"concierge\""),
        Statement::new("creating the ownership table", table),
        Statement::new("creating the table of scripts", scripts),
    ]
}

/// Adds rows of kind, name, owner, origin and UID: all of them or none.
#[must_use]
pub fn insert(rows: &[[&str; 5]]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| format!("({})", row.map(text).join(", "))).collect();
    format!("INSERT INTO {TABLE} (\"kind\", \"name\", \"owner\", \"origin\", \"uid\") VALUES {}", rows.join(", "))
}

/// Removes a row of that owner.
#[must_use]
pub fn delete(kind: &str, name: &str, owner: &str) -> String {
    let [kind, name, owner] = [kind, name, owner].map(text);
    format!("DELETE FROM {TABLE} WHERE \"kind\" = {kind} AND \"name\" = {name} AND \"owner\" = {owner}")
}

/// Writes a row of name, owner, hash, state and message in place of any other of that name.
#[must_use]
pub fn write_script(row: [&str; 5]) -> String {
    format!(
        "INSERT INTO {SCRIPTS} (\"name\", \"owner\", \"hash\", \"state\", \"message\") VALUES ({}) \
         ON CONFLICT (\"name\") DO UPDATE SET \"owner\" = excluded.\"owner\", \"hash\" = excluded.\"hash\", \
         \"state\" = excluded.\"state\", \"message\" = excluded.\"message\", \"changed_at\" = pg_catalog.now()",
        row.map(text).join(", ")
    )
}

/// Removes the row of that name and owner.
#[must_use]
pub fn forget_script(name: &str, owner: &str) -> String {
    format!("DELETE FROM {SCRIPTS} WHERE \"name\" = {} AND \"owner\" = {}", text(name), text(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(found: &[[&str; 2]]) -> String {
        let rows: Vec<_> = found.iter().map(|row| Row::new(row.map(|text| Some(text.to_owned())).to_vec())).collect();
        create_database(&rows).iter().map(Statement::expose_text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_database_is_closed_before_anybody_can_connect() {
        insta::assert_snapshot!(missing(&[]), @r#"
        CREATE DATABASE "db_concierge" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false
        REVOKE ALL ON DATABASE "db_concierge" FROM PUBLIC
        ALTER DATABASE "db_concierge" ALLOW_CONNECTIONS true
        "#);
    }

    #[test]
    fn what_a_crash_left_undone_is_done() {
        assert!(missing(&[["f", "t"]]).starts_with("REVOKE"));
        assert!(missing(&[["f", "f"]]).starts_with("ALTER"));
        assert_eq!(missing(&[["t", "f"]]), "");
    }
}
