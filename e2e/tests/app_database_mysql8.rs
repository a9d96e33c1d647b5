//! `AppDatabase` on a real MySQL 8, by an admin with no more rights than it needs: its own way of proving passwords, its
//! catalogue, and drift.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::mysql8::Mysql8;
use e2e::testing::Harness;
use e2e::testing::app_databases::{credentials, ready};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

const CLUSTER: &str = "mysql8";
const PASSWORD: &str = "canary-mysql8-admin";

async fn start(keys: &[(&str, &str)]) -> Result<Option<(Mysql8, LocalConcierge)>> {
    let Some(programs) = Harness::connect().await?.mysql8()? else { return Ok(None) };
    let server = Mysql8::start(&programs).await?;
    server.concierge(PASSWORD).await?;
    let Some(concierge) = LocalConcierge::start(&["--drift-interval=5"]).await? else { return Ok(None) };
    concierge.serve_with(Kind::Mysql, CLUSTER, server.port, PASSWORD, keys).await?;
    Ok(Some((server, concierge)))
}

async fn log_in(server: &Mysql8, concierge: &LocalConcierge, name: &str) -> Result<Conn> {
    let creds = credentials(concierge.apps(), &format!("{name}-creds")).await?;
    let session = server.session(&creds["username"], &creds["password"], &creds["database"]).await;
    session.with_context(|| format!("the login of {name} does not work"))
}

async fn plugin(server: &Mysql8, user: &str) -> Result<Option<String>> {
    let query = format!("SELECT plugin FROM mysql.user WHERE user = '{user}'");
    Ok(server.admin().await?.query_first(query).await?)
}

#[tokio::test]
async fn a_database_is_made_looked_after_and_dropped() -> Result<()> {
    let Some((server, concierge)) = start(&[]).await? else { return Ok(()) };
    concierge.apps().apply(&concierge.app_database("my-app", CLUSTER)).await?;
    ready(concierge.apps(), "my-app").await?;
    assert_eq!(plugin(&server, "my_app_app").await?.as_deref(), Some("caching_sha2_password"));
    server.run(&["CREATE DATABASE myxapp"]).await?;
    let mut session = log_in(&server, &concierge, "my-app").await?;
    session.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    for forbidden in
        ["CREATE TABLE myxapp.t (id INT)", "SELECT * FROM mysql.user", "SELECT * FROM db_concierge.ownership"]
    {
        ensure!(session.query_drop(forbidden).await.is_err(), "the application may: {forbidden}");
    }
    session.disconnect().await?;

    let passes = concierge.passes().await?;
    server.run(&["DROP USER my_app_app"]).await?;
    concierge.until_passes(passes + 1.0).await?;
    log_in(&server, &concierge, "my-app").await?.disconnect().await?;
    server.run(&["REVOKE CREATE ON `my\\_app`.* FROM my_app_app"]).await?;
    concierge.until_passes(passes + 2.0).await?;
    let mut session = log_in(&server, &concierge, "my-app").await?;
    session.query_drop("CREATE TABLE u (id INT PRIMARY KEY)").await?;
    session.disconnect().await?;
    let before = concierge.statements("granting the rights").await?;
    concierge.looks(2).await?;
    let after = concierge.statements("granting the rights").await?;
    assert!((after - before).abs() < 0.5, "what is in place is granted again and again");

    concierge.apps().delete::<AppDatabase>("my-app").await?;
    let left = "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'my_app')
                + (SELECT COUNT(*) FROM mysql.user WHERE user = 'my_app_app')
                + (SELECT COUNT(*) FROM db_concierge.ownership)";
    assert_eq!(server.admin().await?.query_first::<usize, _>(left).await?, Some(0), "something is left");
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}

#[tokio::test]
async fn users_prove_their_passwords_as_the_admin_secret_says() -> Result<()> {
    let keys = [("MYSQL_APP_AUTH_PLUGIN", "mysql_native_password")];
    let Some((server, concierge)) = start(&keys).await? else { return Ok(()) };
    concierge.apps().apply(&concierge.app_database("my-app", CLUSTER)).await?;
    ready(concierge.apps(), "my-app").await?;
    assert_eq!(plugin(&server, "my_app_app").await?.as_deref(), Some("mysql_native_password"));
    log_in(&server, &concierge, "my-app").await?.disconnect().await?;
    concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
}
