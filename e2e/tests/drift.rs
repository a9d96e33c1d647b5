//! What somebody changes on a server by hand is found by the one look at all healthy AppDatabases and repaired, and
//! where nobody changed anything, nothing is written. On servers of the tests' own, which are looked at every few
//! seconds.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::{self, mariadb::MariaDb, postgres::Postgres};
use e2e::testing::app_databases::{credentials, ready, stuck};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use mysql_async::prelude::Queryable as _;

const CLUSTER: &str = "main";
const PASSWORD: &str = "canary-drift-admin";
const FLAGS: [&str; 1] = ["--drift-interval=5"];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// A concierge with three AppDatabases on the server of that port, all Ready.
async fn three(kind: Kind, port: u16) -> Result<Option<LocalConcierge>> {
    let Some(concierge) = LocalConcierge::start(&FLAGS).await? else { return Ok(None) };
    concierge.serve(kind, CLUSTER, port, PASSWORD).await?;
    for name in NAMES {
        concierge.apps().apply(&concierge.app_database(name, CLUSTER)).await?;
    }
    for name in NAMES {
        ready(concierge.apps(), name).await?;
    }
    Ok(Some(concierge))
}

/// What would change with a write: the version of every AppDatabase and Secret.
async fn versions(concierge: &LocalConcierge) -> Result<Vec<Option<String>>> {
    let apps = concierge.apps().api::<AppDatabase>().list(&ListParams::default()).await?;
    let secrets = concierge.apps().api::<Secret>().list(&ListParams::default()).await?;
    ensure!(apps.items.len() == NAMES.len() && secrets.items.len() == NAMES.len(), "something is missing");
    let versions = apps.iter().map(ResourceExt::resource_version);
    Ok(versions.chain(secrets.iter().map(ResourceExt::resource_version)).collect())
}

/// The statements that were sent, but for the looks at all.
async fn other_statements(concierge: &LocalConcierge) -> Result<Vec<(String, f64)>> {
    let mut samples = concierge.samples("sql_statements_total").await?;
    samples.retain(|(statement, _)| !statement.contains("looking for drift"));
    Ok(samples)
}

/// Two looks, and nothing is written, neither here nor there.
async fn assert_quiet(concierge: &LocalConcierge) -> Result<()> {
    let (written, sent) = (versions(concierge).await?, other_statements(concierge).await?);
    concierge.looks(2).await?;
    assert_eq!(versions(concierge).await?, written, "something was written");
    assert_eq!(other_statements(concierge).await?, sent, "other statements were sent");
    Ok(())
}

async fn mysql_login(server: &MariaDb, concierge: &LocalConcierge, name: &str) -> Result<()> {
    let creds = credentials(concierge.apps(), &format!("{name}-creds")).await?;
    let mut session = server.session(&creds["username"], &creds["password"], &creds["database"]).await?;
    session.query_drop("CREATE TABLE IF NOT EXISTS proof (id INT PRIMARY KEY)").await?;
    session.disconnect().await.context("cannot close the connection")
}

#[tokio::test]
async fn on_mariadb() -> Result<()> {
    if !loopback::is_possible() {
        return Ok(());
    }
    let server = MariaDb::start(None).await?;
    server.concierge(PASSWORD).await?;
    let Some(concierge) = three(Kind::Mysql, server.port).await? else { return Ok(()) };
    assert_quiet(&concierge).await?;

    // What compares equal in one collation or another is not the same, and stands in for nothing that is lost.
    server
        .run(&[
            "CREATE DATABASE ONE",
            "CREATE DATABASE `\u{f6}ne`",
            "CREATE USER ONE_app, `\u{f6}ne_app`",
            "GRANT ALL ON one.* TO ONE_app, `\u{f6}ne_app`",
            "CREATE DATABASE THREE",
        ])
        .await?;
    assert_quiet(&concierge).await?;
    let passes = concierge.passes().await?;
    server.run(&["DROP USER one_app", "REVOKE CREATE ON two.* FROM two_app", "DROP DATABASE three"]).await?;
    concierge.until_passes(passes + 2.0).await?;
    for name in ["one", "two"] {
        ready(concierge.apps(), name).await?;
        mysql_login(&server, &concierge, name).await.with_context(|| format!("{name} was not repaired"))?;
    }
    stuck(concierge.apps(), "three", "DatabaseMissing").await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

#[tokio::test]
async fn on_postgresql() -> Result<()> {
    if !loopback::is_possible() {
        return Ok(());
    }
    postgresql(Postgres::start(&[]).await?).await
}

/// Who may grant a role, and act for it, is decided by other rules since version 16.
#[tokio::test]
async fn on_postgresql_18() -> Result<()> {
    let Some(server) = Postgres::start_18(&[]).await? else { return Ok(()) };
    postgresql(server).await
}

async fn postgresql(server: Postgres) -> Result<()> {
    server.concierge(PASSWORD).await?;
    let Some(concierge) = three(Kind::Postgres, server.port).await? else { return Ok(()) };
    assert_quiet(&concierge).await?;

    server.run("CREATE DATABASE \"THREE\"").await?;
    server.run("CREATE ROLE \"ONE_app\" NOLOGIN").await?;
    assert_quiet(&concierge).await?;
    let passes = concierge.passes().await?;
    server.run("ALTER ROLE one_app NOLOGIN; REVOKE CREATE ON DATABASE two FROM two_app;").await?;
    server.run("DROP DATABASE three WITH (FORCE)").await?;
    concierge.until_passes(passes + 2.0).await?;
    let query = "SELECT count(*) FROM pg_roles WHERE rolname = 'one_app' AND rolcanlogin \
                 AND has_database_privilege('two_app', 'two', 'CREATE')";
    assert_eq!(server.admin().await?.query_one(query, &[]).await?.get::<_, i64>(0), 1, "something was not repaired");
    stuck(concierge.apps(), "three", "DatabaseMissing").await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}
