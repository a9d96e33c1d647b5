//! On MySQL 8, whose catalogue, roles and rights are not MariaDB's.

use anyhow::{Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::mysql8::Mysql8;
use e2e::testing::Harness;
use e2e::testing::app_databases::ready;
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use mysql_async::prelude::Queryable as _;
use serde_json::json;

use super::{CLUSTER, PASSWORD, again, ask, condition, creds, turns};

/// A server whose administrator for the concierge may do this beside what it needs.
async fn start(more: &[&str]) -> Result<Option<(Mysql8, LocalConcierge)>> {
    let Some(programs) = Harness::connect().await?.mysql8()? else { return Ok(None) };
    let Some(concierge) = LocalConcierge::start(&["--drift-interval=5"]).await? else { return Ok(None) };
    let server = Mysql8::start(&programs).await?;
    server.concierge(PASSWORD).await?;
    server.run(more).await?;
    concierge.serve(Kind::Mysql, CLUSTER, server.port, PASSWORD).await?;
    Ok(Some((server, concierge)))
}

async fn count(server: &Mysql8, query: &str) -> Result<Option<i64>> {
    Ok(server.admin().await?.query_first(query).await?)
}

#[tokio::test]
async fn users_are_held_to_what_was_asked_for() -> Result<()> {
    let Some((server, concierge)) = start(&[]).await? else { return Ok(()) };
    let script = "CREATE TABLE t (id INT); INSERT INTO t VALUES (1)";
    ask(&concierge, "app", &json!({"connectionLimit": 3, "readOnlyUser": true, "initSql": {"inline": script}})).await?;
    ready(concierge.apps(), "app").await?;
    let reader = creds(&concierge, "app-creds-ro").await?;
    let mut session = server.session(&reader["username"], &reader["password"], "app").await?;
    ensure!(session.query_first::<i64, _>("SELECT id FROM t").await? == Some(1), "the script was not run");
    ensure!(session.query_drop("INSERT INTO t VALUES (2)").await.is_err(), "the read-only user may write");
    let held = "SELECT COUNT(*) FROM mysql.user WHERE user IN ('app_app', 'app_ro') AND max_user_connections = 3";
    assert_eq!(count(&server, held).await?, Some(2));

    server
        .run(&[
            "GRANT BACKUP_ADMIN, PROCESS ON *.* TO app_app",
            "GRANT INSERT ON app.* TO app_ro",
            "ALTER USER app_ro REQUIRE X509 WITH MAX_USER_CONNECTIONS 0",
        ])
        .await?;
    turns(&concierge, "app", "Drift", "Repaired").await?;
    again(&concierge, "app", "everything").await?;
    let left = "SELECT (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES
                   WHERE GRANTEE LIKE '\\'app\\_%' AND PRIVILEGE_TYPE <> 'USAGE')
                + (SELECT COUNT(*) FROM mysql.db WHERE user = 'app_ro' AND Insert_priv = 'Y')
                + (SELECT COUNT(*) FROM mysql.user WHERE user = 'app_ro' AND ssl_type <> '')";
    assert_eq!(count(&server, left).await?, Some(0), "something that was added stays");
    assert_eq!(count(&server, held).await?, Some(2));

    server.run(&["CREATE ROLE theirs", "GRANT theirs TO app_app"]).await?;
    assert!(turns(&concierge, "app", "Drift", "ExcessRights").await?.message.contains("a role"));
    assert_eq!(condition(&ready(concierge.apps(), "app").await?, "Ready")?.status, "True");
    server.run(&["REVOKE theirs FROM app_app"]).await?;
    turns(&concierge, "app", "Drift", "InSync").await?;

    concierge.apps().delete::<AppDatabase>("app").await?;
    assert_eq!(count(&server, "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'app\\_%'").await?, Some(0));
    let rows = "SELECT (SELECT COUNT(*) FROM db_concierge.ownership) + (SELECT COUNT(*) FROM db_concierge.scripts)";
    assert_eq!(count(&server, rows).await?, Some(0), "the records of a dropped database stay");
    concierge.finish(&[reader["password"].clone()]).await.map(drop)
}

#[tokio::test]
async fn a_role_is_taken_away_by_an_administrator_of_roles() -> Result<()> {
    let Some((server, concierge)) = start(&["GRANT ROLE_ADMIN ON *.* TO concierge_admin"]).await? else {
        return Ok(());
    };
    ask(&concierge, "app", &json!({})).await?;
    ready(concierge.apps(), "app").await?;
    server.run(&["CREATE ROLE theirs", "GRANT theirs TO app_app"]).await?;
    turns(&concierge, "app", "Drift", "Repaired").await?;
    assert_eq!(count(&server, "SELECT COUNT(*) FROM mysql.role_edges WHERE TO_USER = 'app_app'").await?, Some(0));
    concierge.finish(&[]).await.map(drop)
}
