//! One look at a MySQL or MariaDB server.

use sql_client::quote::mysql::text;
use sql_client::{Row, Statement};

use super::{Names, tagged};
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

/// Came with MySQL 8.0.16; what is older, and every MariaDB, takes this for a comment.
const LITERAL_GRANTS: &str = "0 /*!80016 + @@GLOBAL.partial_revokes */";

/// What the server holds under the names of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database, when it exists.
    pub database: Option<DatabaseView>,
    /// The hosts of the accounts with this user name; ours is `%`.
    pub account_hosts: Vec<String>,
    /// What these accounts may do in which databases.
    pub grants: Vec<GrantView>,
    /// The server takes the database of a grant for a name rather than a pattern: `partial_revokes` is on.
    pub literal_grants: bool,
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
    /// The database as a pattern, with `_` and `%` escaped where they mean themselves; or as its name, see
    /// [`Found::literal_grants`].
    pub pattern: String,
    /// The account's host.
    pub host: String,
    /// All rights of a database, and not the right to pass them on.
    pub complete: bool,
}

/// The text of one look. Each row says what it is about, since one collation takes for equal what another does not.
pub fn look(names: &Names) -> String {
    let Names { databases, users } = names;
    let rights = RIGHTS.map(|right| format!("`{right}`")).join(", ");
    // Catalogues differ in character set and collation, and a UNION takes only one.
    format!(
        "SELECT 'claim', {name}, {kind}, {owner}, {origin} FROM {TABLE} \
         WHERE (`kind` = 'database' AND `name` IN ({databases})) OR (`kind` = 'user' AND `name` IN ({users})) \
         UNION ALL SELECT 'database', {schema}, {charset}, {collation}, @@lower_case_table_names \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({databases}) \
         UNION ALL SELECT 'account', {user}, {host}, NULL, NULL FROM mysql.user WHERE `User` IN ({users}) \
         UNION ALL SELECT 'grant', {user}, {pattern}, {host}, CONCAT_WS('', {rights}, `Grant_priv`) FROM mysql.db \
         WHERE `User` IN ({users}) \
         UNION ALL SELECT 'server', 'literal grants', {LITERAL_GRANTS}, NULL, NULL",
        name = utf8("`name`"),
        kind = utf8("`kind`"),
        owner = utf8("`owner`"),
        origin = utf8("`origin`"),
        schema = utf8("SCHEMA_NAME"),
        charset = utf8("DEFAULT_CHARACTER_SET_NAME"),
        collation = utf8("DEFAULT_COLLATION_NAME"),
        user = utf8("`User`"),
        host = utf8("`Host`"),
        pattern = utf8("`Db`"),
    )
}

fn utf8(column: &str) -> String {
    format!("CONVERT({column} USING utf8mb4)")
}

/// Reads what the rows of [`look`] say about a request, but the claims.
#[must_use]
pub fn found(request: &Request, rows: &[Row]) -> Found {
    let text = |row: &Row, column| row.text(column).unwrap_or_default().to_owned();
    let of_user = |tag| tagged(rows, tag).filter(|(user, _)| *user == request.user.as_str()).map(|(_, row)| row);
    let database = tagged(rows, "database").find(|(name, row)| is_database(request, name, row));
    Found {
        database: database.map(|(_, row)| DatabaseView { charset: text(row, 2), collation: text(row, 3) }),
        account_hosts: of_user("account").map(|row| text(row, 2)).collect(),
        grants: of_user("grant").map(grant).collect(),
        literal_grants: tagged(rows, "server").any(|(_, row)| row.boolean(2) == Some(true)),
    }
}

fn grant(row: &Row) -> GrantView {
    let text = |column| row.text(column).unwrap_or_default();
    GrantView { pattern: text(2).to_owned(), host: text(3).to_owned(), complete: is_complete(text(4)) }
}

/// The server's setting says whether `App` and `app` are one database there; users are never compared that way.
fn is_database(request: &Request, name: &str, row: &Row) -> bool {
    let wanted = request.database.as_str();
    match row.integer(4) {
        Some(0) => name == wanted,
        _ => name.eq_ignore_ascii_case(wanted),
    }
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
    use crate::look;
    use crate::plan::fixtures::request;

    fn row(columns: [&str; 5]) -> Row {
        Row::new(columns.map(|column| Some(column.to_owned())).to_vec())
    }

    #[test]
    fn a_look_is_one_statement() {
        let request = crate::plan::fixtures::request("{}");
        let sql = crate::plan::fixtures::readable(look::statement(&request).expose_text());
        insta::assert_snapshot!(sql.replace(" UNION", "\nUNION"), @"
        SELECT 'claim', CONVERT(`name` USING utf8mb4), CONVERT(`kind` USING utf8mb4), CONVERT(`owner` USING utf8mb4), CONVERT(`origin` USING utf8mb4) FROM `db_concierge`.`ownership` WHERE (`kind` = 'database' AND `name` IN ('myapp')) OR (`kind` = 'user' AND `name` IN ('myapp_app'))
        UNION ALL SELECT 'database', CONVERT(SCHEMA_NAME USING utf8mb4), CONVERT(DEFAULT_CHARACTER_SET_NAME USING utf8mb4), CONVERT(DEFAULT_COLLATION_NAME USING utf8mb4), @@lower_case_table_names FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('myapp')
        UNION ALL SELECT 'account', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), NULL, NULL FROM mysql.user WHERE `User` IN ('myapp_app')
        UNION ALL SELECT 'grant', CONVERT(`User` USING utf8mb4), CONVERT(`Db` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONCAT_WS('', `Select_priv`, `Insert_priv`, `Update_priv`, `Delete_priv`, `Create_priv`, `Drop_priv`, `References_priv`, `Index_priv`, `Alter_priv`, `Create_tmp_table_priv`, `Lock_tables_priv`, `Create_view_priv`, `Show_view_priv`, `Create_routine_priv`, `Alter_routine_priv`, `Execute_priv`, `Event_priv`, `Trigger_priv`, `Grant_priv`) FROM mysql.db WHERE `User` IN ('myapp_app')
        UNION ALL SELECT 'server', 'literal grants', 0 /*!80016 + @@GLOBAL.partial_revokes */, NULL, NULL
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
            row(["database", "myapp", "utf8mb4", "utf8mb4_bin", "0"]),
            row(["account", "myapp_app", "%", "", ""]),
            row(["grant", "myapp_app", r"my\_app", "%", &all]),
        ];
        let found = found(&request("{}"), &rows);
        assert!(found.database.is_some());
        assert_eq!(found.account_hosts, ["%"]);
        assert_eq!(found.grants, [GrantView { pattern: r"my\_app".into(), host: "%".into(), complete: true }]);
    }

    #[test]
    fn rows_of_a_name_that_merely_compares_equal_are_nobodys() {
        let all = format!("{}N", "Y".repeat(18));
        for similar in ["MyApp", "m\u{fd}app", "myap", "other"] {
            let user = format!("{similar}_app");
            let rows = [
                row(["database", similar, "utf8mb4", "utf8mb4_bin", "0"]),
                row(["account", &user, "%", "", ""]),
                row(["grant", &user, "myapp", "%", &all]),
            ];
            assert_eq!(found(&request("{}"), &rows), Found::default(), "{similar}");
        }
    }

    #[test]
    fn a_server_says_how_it_reads_grants() {
        let literal = |value| found(&request("{}"), &[row(["server", "literal grants", value, "", ""])]).literal_grants;
        assert!(literal("1") && !literal("0"));
        assert!(!found(&request("{}"), &[]).literal_grants);
    }

    #[test]
    fn a_server_without_case_keeps_a_database_under_another_spelling() {
        for (setting, is_it) in [("0", false), ("1", true), ("2", true)] {
            let rows = [row(["database", "MYAPP", "utf8mb4", "utf8mb4_bin", setting])];
            assert_eq!(found(&request("{}"), &rows).database.is_some(), is_it, "{setting}");
        }
    }

    #[test]
    fn a_lost_right_or_the_right_to_grant_is_no_complete_grant() {
        assert!(is_complete(&format!("{}N", "Y".repeat(18))));
        assert!(!is_complete(&format!("N{}N", "Y".repeat(17))));
        assert!(!is_complete(&"Y".repeat(19)));
        assert!(!is_complete(""));
    }
}
