//! Which script was run last in a database, and how that ended: a row beside the ownership table, so that it outlives
//! the AppDatabase as the data does. It is written before the first statement of a script, so that whoever comes after
//! a crash knows that some of them may have been run. Pure; [`crate::init`] runs the statements.

use sql_client::Statement;

use super::{Owner, mysql, postgres};
use crate::engine::Engine;
use crate::validate::Request;

/// The script that was run last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// How it ended.
    pub state: State,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or nobody lived to say how it ended.
    Running,
    /// Every statement was run.
    Done,
    /// A statement failed: which one and why, in our words.
    Failed(String),
}

impl Record {
    /// Reads a row. A state that nobody here wrote says no more than that the script was begun.
    #[must_use]
    pub fn parse(hash: &str, state: &str, message: &str) -> Self {
        let state = match state {
            "done" => State::Done,
            "failed" => State::Failed(message.to_owned()),
            _ => State::Running,
        };
        Self { hash: hash.to_owned(), state }
    }

    /// The statement that writes this row, in place of any other of that database.
    #[must_use]
    pub fn write(&self, request: &Request, owner: &Owner) -> Statement {
        let (state, message) = match &self.state {
            State::Running => ("running", ""),
            State::Done => ("done", ""),
            State::Failed(message) => ("failed", message.as_str()),
        };
        let row = [request.database.as_str(), owner.as_str(), &self.hash, state, message];
        let sql = match request.engine {
            Engine::Mysql => mysql::write_script(row),
            Engine::Postgres => postgres::write_script(row),
        };
        Statement::new("recording the script", sql)
    }
}

/// Forgets the script of a database that is dropped.
#[must_use]
pub fn forget(request: &Request, owner: &Owner) -> Statement {
    let (name, owner) = (request.database.as_str(), owner.as_str());
    let sql = match request.engine {
        Engine::Mysql => mysql::forget_script(name, owner),
        Engine::Postgres => postgres::forget_script(name, owner),
    };
    Statement::new("forgetting the script", sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures::{owner, postgres_request, readable, request};

    #[test]
    fn a_record_replaces_the_one_before_it() {
        let record = Record { hash: "abc".into(), state: State::Failed("statement 2 of 3".into()) };
        let both = |request: Request| {
            let statements = [record.write(&request, &owner()), forget(&request, &owner())];
            statements.map(|statement| readable(statement.expose_text())).join("\n")
        };
        insta::assert_snapshot!(both(request("{}")), @"
        REPLACE INTO `db_concierge`.`scripts` (`name`, `owner`, `hash`, `state`, `message`) VALUES ('myapp', 'installation/db-concierge/myapp/myapp', 'abc', 'failed', 'statement 2 of 3')
        DELETE FROM `db_concierge`.`scripts` WHERE `name` = 'myapp' AND `owner` = 'installation/db-concierge/myapp/myapp'
        ");
        insta::assert_snapshot!(both(postgres_request("{}")), @r#"
        INSERT INTO "concierge"."scripts" ("name", "owner", "hash", "state", "message") VALUES ('myapp', 'installation/db-concierge/myapp/myapp', 'abc', 'failed', 'statement 2 of 3') ON CONFLICT ("name") DO UPDATE SET "owner" = excluded."owner", "hash" = excluded."hash", "state" = excluded."state", "message" = excluded."message", "changed_at" = pg_catalog.now()
        DELETE FROM "concierge"."scripts" WHERE "name" = 'myapp' AND "owner" = 'installation/db-concierge/myapp/myapp'
        "#);
    }

    #[test]
    fn what_nobody_wrote_says_that_the_script_was_begun() {
        assert_eq!(Record::parse("abc", "", "").state, State::Running);
        assert_eq!(Record::parse("abc", "done", "").state, State::Done);
    }
}
