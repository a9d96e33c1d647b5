//! Turns connection options into an open session, or into one classified error. The order is fixed:
//! resolve and check the address, dial it, TLS, login; the whole of it within one deadline.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::address::{DeniedAddresses, resolve};
use crate::connect_error::{ConnectClass, ConnectError, Failure};
use crate::endpoint::Endpoint;
use crate::session::Session;
use crate::tls::{TlsMode, TrustRoots};
use crate::{mssql, mysql, postgres};

/// A point in time cannot be arbitrarily far away, and the timeout may be a user's number.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

/// Which protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// MySQL, MariaDB and Percona.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// Microsoft SQL Server and Azure SQL.
    SqlServer,
}

impl Engine {
    /// The port such servers listen on by default.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Postgres => 5432,
            Self::SqlServer => 1433,
        }
    }
}

/// A login; its debug form shows the user alone.
#[derive(Clone)]
pub struct Credentials {
    /// The user or role.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// All that [`connect`] needs to know.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The protocol.
    pub engine: Engine,
    /// The server.
    pub endpoint: Endpoint,
    /// The database to open. Without one, MySQL opens none, PostgreSQL the one named as the user, and SQL
    /// Server the login's default one.
    pub database: Option<String>,
    /// Whether and how TLS is used.
    pub tls: TlsMode,
    /// Whom `verify-ca` and `verify-full` trust.
    pub roots: TrustRoots,
    /// The login.
    pub credentials: Credentials,
    /// The limit for resolving, dialling, TLS and login together; an hour at most.
    pub connect_timeout: Duration,
    /// The limit for each statement of the session.
    pub query_timeout: Duration,
    /// The limit for each answer, in bytes. Until the login is done it is 64 KiB.
    pub max_answer: usize,
    /// What the server's process list calls us.
    pub application_name: String,
    /// Networks that are not dialled.
    pub denied: DeniedAddresses,
}

/// Logs in and gives the open session.
pub async fn connect(options: &ConnectOptions) -> Result<Box<dyn Session>, ConnectError> {
    let deadline = Instant::now() + options.connect_timeout.min(LONGEST_TIMEOUT);
    let session = match timeout_at(deadline, open(options, deadline)).await {
        Ok(session) => session,
        Err(_) => Err(ConnectClass::Timeout.into()),
    };
    session.map_err(|failure| ConnectError::new(failure.class, failure.code, options))
}

async fn open(options: &ConnectOptions, deadline: Instant) -> Result<Box<dyn Session>, Failure> {
    refuse_nul(options)?;
    let addresses = resolve(&options.endpoint, &options.denied, deadline).await?;
    let stream = dial(&addresses).await?;
    Ok(match options.engine {
        Engine::Mysql => Box::new(mysql::login(stream, options).await?),
        Engine::Postgres => Box::new(postgres::login(stream, options).await?),
        Engine::SqlServer => Box::new(mssql::login(stream, options).await?),
    })
}

/// Two of the protocols end names with a NUL, so one inside a name would start the next field. No server can
/// hold such a name, which makes the answer known without asking.
fn refuse_nul(options: &ConnectOptions) -> Result<(), ConnectClass> {
    let database = options.database.as_deref().unwrap_or_default();
    match (options.credentials.user.contains('\0'), database.contains('\0')) {
        (true, _) => Err(ConnectClass::AuthenticationFailed),
        (_, true) => Err(ConnectClass::DatabaseNotFound),
        _ => Ok(()),
    }
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(addresses).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
