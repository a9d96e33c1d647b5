//! A server that hangs, refuses or loses answers: its own AppDatabases wait and say so, the others' do not notice, and
//! all go on by themselves. On servers of the tests' own, with a man in the middle.

use anyhow::{Context, Result, ensure};
use api_types::{AppDatabase, AppDatabasePhase};
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::loopback::{self};
use e2e::testing::app_databases::{credentials, phase, ready};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use futures::future::try_join_all;
use mysql_async::prelude::Queryable as _;

const PASSWORD: &str = "canary-sick-admin";
const SESSIONS: usize = 4;
const FLAGS: [&str; 4] =
    ["--drift-interval=5", "--connections-per-server=4", "--connect-timeout=2", "--statement-timeout=5"];
const SICK: &str = "sick";
const WELL: &str = "well";

/// One server under two names, one of which leads through the proxy.
async fn start() -> Result<Option<(MariaDb, Proxy, LocalConcierge)>> {
    if !loopback::is_possible() {
        return Ok(None);
    }
    let server = MariaDb::start(None).await?;
    server.concierge(PASSWORD).await?;
    let proxy = Proxy::start(server.port, Meddling::None).await?;
    let Some(concierge) = LocalConcierge::start(&FLAGS).await? else { return Ok(None) };
    concierge.serve(Kind::Mysql, WELL, server.port, PASSWORD).await?;
    concierge.serve(Kind::Mysql, SICK, proxy.port, PASSWORD).await?;
    Ok(Some((server, proxy, concierge)))
}

fn names(cluster: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{cluster}-{number}")).collect()
}

async fn apply_all(concierge: &LocalConcierge, cluster: &str, names: &[String]) -> Result<()> {
    let items: Vec<_> = names.iter().map(|name| concierge.app_database(name, cluster)).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    concierge.apps().apply(&list).await
}

async fn all_ready(concierge: &LocalConcierge, names: &[String]) -> Result<()> {
    try_join_all(names.iter().map(|name| ready(concierge.apps(), name))).await.map(drop)
}

fn server_unavailable(app: &AppDatabase) -> Option<&str> {
    let conditions = &app.status.as_ref()?.conditions;
    conditions.iter().find(|found| found.type_ == "ServerUnavailable").map(|found| found.message.as_str())
}

/// Waits until all of them are in this phase, with or without the condition.
async fn all_are(
    concierge: &LocalConcierge,
    names: &[String],
    wanted: AppDatabasePhase,
    unavailable: bool,
) -> Result<()> {
    let what = format!("{wanted:?}, ServerUnavailable {unavailable}");
    let is_it = |app: &AppDatabase| phase(app) == Some(wanted) && server_unavailable(app).is_some() == unavailable;
    let (is_it, what) = (&is_it, &what);
    let waits = names.iter().map(|name| async move { concierge.apps().wait_for(name, what, is_it).await });
    try_join_all(waits).await.map(drop)
}

#[tokio::test]
async fn a_server_that_hangs_keeps_only_its_own_waiting() -> Result<()> {
    let Some((_server, proxy, concierge)) = start().await? else { return Ok(()) };
    proxy.meddle(Meddling::Hang);
    let (sick, well) = (names(SICK, 60), names(WELL, 20));
    apply_all(&concierge, SICK, &sick).await?;
    apply_all(&concierge, WELL, &well).await?;
    all_ready(&concierge, &well).await?;
    all_are(&concierge, &sick, AppDatabasePhase::Pending, true).await?;
    let given_up = concierge.log().matches("the server is given up").count();
    assert_eq!(given_up, 1, "{}", concierge.log());
    let shown = concierge.samples("server_given_up").await?;
    assert_eq!(shown, [("{server=\"sick\"}".to_owned(), 1.0), ("{server=\"well\"}".to_owned(), 0.0)]);
    // The first tries, and a few to see whether it is back.
    let connections = proxy.connections();
    ensure!(connections < SESSIONS + sick.len() / 3, "{connections} connections to a server that hangs");

    proxy.meddle(Meddling::None);
    all_ready(&concierge, &sick).await?;
    all_are(&concierge, &sick, AppDatabasePhase::Ready, false).await?;

    // What was Ready stays so, and says that nobody looks after it.
    proxy.meddle(Meddling::Reset);
    proxy.cut();
    all_are(&concierge, &sick, AppDatabasePhase::Ready, true).await?;
    all_are(&concierge, &well, AppDatabasePhase::Ready, false).await?;
    proxy.meddle(Meddling::None);
    all_are(&concierge, &sick, AppDatabasePhase::Ready, false).await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

/// As the concierge writes a name where it is a value.
fn hexadecimal(name: &str) -> String {
    name.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}

#[tokio::test]
async fn what_was_done_and_never_confirmed_is_ours() -> Result<()> {
    let Some((server, proxy, concierge)) = start().await? else { return Ok(()) };
    let names = ["claim", "database", "user", "rights"].map(str::to_owned);
    proxy.lose_answers_to(&[
        &hexadecimal("claim_app"),
        "CREATE DATABASE `database`",
        "CREATE USER 'user_app'",
        "ON `rights`.* TO",
    ]);
    apply_all(&concierge, SICK, &names).await?;
    all_ready(&concierge, &names).await?;
    assert_eq!(proxy.unsaid(), Vec::<String>::new());
    let mut admin = server.admin().await?;
    let created = "SELECT COUNT(*) FROM db_concierge.ownership WHERE origin = 'created'";
    assert_eq!(admin.query_first::<usize, _>(created).await?, Some(2 * names.len()));
    for name in &names {
        let creds = credentials(concierge.apps(), &format!("{name}-creds")).await?;
        let session = server.session(&creds["username"], &creds["password"], &creds["database"]).await;
        session.with_context(|| format!("the login of {name} does not work"))?.disconnect().await?;
    }

    proxy.lose_answers_to(&["DROP USER IF EXISTS 'user_app'", "DROP DATABASE IF EXISTS `database`"]);
    try_join_all(names.iter().map(|name| concierge.apps().delete::<AppDatabase>(name))).await?;
    assert_eq!(proxy.unsaid(), Vec::<String>::new());
    let left = "SELECT (SELECT COUNT(*) FROM db_concierge.ownership) + (SELECT COUNT(*) FROM mysql.db)
                + (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name IN ('claim', 'database'))";
    assert_eq!(admin.query_first::<usize, _>(left).await?, Some(0), "something is left");
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}
