//! An AppDatabase whose server, or whose concierge, is lost at one moment of its creation, for every such moment: in the
//! end everything is as if nothing had happened. On servers of the tests' own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::cut::{Cut, Lost, Moment};
use e2e::loopback::{self, mariadb::MariaDb, postgres::Postgres};
use e2e::testing::app_databases::{credentials, ready};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use futures::future::{join_all, try_join_all};
use mysql_async::prelude::Queryable as _;

const PASSWORD: &str = "canary-faults-admin";

/// A server of either kind.
enum Server {
    MariaDb(MariaDb),
    Postgres(Postgres),
}

impl Server {
    async fn start(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Mysql => {
                let server = MariaDb::start(None).await?;
                server.concierge(PASSWORD).await?;
                Self::MariaDb(server)
            }
            Kind::Postgres => {
                let server = Postgres::start(&[]).await?;
                server.concierge(PASSWORD).await?;
                Self::Postgres(server)
            }
        })
    }

    fn port(&self) -> u16 {
        match self {
            Self::MariaDb(server) => server.port,
            Self::Postgres(server) => server.port,
        }
    }

    /// Fails unless the login works and reaches its database.
    async fn log_in(&self, login: &BTreeMap<String, String>) -> Result<()> {
        let (user, password, database) = (&login["username"], &login["password"], &login["database"]);
        match self {
            Self::MariaDb(server) => {
                let mut session = server.session(user, password, database).await?;
                session.query_drop("CREATE TABLE proof (id INT PRIMARY KEY)").await?;
                session.disconnect().await.context("cannot close the connection")
            }
            Self::Postgres(server) => {
                server.session(user, password, database).await?.batch_execute("SELECT 1").await.context("no answer")
            }
        }
    }

    /// The bookkeeping table: kind, name and origin of each row.
    async fn claims(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::MariaDb(server) => {
                let rows = "SELECT CONCAT_WS(' ', kind, name, origin) FROM db_concierge.ownership ORDER BY 1";
                server.admin().await?.query(rows).await?
            }
            Self::Postgres(server) => {
                let rows = "SELECT concat_ws(' ', kind, name, origin) FROM concierge.ownership ORDER BY 1";
                let admin = server.admin_in("db_concierge").await?;
                admin.query(rows, &[]).await?.iter().map(|row| row.get(0)).collect()
            }
        })
    }
}

/// One AppDatabase, on the server by a way of its own.
struct Case {
    name: String,
    way: Cut,
    moment: Option<Moment>,
}

impl Case {
    /// Creates it.
    async fn begin(
        concierge: &LocalConcierge,
        kind: Kind,
        server: u16,
        name: &str,
        moment: Option<Moment>,
    ) -> Result<Self> {
        let way = Cut::start(server, moment).await?;
        concierge.serve(kind, name, way.port, PASSWORD).await?;
        concierge.apps().apply(&concierge.app_database(name, name)).await?;
        Ok(Self { name: name.to_owned(), way, moment })
    }
}

/// How many times a creation sends something, once the server has its bookkeeping table.
async fn moments(concierge: &LocalConcierge, kind: Kind, server: u16) -> Result<usize> {
    let mut sent = 0;
    for name in ["first", "second"] {
        let case = Case::begin(concierge, kind, server, name, None).await?;
        ready(concierge.apps(), name).await?;
        sent = case.way.sent();
        concierge.apps().delete::<AppDatabase>(name).await?;
    }
    Ok(sent)
}

/// Everything is there once, and was made by the concierge; and it goes again.
async fn assert_as_ever(concierge: &LocalConcierge, server: &Server, cases: &[Case]) -> Result<()> {
    let mut expected = Vec::new();
    for Case { name, way, moment } in cases {
        ready(concierge.apps(), name).await?;
        ensure!(moment.is_none_or(|moment| way.sent() >= moment.sent), "{name}: the moment never came");
        server
            .log_in(&credentials(concierge.apps(), &format!("{name}-creds")).await?)
            .await
            .with_context(|| name.clone())?;
        let database = name.replace('-', "_");
        expected.extend([format!("database {database} created"), format!("user {database}_app created")]);
    }
    expected.sort();
    assert_eq!(server.claims().await?, expected);
    try_join_all(cases.iter().map(|case| concierge.apps().delete::<AppDatabase>(&case.name))).await?;
    ensure!(server.claims().await?.is_empty(), "something is left");
    Ok(())
}

async fn lost_connections(kind: Kind) -> Result<()> {
    let Some((server, concierge)) = scene(kind).await? else { return Ok(()) };
    let moments = moments(&concierge, kind, server.port()).await?;
    let mut cases = Vec::new();
    for sent in 1..=moments {
        for lost in [Lost::Request, Lost::Answer] {
            let name = format!("c{sent}-{lost:?}").to_lowercase();
            cases.push(Case::begin(&concierge, kind, server.port(), &name, Some(Moment { sent, lost })).await?);
        }
    }
    assert_as_ever(&concierge, &server, &cases).await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

async fn killed_concierges(kind: Kind) -> Result<()> {
    let Some((server, mut concierge)) = scene(kind).await? else { return Ok(()) };
    let moments = moments(&concierge, kind, server.port()).await?;
    let mut cases = Vec::new();
    for sent in 1..=moments {
        let moment = Moment { sent, lost: Lost::Time };
        cases.push(Case::begin(&concierge, kind, server.port(), &format!("k{sent}"), Some(moment)).await?);
    }
    // Each waits at its own moment when the concierge goes.
    join_all(cases.iter().map(|case| case.way.happened())).await;
    concierge.crash().await?;
    assert_as_ever(&concierge, &server, &cases).await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

async fn scene(kind: Kind) -> Result<Option<(Server, LocalConcierge)>> {
    if !loopback::is_possible() {
        return Ok(None);
    }
    let Some(concierge) = LocalConcierge::start(&[]).await? else { return Ok(None) };
    Ok(Some((Server::start(kind).await?, concierge)))
}

#[tokio::test]
async fn mariadb_is_lost_at_any_moment() -> Result<()> {
    lost_connections(Kind::Mysql).await
}

#[tokio::test]
async fn postgresql_is_lost_at_any_moment() -> Result<()> {
    lost_connections(Kind::Postgres).await
}

#[tokio::test]
async fn a_concierge_of_mariadb_is_killed_at_any_moment() -> Result<()> {
    killed_concierges(Kind::Mysql).await
}

#[tokio::test]
async fn a_concierge_of_postgresql_is_killed_at_any_moment() -> Result<()> {
    killed_concierges(Kind::Postgres).await
}
