//! Turns a target into what its server answers: logs in, asks for the version, counts the login's connections, reads
//! what the login may do, says goodbye. Writes nothing anywhere, and ends within connectionTimeout + queryTimeout.

mod mysql;
mod postgres;
mod rights;
mod sqlite;
mod sqlserver;

use std::time::Duration;

use api_types::ConnectionPool;
use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use sql_client::{ConnectError, ConnectOptions, Engine, Flavor, Row, ServerVersion, SqlError, connect};
use tokio::time::{Instant, timeout_at};

use crate::error::{Attempt, FileProblem, LoginProblem, Problem, Reason};
use crate::validate::Target;

use mysql::Mysql;
use postgres::Postgres;
use sqlserver::SqlServer;

#[cfg(test)]
pub use rights::{Excess, Level};
pub use rights::{Gap, Rights};
pub use sqlite::{Account, DBHUB, Place, RelativePath, Root, SqliteOptions};

/// How long an answer may be, in bytes: many thousand rights, and little enough that as many hostile servers as are
/// probed at the same time do not fill the memory.
pub const MAX_ANSWER: usize = 1 << 20;

/// The version of a server that means harm and sends the password back to us.
const NOT_SHOWN: &str = "a version that is not shown";

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

    /// The same in the words of a Database's spec.
    fn problem(&self, attempt: &Attempt) -> LoginProblem {
        match self {
            Self::Login(error) => LoginProblem::login(attempt, error.class(), error.code()),
            Self::Query(error) => LoginProblem::query(attempt, error.class(), error.code()),
        }
    }
}

/// Asks a server or a file.
pub async fn probe(target: &Target) -> Result<Reached, Problem> {
    Ok(match target {
        Target::Server(server) => ask(&server.options).await.map_err(|unreached| unreached.problem(&server.attempt))?,
        Target::File(options) => ask_file(options).await?,
    })
}

/// A database that let us in, as a probe sees it. Each engine has one, in a file of its own.
#[async_trait]
trait Opened<E = Unreached>: Send {
    /// The trivial query: product and version.
    async fn version(&mut self) -> Result<String, E>;

    /// The login's connections beside this one; `None` when the server does not tell.
    async fn connections(&mut self) -> Result<Option<ConnectionPool>, E>;

    /// What the login may do.
    async fn rights(&mut self) -> Result<Rights, E>;

    /// Says goodbye.
    async fn close(self: Box<Self>);
}

async fn open(options: &ConnectOptions) -> Result<Box<dyn Opened>, Unreached> {
    let session = connect(options).await?;
    Ok(match options.engine {
        Engine::Postgres => Box::new(Postgres(session)),
        Engine::Mysql => Box::new(Mysql::new(session)),
        Engine::SqlServer => Box::new(SqlServer(session)),
    })
}

/// Logs in, runs the trivial query and reads what the login holds and may do.
pub async fn ask(options: &ConnectOptions) -> Result<Reached, Unreached> {
    let reached = look(open(options), options.connect_timeout + options.query_timeout).await?;
    let password = options.credentials.password.expose_secret();
    let is_told = !password.is_empty() && reached.version.contains(password);
    let version = if is_told { NOT_SHOWN.to_owned() } else { reached.version };
    Ok(Reached { version, rights: reached.rights.without(password), ..reached })
}

/// Opens the file, runs the trivial query and reads who may write.
pub async fn ask_file(options: &SqliteOptions) -> Result<Reached, FileProblem> {
    let open = async { Ok::<Box<dyn Opened<FileProblem>>, _>(Box::new(sqlite::open(options).await?)) };
    look(open, options.connect_timeout + options.query_timeout).await
}

async fn look<E>(open: impl Future<Output = Result<Box<dyn Opened<E>>, E>>, limit: Duration) -> Result<Reached, E> {
    let start = Instant::now();
    let deadline = start + limit;
    let mut opened = open.await?;
    let login = start.elapsed();
    let version = opened.version().await?;
    let query = start.elapsed().saturating_sub(login);
    // The database has proved that it works; what follows may fail without making that untrue.
    let pool = timeout_at(deadline, opened.connections()).await.ok().and_then(Result::ok).flatten();
    let rights = timeout_at(deadline, opened.rights()).await.ok().and_then(Result::ok);
    opened.close().await;
    let rights = rights.unwrap_or(Rights::Unknown(Gap::NotRead));
    Ok(Reached { version, pool, rights, login, query })
}

/// The count of active and of idle connections in the first row.
fn pool(rows: &[Row]) -> Option<ConnectionPool> {
    let count = |column| rows.first()?.integer(column).and_then(|count| i32::try_from(count).ok()).filter(|n| *n >= 0);
    Some(ConnectionPool { active: count(0)?, idle: count(1)? })
}

fn product(version: &ServerVersion) -> String {
    let name = match version.flavor {
        Flavor::Mysql => "MySQL",
        Flavor::MariaDb => "MariaDB",
        Flavor::Percona => "Percona Server",
        Flavor::Postgres => "PostgreSQL",
        Flavor::SqlServer => "SQL Server",
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
