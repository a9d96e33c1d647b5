//! One look at a server: the single statement that asks for everything the plan decides on, and the typed view that
//! its rows make. Pure; [`crate::gather`] runs it. What the login may not see makes the statement fail, never a gap.

pub mod mysql;
pub mod postgres;

use sql_client::{Row, Statement};

use crate::engine::Engine;
use crate::ledger::{Kind, Origin};
use crate::validate::Request;

/// What a server holds under the names of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Rows of the ownership table for these names.
    pub claims: Vec<Claim>,
    /// Database and user as this kind of server has them.
    pub found: Found,
}

/// Database and user as one kind of server has them.
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

    /// Whether there is a database or any account of that name.
    #[must_use]
    pub fn exists(&self, kind: Kind) -> bool {
        match (&self.found, kind) {
            (Found::Mysql(found), Kind::Database) => found.database.is_some(),
            (Found::Mysql(found), Kind::User) => !found.account_hosts.is_empty(),
            (Found::Postgres(found), Kind::Database) => found.database.is_some(),
            (Found::Postgres(found), Kind::User) => found.role.is_some(),
        }
    }
}

/// The statement of one look. It fails with "not found" where the ownership table is missing.
#[must_use]
pub fn statement(request: &Request) -> Statement {
    match request.engine {
        Engine::Mysql => mysql::statement(request),
        Engine::Postgres => postgres::statement(request),
    }
}

/// Reads the rows of [`statement`].
#[must_use]
pub fn view(engine: Engine, rows: &[Row]) -> ServerView {
    let found = match engine {
        Engine::Mysql => Found::Mysql(mysql::found(rows)),
        Engine::Postgres => Found::Postgres(postgres::found(rows)),
    };
    ServerView { claims: rows.iter().filter_map(claim).collect(), found }
}

fn claim(row: &Row) -> Option<Claim> {
    row.text(0).filter(|tag| *tag == "claim")?;
    let kind = [Kind::Database, Kind::User].into_iter().find(|kind| Some(kind.as_str()) == row.text(1))?;
    let origin = Origin::parse(row.text(3).unwrap_or_default());
    Some(Claim { kind, owner: row.text(2).unwrap_or_default().to_owned(), origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_told_from_other_rows() {
        let row =
            |tag: &str| Row::new([tag, "user", "i/ns/a/app", "adopted"].map(|text| Some(text.to_owned())).to_vec());
        for engine in [Engine::Mysql, Engine::Postgres] {
            let view = view(engine, &[row("claim"), row("grant")]);
            let claim = Claim { kind: Kind::User, owner: "i/ns/a/app".into(), origin: Origin::Adopted };
            assert_eq!(view.claims, [claim]);
            assert!(view.claim(Kind::Database).is_none() && !view.exists(Kind::User));
        }
    }
}
