//! Turns a target into what its server answers: logs in, asks for the version, counts the login's connections, reads
//! what the login may do, says goodbye. Writes nothing anywhere, and ends within connectionTimeout + queryTimeout.

mod mysql;
mod postgres;
mod rights;

use std::time::Duration;

use api_types::ConnectionPool;
use secrecy::ExposeSecret as _;
use sql_client::{ConnectError, ConnectOptions, Engine, Flavor, ServerVersion, Session, SqlError, connect};
use tokio::time::{Instant, timeout_at};

use crate::error::{LoginProblem, Problem, Reason};
use crate::validate::Target;

#[cfg(test)]
pub use rights::{Excess, Level};
pub use rights::{Gap, Rights};

/// What a server that let us in said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Product and version.
    pub version: String,
    /// The login's connections beside our own; `None` when the server did not tell.
    pub pool: Option<ConnectionPool>,
    /// What the login may do.
    pub rights: Rights,
    /// What resolving, connecting, TLS and login took together.
    pub login: Duration,
    /// What the query after it took.
    pub query: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// The server could not be reached, or did not let the login in.
    #[error(transparent)]
    Login(#[from] ConnectError),
    /// The query after it failed.
    #[error(transparent)]
    Query(#[from] SqlError),
}

impl Unreached {
    /// The reason in one word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Login(error) => Reason::from(error.class()),
            Self::Query(error) => Reason::from(error.class()),
        }
    }
}

/// [`ask`], with a problem in the words of a Database's spec.
pub async fn probe(target: &Target) -> Result<Reached, Problem> {
    let unreached = match ask(&target.options).await {
        Ok(reached) => return Ok(reached),
        Err(unreached) => unreached,
    };
    Err(match unreached {
        Unreached::Login(error) => LoginProblem::login(&target.attempt, error.class(), error.code()),
        Unreached::Query(error) => LoginProblem::query(&target.attempt, error.class(), error.code()),
    }
    .into())
}

/// Logs in, runs the trivial query and reads what the login holds and may do.
pub async fn ask(options: &ConnectOptions) -> Result<Reached, Unreached> {
    let start = Instant::now();
    let deadline = start + options.connect_timeout + options.query_timeout;
    let mut session = connect(options).await?;
    let login = start.elapsed();
    let version = session.server_version().await?;
    let query = start.elapsed().saturating_sub(login);
    // The database has proved that it works; what follows may fail without making that untrue.
    let counted = timeout_at(deadline, own_connections(options.engine, &mut *session)).await;
    let pool = counted.ok().and_then(Result::ok).flatten();
    let read = timeout_at(deadline, rights_of_login(options.engine, version.flavor, &mut *session)).await;
    let rights = read.ok().and_then(Result::ok).unwrap_or(Rights::Unknown(Gap::NotRead));
    session.close().await;
    let rights = rights.without(options.credentials.password.expose_secret());
    Ok(Reached { version: product(&version), pool, rights, login, query })
}

async fn rights_of_login(engine: Engine, flavor: Flavor, session: &mut dyn Session) -> Result<Rights, SqlError> {
    if engine == Engine::Postgres {
        return Ok(postgres::rights(&session.query(&postgres::list_rights()).await?));
    }
    let grants = session.query(&mysql::list_grants()).await?;
    let found = mysql::rights(&grants, false);
    let Some(statement) = mysql::list_grants_of_roles(flavor, &grants) else { return Ok(found) };
    // What the first answer showed stays true when the second is refused.
    Ok(match session.query(&statement).await {
        Ok(grants) => mysql::rights(&grants, true),
        Err(_) => found,
    })
}

async fn own_connections(engine: Engine, session: &mut dyn Session) -> Result<Option<ConnectionPool>, SqlError> {
    let rows = match engine {
        Engine::Postgres => session.query(&postgres::own_connections()).await?,
        Engine::Mysql => session.query(&mysql::own_connections()).await?,
    };
    let count = |column| rows.first().and_then(|row| row.integer(column)).and_then(|count| i32::try_from(count).ok());
    Ok(count(0).zip(count(1)).map(|(active, idle)| ConnectionPool { active, idle }))
}

fn product(version: &ServerVersion) -> String {
    let name = match version.flavor {
        Flavor::Mysql => "MySQL",
        Flavor::MariaDb => "MariaDB",
        Flavor::Percona => "Percona Server",
        Flavor::Postgres => "PostgreSQL",
    };
    format!("{name} {}", version.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_its_product() {
        let version = |flavor, text: &str| product(&ServerVersion { flavor, text: text.to_owned() });
        assert_eq!(version(Flavor::Postgres, "15.18"), "PostgreSQL 15.18");
        assert_eq!(version(Flavor::MariaDb, "10.11.6-MariaDB"), "MariaDB 10.11.6-MariaDB");
    }
}
