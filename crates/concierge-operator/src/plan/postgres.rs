//! What a PostgreSQL server lacks for a request, and the statements that add it. All of them are sent from the
//! concierge's own database, so that nothing which an application planted in its own is ever run.
//!
//! The admin need not be superuser. To give a database to a role, and to change a database of that role, it must be a
//! member of it: it makes itself one for as long as that takes. CREATE DATABASE cannot be part of a transaction, so a
//! new one takes no connections before it is closed to others, and every step is found missing by a look.

use sql_client::Statement;

use super::{Refusal, Stated, Step};
use crate::ledger::{Kind, Origin};
use crate::look::ServerView;
use crate::look::postgres::{DatabaseView, Found};
use crate::validate::{DatabaseName, Request, UserName};

const JOIN: &str = "joining the user's role";
const LEAVE: &str = "leaving the user's role";

/// Something that a server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such role.
    Role,
    /// The role may not log in, or may make databases or roles.
    Attributes,
    /// The admin may not act for the role.
    Joined,
    /// There is no such database.
    Database,
    /// The database is another role's.
    Owner,
    /// Roles without a grant may connect to the database.
    Closed,
    /// The role may not do everything with its database.
    Rights,
    /// The database takes no connections.
    Open,
    /// The admin may act for the role, which it no longer needs to.
    Left,
}

impl Missing {
    /// The step that adds it.
    pub fn step(self, request: &Request, password: &Stated) -> Step {
        let (database, role) = (quoted(&request.database), quoted_role(&request.user));
        let (description, sql, creates) = match self {
            Self::Role => (
                "creating the user",
                format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", password.expose()),
                Some(Kind::User),
            ),
            Self::Attributes => {
                ("restoring the user's attributes", format!("ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE"), None)
            }
            Self::Joined => (JOIN, format!("GRANT {role} TO CURRENT_USER"), None),
            Self::Database => ("creating the database", create_database(request), Some(Kind::Database)),
            Self::Owner => {
                ("giving the database to its user", format!("ALTER DATABASE {database} OWNER TO {role}"), None)
            }
            Self::Closed => {
                ("closing the database to others", format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"), None)
            }
            Self::Rights => ("granting the rights", format!("GRANT ALL ON DATABASE {database} TO {role}"), None),
            Self::Open => ("opening the database", format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"), None),
            Self::Left => (LEAVE, format!("REVOKE {role} FROM CURRENT_USER"), None),
        };
        Step { statement: Statement::new(description, sql), creates }
    }
}

/// What the server lacks, in the order in which it is added.
pub fn missing(request: &Request, server: &Found) -> Vec<Missing> {
    let database = server.database.as_ref();
    let differs = |is_wrong: fn(&DatabaseView) -> bool| database.is_some_and(is_wrong);
    let owned = database.is_some_and(|database| database.owner == request.user.as_str());
    let on_database = [
        (Missing::Database, database.is_none()),
        (Missing::Owner, database.is_some() && !owned),
        (Missing::Closed, database.is_none_or(|database| database.public)),
        (Missing::Rights, differs(|database| !database.complete)),
        (Missing::Open, database.is_none_or(|database| !database.open)),
    ];
    let on_database: Vec<_> = lacking(on_database);
    let joined = server.role.is_some_and(|role| role.joined);
    let on_role = lacking([
        (Missing::Role, server.role.is_none()),
        (Missing::Attributes, server.role.is_some_and(|role| !role.plain)),
        (Missing::Joined, !on_database.is_empty() && !joined),
    ]);
    let left = lacking([(Missing::Left, !on_database.is_empty() || joined)]);
    [on_role, on_database, left].concat()
}

fn lacking<const N: usize>(found: [(Missing, bool); N]) -> Vec<Missing> {
    found.into_iter().filter_map(|(what, lacking)| lacking.then_some(what)).collect()
}

/// Encoding and locale of a database are chosen once. Those of an adopted one were somebody else's choice.
pub fn refuse_other_charset(request: &Request, view: &ServerView, server: &Found) -> Result<(), Refusal> {
    let created = view.claim(Kind::Database).is_some_and(|claim| claim.origin == Origin::Created);
    let Some(found) = server.database.as_ref().filter(|_| created) else { return Ok(()) };
    let same_locale = locale(request).is_none_or(|wanted| wanted == found.locale);
    if request.charset.as_str() == found.encoding && same_locale {
        return Ok(());
    }
    Err(Refusal::CharsetFixed {
        database: request.database.to_string(),
        encoding: found.encoding.clone(),
        locale: found.locale.clone(),
    })
}

/// Template0 holds nothing that anybody could have planted, and is the only one that fits every encoding.
fn create_database(request: &Request) -> String {
    let (database, role) = (quoted(&request.database), quoted_role(&request.user));
    let locale = locale(request).map(|name| format!(" LC_COLLATE '{name}' LC_CTYPE '{name}'")).unwrap_or_default();
    format!(
        "CREATE DATABASE {database} OWNER {role} TEMPLATE template0 ENCODING '{}'{locale} ALLOW_CONNECTIONS false",
        request.charset
    )
}

/// The locale that was asked for. The field's default, and every other collation of MySQL's utf8, asks for none: the
/// server's own is taken.
fn locale(request: &Request) -> Option<&str> {
    Some(request.collation.as_str()).filter(|collation| !collation.to_ascii_lowercase().starts_with("utf8"))
}

/// Gives the role a password.
pub fn set_password(request: &Request, password: &Stated) -> Statement {
    let sql = format!("ALTER ROLE {} PASSWORD '{}'", quoted_role(&request.user), password.expose());
    Statement::new("setting the password", sql)
}

/// Drops of these what is ours to drop: the database first, since a role that owns something cannot go. So where the
/// database stays, the role that owns it stays too.
pub fn drops(request: &Request, server: &Found, ours: &[Kind]) -> Vec<(Kind, Statement)> {
    if !ours.contains(&Kind::Database) && server.database.is_some() {
        return Vec::new();
    }
    let (database, role) = (quoted(&request.database), quoted_role(&request.user));
    let joined = server.role.is_some_and(|role| role.joined);
    let acts = server.role.is_some() && server.database.is_some();
    let all = [
        (Kind::Database, acts && !joined, JOIN, format!("GRANT {role} TO CURRENT_USER")),
        (Kind::Database, true, "dropping the database", format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")),
        (Kind::Database, acts && !ours.contains(&Kind::User), LEAVE, format!("REVOKE {role} FROM CURRENT_USER")),
        (Kind::User, true, "dropping the user", format!("DROP ROLE IF EXISTS {role}")),
    ];
    let needed = all.into_iter().filter(|(kind, needed, ..)| *needed && ours.contains(kind));
    needed.map(|(kind, _, description, sql)| (kind, Statement::new(description, sql))).collect()
}

/// A checked name consists of letters, digits and underscores, so quotes have nothing to escape.
fn quoted(name: &DatabaseName) -> String {
    format!("\"{name}\"")
}

fn quoted_role(name: &UserName) -> String {
    format!("\"{name}\"")
}
