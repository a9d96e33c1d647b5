//! Who gets in and what they may do: no stranger sees a page, and under a read-only policy no engine takes a write,
//! whatever the login could do.

use anyhow::{Result, ensure};
use api_types::DBHubInstance;
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::{Area, Bed, Login};
use e2e::testing::http;
use e2e::testing::hub::{
    SELECT, condition, connected, in_memory, items, message, of_mysql, of_postgres, server, small_hub,
};
use e2e::testing::manifests::{instance, secret};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

/// Three servers with a login each, and SQLite in memory.
const NAMES: [&str; 4] = ["maria", "mem", "my8", "pg"];

/// What an agent might try. The first is a plain write, the others hide it.
fn writes(name: &str) -> [&'static str; 4] {
    match name {
        "pg" => [
            "DELETE FROM items",
            "WITH gone AS (DELETE FROM items RETURNING *) SELECT * FROM gone",
            "SELECT 1; DELETE FROM items",
            "EXPLAIN ANALYZE DELETE FROM items",
        ],
        "mem" => [
            "CREATE TABLE items (id INT)",
            "SELECT 1; CREATE TABLE items (id INT)",
            "ATTACH DATABASE '/tmp/x.db' AS x",
            "PRAGMA user_version = 7",
        ],
        _ => [
            "DELETE FROM items",
            "SELECT 1; DELETE FROM items",
            "SELECT * FROM items INTO OUTFILE '/tmp/e2e'",
            "SELECT 1 /*! ; DELETE FROM items */",
        ],
    }
}

/// No write is taken, and nothing was written whatever was said.
async fn cannot_write(agent: &Agent) -> Result<()> {
    for name in NAMES {
        let tool = format!("execute_sql_{name}");
        for (number, sql) in writes(name).into_iter().enumerate() {
            let answer = agent.say(&["call", &tool, &json!({"sql": sql}).to_string()]).await?;
            let refused = answer.code == Some(1) && answer.stdout.contains("READONLY");
            ensure!(number > 0 || refused, "{name}: {sql}: {answer:?}");
        }
        let (sql, expected) = match name {
            "mem" => ("SELECT name FROM sqlite_master", json!([])),
            _ => (SELECT, items()),
        };
        assert_eq!(agent.rows(&tool, sql).await?, expected, "{name} was written");
    }
    Ok(())
}

/// Waits until the instance says this about its logins, and gives the message.
async fn least_privilege(area: &Area, expected: &str) -> Result<String> {
    let is_it = |hub: &DBHubInstance| condition(hub, "LeastPrivilege").as_deref() == Some(expected);
    let hub = area.wait_for("hub", &format!("LeastPrivilege {expected}"), is_it).await?;
    Ok(message(&hub, "LeastPrivilege").unwrap_or_default())
}

/// Gives or takes the right to write on every server, and has the rights looked at.
async fn rights(bed: &Bed, logins: &[Login; 3], writes: bool) -> Result<()> {
    let [maria, my8, pg] = logins;
    let (verb, word) = if writes { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
    let on = |login: &Login| format!("{verb} INSERT, DELETE, CREATE ON {}.* {word} {}@'%'", login.database, login.user);
    bed.mariadb_admin(&on(maria)).await?;
    bed.mysql8_admin(&on(my8)).await?;
    let admin = bed.harness().servers().postgres_admin(&pg.database).await?;
    admin.batch_execute(&format!("{verb} INSERT, DELETE ON items {word} {}", pg.user)).await?;
    for name in ["maria", "my8", "pg"] {
        bed.kubectl(&["annotate", "--overwrite", "database", name, &format!("reconcile={writes}")]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_engine_takes_a_write_under_a_read_only_policy() -> Result<()> {
    let mut bed = Bed::new("hub-readonly").await?;
    let logins = [bed.mariadb_login().await?, bed.mysql8_login().await?, bed.postgres_login().await?];
    let port = e2e::servers::mysql8::PORT;
    let my8 = json!({"type": "mysql", "host": "orders-mysql8.acme.internal", "port": port, "sslMode": "require"});
    for (name, login, database) in [
        ("maria", &logins[0], of_mysql("maria", &logins[0])),
        ("my8", &logins[1], server("my8", &logins[1], &my8)),
        ("pg", &logins[2], of_postgres("pg", &logins[2])),
    ] {
        bed.apply(&secret(name, login)).await?;
        bed.apply(&database).await?;
        connected(&bed, name).await?;
    }
    bed.apply(&in_memory("mem")).await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &NAMES).await?;
    let agent = Agent::of(&bed, "hub").await?;
    least_privilege(&bed, "True").await?;
    cannot_write(&agent).await?;

    rights(&bed, &logins, true).await?;
    let all = |hub: &DBHubInstance| {
        message(hub, "LeastPrivilege").is_some_and(|text| ["maria", "my8", "pg"].iter().all(|name| text.contains(name)))
    };
    bed.wait_for("hub", "three logins that can write", all).await?;
    let told = least_privilege(&bed, "False").await?;
    ensure!(!told.contains("mem"), "{told}");
    cannot_write(&agent).await?;
    rights(&bed, &logins, false).await?;
    least_privilege(&bed, "True").await?;
    bed.finish().await
}

#[tokio::test]
async fn without_the_token_only_the_health_page_is_shown() -> Result<()> {
    let bed = Bed::new("hub-pages").await?;
    small_hub(&bed, &json!({})).await?;
    let forward = bed.harness().forward(bed.name(), "service/hub", 8080).await?;
    let open = async |paths: &[&str]| -> Result<Vec<u16>> {
        let mut statuses = Vec::new();
        for path in paths {
            statuses.push(http::get(forward.port, path).await?.0);
        }
        Ok(statuses)
    };
    let pages = ["/", "/index.html", "/mcp", "/api/sources", "/api/sources/mem", "/api/requests", "/health", "/none"];
    assert_eq!(open(&pages).await?, [401; 8]);
    assert_eq!(open(&["/healthz"]).await?, [200]);
    bed.finish().await
}

#[tokio::test]
async fn only_the_services_own_names_and_those_of_the_instance_are_answered() -> Result<()> {
    let bed = Bed::new("hub-hosts").await?;
    small_hub(&bed, &json!({"allowedHosts": ["mcp.acme.example"]})).await?;
    let forward = bed.harness().forward(bed.name(), "service/hub", 8080).await?;
    let service = format!("hub.{}", bed.name());
    for (host, status) in [
        ("mcp.acme.example", 200),
        ("hub:8080", 200),
        (&service, 200),
        (&format!("{service}.svc"), 200),
        (&format!("{service}.svc.cluster.local:8080"), 200),
        ("acme.example", 403),
        ("hub.acme.example", 403),
    ] {
        assert_eq!(http::get_of(forward.port, host, "/healthz").await?.0, status, "{host}");
    }
    bed.finish().await
}

#[tokio::test]
async fn without_authentication_every_page_is_open_and_there_is_no_token() -> Result<()> {
    let bed = Bed::new("hub-open").await?;
    small_hub(&bed, &json!({"auth": {"mode": "none"}})).await?;
    let forward = bed.harness().forward(bed.name(), "service/hub", 8080).await?;
    for page in ["/", "/api/sources", "/api/requests"] {
        assert_eq!(http::get(forward.port, page).await?.0, 200, "{page}");
    }
    ensure!(bed.get::<Secret>("hub-token").await.is_err(), "a token was made that nobody asks for");
    let agent = Agent::with_secret(&bed, "hub", "hub-creds").await?;
    ensure!(agent.say_without_token(&["list"]).await?.success, "tools/list failed");
    // From then on nobody is let in without one.
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    ensure!(!agent.say_without_token(&["list"]).await?.success, "a stranger was let in");
    bed.finish().await
}
