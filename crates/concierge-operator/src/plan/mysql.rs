//! What a MySQL or MariaDB server lacks for a request, and the statements that add it. Every statement means the same
//! under any `sql_mode`: names stand in backticks, and values hold nothing that could be escaped.

use sql_client::Statement;
use sql_client::quote::mysql::grant_pattern_text;

use super::{Stated, Step};
use crate::ledger::{Kind, Origin};
use crate::look::ServerView;
use crate::look::mysql::{DatabaseView, Found};
use crate::validate::{DatabaseName, Request, UserName};

/// Applications connect from pods, whose addresses nobody knows beforehand.
pub const ACCOUNT_HOST: &str = "%";

/// Something that a server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such database.
    Database,
    /// The database that we created has another character set or collation.
    Charset,
    /// There is no such account.
    User,
    /// The account may not do everything in its database.
    Grant {
        /// The server takes the database for a name, not for a pattern.
        literal: bool,
    },
}

impl Missing {
    /// The step that adds it.
    pub fn step(self, request: &Request, password: &Stated) -> Step {
        let (statement, creates) = match self {
            Self::Database => (create_database(request), Some(Kind::Database)),
            Self::Charset => (set_charset(request), None),
            Self::User => (create_user(request, password), Some(Kind::User)),
            Self::Grant { literal } => (grant(request, literal), None),
        };
        Step { statement, creates }
    }
}

/// What the server lacks, in the order in which it is added.
pub fn missing(request: &Request, view: &ServerView, server: &Found) -> Vec<Missing> {
    let charset = server.database.as_ref().is_some_and(|database| charset_differs(request, view, database));
    let account = server.account_hosts.iter().any(|host| host == ACCOUNT_HOST);
    let found = [
        (Missing::Database, server.database.is_none()),
        (Missing::Charset, charset),
        (Missing::User, !account),
        (Missing::Grant { literal: server.literal_grants }, !account || !granted(request, server)),
    ];
    found.into_iter().filter_map(|(what, lacking)| lacking.then_some(what)).collect()
}

/// The charset of an adopted database was somebody else's choice.
fn charset_differs(request: &Request, view: &ServerView, database: &DatabaseView) -> bool {
    let created = view.claim(Kind::Database).is_some_and(|claim| claim.origin == Origin::Created);
    created
        && !(same_charset(request.charset.as_str(), &database.charset)
            && same_charset(request.collation.as_str(), &database.collation))
}

/// Servers rename `utf8` to `utf8mb3`, or read it as `utf8mb4` where `old_mode` says so; collations likewise.
fn same_charset(wanted: &str, found: &str) -> bool {
    let (wanted, found) = (wanted.to_ascii_lowercase(), found.to_ascii_lowercase());
    let alias = |name: &str| match wanted.strip_prefix("utf8") {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => found == format!("{name}{rest}"),
        _ => false,
    };
    wanted == found || alias("utf8mb3") || alias("utf8mb4")
}

fn granted(request: &Request, server: &Found) -> bool {
    let pattern = granted_database(request, server.literal_grants);
    server.grants.iter().any(|grant| grant.complete && grant.host == ACCOUNT_HOST && grant.pattern == pattern)
}

fn create_database(request: &Request) -> Statement {
    let sql = format!("CREATE DATABASE {} {}", backticks(&request.database), charset_clause(request));
    Statement::new("creating the database", sql)
}

fn set_charset(request: &Request) -> Statement {
    let sql = format!("ALTER DATABASE {} {}", backticks(&request.database), charset_clause(request));
    Statement::new("setting the character set", sql)
}

fn charset_clause(request: &Request) -> String {
    format!("CHARACTER SET {} COLLATE {}", request.charset, request.collation)
}

fn create_user(request: &Request, password: &Stated) -> Statement {
    let sql = format!("CREATE USER {} {}", account(&request.user), identified(request, password));
    Statement::new("creating the user", sql)
}

/// Gives the user a password.
pub fn set_password(request: &Request, password: &Stated) -> Statement {
    let sql = format!("ALTER USER {} {}", account(&request.user), identified(request, password));
    Statement::new("setting the password", sql)
}

fn identified(request: &Request, password: &Stated) -> String {
    let plugin = request.auth_plugin.map(|plugin| format!("WITH {} ", plugin.as_str())).unwrap_or_default();
    format!("IDENTIFIED {plugin}BY '{}'", password.expose())
}

/// What a grant calls the database. Where it is a pattern, `my_app` must not open `myXapp` too; where it is a name, a
/// backslash would be a part of it.
fn granted_database(request: &Request, literal: bool) -> String {
    let name = request.database.as_str();
    if literal { name.to_owned() } else { grant_pattern_text(name) }
}

fn grant(request: &Request, literal: bool) -> Statement {
    let pattern = granted_database(request, literal);
    let sql = format!("GRANT ALL PRIVILEGES ON `{pattern}`.* TO {}", account(&request.user));
    Statement::new("granting the rights", sql)
}

/// Drops of these what is ours to drop: the user first, so that nobody writes into a database that goes.
pub fn drops(request: &Request, ours: &[Kind]) -> Vec<(Kind, Statement)> {
    let all = [(Kind::User, drop_user(request)), (Kind::Database, drop_database(request))];
    all.into_iter().filter(|(kind, _)| ours.contains(kind)).collect()
}

/// Drops the user with its grants. Safe to repeat.
fn drop_user(request: &Request) -> Statement {
    Statement::new("dropping the user", format!("DROP USER IF EXISTS {}", account(&request.user)))
}

/// Drops the database with all data. Safe to repeat.
fn drop_database(request: &Request) -> Statement {
    Statement::new("dropping the database", format!("DROP DATABASE IF EXISTS {}", backticks(&request.database)))
}

/// A checked name consists of letters, digits and underscores, so quotes have nothing to escape.
fn backticks(name: &DatabaseName) -> String {
    format!("`{name}`")
}

fn account(user: &UserName) -> String {
    format!("'{user}'@'{ACCOUNT_HOST}'")
}
