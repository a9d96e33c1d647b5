//! One look at a MySQL or MariaDB server.

use sql_client::quote::mysql::text;
use sql_client::{Row, Statement};

use super::{Names, tagged};
use crate::engine::ACCOUNT_HOST;
use crate::ledger::mysql::{SCRIPTS, TABLE};
use crate::validate::{Account, Request};

/// The rights on a database that MySQL and MariaDB both know and `ALL PRIVILEGES` gives.
const RIGHTS: [&str; 18] = [
    "Select_priv",
    "Show_view_priv",
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
    "Create_routine_priv",
    "Alter_routine_priv",
    "Execute_priv",
    "Event_priv",
    "Trigger_priv",
];

/// Came with MySQL 8.0.16; what is older, and every MariaDB, takes this for a comment.
const LITERAL_GRANTS: &str = "0 /*!80016 + @@GLOBAL.partial_revokes */";

/// How many of them, from the first, only read.
const READING: usize = 2;

/// What the server holds under the names of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database, when it exists.
    pub database: Option<DatabaseView>,
    /// The accounts with the request's user names; ours are for any host.
    pub accounts: Vec<AccountView>,
    /// What these accounts may do in which databases.
    pub grants: Vec<GrantView>,
    /// Other rights that these accounts have.
    pub extras: Vec<Extra>,
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

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The user.
    pub user: String,
    /// The host that it may come from.
    pub host: String,
    /// What its connections must be: empty for anything, `ANY` for TLS, more with certificates.
    pub ssl_type: String,
    /// How many connections it may have; 0 for as many as the server takes.
    pub connections: i64,
}

/// A grant on a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// The account's user.
    pub user: String,
    /// The account's host.
    pub host: String,
    /// The database as a pattern, with `_` and `%` escaped where they mean themselves; or as its name, see
    /// [`Found::literal_grants`].
    pub pattern: String,
    /// What may be done there.
    pub rights: Rights,
}

/// What a grant on a database allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Reading it.
    pub reading: bool,
    /// Everything else.
    pub more: More,
    /// Passing on what it allows.
    pub passing_on: bool,
}

/// How much of something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Nothing.
    Nothing,
    /// A part.
    Some,
    /// All of it.
    All,
}

/// A right beside the grants on databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The account's user.
    pub user: String,
    /// What it is.
    pub what: ExtraKind,
}

/// Rights beside the grants on databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraKind {
    /// In all databases, or on the server itself.
    Global,
    /// On a table or routine of that database.
    Within(String),
    /// Those of a role, which has a host on MySQL and none on MariaDB.
    Role(String, Option<String>),
    /// To act for another account.
    Proxy,
}

/// The text of one look. Each row says what it is about, since one collation takes for equal what another does not.
///
/// MySQL and MariaDB keep roles in different tables. A comment with a version is a part of the statement for the one
/// that reads it: MariaDB passes over MySQL's versions from 5.7, and MySQL over those that begin with M.
pub fn look(names: &Names) -> String {
    let Names { databases, users, accounts } = names;
    let rights = RIGHTS.map(|right| format!("`{right}`")).join(", ");
    // Catalogues differ in character set and collation, and a UNION takes only one.
    format!(
        "SELECT 'claim', {name}, {kind}, {owner}, {origin} FROM {TABLE} \
         WHERE (`kind` = 'database' AND `name` IN ({databases})) OR (`kind` = 'user' AND `name` IN ({users})) \
         UNION ALL SELECT 'script', {name}, {hash}, {state}, {message} FROM {SCRIPTS} WHERE `name` IN ({databases}) \
         UNION ALL SELECT 'database', {schema}, {charset}, {collation}, @@lower_case_table_names \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({databases}) \
         UNION ALL SELECT 'account', {user}, {host}, {ssl}, `max_user_connections` FROM mysql.user \
         WHERE `User` IN ({users}) \
         UNION ALL SELECT 'grant', {user}, {pattern}, {host}, CONCAT_WS('', {rights}, `Grant_priv`) FROM mysql.db \
         WHERE `User` IN ({users}) \
         UNION ALL SELECT 'server', 'literal grants', {LITERAL_GRANTS}, NULL, NULL \
         UNION ALL SELECT 'within', {user}, {host}, {pattern}, NULL FROM mysql.tables_priv WHERE `User` IN ({users}) \
         UNION ALL SELECT 'within', {user}, {host}, {pattern}, NULL FROM mysql.procs_priv WHERE `User` IN ({users}) \
         UNION ALL SELECT 'proxy', {user}, {host}, NULL, NULL FROM mysql.proxies_priv WHERE `User` IN ({users}) \
         UNION ALL SELECT DISTINCT 'global', {grantee}, NULL, NULL, NULL FROM information_schema.USER_PRIVILEGES \
         WHERE GRANTEE IN ({accounts}) AND (PRIVILEGE_TYPE <> 'USAGE' OR IS_GRANTABLE = 'YES') \
         /*!80000 UNION ALL SELECT 'role', {to_user}, {to_host}, {from_user}, {from_host} FROM mysql.role_edges \
         WHERE `TO_USER` IN ({users}) */\
         /*M!100005 UNION ALL SELECT 'role', {user}, {host}, {role}, NULL FROM mysql.roles_mapping \
         WHERE `User` IN ({users}) */",
        name = utf8("`name`"),
        kind = utf8("`kind`"),
        owner = utf8("`owner`"),
        origin = utf8("`origin`"),
        hash = utf8("`hash`"),
        state = utf8("`state`"),
        message = utf8("`message`"),
        schema = utf8("SCHEMA_NAME"),
        charset = utf8("DEFAULT_CHARACTER_SET_NAME"),
        collation = utf8("DEFAULT_COLLATION_NAME"),
        user = utf8("`User`"),
        host = utf8("`Host`"),
        ssl = utf8("`ssl_type`"),
        pattern = utf8("`Db`"),
        grantee = utf8("GRANTEE"),
        to_user = utf8("`TO_USER`"),
        to_host = utf8("`TO_HOST`"),
        from_user = utf8("`FROM_USER`"),
        from_host = utf8("`FROM_HOST`"),
        role = utf8("`Role`"),
    )
}

fn utf8(column: &str) -> String {
    format!("CONVERT({column} USING utf8mb4)")
}

/// Reads what the rows of [`look`] say about a request, but those of the concierge's own tables.
#[must_use]
pub fn found(request: &Request, rows: &[Row]) -> Found {
    let is_ours = |name: &str| request.possible_accounts().any(|account| account.user.as_str() == name);
    let of_users = |tag| tagged(rows, tag).filter(|(user, _)| is_ours(user));
    let database = tagged(rows, "database").find(|(name, row)| is_database(request, name, row));
    Found {
        database: database.map(|(_, row)| DatabaseView { charset: text_of(row, 2), collation: text_of(row, 3) }),
        accounts: of_users("account").map(account).collect(),
        grants: of_users("grant").map(grant).collect(),
        extras: ["within", "role", "proxy"]
            .into_iter()
            .flat_map(of_users)
            .filter_map(extra)
            .chain(global(request, rows))
            .collect(),
        literal_grants: tagged(rows, "server").any(|(_, row)| row.boolean(2) == Some(true)),
    }
}

fn text_of(row: &Row, column: usize) -> String {
    row.text(column).unwrap_or_default().to_owned()
}

fn account((user, row): (&str, &Row)) -> AccountView {
    AccountView {
        user: user.to_owned(),
        host: text_of(row, 2),
        ssl_type: text_of(row, 3),
        connections: row.integer(4).unwrap_or_default(),
    }
}

fn grant((user, row): (&str, &Row)) -> GrantView {
    let rights = Rights::parse(row.text(4).unwrap_or_default());
    GrantView { user: user.to_owned(), pattern: text_of(row, 2), host: text_of(row, 3), rights }
}

/// An account for another host is not ours.
fn extra((user, row): (&str, &Row)) -> Option<Extra> {
    row.text(2).filter(|host| *host == ACCOUNT_HOST)?;
    let what = match row.text(0)? {
        "within" => ExtraKind::Within(text_of(row, 3)),
        "role" => ExtraKind::Role(text_of(row, 3), row.text(4).map(str::to_owned)),
        _ => ExtraKind::Proxy,
    };
    Some(Extra { user: user.to_owned(), what })
}

/// The server writes the account as a statement would.
fn global(request: &Request, rows: &[Row]) -> impl Iterator<Item = Extra> {
    let has = |account: &&Account| tagged(rows, "global").any(|(grantee, _)| grantee == account.user.quoted());
    let extra = |account: &Account| Extra { user: account.user.to_string(), what: ExtraKind::Global };
    request.possible_accounts().filter(has).map(extra)
}

/// The server's setting says whether `App` and `app` are one database there; users are never compared that way.
fn is_database(request: &Request, name: &str, row: &Row) -> bool {
    let wanted = request.database.as_str();
    match row.integer(4) {
        Some(0) => name == wanted,
        _ => name.eq_ignore_ascii_case(wanted),
    }
}

impl Rights {
    /// Whether everything in the database is allowed.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.reading && self.more == More::All
    }

    /// `Y` or `N` for each of [`RIGHTS`], then for the right to pass them on.
    fn parse(flags: &str) -> Self {
        let has: Vec<bool> = flags.bytes().map(|flag| flag == b'Y').collect();
        let (rights, passing_on) = has.split_at(has.len().min(RIGHTS.len()));
        let (reading, more) = rights.split_at(rights.len().min(READING));
        let whole = rights.len() == RIGHTS.len();
        Self {
            reading: whole && reading.iter().all(|has| *has),
            more: match more {
                more if !more.contains(&true) => More::Nothing,
                more if whole && !more.contains(&false) => More::All,
                _ => More::Some,
            },
            passing_on: passing_on.contains(&true),
        }
    }
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
        SELECT 'claim', CONVERT(`name` USING utf8mb4), CONVERT(`kind` USING utf8mb4), CONVERT(`owner` USING utf8mb4), CONVERT(`origin` USING utf8mb4) FROM `db_concierge`.`ownership` WHERE (`kind` = 'database' AND `name` IN ('myapp')) OR (`kind` = 'user' AND `name` IN ('myapp_app', 'myapp_ro'))
        UNION ALL SELECT 'script', CONVERT(`name` USING utf8mb4), CONVERT(`hash` USING utf8mb4), CONVERT(`state` USING utf8mb4), CONVERT(`message` USING utf8mb4) FROM `db_concierge`.`scripts` WHERE `name` IN ('myapp')
        UNION ALL SELECT 'database', CONVERT(SCHEMA_NAME USING utf8mb4), CONVERT(DEFAULT_CHARACTER_SET_NAME USING utf8mb4), CONVERT(DEFAULT_COLLATION_NAME USING utf8mb4), @@lower_case_table_names FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('myapp')
        UNION ALL SELECT 'account', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONVERT(`ssl_type` USING utf8mb4), `max_user_connections` FROM mysql.user WHERE `User` IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'grant', CONVERT(`User` USING utf8mb4), CONVERT(`Db` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONCAT_WS('', `Select_priv`, `Show_view_priv`, `Insert_priv`, `Update_priv`, `Delete_priv`, `Create_priv`, `Drop_priv`, `References_priv`, `Index_priv`, `Alter_priv`, `Create_tmp_table_priv`, `Lock_tables_priv`, `Create_view_priv`, `Create_routine_priv`, `Alter_routine_priv`, `Execute_priv`, `Event_priv`, `Trigger_priv`, `Grant_priv`) FROM mysql.db WHERE `User` IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'server', 'literal grants', 0 /*!80016 + @@GLOBAL.partial_revokes */, NULL, NULL
        UNION ALL SELECT 'within', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONVERT(`Db` USING utf8mb4), NULL FROM mysql.tables_priv WHERE `User` IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'within', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONVERT(`Db` USING utf8mb4), NULL FROM mysql.procs_priv WHERE `User` IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT 'proxy', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), NULL, NULL FROM mysql.proxies_priv WHERE `User` IN ('myapp_app', 'myapp_ro')
        UNION ALL SELECT DISTINCT 'global', CONVERT(GRANTEE USING utf8mb4), NULL, NULL, NULL FROM information_schema.USER_PRIVILEGES WHERE GRANTEE IN (''myapp_app'@'%'', ''myapp_ro'@'%'') AND (PRIVILEGE_TYPE <> 'USAGE' OR IS_GRANTABLE = 'YES') /*!80000
        UNION ALL SELECT 'role', CONVERT(`TO_USER` USING utf8mb4), CONVERT(`TO_HOST` USING utf8mb4), CONVERT(`FROM_USER` USING utf8mb4), CONVERT(`FROM_HOST` USING utf8mb4) FROM mysql.role_edges WHERE `TO_USER` IN ('myapp_app', 'myapp_ro') *//*M!100005
        UNION ALL SELECT 'role', CONVERT(`User` USING utf8mb4), CONVERT(`Host` USING utf8mb4), CONVERT(`Role` USING utf8mb4), NULL FROM mysql.roles_mapping WHERE `User` IN ('myapp_app', 'myapp_ro') */
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
            row(["account", "myapp_app", "%", "ANY", "5"]),
            row(["grant", "myapp_app", r"my\_app", "%", &all]),
            row(["global", "'myapp_ro'@'%'", "", "", ""]),
            row(["within", "myapp_app", "%", "other", ""]),
            row(["role", "myapp_app", "%", "dba", "%"]),
            row(["proxy", "myapp_app", "10.%", "", ""]),
        ];
        let found = found(&request("{}"), &rows);
        assert!(found.database.is_some());
        let account =
            AccountView { user: "myapp_app".into(), host: "%".into(), ssl_type: "ANY".into(), connections: 5 };
        assert_eq!(found.accounts, [account]);
        assert!(found.grants[0].rights.is_all() && found.grants[0].pattern == r"my\_app");
        let extras: Vec<_> = found.extras.into_iter().map(|extra| (extra.user, extra.what)).collect();
        assert_eq!(
            extras,
            [
                ("myapp_app".to_owned(), ExtraKind::Within("other".into())),
                ("myapp_app".to_owned(), ExtraKind::Role("dba".into(), Some("%".into()))),
                ("myapp_ro".to_owned(), ExtraKind::Global),
            ],
            "an account for another host is not ours"
        );
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
    fn a_lost_right_and_the_right_to_grant_are_seen() {
        let rights = |flags: String| Rights::parse(&flags);
        let all = Rights { reading: true, more: More::All, passing_on: false };
        assert_eq!(rights(format!("{}N", "Y".repeat(18))), all);
        assert_eq!(rights(format!("N{}N", "Y".repeat(17))), Rights { reading: false, ..all });
        assert_eq!(rights(format!("YYN{}N", "Y".repeat(15))), Rights { more: More::Some, ..all });
        assert_eq!(rights("Y".repeat(19)), Rights { passing_on: true, ..all });
        let reading = Rights { more: More::Nothing, ..all };
        assert_eq!(rights(format!("YY{}", "N".repeat(17))), reading);
        assert_eq!(rights(String::new()), Rights { reading: false, ..reading });
    }
}
