//! What a MySQL or MariaDB server lacks for a request, or has too much, and the statements that change it. Every
//! statement means the same under any `sql_mode`: names stand in backticks, and values hold nothing that could be
//! escaped.

use sql_client::quote::mysql as quote;

use super::{Logins, Stated, Step};
use crate::engine::ACCOUNT_HOST;
use crate::ledger::{Kind, Origin};
use crate::look::ServerView;
use crate::look::mysql::{AccountView, DatabaseView, ExtraKind, Found, GrantView, More};
use crate::validate::{Account, Request, Terms};

/// What stays where a role cannot be taken away.
const ROLE: &str = "a role";

/// Something that must change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing<'a> {
    /// There is no such database.
    Database,
    /// The database that we created has another character set or collation.
    Charset,
    /// There is no such account.
    User(&'a Account),
    /// The account is not held to the terms.
    Terms(&'a Account),
    /// The account has a role; its name is quoted.
    Role(&'a Account, String),
    /// The account has rights that nobody asked for.
    Excess(&'a Account),
    /// The account lacks rights in its database; what a grant calls it.
    Grant(&'a Account, String),
}

impl Missing<'_> {
    /// The step that changes it.
    pub fn step(self, request: &Request, logins: &Logins) -> Step {
        match self {
            Self::Database => Step::new("creating the database", create_database(request)).creating(Kind::Database),
            Self::Charset => Step::new("setting the character set", set_charset(request)),
            Self::User(account) => {
                let sql = create_user(request, account, logins.stated(account));
                Step::new("creating the user", sql).creating(account.kind)
            }
            Self::Terms(account) => Step::new("setting TLS and connection limit", set_terms(account, request.terms)),
            Self::Role(account, role) => revoke_role(account, &role),
            Self::Excess(account) => Step::new("taking away rights that were added", revoke_all(account)),
            Self::Grant(account, database) => Step::new("granting the rights", grant(account, &database)),
        }
    }
}

/// What must change, in the order in which it is done.
pub fn missing<'a>(request: &'a Request, view: &ServerView, server: &'a Found) -> Vec<Missing<'a>> {
    let charset = server.database.as_ref().is_some_and(|database| charset_differs(request, view, database));
    let found = [(Missing::Database, server.database.is_none()), (Missing::Charset, charset)];
    let database = found.into_iter().filter_map(|(what, lacking)| lacking.then_some(what));
    database.chain(request.accounts().flat_map(|account| of_account(request, server, account))).collect()
}

fn of_account<'a>(request: &Request, server: &'a Found, account: &'a Account) -> Vec<Missing<'a>> {
    let ours = |found: &&AccountView| found.user == account.user.as_str() && found.host == ACCOUNT_HOST;
    let Some(found) = server.accounts.iter().find(ours) else {
        return vec![Missing::User(account), Missing::Grant(account, granted_database(request, server))];
    };
    let (excess, granted) = (has_excess(request, server, account), is_granted(request, server, account));
    let mut missing = Vec::new();
    missing.extend((!is_on(request.terms, found)).then_some(Missing::Terms(account)));
    missing.extend(roles(server, account).flatten().map(|role| Missing::Role(account, role)));
    // What is taken away is everything, so what was asked for is given back at once.
    missing.extend(excess.then_some(Missing::Excess(account)));
    missing.extend((excess || !granted).then(|| Missing::Grant(account, granted_database(request, server))));
    missing
}

fn is_on(terms: Terms, found: &AccountView) -> bool {
    let ssl_type = if terms.tls { "ANY" } else { "" };
    found.ssl_type == ssl_type && found.connections == limit(terms)
}

/// 0 stands for none.
fn limit(terms: Terms) -> i64 {
    terms.connections.map_or(0, |limit| i64::from(limit.get()))
}

fn grants<'a>(server: &'a Found, account: &Account) -> impl Iterator<Item = &'a GrantView> {
    let ours = |grant: &&GrantView| grant.user == account.user.as_str() && grant.host == ACCOUNT_HOST;
    server.grants.iter().filter(ours)
}

fn extras<'a>(server: &'a Found, account: &Account) -> impl Iterator<Item = &'a ExtraKind> {
    server.extras.iter().filter(|extra| extra.user == account.user.as_str()).map(|extra| &extra.what)
}

/// The roles of an account, quoted where that is possible. MySQL has roles with hosts, MariaDB without.
fn roles(server: &Found, account: &Account) -> impl Iterator<Item = Option<String>> {
    extras(server, account).filter_map(|extra| match extra {
        ExtraKind::Role(role, Some(host)) => Some(quote::account(role, host).ok()),
        ExtraKind::Role(role, None) => Some(quote::identifier(role).ok()),
        _ => None,
    })
}

fn is_granted(request: &Request, server: &Found, account: &Account) -> bool {
    let pattern = granted_database(request, server);
    let enough = |grant: &GrantView| match account.kind {
        Kind::Reader => grant.rights.reading,
        Kind::Database | Kind::User => grant.rights.is_all(),
    };
    grants(server, account).any(|grant| grant.pattern == pattern && enough(grant))
}

/// Rights on single tables and routines of its own database are nothing that the application would not have anyway.
fn has_excess(request: &Request, server: &Found, account: &Account) -> bool {
    let pattern = granted_database(request, server);
    let reads_only = account.kind == Kind::Reader;
    let too_much = |grant: &GrantView| {
        grant.pattern != pattern || grant.rights.passing_on || (reads_only && grant.rights.more != More::Nothing)
    };
    let beside = |extra: &ExtraKind| match extra {
        ExtraKind::Global => true,
        ExtraKind::Within(database) => reads_only || database != request.database.as_str(),
        ExtraKind::Role(..) | ExtraKind::Proxy => false,
    };
    grants(server, account).any(too_much) || extras(server, account).any(beside)
}

/// What a user has too much, and no statement of ours could change.
pub fn left(request: &Request, server: &Found) -> Vec<&'static str> {
    let proxy = |account| extras(server, account).any(|extra| *extra == ExtraKind::Proxy);
    let elsewhere = |account: &Account| {
        server.accounts.iter().any(|found| found.user == account.user.as_str() && found.host != ACCOUNT_HOST)
    };
    let found = [
        ("the right to act for another account (PROXY)", request.accounts().any(proxy)),
        (ROLE, request.accounts().any(|account| roles(server, account).any(|role| role.is_none()))),
        ("an account of the same name for another host", request.accounts().any(elsewhere)),
    ];
    found.into_iter().filter_map(|(what, there)| there.then_some(what)).collect()
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

fn create_database(request: &Request) -> String {
    format!("CREATE DATABASE {} {}", request.database.quoted(), charset_clause(request))
}

fn set_charset(request: &Request) -> String {
    format!("ALTER DATABASE {} {}", request.database.quoted(), charset_clause(request))
}

fn charset_clause(request: &Request) -> String {
    format!("CHARACTER SET {} COLLATE {}", request.charset, request.collation)
}

fn create_user(request: &Request, account: &Account, password: &Stated) -> String {
    let terms = request.terms;
    let tls = if terms.tls { " REQUIRE SSL" } else { "" };
    let limit = terms.connections.map(|limit| format!(" WITH MAX_USER_CONNECTIONS {limit}")).unwrap_or_default();
    format!("CREATE USER {} {}{tls}{limit}", account.user.quoted(), identified(request, password))
}

fn set_terms(account: &Account, terms: Terms) -> String {
    let tls = if terms.tls { "SSL" } else { "NONE" };
    format!("ALTER USER {} REQUIRE {tls} WITH MAX_USER_CONNECTIONS {}", account.user.quoted(), limit(terms))
}

/// Gives the user a password.
pub fn set_password(request: &Request, account: &Account, password: &Stated) -> String {
    format!("ALTER USER {} {}", account.user.quoted(), identified(request, password))
}

fn identified(request: &Request, password: &Stated) -> String {
    let plugin = request.auth_plugin.map(|plugin| format!("WITH {} ", plugin.as_str())).unwrap_or_default();
    format!("IDENTIFIED {plugin}BY '{}'", password.expose())
}

/// What a grant calls the database. Where it is a pattern, `my_app` must not open `myXapp` too; where it is a name, a
/// backslash would be a part of it. Validation has seen that the server has room for either.
fn granted_database(request: &Request, server: &Found) -> String {
    let name = request.database.as_str();
    if server.literal_grants { name.to_owned() } else { quote::grant_pattern_text(name) }
}

fn grant(account: &Account, database: &str) -> String {
    let rights = match account.kind {
        Kind::Reader => "SELECT, SHOW VIEW",
        Kind::Database | Kind::User => "ALL PRIVILEGES",
    };
    format!("GRANT {rights} ON `{database}`.* TO {}", account.user.quoted())
}

/// Takes the rights of every level, for which an admin needs none of them itself.
fn revoke_all(account: &Account) -> String {
    format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}", account.user.quoted())
}

fn revoke_role(account: &Account, role: &str) -> Step {
    let sql = format!("REVOKE {role} FROM {}", account.user.quoted());
    Step::new("taking away a role that was added", sql).tolerating(ROLE)
}

/// Drops of these what is ours to drop: the users first, so that nobody writes into a database that goes.
pub fn drops(request: &Request, ours: &[Kind]) -> Vec<(Kind, Step)> {
    let users = [request.reader.as_ref(), Some(&request.application)].into_iter().flatten();
    let users = users.map(|account| (account.kind, drop_user(account)));
    let sql = format!("DROP DATABASE IF EXISTS {}", request.database.quoted());
    let database = (Kind::Database, Step::new("dropping the database", sql));
    users.chain([database]).filter(|(kind, _)| ours.contains(kind)).collect()
}

/// Drops an account with its grants. Safe to repeat.
pub fn drop_user(account: &Account) -> Step {
    Step::new("dropping the user", format!("DROP USER IF EXISTS {}", account.user.quoted()))
}
