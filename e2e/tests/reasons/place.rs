//! The servers, proxies and stubs that the rows are about, each held in the state that its row names.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::loopback::ADDRESS;
use e2e::loopback::certificates::{Certificates, Shown};
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::postgres::Postgres;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::loopback::stub::{Step, Stub};

use super::PASSWORD;

/// More than half of six seconds.
const SLOWNESS: Duration = Duration::from_millis(3500);
/// Lets everybody in, and is ready for a query.
const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x23standard_conforming_strings\0on\0Z\0\0\0\x05I";

/// Everything that a row needs to be there.
pub struct Place {
    pub postgres: Postgres,
    pub full: Postgres,
    pub recovering: Postgres,
    pub mariadb: MariaDb,
    pub slow: Proxy,
    pub flapping: Proxy,
    pub silent: Stub,
    pub resetting: Stub,
    pub mute: Stub,
    _held: Vec<tokio_postgres::Client>,
    _one: mysql_async::Conn,
}

impl Place {
    pub async fn prepare() -> Result<Self> {
        let few = ["max_connections=4", "superuser_reserved_connections=1"];
        let (postgres, full, recovering, mariadb) =
            tokio::try_join!(postgres(), Postgres::start(&few), Postgres::start_in_recovery(), mariadb())?;
        full.login("app", PASSWORD).await?;
        let one = connection_of_limited(mariadb.port).await?;
        Ok(Self {
            _held: connections(full.port, 3).await?,
            _one: one,
            slow: Proxy::start(postgres.port, Meddling::Delay(SLOWNESS)).await?,
            flapping: Proxy::start(postgres.port, Meddling::None).await?,
            silent: Stub::start(vec![Step::Hang]).await?,
            resetting: Stub::start(vec![Step::Reset]).await?,
            mute: Stub::start(vec![Step::Read, Step::Send(LET_IN.to_vec()), Step::Hang]).await?,
            postgres,
            full,
            recovering,
            mariadb,
        })
    }
}

async fn postgres() -> Result<Postgres> {
    let server = Postgres::start(&[]).await?;
    server.present(Certificates::new()?.identity(Shown::Right)?.as_ref()).await?;
    server.admit(&["host all in_clear 127.0.0.0/8 password", "host all all 127.0.0.0/8 scram-sha-256"]).await?;
    server.login("app", PASSWORD).await?;
    server.run("REVOKE CONNECT ON DATABASE app FROM PUBLIC").await?;
    server
        .run(&format!(
            "CREATE ROLE in_clear LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE outsider LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
             GRANT CONNECT ON DATABASE app TO app, in_clear, limited"
        ))
        .await?;
    Ok(server)
}

async fn mariadb() -> Result<MariaDb> {
    let server = MariaDb::start(None).await?;
    server.login("app", PASSWORD).await?;
    server
        .run(&[
            "GRANT SELECT ON nowhere.* TO app",
            &format!("CREATE USER outsider IDENTIFIED BY '{PASSWORD}'"),
            &format!("CREATE USER expired IDENTIFIED BY '{PASSWORD}' PASSWORD EXPIRE"),
            &format!("CREATE USER limited IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS 1"),
            "GRANT SELECT ON app.* TO expired",
            "GRANT SELECT ON app.* TO limited",
        ])
        .await?;
    Ok(server)
}

/// All connections that are not kept for the superuser.
async fn connections(port: u16, count: usize) -> Result<Vec<tokio_postgres::Client>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut config = tokio_postgres::Config::new();
        config.host(ADDRESS).port(port).user("app").password(PASSWORD).dbname("app");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.context("the server is full already")?;
        tokio::spawn(connection);
        held.push(client);
    }
    Ok(held)
}

/// The only one that this user may have.
async fn connection_of_limited(port: u16) -> Result<mysql_async::Conn> {
    let options = mysql_async::OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(port).prefer_socket(false);
    let options = options.user(Some("limited")).pass(Some(PASSWORD));
    mysql_async::Conn::new(options).await.context("the first connection is refused")
}
