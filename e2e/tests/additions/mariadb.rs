//! On MariaDB.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::ADDRESS;
use e2e::loopback::mariadb::MariaDb;
use e2e::testing::app_databases::ready;
use e2e::testing::manifests::config_map;
use k8s_openapi::api::core::v1::Secret;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use serde_json::json;

use super::{again, ask, assert_whole, condition, creds, on_mariadb, script, settles, turns};

/// A connection over TLS.
async fn encrypted(server: &MariaDb, user: &str, password: &str, database: &str) -> Result<Conn> {
    let ssl = SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
    let options = OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(server.port).prefer_socket(false);
    let options = options.user(Some(user)).pass(Some(password)).db_name(Some(database)).ssl_opts(Some(ssl));
    Conn::new(options).await.context("cannot connect over TLS")
}

async fn count(server: &MariaDb, query: &str) -> Result<i64> {
    let mut admin = server.admin().await?;
    admin.query_first(query).await?.with_context(|| format!("no answer to {query}"))
}

#[tokio::test]
async fn tls_is_demanded_and_a_limit_is_kept_by_an_application_that_uses_it() -> Result<()> {
    let Some((server, concierge)) = on_mariadb(&[]).await? else { return Ok(()) };
    ask(&concierge, "app", &json!({"requireTls": true, "connectionLimit": 2})).await?;
    assert_whole(&concierge, "app").await?;
    let login = creds(&concierge, "app-creds").await?;
    assert!(login["connection-string"].ends_with("/app?ssl-mode=REQUIRED"), "the application is not told of TLS");
    let (user, password) = (login["username"].as_str(), login["password"].as_str());
    ensure!(server.session(user, password, "app").await.is_err(), "a login in plaintext is taken");

    let mut first = encrypted(&server, user, password, "app").await?;
    let second = encrypted(&server, user, password, "app").await?;
    ensure!(encrypted(&server, user, password, "app").await.is_err(), "a third connection is taken");
    let app = again(&concierge, "app", "full").await?;
    assert_eq!(condition(&app, "Ready")?.status, "True", "an application that uses its limit is well");
    assert_eq!(condition(&app, "Verified")?.reason, "ConnectionsInUse");
    assert_eq!(creds(&concierge, "app-creds").await?, login, "the Secret was written");
    first.query_drop("CREATE TABLE t (id INT)").await.context("the application was disturbed")?;
    second.disconnect().await?;
    first.disconnect().await?;

    ask(&concierge, "app", &json!({"requireTls": false, "connectionLimit": null})).await?;
    settles(&concierge, "app", "Verified").await?;
    let lifted =
        "SELECT COUNT(*) FROM mysql.user WHERE User = 'app_app' AND ssl_type = '' AND max_user_connections = 0";
    assert_eq!(count(&server, lifted).await?, 1, "what is no longer asked for stays");
    server.session(user, password, "app").await.context("plaintext is still refused")?;
    ensure!(!creds(&concierge, "app-creds").await?["connection-string"].contains('?'));
    concierge.finish(&[password.to_owned()]).await.map(drop)
}

#[tokio::test]
async fn a_read_only_user_reads_everything_and_writes_nothing() -> Result<()> {
    let Some((server, concierge)) = on_mariadb(&["--drift-interval=5"]).await? else { return Ok(()) };
    ask(&concierge, "my-app", &json!({"readOnlyUser": true})).await?;
    let status = ready(concierge.apps(), "my-app").await?.status.unwrap_or_default();
    assert_eq!(status.read_only_user_name.as_deref(), Some("my_app_ro"));
    let (owner, reader) = (creds(&concierge, "my-app-creds").await?, creds(&concierge, "my-app-creds-ro").await?);
    assert_eq!(owner.keys().collect::<Vec<_>>(), reader.keys().collect::<Vec<_>>());
    ensure!(owner["password"] != reader["password"]);
    let mut application = server.session(&owner["username"], &owner["password"], "my_app").await?;
    application.query_drop("CREATE TABLE t (id INT)").await?;
    application.query_drop("CREATE VIEW v AS SELECT * FROM t").await?;
    let mut session = server.session(&reader["username"], &reader["password"], "my_app").await?;
    for allowed in ["SELECT * FROM t", "SELECT * FROM v", "SHOW CREATE VIEW v"] {
        session.query_drop(allowed).await.with_context(|| format!("it may not: {allowed}"))?;
    }
    let writes =
        ["INSERT INTO t VALUES (1)", "CREATE TABLE u (id INT)", "DROP TABLE t", "CREATE TEMPORARY TABLE x (id INT)"];
    for forbidden in writes {
        ensure!(session.query_drop(forbidden).await.is_err(), "it may: {forbidden}");
    }

    server.run(&["GRANT INSERT ON my_app.t TO my_app_ro"]).await?;
    turns(&concierge, "my-app", "Drift", "Repaired").await?;
    let mut session = server.session(&reader["username"], &reader["password"], "my_app").await?;
    ensure!(session.query_drop("INSERT INTO t VALUES (1)").await.is_err(), "a right that was added stays");
    session.query_drop("SELECT * FROM t").await?;

    let apps = concierge.apps();
    apps.kubectl(&["annotate", "appdatabase", "my-app", "db.stillwaters.io/rotate=now"]).await?;
    let rotated =
        |app: &AppDatabase| app.status.as_ref().and_then(|status| status.last_handled_rotate.as_deref()) == Some("now");
    apps.wait_for("my-app", "the rotation", rotated).await?;
    let fresh = creds(&concierge, "my-app-creds-ro").await?;
    ensure!(fresh["password"] != reader["password"], "the password of the read-only user was not rotated");
    server.session(&fresh["username"], &fresh["password"], "my_app").await?;

    ask(&concierge, "my-app", &json!({"readOnlyUser": false})).await?;
    apps.wait_until_gone::<Secret>("my-app-creds-ro").await?;
    apps.expect_event("my-app", "ReadOnlyUserDropped").await?;
    settles(&concierge, "my-app", "Verified").await?;
    let left = "SELECT COUNT(*) FROM db_concierge.ownership o LEFT JOIN mysql.user u ON u.User = o.name \
                WHERE o.name = 'my_app_ro' OR u.User = 'my_app_ro'";
    assert_eq!(count(&server, left).await?, 0);

    ask(&concierge, "my-app", &json!({"readOnlyUser": true})).await?;
    settles(&concierge, "my-app", "Verified").await?;
    apps.delete::<AppDatabase>("my-app").await?;
    assert_eq!(count(&server, "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'my_app_%'").await?, 0);
    let passwords = [&owner, &reader, &fresh].map(|login| login["password"].clone());
    concierge.finish(&passwords).await.map(drop)
}

#[tokio::test]
async fn a_script_is_run_once_by_the_application_and_never_blindly_again() -> Result<()> {
    let Some((server, mut concierge)) = on_mariadb(&[]).await? else { return Ok(()) };
    let runs = "SELECT COUNT(*) FROM app.runs WHERE who = 'app_app@%'";
    ask(&concierge, "app", &script("INSERT INTO nowhere VALUES ('canary-script')")).await?;
    let failed = settles(&concierge, "app", "InitSqlFailed").await?;
    let message = failed.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    assert!(message.contains("statement 3 of 3") && message.contains("1146"), "{message}");
    assert_eq!(condition(&failed, "Verified")?.status, "True", "database and user are of use meanwhile");
    assert_eq!(count(&server, runs).await?, 1);

    concierge.crash().await?;
    concierge.apps().kubectl(&["annotate", "appdatabase", "app", "note=a-pass"]).await?;
    assert_eq!(settles(&concierge, "app", "InitSqlFailed").await?.status, failed.status, "it is told differently");
    assert_eq!(count(&server, runs).await?, 1, "it was run again");
    again(&concierge, "app", "forced").await?;
    assert_eq!(count(&server, runs).await?, 2, "it was not run again although somebody asked");

    ask(&concierge, "app", &script("SELECT 1")).await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, runs).await?, 3, "a changed script is another one");
    again(&concierge, "app", "done").await?;
    assert_eq!(count(&server, runs).await?, 3, "what was done was done again");

    server.run(&["UPDATE db_concierge.scripts SET state = 'running'"]).await?;
    again(&concierge, "app", "interrupted").await?;
    assert_eq!(count(&server, runs).await?, 4);
    concierge.finish(&["canary-script".to_owned()]).await.map(drop)
}

#[tokio::test]
async fn a_script_comes_from_a_config_map_and_a_bad_one_makes_nothing() -> Result<()> {
    let Some((server, concierge)) = on_mariadb(&[]).await? else { return Ok(()) };
    let apps = concierge.apps();
    ask(&concierge, "app", &json!({"initSql": {"configMapRef": {"name": "scripts"}}})).await?;
    settles(&concierge, "app", "InitSqlNotFound").await?;
    assert_eq!(count(&server, "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'app'").await?, 0);
    apps.apply(&config_map("scripts", "init.sql", "DELIMITER //")).await?;
    apps.kubectl(&["annotate", "appdatabase", "app", "reconcile=bad"]).await?;
    settles(&concierge, "app", "InitSqlInvalid").await?;
    apps.apply(&config_map("scripts", "init.sql", "CREATE TABLE made (id INT)")).await?;
    apps.kubectl(&["annotate", "appdatabase", "app", "--overwrite", "reconcile=better"]).await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, "SELECT COUNT(*) FROM app.made").await?, 0);
    apps.kubectl(&["delete", "configmap", "scripts"]).await?;
    let app = again(&concierge, "app", "gone").await?;
    assert_eq!(condition(&app, "InitSql")?.status, "True", "what was run may go");
    concierge.finish(&[]).await.map(drop)
}
