//! `AppDatabase` on a real Galera cluster of three nodes behind haproxy: the writer dies while databases are being made,
//! and the majority is lost.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api_types::{AppDatabase, AppDatabasePhase};
use e2e::loopback::galera::{self, Galera};
use e2e::testing::app_databases::{credentials, phase, ready};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use mysql_async::prelude::Queryable as _;
use serde_json::json;

const CLUSTER: &str = "cluster1-haproxy";
const PASSWORD: &str = "canary-galera-admin";
const MANY: usize = 200;
/// So many are Ready when the writer dies.
const BEFORE: usize = 30;
/// What the concierge promises, from the moment at which the proxy serves again.
const RECOVERS: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
const LOGINS_AT_ONCE: usize = 10;

async fn start(flags: &[&str]) -> Result<Option<(Galera, LocalConcierge)>> {
    if !galera::is_possible() {
        return Ok(None);
    }
    let cluster = Galera::start().await?;
    cluster.concierge(PASSWORD).await?;
    let Some(concierge) = LocalConcierge::start(flags).await? else { return Ok(None) };
    concierge.serve(Kind::Mysql, CLUSTER, cluster.port, PASSWORD).await?;
    Ok(Some((cluster, concierge)))
}

async fn apply_all(concierge: &LocalConcierge, names: &[String]) -> Result<()> {
    let items: Vec<_> = names.iter().map(|name| concierge.app_database(name, CLUSTER)).collect();
    concierge.apps().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).await
}

/// Those that are Ready, and those that are not with what they say.
async fn standing(concierge: &LocalConcierge) -> Result<(usize, Vec<String>)> {
    let apps = concierge.apps().api::<AppDatabase>().list(&ListParams::default()).await?.items;
    let waiting = apps.iter().filter(|app| phase(app) != Some(AppDatabasePhase::Ready));
    let waiting: Vec<_> = waiting.map(|app| format!("{}: {:?}", app.name_any(), app.status)).collect();
    Ok((apps.len() - waiting.len(), waiting))
}

/// Asks again and again until so many are Ready.
async fn until_ready(concierge: &LocalConcierge, count: usize) -> Result<()> {
    let reached = async {
        while standing(concierge).await?.0 < count {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(RECOVERS, reached).await {
        Ok(result) => result,
        Err(_) => bail!("not Ready after {RECOVERS:?}: {:#?}", standing(concierge).await?.1),
    }
}

async fn kill_the_writer(cluster: &mut Galera, concierge: &LocalConcierge) -> Result<()> {
    until_ready(concierge, BEFORE).await?;
    cluster.kill(0)?;
    let ready = standing(concierge).await?.0;
    ensure!(ready < MANY - BEFORE, "nothing is left to be made: {ready} are Ready");
    Ok(())
}

/// Waits until the proxy leads to a node that answers a query.
async fn until_served(cluster: &Galera) -> Result<()> {
    let served = async {
        let answers = async || -> Result<Option<u8>> {
            let mut session = cluster.session("concierge_admin", PASSWORD, "").await?;
            Ok(session.query_first("SELECT COUNT(*) >= 0 FROM db_concierge.ownership").await?)
        };
        while answers().await.is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(RECOVERS, served).await.context("the proxy serves nobody")
}

/// Waits until the first node knows that it is no majority. While it finds out it may refuse a connection.
async fn until_alone(cluster: &Galera) -> Result<()> {
    let query = "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_status' AND Value = 'non-Primary'";
    let is_alone = async || -> Result<bool> {
        Ok(cluster.admin(0).await?.query_first::<mysql_async::Row, _>(query).await?.is_some())
    };
    let alone = async {
        while !is_alone().await.unwrap_or(false) {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(RECOVERS, alone).await.context("the node still counts on the others")
}

async fn login_works(cluster: &Galera, concierge: &LocalConcierge, name: &str) -> Result<()> {
    let creds = credentials(concierge.apps(), &format!("{name}-creds")).await?;
    let session = cluster.session(&creds["username"], &creds["password"], &creds["database"]).await;
    let mut session = session.with_context(|| format!("the login of {name} does not work"))?;
    let proof = "CREATE TABLE proof (id INT PRIMARY KEY)";
    session.query_drop(proof).await.with_context(|| format!("{name} may make no table"))?;
    session.disconnect().await.context("cannot close the connection")
}

#[tokio::test]
async fn the_writer_dies_while_databases_are_made() -> Result<()> {
    let Some((mut cluster, concierge)) = start(&[]).await? else { return Ok(()) };
    let names: Vec<_> = (0..MANY).map(|number| format!("app-{number}")).collect();
    tokio::try_join!(apply_all(&concierge, &names), kill_the_writer(&mut cluster, &concierge))?;
    until_served(&cluster).await?;
    let served = std::time::Instant::now();
    until_ready(&concierge, MANY).await?;
    println!("all {MANY} Ready {:.1} s after the proxy served again", served.elapsed().as_secs_f64());

    let logins = names.iter().map(|name| login_works(&cluster, &concierge, name));
    stream::iter(logins).buffer_unordered(LOGINS_AT_ONCE).try_collect::<()>().await?;
    let mut admin = cluster.admin(1).await?;
    let rows = "SELECT COUNT(*), COUNT(DISTINCT kind, name), SUM(origin = 'created') FROM db_concierge.ownership";
    let counted: Option<(usize, usize, usize)> = admin.query_first(rows).await?;
    assert_eq!(counted, Some((2 * MANY, 2 * MANY, 2 * MANY)));

    let deleted = names[..10].iter().map(|name| concierge.apps().delete::<AppDatabase>(name));
    try_join_all(deleted).await?;
    let left: Option<usize> = admin.query_first("SELECT COUNT(*) FROM db_concierge.ownership").await?;
    assert_eq!(left, Some(2 * (MANY - 10)));
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

fn server_unavailable(app: &AppDatabase) -> bool {
    let conditions = app.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|found| found.type_ == "ServerUnavailable" && found.status == "True")
}

#[tokio::test]
async fn without_a_majority_all_wait_and_nothing_is_taken_for_absent() -> Result<()> {
    let Some((mut cluster, concierge)) = start(&["--drift-interval=5"]).await? else { return Ok(()) };
    let names = ["kept", "gone"].map(str::to_owned);
    apply_all(&concierge, &names).await?;
    for name in &names {
        ready(concierge.apps(), name).await?;
    }
    cluster.kill(1)?;
    cluster.kill(2)?;
    until_alone(&cluster).await?;
    apply_all(&concierge, &["late".to_owned()]).await?;
    concierge.apps().api::<AppDatabase>().delete("gone", &DeleteParams::default()).await?;

    let waits = |app: &AppDatabase| phase(app) == Some(AppDatabasePhase::Pending) && server_unavailable(app);
    let stays = |app: &AppDatabase| phase(app) == Some(AppDatabasePhase::Ready) && server_unavailable(app);
    let late = concierge.apps().wait_for::<AppDatabase>("late", "waiting", waits).await?;
    let message = late.status.and_then(|status| status.message).unwrap_or_default();
    ensure!(message.contains("no working part of its cluster"), "{message}");
    concierge.apps().wait_for::<AppDatabase>("kept", "still Ready, with the condition", stays).await?;
    concierge.apps().wait_for::<AppDatabase>("gone", "waiting", waits).await?;

    // What the administrator of such a cluster does.
    cluster.run(0, &["SET GLOBAL wsrep_provider_options = 'pc.bootstrap=true'"]).await?;
    concierge.apps().wait_until_gone::<AppDatabase>("gone").await?;
    for name in ["kept", "late"] {
        let is_it = |app: &AppDatabase| phase(app) == Some(AppDatabasePhase::Ready) && !server_unavailable(app);
        concierge.apps().wait_for::<AppDatabase>(name, "Ready without the condition", is_it).await?;
        login_works(&cluster, &concierge, name).await?;
    }
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}
