//! What a probe asks of PostgreSQL, and how it weighs the answer. Names and operators are qualified: the database's
//! owner may have planted others.

use api_types::ConnectionPool;
use async_trait::async_trait;
use sql_client::{Row, Session, Statement};

use super::rights::{Excess, Gap, Level, Rights, counted, shown};
use super::{Opened, Unreached, pool, product};

/// A login on PostgreSQL.
pub struct Postgres(pub Box<dyn Session>);

#[async_trait]
impl Opened for Postgres {
    async fn version(&mut self) -> Result<String, Unreached> {
        Ok(product(&self.0.server_version().await?))
    }

    async fn connections(&mut self) -> Result<Option<ConnectionPool>, Unreached> {
        Ok(pool(&self.0.query(&own_connections()).await?))
    }

    async fn rights(&mut self) -> Result<Rights, Unreached> {
        Ok(rights(&self.0.query(&list_rights()).await?))
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

/// Counts the login's connections that run a statement and those that do not, without our own. Every role may see the
/// state of its own connections.
fn own_connections() -> Statement {
    Statement::new(
        "counting the login's connections",
        "SELECT pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'active'), \
                pg_catalog.count(*) FILTER (WHERE state IS NULL OR state OPERATOR(pg_catalog.<>) 'active') \
         FROM pg_catalog.pg_stat_activity \
         WHERE usename OPERATOR(pg_catalog.=) session_user AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()",
    )
}

/// Lists every right of the login on the server, in this database, grouped so that the answer stays short whatever the
/// number of objects: source, right, kind of object, one object's name, the role it comes through, number of objects.
///
/// A role counts when the login is a member of it directly or not, whether it inherits or has to SET ROLE. `pg_settings`
/// is writable for everybody by design, and means SET. In the file, `==` stands for the qualified operator.
fn list_rights() -> Statement {
    let text = include_str!("postgres_rights.sql").replace(" == ", " OPERATOR(pg_catalog.=) ");
    Statement::new("reading what the login may do", text)
}

/// Weighs the rows of [`list_rights`].
fn rights(rows: &[Row]) -> Rights {
    // Without a row for the login itself the catalogue hid it, and with it perhaps everything else.
    if !rows.iter().any(|row| row.text(0) == Some("login")) {
        return Rights::Unknown(Gap::NotRead);
    }
    Rights::worst(rows.iter().map(weigh))
}

fn weigh(row: &Row) -> Rights {
    let column = |index| row.text(index).unwrap_or_default();
    let (right, kind) = (column(1), column(2));
    match column(0) {
        "attribute" => excess(
            Level::Admin,
            format!("the role attribute {}{}", keyword(right), through(row)),
            "take it away with ALTER ROLE, or use a login without it",
        ),
        "member" => predefined(right, row),
        "parameter" => excess(
            Level::Admin,
            format!("a right on server parameters{}", through(row)),
            "revoke SET and ALTER SYSTEM on parameters",
        ),
        "owner" => excess(
            Level::Write,
            format!("owning the {}{}", object(keyword(kind), row), through(row)),
            "let another role own it, and grant SELECT alone",
        ),
        "default" if changes(kind, right) => excess(
            Level::Write,
            format!("default privileges that give {} on every new {}{}", keyword(right), keyword(kind), through(row)),
            "take it away with ALTER DEFAULT PRIVILEGES",
        ),
        "grant" if changes(kind, right) => excess(
            Level::Write,
            format!("{} on {}{}", keyword(right), object(keyword(kind), row), through(row)),
            "revoke it, and grant SELECT alone",
        ),
        _ => Rights::ReadOnly,
    }
}

/// Whether a privilege on an object is more than reading it. TEMPORARY is not counted: what it makes ends with the
/// session.
fn changes(kind: &str, right: &str) -> bool {
    match right {
        "SELECT" | "CONNECT" | "TEMPORARY" | "EXECUTE" => false,
        // nextval() changes a sequence.
        "USAGE" => kind == "sequence",
        _ => true,
    }
}

/// The roles that every server has: <https://www.postgresql.org/docs/current/predefined-roles.html>.
fn predefined(role: &str, row: &Row) -> Rights {
    let level = match role {
        "pg_database_owner"
        | "pg_monitor"
        | "pg_read_all_data"
        | "pg_read_all_settings"
        | "pg_read_all_stats"
        | "pg_stat_scan_tables"
        | "pg_use_reserved_connections" => return Rights::ReadOnly,
        "pg_write_all_data" | "pg_maintain" => Level::Write,
        "pg_execute_server_program"
        | "pg_read_server_files"
        | "pg_write_server_files"
        | "pg_signal_backend"
        | "pg_signal_autovacuum_worker"
        | "pg_checkpoint"
        | "pg_create_subscription" => Level::Admin,
        unknown => return Rights::Unknown(Gap::Role(unknown.to_owned())),
    };
    excess(level, format!("membership in {role}{}", through(row)), "revoke the membership")
}

fn excess(level: Level, right: String, remedy: &'static str) -> Rights {
    Rights::Excess(Excess { level, right, remedy })
}

/// A word that our statement or PostgreSQL's grammar gives; anything longer is not one.
fn keyword(text: &str) -> &str {
    let plain = text.len() <= 30 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b' ');
    if plain { text } else { "object" }
}

fn object(kind: &str, row: &Row) -> String {
    let name = shown(row.text(3).unwrap_or_default());
    counted(format!("{kind} {name}"), row.integer(5))
}

fn through(row: &Row) -> String {
    match row.text(4) {
        None | Some("") => String::new(),
        // No role can have this name.
        Some("public") => ", which PUBLIC has".to_owned(),
        Some(role) => format!(", through role {}", shown(role)),
    }
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
