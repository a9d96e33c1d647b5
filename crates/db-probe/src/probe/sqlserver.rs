//! What a probe asks of SQL Server, and how it weighs the answer. `fn_my_permissions` tells what holds on the server and
//! on the whole database, roles and DENY included; what is granted on single schemas and objects is read from the
//! catalogue, where a login sees its own grants and those of its roles. Other databases are not looked into.

use api_types::ConnectionPool;
use async_trait::async_trait;
use sql_client::{Row, Session, Statement};

use super::rights::{Excess, Gap, Level, Rights, counted, shown};
use super::{Opened, Unreached, pool, product};

/// A login on SQL Server.
pub struct SqlServer(pub Box<dyn Session>);

#[async_trait]
impl Opened for SqlServer {
    async fn version(&mut self) -> Result<String, Unreached> {
        Ok(product(&self.0.server_version().await?))
    }

    async fn connections(&mut self) -> Result<Option<ConnectionPool>, Unreached> {
        Ok(pool(&self.0.query(&own_connections()).await?))
    }

    async fn rights(&mut self) -> Result<Rights, Unreached> {
        let database = self.0.query(&list_rights_in_database()).await?;
        // Azure SQL Database has no such catalogue; what the first answer showed stays true.
        let server = self.0.query(&list_rights_on_server()).await.ok();
        Ok(rights(server.as_deref(), &database))
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

/// Counts the login's connections that run a statement and those that do not, without our own. A login that may not
/// look at the server's state sees nothing but this one connection, and gets no row.
fn own_connections() -> Statement {
    Statement::new(
        "counting the login's connections",
        "SELECT COUNT(CASE WHEN LOWER(s.status) = N'running' THEN 1 END), \
                COUNT(CASE WHEN LOWER(s.status) <> N'running' THEN 1 END) \
         FROM sys.dm_exec_sessions s \
         WHERE s.original_login_name = ORIGINAL_LOGIN() AND s.session_id <> @@SPID AND s.is_user_process = 1 \
         HAVING 1 IN (HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE'), \
                      HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE'))",
    )
}

/// Lists every right in the database, grouped so that the answer stays short whatever the number of objects: source,
/// right, kind of object, one object's name, the role it comes through, number of objects.
///
/// It is several SELECTs because the catalogue's texts have several collations, which a UNION refuses. The schemas left
/// out are those that every database has for its fixed roles, and are empty. In the file, `<holder>` stands for the
/// login's user, `public`, which has the number 0, and the roles it is in.
fn list_rights_in_database() -> Statement {
    let holder = "(SELECT principal_id, CASE type WHEN 'R' THEN name ELSE N'' END AS via \
                  FROM sys.database_principals \
                  WHERE principal_id IN (0, DATABASE_PRINCIPAL_ID()) OR type = 'R' AND IS_ROLEMEMBER(name) = 1)";
    let text = include_str!("sqlserver_rights.sql").replace("<holder>", holder);
    Statement::new("reading what the login may do in the database", text)
}

/// The same for the server, where `public` has the number 2.
fn list_rights_on_server() -> Statement {
    Statement::new("reading what the login may do on the server", include_str!("sqlserver_server_rights.sql"))
}

/// Weighs the rows of both lists.
fn rights(server: Option<&[Row]>, database: &[Row]) -> Rights {
    let tells = |rows: &[Row], source| rows.iter().any(|row| row.text(0) == Some(source));
    // Whoever is in has at least CONNECT: without it the catalogue hid it, and with it perhaps everything else.
    let complete = tells(database, "database") && server.is_some_and(|rows| tells(rows, "server"));
    let gap = if complete { None } else { Some(Rights::Unknown(Gap::NotRead)) };
    let rows = server.unwrap_or_default().iter().chain(database);
    Rights::worst(gap.into_iter().chain(rows.map(weigh)))
}

fn weigh(row: &Row) -> Rights {
    let column = |index| row.text(index).unwrap_or_default();
    let (right, kind) = (column(1), column(2));
    let level = match column(0) {
        "server role" => Some(Level::Admin),
        "role" => Some(level_of_role(right)),
        "server" => level_on_server(right),
        "database" => level_in_database(right),
        "owner" => Some(if kind == "ROLE" { Level::Admin } else { Level::Write }),
        "grant" | "server grant" => level_of_grant(right, kind),
        _ => None,
    };
    level.map_or(Rights::ReadOnly, |level| {
        let (right, remedy) = words(row);
        Rights::Excess(Excess { level, right, remedy })
    })
}

/// The roles that every database has: <https://learn.microsoft.com/en-us/sql/relational-databases/security/authentication-access/database-level-roles>.
/// `db_owner` can back up to the server's files and hand on rights, as others here can do one of the two.
fn level_of_role(role: &str) -> Level {
    match role {
        "db_ddladmin" | "db_datawriter" => Level::Write,
        _ => Level::Admin,
    }
}

/// How bad a right on the whole server is. Whatever is not known is taken for an administrator's.
/// <https://learn.microsoft.com/en-us/sql/relational-databases/security/permissions-database-engine>
fn level_on_server(right: &str) -> Option<Level> {
    let reads = right.starts_with("VIEW ") || right.starts_with("CONNECT ") || right == "SELECT ALL USER SECURABLES";
    if reads { None } else { Some(Level::Admin) }
}

/// How bad a right on the whole database is. EXECUTE is not counted, since routines are not looked into.
fn level_in_database(right: &str) -> Option<Level> {
    match right {
        "SELECT"
        | "EXECUTE"
        | "CONNECT"
        | "CONNECT REPLICATION"
        | "SHOWPLAN"
        | "UNMASK"
        | "SUBSCRIBE QUERY NOTIFICATIONS" => None,
        "INSERT" | "UPDATE" | "DELETE" | "REFERENCES" | "CHECKPOINT" => Some(Level::Write),
        "ALTER ANY USER" | "ALTER ANY ROLE" | "ALTER ANY APPLICATION ROLE" => Some(Level::Admin),
        _ if right.starts_with("VIEW ") => None,
        _ if right.starts_with("CREATE ") || right.starts_with("ALTER ANY ") => Some(Level::Write),
        _ => Some(Level::Admin),
    }
}

/// How bad a right on one object is.
fn level_of_grant(right: &str, kind: &str) -> Option<Level> {
    if right.ends_with(" WITH GRANT OPTION") {
        return Some(Level::Admin);
    }
    match right {
        "SELECT" | "EXECUTE" | "CONNECT" => None,
        _ if right.starts_with("VIEW ") => None,
        // To become another login or user, or to change its rights.
        _ if matches!(kind, "DATABASE_PRINCIPAL" | "SERVER_PRINCIPAL") => Some(Level::Admin),
        _ => Some(Level::Write),
    }
}

/// A right in words, and how to take it away.
fn words(row: &Row) -> (String, &'static str) {
    const REVOKE: &str = "revoke it, and grant SELECT alone";
    let right = keyword(row.text(1).unwrap_or_default());
    match row.text(0).unwrap_or_default() {
        "server role" => (format!("membership in server role {right}"), "take the login out of it"),
        "role" => (format!("membership in {right}"), "take it out of that role, and use db_datareader"),
        "server" => (format!("{right} on the server"), "revoke it from the login and its server roles"),
        "database" => (format!("{right} on the database"), REVOKE),
        "owner" => {
            (format!("owning the {}{}", object(row), through(row)), "let another user own it, and grant SELECT alone")
        }
        _ => (format!("{right} on {}{}", object(row), through(row)), REVOKE),
    }
}

/// A word out of SQL Server's grammar; anything else is not one.
fn keyword(text: &str) -> &str {
    let plain = text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || b" _".contains(&byte));
    if plain { text } else { "a right" }
}

fn object(row: &Row) -> String {
    let kind = match row.text(2).unwrap_or_default() {
        "OBJECT_OR_COLUMN" => "object".to_owned(),
        "DATABASE_PRINCIPAL" => "user or role".to_owned(),
        "SERVER_PRINCIPAL" => "login or server role".to_owned(),
        kind => keyword(kind).to_ascii_lowercase().replace('_', " "),
    };
    let name = row.text(3).map(|name| format!(" {}", shown(name))).unwrap_or_default();
    counted(format!("{kind}{name}"), row.integer(5))
}

fn through(row: &Row) -> String {
    match row.text(4) {
        None | Some("") => String::new(),
        Some("public") => ", which every user has".to_owned(),
        Some(role) => format!(", through role {}", shown(role)),
    }
}

#[cfg(test)]
#[path = "sqlserver_tests.rs"]
mod tests;
