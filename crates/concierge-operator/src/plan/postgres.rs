//! What a PostgreSQL server lacks for a request, or has too much, and the statements that change it. Almost all of them
//! are sent from the concierge's own database, so that nothing which an application planted in its own is ever run; what
//! the role that can only read is let see has to be said inside, with every name in full.
//!
//! The admin need not be superuser. To give a database to a role, and to change a database of that role, it must be a
//! member of it: it makes itself one for as long as that takes. CREATE DATABASE cannot be part of a transaction, so a
//! new one takes no connections before it is closed to others, and every step is found missing by a look.

use sql_client::quote::postgres as quote;

use super::{Logins, Refusal, Stated, Step};
use crate::ledger::{Kind, Origin};
use crate::look::ServerView;
use crate::look::postgres::{DatabaseView, Found, Inside, RoleView};
use crate::validate::{Account, Request, Terms};

const JOIN: &str = "joining the user's role";
const LEAVE: &str = "leaving the user's role";
const MEMBERSHIP: &str = "membership in another role";
const READ: &str = "letting the read-only user read";

/// What a role that can only read may do with the database.
const READER_RIGHTS: [&str; 1] = ["CONNECT"];

/// Tables, which views are too, and schemas.
const READER_DEFAULTS: i64 = 2;

/// How many tables one statement names.
const TABLES: usize = 200;

/// Something that must change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing<'a> {
    /// There is no such role.
    Role(&'a Account),
    /// The role is superuser or almost one.
    Privileged(&'a Account),
    /// The role may not log in, may make databases or roles, or has another limit.
    Attributes(&'a Account),
    /// The role is a member of another one; its name is quoted.
    Member(&'a Account, String),
    /// The admin may not act for the role.
    Joined(&'a Account),
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
    /// The role that can only read may do more with the database than connect.
    ReaderExcess(&'a Account),
    /// The role that can only read cannot connect.
    ReaderConnect(&'a Account),
    /// What will be made in the database is hidden from the role that can only read: a statement that changes that.
    ReaderDefaults(&'a Account, &'static str),
    /// Something in the database is hidden from it; quoted, with the word that begins the right's name.
    ReaderHidden(&'a Account, &'static str, String),
    /// The admin may act for the role, which it no longer needs to.
    Left(&'a Account),
}

impl Missing<'_> {
    /// The step that changes it.
    pub fn step(self, request: &Request, logins: &Logins) -> Step {
        let (database, owner) = (request.database.quoted(), request.application.user.quoted());
        match self {
            Self::Role(account) => {
                let sql = create_role(account, request.terms, logins.stated(account));
                Step::new("creating the user", sql).creating(account.kind)
            }
            Self::Privileged(account) => {
                let sql = format!("ALTER ROLE {} NOSUPERUSER NOREPLICATION NOBYPASSRLS", account.user.quoted());
                Step::new("taking away superuser rights", sql).tolerating("superuser rights")
            }
            Self::Attributes(account) => Step::new("restoring the user's attributes", set_attributes(request, account)),
            Self::Member(account, of) => {
                let sql = format!("REVOKE {of} FROM {}", account.user.quoted());
                Step::new("taking away a role that was added", sql).tolerating(MEMBERSHIP)
            }
            Self::Joined(account) => join(account),
            Self::Database => Step::new("creating the database", create_database(request)).creating(Kind::Database),
            Self::Owner => {
                Step::new("giving the database to its user", format!("ALTER DATABASE {database} OWNER TO {owner}"))
            }
            Self::Closed => {
                Step::new("closing the database to others", format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"))
            }
            Self::Rights => Step::new("granting the rights", format!("GRANT ALL ON DATABASE {database} TO {owner}")),
            Self::Open => {
                Step::new("opening the database", format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"))
            }
            Self::ReaderExcess(account) => {
                let sql = format!("REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM {}", account.user.quoted());
                Step::new("taking away rights that were added", sql)
            }
            Self::ReaderConnect(account) => {
                Step::new(READ, format!("GRANT CONNECT ON DATABASE {database} TO {}", account.user.quoted()))
            }
            Self::ReaderDefaults(account, grant) => {
                let reader = account.user.quoted();
                Step::new(READ, format!("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT {grant} TO {reader}")).inside()
            }
            Self::ReaderHidden(account, grant, what) => {
                Step::new(READ, format!("GRANT {grant} {what} TO {}", account.user.quoted())).inside()
            }
            Self::Left(account) => leave(account),
        }
    }
}

/// What must change, in the order in which it is done.
pub fn missing<'a>(request: &'a Request, server: &Found, inside: &Inside) -> Vec<Missing<'a>> {
    let on_database: Vec<_> = [
        of_database(request, server),
        request.wanted_reader().map(|reader| of_reader(server, inside, reader)).unwrap_or_default(),
    ]
    .concat();
    let owner = &request.application;
    let joined = server.role(owner.user.as_str()).is_some_and(|role| role.joined);
    let mut missing: Vec<_> = request.accounts().flat_map(|account| of_role(request, server, account)).collect();
    missing.extend((!on_database.is_empty() && !joined).then_some(Missing::Joined(owner)));
    let left = (!on_database.is_empty() || joined).then_some(Missing::Left(owner));
    missing.into_iter().chain(on_database).chain(left).collect()
}

fn of_role<'a>(request: &Request, server: &Found, account: &'a Account) -> Vec<Missing<'a>> {
    let Some(role) = server.role(account.user.as_str()) else { return vec![Missing::Role(account)] };
    let mut missing = Vec::new();
    missing.extend(role.privileged.then_some(Missing::Privileged(account)));
    let as_asked = role.plain && role.connections == limit(request.terms);
    missing.extend((!as_asked).then_some(Missing::Attributes(account)));
    missing.extend(role.member_of.iter().filter_map(|of| Some(Missing::Member(account, quote::identifier(of).ok()?))));
    // The owner's comes and goes with the other steps.
    missing.extend((role.joined && account.kind == Kind::Reader).then_some(Missing::Left(account)));
    missing
}

fn of_database<'a>(request: &Request, server: &Found) -> Vec<Missing<'a>> {
    let database = server.database.as_ref();
    let differs = |is_wrong: fn(&DatabaseView) -> bool| database.is_some_and(is_wrong);
    let owned = database.is_some_and(|database| database.owner == request.application.user.as_str());
    lacking([
        (Missing::Database, database.is_none()),
        (Missing::Owner, database.is_some() && !owned),
        (Missing::Closed, database.is_none_or(|database| database.public)),
        (Missing::Rights, owned && differs(|database| !database.complete)),
        (Missing::Open, database.is_none_or(|database| !database.open)),
    ])
}

fn of_reader<'a>(server: &Found, inside: &Inside, reader: &'a Account) -> Vec<Missing<'a>> {
    let there = server.database.is_some();
    let has = |right: &str| there && server.reader_rights.iter().any(|found| found == right);
    let more = there && server.reader_rights.iter().any(|right| !READER_RIGHTS.contains(&right.as_str()));
    let defaults = !there || server.reader_defaults < READER_DEFAULTS;
    let mut missing = lacking([
        (Missing::ReaderExcess(reader), more),
        (Missing::ReaderConnect(reader), READER_RIGHTS.iter().any(|right| !has(right))),
        (Missing::ReaderDefaults(reader, "USAGE ON SCHEMAS"), defaults),
        (Missing::ReaderDefaults(reader, "SELECT ON TABLES"), defaults),
    ]);
    let schemas = inside.schemas.iter().filter_map(|schema| quote::identifier(schema).ok());
    missing.extend(schemas.map(|schema| Missing::ReaderHidden(reader, "USAGE ON SCHEMA", schema)));
    let table = |(schema, table): &(String, String)| {
        Some(format!("{}.{}", quote::identifier(schema).ok()?, quote::identifier(table).ok()?))
    };
    let tables: Vec<_> = inside.tables.iter().filter_map(table).collect();
    let hidden = |tables: &[String]| Missing::ReaderHidden(reader, "SELECT ON TABLE", tables.join(", "));
    missing.extend(tables.chunks(TABLES).map(hidden));
    missing
}

fn lacking<const N: usize>(found: [(Missing<'_>, bool); N]) -> Vec<Missing<'_>> {
    found.into_iter().filter_map(|(what, lacking)| lacking.then_some(what)).collect()
}

/// What a user has too much, and no statement of ours could change.
pub fn left(request: &Request, server: &Found) -> Vec<&'static str> {
    let any = |is_so: fn(&RoleView) -> bool| {
        request.accounts().filter_map(|account| server.role(account.user.as_str())).any(is_so)
    };
    let found = [
        (MEMBERSHIP, any(|role| role.kept_in > 0)),
        ("rights in or on other databases", any(|role| role.elsewhere > 0)),
    ];
    found.into_iter().filter_map(|(what, there)| there.then_some(what)).collect()
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
    let (database, role) = (request.database.quoted(), request.application.user.quoted());
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

/// -1 stands for none.
fn limit(terms: Terms) -> i64 {
    terms.connections.map_or(-1, |limit| i64::from(limit.get()))
}

fn create_role(account: &Account, terms: Terms, password: &Stated) -> String {
    let limit = terms.connections.map(|limit| format!(" CONNECTION LIMIT {limit}")).unwrap_or_default();
    format!("CREATE ROLE {} LOGIN{limit} PASSWORD '{}'", account.user.quoted(), password.expose())
}

fn set_attributes(request: &Request, account: &Account) -> String {
    let limit = limit(request.terms);
    format!("ALTER ROLE {} LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT {limit}", account.user.quoted())
}

/// Gives the role a password.
pub fn set_password(account: &Account, password: &Stated) -> String {
    format!("ALTER ROLE {} PASSWORD '{}'", account.user.quoted(), password.expose())
}

/// Lets the admin act for a role.
pub fn join(account: &Account) -> Step {
    Step::new(JOIN, format!("GRANT {} TO CURRENT_USER", account.user.quoted()))
}

fn leave(account: &Account) -> Step {
    Step::new(LEAVE, format!("REVOKE {} FROM CURRENT_USER", account.user.quoted()))
}

fn drop_role(account: &Account) -> Step {
    Step::new("dropping the user", format!("DROP ROLE IF EXISTS {}", account.user.quoted()))
}

/// Drops the role that can only read. What it was granted in the database, and on it, is taken back first, which takes
/// membership in both roles; and the role is nobody's to act for any more when it is gone.
pub fn drop_reader(request: &Request, server: &Found, reader: &Account) -> Vec<Step> {
    let role = |account: &Account| server.role(account.user.as_str());
    if role(reader).is_none() || role(&request.application).is_none() || server.database.is_none() {
        return vec![drop_role(reader)];
    }
    let disown = format!("DROP OWNED BY {}", reader.user.quoted());
    vec![
        join(&request.application),
        join(reader),
        Step::new("taking back what the read-only user was granted", disown).inside(),
        drop_role(reader),
        leave(&request.application),
    ]
}

/// Drops of these what is ours to drop: the database first, since a role that owns something cannot go. So where the
/// database stays, the role that owns it stays too.
pub fn drops(request: &Request, server: &Found, ours: &[Kind]) -> Vec<(Kind, Step)> {
    let reader = request.reader.as_ref().filter(|_| ours.contains(&Kind::Reader));
    if !ours.contains(&Kind::Database) && server.database.is_some() {
        let steps = reader.map(|reader| drop_reader(request, server, reader)).unwrap_or_default();
        return steps.into_iter().map(|step| (Kind::Reader, step)).collect();
    }
    let user = &request.application;
    let role = server.role(user.user.as_str());
    let (joined, acts) = (role.is_some_and(|role| role.joined), role.is_some() && server.database.is_some());
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", request.database.quoted());
    let all = [
        (Kind::Database, acts && !joined, join(user)),
        (Kind::Database, true, Step::new("dropping the database", drop)),
        (Kind::Database, acts && !ours.contains(&Kind::User), leave(user)),
        (Kind::User, true, drop_role(user)),
    ];
    let needed = all.into_iter().filter(|(kind, needed, _)| *needed && ours.contains(kind));
    let readers = reader.map(|reader| (Kind::Reader, drop_role(reader)));
    needed.map(|(kind, _, step)| (kind, step)).chain(readers).collect()
}
