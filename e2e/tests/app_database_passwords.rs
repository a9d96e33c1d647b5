//! Passwords of AppDatabases: changed under a running application, and told to nobody. On servers of the tests' own,
//! whose settings are such that a careless statement would fail or a password would show.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::{self, mariadb::MariaDb, postgres::Postgres};
use e2e::testing::app_databases::{credentials, ready};
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use mysql_async::prelude::Queryable as _;

const CLUSTER: &str = "main";
const PASSWORD: &str = "canary-passwords-admin";
/// The modes that change what a quote is.
const HOSTILE_MODES: &str =
    "SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_ALL_TABLES'";
/// A literal with a backslash would mean something else.
const SETTINGS: [&str; 1] = ["standard_conforming_strings=off"];

/// Starts a concierge with one AppDatabase `app`, whose Secret is given too.
async fn with_app(kind: Kind, port: u16) -> Result<Option<(LocalConcierge, BTreeMap<String, String>)>> {
    let Some(concierge) = LocalConcierge::start(&[]).await? else { return Ok(None) };
    concierge.serve(kind, CLUSTER, port, PASSWORD).await?;
    concierge.apps().apply(&concierge.app_database("app", CLUSTER)).await?;
    ready(concierge.apps(), "app").await?;
    let login = credentials(concierge.apps(), "app-creds").await?;
    Ok(Some((concierge, login)))
}

/// Asks for another password and gives the Secret that has it.
async fn rotated(concierge: &LocalConcierge) -> Result<BTreeMap<String, String>> {
    let apps = concierge.apps();
    apps.kubectl(&["annotate", "appdatabase", "app", "db.stillwaters.io/rotate=now"]).await?;
    let is_rotated =
        |app: &AppDatabase| app.status.as_ref().and_then(|status| status.last_handled_rotate.as_deref()) == Some("now");
    apps.wait_for("app", "the rotation", is_rotated).await?;
    ready(apps, "app").await?;
    credentials(apps, "app-creds").await
}

/// Fails when a password was said anywhere.
async fn finish(concierge: LocalConcierge, logins: [&BTreeMap<String, String>; 2]) -> Result<()> {
    let [first, second] = logins.map(|login| login["password"].clone());
    ensure!(first != second, "the password is the old one");
    concierge.finish(&[PASSWORD.to_owned(), first, second]).await.map(drop)
}

#[tokio::test]
async fn mariadb_keeps_a_running_application_connected_and_logs_no_password_but_in_its_statement() -> Result<()> {
    if !loopback::is_possible() {
        return Ok(());
    }
    let server = MariaDb::start(None).await?;
    server.concierge(PASSWORD).await?;
    server.run(&[HOSTILE_MODES, "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON"]).await?;
    let Some((concierge, old)) = with_app(Kind::Mysql, server.port).await? else { return Ok(()) };
    let (user, database) = (&old["username"], &old["database"]);
    let mut application = server.session(user, &old["password"], database).await?;
    application.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await?;

    let new = rotated(&concierge).await?;
    application.query_drop("INSERT INTO t VALUES (1)").await.context("the application lost its connection")?;
    ensure!(server.session(user, &old["password"], database).await.is_err(), "the old password still works");
    server.session(user, &new["password"], database).await?.disconnect().await?;

    let statements: Vec<String> =
        server.admin().await?.query("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log").await?;
    let with_password = |statement: &&String| [&old, &new].iter().any(|login| statement.contains(&login["password"]));
    let telling: Vec<_> = statements.iter().filter(with_password).collect();
    let about_user = format!("USER '{user}'@'%' IDENTIFIED BY ");
    ensure!(telling.iter().all(|statement| statement.contains(&about_user)), "it tells a password: {telling:?}");
    ensure!(telling.len() == 2, "the log holds no statements: {statements:?}");
    finish(concierge, [&old, &new]).await
}

#[tokio::test]
async fn postgresql_keeps_a_running_application_connected() -> Result<()> {
    if !loopback::is_possible() {
        return Ok(());
    }
    postgresql(Postgres::start(&SETTINGS).await?).await
}

#[tokio::test]
async fn postgresql_18_keeps_a_running_application_connected() -> Result<()> {
    let Some(server) = Postgres::start_18(&SETTINGS).await? else { return Ok(()) };
    postgresql(server).await
}

async fn postgresql(server: Postgres) -> Result<()> {
    server.concierge(PASSWORD).await?;
    let Some((concierge, old)) = with_app(Kind::Postgres, server.port).await? else { return Ok(()) };
    let (user, database) = (&old["username"], &old["database"]);
    let application = server.session(user, &old["password"], database).await?;
    application.batch_execute("CREATE TABLE public.t (id int PRIMARY KEY)").await?;

    let new = rotated(&concierge).await?;
    application
        .batch_execute("INSERT INTO public.t VALUES (1)")
        .await
        .context("the application lost its connection")?;
    ensure!(server.session(user, &old["password"], database).await.is_err(), "the old password still works");
    server.session(user, &new["password"], database).await?;

    concierge.apps().delete::<AppDatabase>("app").await?;
    ensure!(application.batch_execute("SELECT 1").await.is_err(), "the database is still there");
    finish(concierge, [&old, &new]).await
}
