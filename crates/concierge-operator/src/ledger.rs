//! Who owns which database and user of a server: a table in database `db_concierge` on that server. Pure: it gives
//! the statements that claim, withdraw and release names, and the rules they follow; it runs none.
//!
//! A claim is one INSERT on a unique (kind, name), so that of two that race one fails, whatever else goes wrong.

pub mod mysql;
pub mod postgres;
pub mod scripts;

use std::fmt;

use sql_client::Statement;

use crate::engine::Engine;
use crate::validate::{AppNamespace, Request};

/// Whose a database or user is: an AppDatabase by its name, in one installation of the concierge, for one namespace.
/// Its UID is information only, so that an AppDatabase that is deleted and created again keeps its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// `installation` tells apart the concierges that share a server. None of the four parts can hold a slash.
    #[must_use]
    pub fn new(installation: &str, namespace: &str, name: &str, app_namespace: &AppNamespace) -> Self {
        Self(format!("{installation}/{namespace}/{name}/{app_namespace}"))
    }

    /// As it stands in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A database.
    Database,
    /// The application's user.
    User,
    /// The user that can only read. To the table it is a user like others, since their names must not collide.
    Reader,
}

impl Kind {
    /// As it stands in the table and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::User | Self::Reader => "user",
        }
    }

    /// What the request calls it; empty where the request can have none.
    #[must_use]
    pub fn name(self, request: &Request) -> &str {
        match self {
            Self::Database => request.database.as_str(),
            Self::User => request.application.user.as_str(),
            Self::Reader => request.reader.as_ref().map_or("", |reader| reader.user.as_str()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where something that is owned came from. Only what we created is ever dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was not there when it was claimed.
    Created,
    /// It was there before.
    Adopted,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
        }
    }

    /// Anything unknown counts as adopted, which is never dropped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "created" => Self::Created,
            _ => Self::Adopted,
        }
    }
}

/// The statements that make the concierge's own tables; safe to repeat.
#[must_use]
pub fn create_tables(engine: Engine) -> [Statement; 3] {
    match engine {
        Engine::Mysql => mysql::create_tables(),
        Engine::Postgres => postgres::create_tables(),
    }
}

/// Asks for one row, whichever it is: a server that cannot say is not ready.
#[must_use]
pub fn ask_for_any_claim(engine: Engine) -> Statement {
    let table = match engine {
        Engine::Mysql => mysql::TABLE,
        Engine::Postgres => postgres::TABLE,
    };
    Statement::new("asking whether the server is ready", format!("SELECT 1 FROM {table} LIMIT 1"))
}

/// Claims names for an owner: all of them or none. `None` when there is nothing to claim.
#[must_use]
pub fn claim(request: &Request, owner: &Owner, uid: &str, claims: &[(Kind, Origin)]) -> Option<Statement> {
    if claims.is_empty() {
        return None;
    }
    let row =
        |&(kind, origin): &(Kind, Origin)| [kind.as_str(), kind.name(request), owner.as_str(), origin.as_str(), uid];
    let rows: Vec<_> = claims.iter().map(row).collect();
    let insert = match request.engine {
        Engine::Mysql => mysql::insert(&rows),
        Engine::Postgres => postgres::insert(&rows),
    };
    Some(Statement::new("claiming the names", insert))
}

/// Takes back a claim that proved wrong: the name was taken by somebody else between look and creation.
#[must_use]
pub fn withdraw(request: &Request, owner: &Owner, kind: Kind) -> Statement {
    let (name, owner) = (kind.name(request), owner.as_str());
    let delete = match request.engine {
        Engine::Mysql => mysql::delete(kind.as_str(), name, owner),
        Engine::Postgres => postgres::delete(kind.as_str(), name, owner),
    };
    Statement::new("withdrawing a claim", delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures::{owner, postgres_request, readable, request};

    #[test]
    fn a_claim_is_one_insert_of_all_names() {
        let claims = [(Kind::Database, Origin::Created), (Kind::User, Origin::Adopted)];
        let statement = claim(&request("{}"), &owner(), "u-1", &claims).unwrap();
        let sql = readable(statement.expose_text());
        insta::assert_snapshot!(sql, @"INSERT INTO `db_concierge`.`ownership` (`kind`, `name`, `owner`, `origin`, `uid`) VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'adopted', 'u-1')");
        assert!(claim(&request("{}"), &owner(), "u-1", &[]).is_none());
        let statement = claim(&postgres_request("{}"), &owner(), "u-1", &claims[..1]).unwrap();
        insta::assert_snapshot!(readable(statement.expose_text()), @r#"INSERT INTO "concierge"."ownership" ("kind", "name", "owner", "origin", "uid") VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')"#);
    }

    #[test]
    fn only_the_owners_claim_is_withdrawn() {
        let statement = withdraw(&request("{}"), &owner(), Kind::User);
        insta::assert_snapshot!(readable(statement.expose_text()), @"DELETE FROM `db_concierge`.`ownership` WHERE `kind` = 'user' AND `name` = 'myapp_app' AND `owner` = 'installation/db-concierge/myapp/myapp'");
        let statement = withdraw(&postgres_request("{}"), &owner(), Kind::User);
        insta::assert_snapshot!(readable(statement.expose_text()), @r#"DELETE FROM "concierge"."ownership" WHERE "kind" = 'user' AND "name" = 'myapp_app' AND "owner" = 'installation/db-concierge/myapp/myapp'"#);
    }

    #[test]
    fn an_unknown_origin_is_never_dropped() {
        assert_eq!(Origin::parse("created"), Origin::Created);
        assert_eq!(Origin::parse(""), Origin::Adopted);
    }
}
