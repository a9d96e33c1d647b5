//! One look at a MySQL or MariaDB server.

use sql_client::quote::mysql::text;
use sql_client::{Row, Statement};

use crate::ledger::mysql::TABLE;
use crate::validate::Request;

/// The rights on a database that MySQL and MariaDB both know and `ALL PRIVILEGES` gives.
const RIGHTS: [&str; 18] = [
    "Select_priv",
    "Insert_priv",
    "Update_priv",
    "Delete_priv",
    "Create_priv",
    "Drop_priv",
    "References_priv",
    "Index_priv",
    "Alter_priv",
    "Create_tmp_table_priv",
    "Lock_tables_priv",
    "Create_view_priv",
    "Show_view_priv",
    "Create_routine_priv",
    "Alter_routine_priv",
    "Execute_priv",
    "Event_priv",
    "Trigger_priv",
];

/// What the server holds under the names of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database, when it exists.
    pub database: Option<DatabaseView>,
    /// The hosts of the accounts with this user name; ours is `%`.
    pub account_hosts: Vec<String>,
    /// What these accounts may do in which databases.
    pub grants: Vec<GrantView>,
}

/// A database as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseView {
    /// Default character set.
    pub charset: String,
    /// Default collation.
    pub collation: String,
}

/// A grant on a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// The database as a pattern, with `_` and `%` escaped where they mean themselves.
    pub pattern: String,
    /// The account's host.
    pub host: String,
    /// All rights of a database, and not the right to pass them on.
    pub complete: bool,
}

/// The statement of one look.
#[must_use]
pub fn statement(request: &Request) -> Statement {
    let (database, user) = (text(request.database.as_str()), text(request.user.as_str()));
    let rights = RIGHTS.map(|right| format!("`{right}`")).join(", ");
    // Catalogues differ in character set and collation, and a UNION takes only one.
    let sql = format!(
        "SELECT 'claim', {kind}, {owner}, {origin} FROM {TABLE} \
         WHERE (`kind` = 'database' AND `name` = {database}) OR (`kind` = 'user' AND `name` = {user}) \
         UNION ALL SELECT 'database', NULL, {charset}, {collation} FROM information_schema.SCHEMATA \
         WHERE SCHEMA_NAME = {database} \
         UNION ALL SELECT 'account', NULL, {host}, NULL FROM mysql.user WHERE `User` = {user} \
         UNION ALL SELECT 'grant', {pattern}, {host}, CONCAT_WS('', {rights}, `Grant_priv`) FROM mysql.db \
         WHERE `User` = {user}",
        kind = utf8("`kind`"),
        owner = utf8("`owner`"),
        origin = utf8("`origin`"),
        charset = utf8("DEFAULT_CHARACTER_SET_NAME"),
        collation = utf8("DEFAULT_COLLATION_NAME"),
        host = utf8("`Host`"),
        pattern = utf8("`Db`"),
    );
    Statement::new("looking at the server", sql)
}

fn utf8(column: &str) -> String {
    format!("CONVERT({column} USING utf8mb4)")
}

/// Reads the rows of [`statement`] but the claims.
#[must_use]
pub fn found(rows: &[Row]) -> Found {
    let mut found = Found::default();
    for row in rows {
        let column = |index| row.text(index).unwrap_or_default().to_owned();
        match row.text(0) {
            Some("database") => found.database = Some(DatabaseView { charset: column(2), collation: column(3) }),
            Some("account") => found.account_hosts.push(column(2)),
            Some("grant") => found.grants.push(GrantView {
                pattern: column(1),
                host: column(2),
                complete: is_complete(row.text(3).unwrap_or_default()),
            }),
            _ => {}
        }
    }
    found
}

/// `Y` for each right, `N` for the right to grant them.
fn is_complete(flags: &str) -> bool {
    flags
        .strip_suffix('N')
        .is_some_and(|rights| rights.len() == RIGHTS.len() && rights.bytes().all(|flag| flag == b'Y'))
}

/// The statement that counts what a database holds; 0 is an empty one.
#[must_use]
pub fn count_contents(request: &Request) -> Statement {
    let database = text(request.database.as_str());
    let count = |table: &str, column: &str| {
        format!("(SELECT COUNT(*) FROM information_schema.{table} WHERE {column} = {database})")
    };
    let counts =
        [count("TABLES", "TABLE_SCHEMA"), count("ROUTINES", "ROUTINE_SCHEMA"), count("EVENTS", "EVENT_SCHEMA")];
    Statement::new("counting what the database holds", format!("SELECT {}", counts.join(" + ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [Option<&str>; 4]) -> Row {
        Row::new(columns.map(|column| column.map(str::to_owned)).to_vec())
    }

    #[test]
    fn a_look_is_one_statement() {
        let request = crate::plan::fixtures::request("{}");
        let sql = crate::plan::fixtures::readable(statement(&request).expose_text());
        insta::assert_snapshot!(sql.replace(" UNION", "\nUNION"), @"
        SELECT 'claim', CONVERT(`kind` USING utf8mb4), CONVERT(`owner` USING utf8mb4), CONVERT(`origin` USING utf8mb4) FROM `db_concierge`.`ownership` WHERE (`kind` = 'database' AND `name` = 'myapp') OR (`kind` = 'user' AND `name` = 'myapp_app')
        UNION ALL SELECT 'database', NULL, CONVERT(DEFAULT_CHARACTER_SET_NAME USING utf8mb4), CONVERT(DEFAULT_COLLATION_NAME USING utf8mb4) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'myapp'
        UNION ALL SELECT 'account', NULL, CONVERT(`Host` USING utf8mb4), NULL FROM mysql.user WHERE `User` = 'myapp_app'
        UNION ALL SELECT 'grant', CONVERT(`Db` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONCAT_WS('', `Select_priv`, `Insert_priv`, `Update_priv`, `Delete_priv`, `Create_priv`, `Drop_priv`, `References_priv`, `Index_priv`, `Alter_priv`, `Create_tmp_table_priv`, `Lock_tables_priv`, `Create_view_priv`, `Show_view_priv`, `Create_routine_priv`, `Alter_routine_priv`, `Execute_priv`, `Event_priv`, `Trigger_priv`, `Grant_priv`) FROM mysql.db WHERE `User` = 'myapp_app'
        ");
        let count = crate::plan::fixtures::readable(count_contents(&request).expose_text());
        insta::assert_snapshot!(count.replace(" + ", "\n+ "), @"
        SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'myapp')
        + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'myapp')
        + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'myapp')
        ");
    }

    #[test]
    fn rows_become_a_view() {
        let all = format!("{}N", "Y".repeat(18));
        let rows = [
            row([Some("database"), None, Some("utf8mb4"), Some("utf8mb4_bin")]),
            row([Some("account"), None, Some("%"), None]),
            row([Some("grant"), Some(r"my\_app"), Some("%"), Some(&all)]),
        ];
        let found = found(&rows);
        assert!(found.database.is_some());
        assert_eq!(found.account_hosts, ["%"]);
        assert_eq!(found.grants, [GrantView { pattern: r"my\_app".into(), host: "%".into(), complete: true }]);
    }

    #[test]
    fn a_lost_right_or_the_right_to_grant_is_no_complete_grant() {
        assert!(is_complete(&format!("{}N", "Y".repeat(18))));
        assert!(!is_complete(&format!("N{}N", "Y".repeat(17))));
        assert!(!is_complete(&"Y".repeat(19)));
        assert!(!is_complete(""));
    }
}
