//! One look at a server: the single statement that asks for everything the plan decides on, for one request or for
//! many, and the typed view of each that its rows make. Pure; [`crate::gather`] runs it. What the login may not see makes
//! the statement fail, never a gap.

pub mod mysql;
pub mod postgres;

use sql_client::{Row, Statement};

use crate::engine::Engine;
use crate::ledger::scripts::Record;
use crate::ledger::{Kind, Origin};
use crate::validate::{Request, UserName};

/// What a server holds under the names of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Rows of the ownership table for these names.
    pub claims: Vec<Claim>,
    /// The script that was run last in the database.
    pub script: Option<Record>,
    /// Database and users as this kind of server has them.
    pub found: Found,
}

/// Database and users as one kind of server has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// On MySQL or MariaDB.
    Mysql(mysql::Found),
    /// On PostgreSQL.
    Postgres(postgres::Found),
}

/// One row of the ownership table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is owned.
    pub kind: Kind,
    /// By whom, as it stands in the table.
    pub owner: String,
    /// Where it came from.
    pub origin: Origin,
}

impl ServerView {
    /// The claim on the request's name of that kind.
    #[must_use]
    pub fn claim(&self, kind: Kind) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.kind == kind)
    }

    /// Whether there is a database or any account of the request's name of that kind.
    #[must_use]
    pub fn exists(&self, request: &Request, kind: Kind) -> bool {
        let name = kind.name(request);
        match (&self.found, kind) {
            (Found::Mysql(found), Kind::Database) => found.database.is_some(),
            (Found::Mysql(found), Kind::User | Kind::Reader) => found.accounts.iter().any(|found| found.user == name),
            (Found::Postgres(found), Kind::Database) => found.database.is_some(),
            (Found::Postgres(found), Kind::User | Kind::Reader) => found.role(name).is_some(),
        }
    }
}

/// The statement of one look at what a request names. It fails with "not found" where one of the concierge's own
/// tables is missing.
#[must_use]
pub fn statement(request: &Request) -> Statement {
    Statement::new("looking at the server", text(request.engine, &[request]))
}

/// The same for many requests of one server of that kind.
#[must_use]
pub fn statement_for_all(engine: Engine, requests: &[&Request]) -> Statement {
    Statement::new("looking for drift", text(engine, requests))
}

fn text(engine: Engine, requests: &[&Request]) -> String {
    let names = Names::of(engine, requests);
    match engine {
        Engine::Mysql => mysql::look(&names),
        Engine::Postgres => postgres::look(&names),
    }
}

/// Reads what the rows of such a statement say about one of its requests.
#[must_use]
pub fn view(request: &Request, rows: &[Row]) -> ServerView {
    let found = match request.engine {
        Engine::Mysql => Found::Mysql(mysql::found(request, rows)),
        Engine::Postgres => Found::Postgres(postgres::found(request, rows)),
    };
    ServerView {
        claims: rows.iter().filter_map(|row| claim(request, row)).collect(),
        script: rows.iter().find_map(|row| script(request, row)),
        found,
    }
}

/// The names that a look asks for, as lists of literals.
pub struct Names {
    databases: String,
    users: String,
    /// The users as account statements write them.
    accounts: String,
}

impl Names {
    fn of(engine: Engine, requests: &[&Request]) -> Self {
        let list = |names: Vec<&str>| {
            let literals: Vec<_> = names.into_iter().map(|name| engine.literal(name)).collect();
            literals.join(", ")
        };
        let users = || requests.iter().flat_map(|request| request.possible_accounts()).map(|account| &account.user);
        Self {
            databases: list(requests.iter().map(|request| request.database.as_str()).collect()),
            users: list(users().map(UserName::as_str).collect()),
            accounts: list(users().map(UserName::quoted).collect()),
        }
    }
}

/// The rows with this tag; each row's second column says what it is about.
fn tagged<'a>(rows: &'a [Row], tag: &'static str) -> impl Iterator<Item = (&'a str, &'a Row)> {
    rows.iter().filter(move |row| row.text(0) == Some(tag)).filter_map(|row| Some((row.text(1)?, row)))
}

/// MySQL's tables hold `App` and `app` as one name, PostgreSQL's as two; a server says which of them it found.
fn is_name(engine: Engine, wanted: &str, found: &str) -> bool {
    match engine {
        Engine::Mysql => found.eq_ignore_ascii_case(wanted),
        Engine::Postgres => found == wanted,
    }
}

fn claim(request: &Request, row: &Row) -> Option<Claim> {
    row.text(0).filter(|tag| *tag == "claim")?;
    let (name, kind) = (row.text(1)?, row.text(2)?);
    let is_it = |of: &Kind| of.as_str() == kind && is_name(request.engine, of.name(request), name);
    let kind = [Kind::Database, Kind::User, Kind::Reader].into_iter().find(is_it)?;
    let origin = Origin::parse(row.text(4).unwrap_or_default());
    Some(Claim { kind, owner: row.text(3).unwrap_or_default().to_owned(), origin })
}

fn script(request: &Request, row: &Row) -> Option<Record> {
    row.text(0).filter(|tag| *tag == "script")?;
    let ours = is_name(request.engine, request.database.as_str(), row.text(1)?);
    ours.then(|| {
        Record::parse(row.text(2).unwrap_or_default(), row.text(3).unwrap_or_default(), row.text(4).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::scripts::State;
    use crate::plan::fixtures::{postgres_request, request};

    fn row(tag: &str, name: &str) -> Row {
        Row::new([tag, name, "user", "i/ns/a/app", "adopted"].map(|text| Some(text.to_owned())).to_vec())
    }

    #[test]
    fn claims_are_told_from_other_rows() {
        for request in [request("{}"), postgres_request("{}")] {
            let view = view(&request, &[row("claim", "myapp_app"), row("grant", "myapp_app")]);
            let claim = Claim { kind: Kind::User, owner: "i/ns/a/app".into(), origin: Origin::Adopted };
            assert_eq!(view.claims, [claim]);
            assert!(view.claim(Kind::Database).is_none() && !view.exists(&request, Kind::User));
        }
    }

    #[test]
    fn a_claim_belongs_to_the_name_that_the_server_would_find() {
        let claims = |request: &Request, name| view(request, &[row("claim", name)]).claims.len();
        for (name, on_mysql, on_postgres) in
            [("myapp_app", 1, 1), ("MyApp_App", 1, 0), ("m\u{fd}app_app", 0, 0), ("other_app", 0, 0), ("myapp", 0, 0)]
        {
            assert_eq!(claims(&request("{}"), name), on_mysql, "{name}");
            assert_eq!(claims(&postgres_request("{}"), name), on_postgres, "{name}");
        }
    }

    #[test]
    fn the_read_only_users_claim_and_the_last_script_are_part_of_the_view() {
        let columns = |columns: [&str; 5]| Row::new(columns.map(|text| Some(text.to_owned())).to_vec());
        let rows = [
            columns(["claim", "myapp_ro", "user", "i/ns/a/app", "created"]),
            columns(["script", "other", "def", "done", ""]),
            columns(["script", "myapp", "abc", "failed", "statement 1 of 2"]),
        ];
        let view = view(&request("{}"), &rows);
        assert_eq!(view.claims, [Claim { kind: Kind::Reader, owner: "i/ns/a/app".into(), origin: Origin::Created }]);
        let failed = Record { hash: "abc".into(), state: State::Failed("statement 1 of 2".into()) };
        assert_eq!(view.script, Some(failed));
    }
}
