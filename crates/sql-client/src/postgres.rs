//! A session with PostgreSQL, over tokio-postgres on a socket that we dialled ourselves. The driver's
//! connection task ends with the session; the server's notices are dropped, since they echo statements.

mod codes;
mod guard;

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::{TryStreamExt, stream};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, Error, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connect::ConnectOptions;
use crate::connect_error::Failure;
use crate::deadline::{Exchanges, Rows};
use crate::session::{Flavor, Row, ServerVersion, Session};
use crate::sql_error::{SqlError, SqlFailure};
use crate::statement::Statement;
use crate::tls::{TlsMode, client_config};
use guard::{Guarded, GuardedTls, Rules};

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct PostgresSession {
    client: Client,
    /// Holds the connection's one task and aborts it when dropped.
    driver: JoinSet<()>,
    exchanges: Exchanges,
    rules: Rules,
    max_answer: usize,
}

/// Logs in on a fresh socket.
pub(crate) async fn login(stream: TcpStream, options: &ConnectOptions) -> Result<PostgresSession, Failure> {
    let host = options.endpoint.host.to_string();
    match client_config(options.tls, &options.roots)? {
        None => {
            let rules = Rules::new(false, options.max_answer);
            handshake(Guarded::new(stream, rules.clone()), NoTls, rules, options).await
        }
        Some(config) => {
            let rules = Rules::new(true, options.max_answer);
            let mut maker = MakeRustlsConnect::new(config);
            let tls: Result<_, Infallible> =
                <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::make_tls_connect(&mut maker, &host);
            let Ok(tls) = tls;
            handshake(stream, GuardedTls { tls, rules: rules.clone() }, rules, options).await
        }
    }
}

async fn handshake<S, T>(stream: S, tls: T, rules: Rules, options: &ConnectOptions) -> Result<PostgresSession, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: TlsConnect<S>,
    T::Stream: Send + 'static,
{
    let connected = driver_config(options).connect_raw(stream, tls).await;
    let (client, connection) = connected.map_err(|error| codes::connect_failure(&error))?;
    let conforming = connection.parameter("standard_conforming_strings") == Some("on");
    let mut driver = JoinSet::new();
    driver.spawn(drive(connection));
    if !conforming {
        set_conforming_strings(&client).await?;
    }
    let exchanges = Exchanges::new(options.query_timeout);
    Ok(PostgresSession { client, driver, exchanges, rules, max_answer: options.max_answer })
}

fn driver_config(options: &ConnectOptions) -> Config {
    let mut config = Config::new();
    config
        .user(&options.credentials.user)
        .password(options.credentials.password.expose_secret())
        .application_name(&options.application_name)
        .ssl_mode(ssl_mode(options.tls))
        .channel_binding(ChannelBinding::Prefer)
        .target_session_attrs(TargetSessionAttrs::Any);
    if let Some(database) = &options.database {
        config.dbname(database);
    }
    config
}

/// The driver only decides whether there is TLS; what is checked is our configuration's business.
fn ssl_mode(mode: TlsMode) -> SslMode {
    match mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    }
}

/// Awaiting the connection itself would log each notice.
async fn drive<S, T>(mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let messages = stream::poll_fn(|cx| connection.poll_message(cx));
    // The client's pending call reports the error that ends this.
    drop(messages.try_for_each(|_| ready(Ok(()))).await);
}

/// [`crate::quote::postgres`] counts on it; only a server configured otherwise needs the round trip.
async fn set_conforming_strings(client: &Client) -> Result<(), Failure> {
    let set = client.execute_typed("SET standard_conforming_strings = on", &[]).await;
    set.map(drop).map_err(|error| codes::connect_failure(&error))
}

async fn read_rows(client: &Client, text: &str, mut rows: Rows, rules: &Rules) -> Result<Vec<Row>, SqlFailure> {
    let failure = |error: &Error| codes::sql_failure(error, rules);
    let mut messages = pin!(client.simple_query_raw(text).await.map_err(|error| failure(&error))?);
    while let Some(message) = messages.try_next().await.map_err(|error| failure(&error))? {
        if let SimpleQueryMessage::Row(row) = message {
            let columns = (0..row.len()).map(|column| Ok(row.try_get(column)?.map(str::to_owned)));
            rows.push(columns.collect::<Result<_, _>>().map_err(|error| failure(&error))?)?;
        }
    }
    Ok(rows.into_rows())
}

#[async_trait]
impl Session for PostgresSession {
    /// The extended protocol: it takes one statement only, and the driver does not log its text.
    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        let work = async {
            let affected = self.client.execute_typed(statement.expose_text(), &[]).await;
            affected.map_err(|error| codes::sql_failure(&error, &self.rules))
        };
        self.exchanges.run(statement.description(), work).await
    }

    /// The simple protocol, because it gives every type as text.
    async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, SqlError> {
        let rows = Rows::new(self.max_answer);
        let work = read_rows(&self.client, statement.expose_text(), rows, &self.rules);
        self.exchanges.run(statement.description(), work).await
    }

    async fn ping(&mut self) -> Result<(), SqlError> {
        let work = async {
            let alive = self.client.check_connection().await;
            alive.map_err(|error| codes::sql_failure(&error, &self.rules))
        };
        self.exchanges.run("asking whether the server is there", work).await
    }

    async fn server_version(&mut self) -> Result<ServerVersion, SqlError> {
        let statement = Statement::new("reading the server's version", "SHOW server_version");
        let rows = self.query(&statement).await?;
        let text = rows.first().and_then(|row| row.text(0)).unwrap_or_default();
        Ok(ServerVersion::new(Flavor::Postgres, text))
    }

    async fn close(self: Box<Self>) {
        let Self { client, mut driver, .. } = *self;
        drop(client);
        drop(timeout(FAREWELL, driver.join_next()).await);
    }
}

#[cfg(test)]
mod tests;
