//! Databases: from apply to Connected, beside the login and the trivial query that the probe makes, by the same driver
//! from the node.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::{Database, DatabasePhase};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use sql_client::{ConnectOptions, Credentials, DeniedAddresses, Endpoint, Engine, Host, TlsMode, TrustRoots, connect};

use super::place::Place;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::testing::bed::Login;
use crate::testing::manifests;

const ROUNDS: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server as a Database names it.
#[derive(Clone, Copy)]
pub(super) struct Server {
    pub(super) kind: &'static str,
    pub(super) engine: Engine,
    pub(super) host: &'static str,
    pub(super) ssl_mode: &'static str,
}

pub(super) const POSTGRES: Server =
    Server { kind: "postgres", engine: Engine::Postgres, host: "analytics-pg.acme.internal", ssl_mode: "verify-full" };
pub(super) const MYSQL: Server =
    Server { kind: "mysql", engine: Engine::Mysql, host: "users-mysql.acme.internal", ssl_mode: "require" };

/// Both servers. What was made on them is removed.
pub(super) async fn measure(place: &Place) -> Result<Vec<Figure>> {
    let login = make_logins(place).await?;
    let figures = vec![one(place, &POSTGRES, &login).await?, one(place, &MYSQL, &login).await?];
    remove_logins(place, &login).await?;
    Ok(figures)
}

/// The same database and login on both servers, and a Secret `login` with it.
pub(super) async fn make_logins(place: &Place) -> Result<Login> {
    let login = login(place);
    let postgres = place.harness.servers().postgres_admin("postgres").await?;
    postgres.batch_execute(&format!("CREATE DATABASE {}", login.database)).await?;
    postgres.batch_execute(&format!("CREATE ROLE {} LOGIN PASSWORD '{}'", login.user, login.password)).await?;
    make_mysql_login(place, &login).await?;
    place.create::<Secret>(manifests::secret("login", &login)).await?;
    Ok(login)
}

/// Removes what [`make_logins`] made.
pub(super) async fn remove_logins(place: &Place, login: &Login) -> Result<()> {
    place.delete::<Secret>("login").await?;
    let postgres = place.harness.servers().postgres_admin("postgres").await?;
    postgres.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", login.database)).await?;
    postgres.batch_execute(&format!("DROP ROLE {}", login.user)).await?;
    place.clear_mariadb().await
}

fn login(place: &Place) -> Login {
    Login { database: place.name("db", 0), user: place.name("user", 0), password: place.name("password", 0) }
}

/// A database on MariaDB with a login that reads it. [`Place::clear_mariadb`] removes both.
pub(super) async fn make_mysql_login(place: &Place, login: &Login) -> Result<()> {
    let Login { database, user, password } = login;
    let mut admin = place.harness.servers().mariadb_admin().await?;
    for statement in [
        format!("CREATE DATABASE {database}"),
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
        format!("GRANT SELECT ON {database}.* TO '{user}'@'%'"),
    ] {
        admin.query_drop(statement).await?;
    }
    admin.disconnect().await.context("cannot close the connection")
}

async fn one(place: &Place, server: &Server, login: &Login) -> Result<Figure> {
    let mut databases = Watched::<Database>::open(place.api()).await?;
    let options = options(place, server, login)?;
    let (mut ours, mut floor) = (Sample::default(), Sample::default());
    for round in 0..ROUNDS {
        let name = place.name(server.kind, round);
        ours.took(create(place, &mut databases, manifest(server, login, &name)).await?);
        floor.took(log_in(&options).await?);
        place.delete::<Database>(&name).await?;
        databases.deleted(1).await?;
    }
    let name = format!("Database, {} {}: apply → Connected", server.kind, server.ssl_mode);
    Ok(Figure::new(name, Unit::Milliseconds, ours).beside("login and query", floor))
}

/// A Database of this login.
pub(super) fn manifest(server: &Server, login: &Login, name: &str) -> Value {
    let spec = json!({"type": server.kind, "host": server.host, "database": login.database,
                      "credentialsRef": {"name": "login"}, "sslMode": server.ssl_mode});
    manifests::database(name, &spec, &json!({}))
}

/// Creates a Database and gives the time until it is Connected.
pub(super) async fn create(place: &Place, databases: &mut Watched<Database>, manifest: Value) -> Result<Duration> {
    let begun = Instant::now();
    let created = place.create::<Database>(manifest).await?.name_any();
    let connected = |database: &Database| {
        let phase = database.status.as_ref().and_then(|status| status.phase);
        database.name_any() == created && phase == Some(DatabasePhase::Connected)
    };
    databases.applied("Connected", connected).await?;
    Ok(begun.elapsed())
}

/// Logs in, asks for the version, and gives the time that took.
pub(super) async fn log_in(options: &ConnectOptions) -> Result<Duration> {
    let begun = Instant::now();
    let mut session = connect(options).await?;
    session.server_version().await?;
    let took = begun.elapsed();
    session.close().await;
    Ok(took)
}

/// The login for the client here.
pub(super) fn options(place: &Place, server: &Server, login: &Login) -> Result<ConnectOptions> {
    let Login { database, user, password } = login.clone();
    Ok(ConnectOptions {
        engine: server.engine,
        endpoint: Endpoint { host: Host::parse(server.host)?, port: server.engine.default_port() },
        database: Some(database),
        tls: server.ssl_mode.parse::<TlsMode>()?,
        roots: TrustRoots::from_pem(place.harness.servers().ca_pem()?.as_bytes())?,
        credentials: Credentials { user, password: password.into() },
        connect_timeout: TIMEOUT,
        query_timeout: TIMEOUT,
        max_answer: 1 << 20,
        application_name: "bench".to_owned(),
        denied: DeniedAddresses::default(),
    })
}
