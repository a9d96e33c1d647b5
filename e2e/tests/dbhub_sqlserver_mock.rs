//! DBHub over SQL Server, against a MOCK of the server beside the cluster's real ones: none can be had here. What can be
//! told from it is that a write under a read-only policy never reaches the server.

use anyhow::{Result, ensure};
use e2e::cluster::layout::SERVERS_ADDRESS;
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::Bed;
use e2e::testing::hub::connected;
use e2e::testing::manifests::{database, instance, opaque_secret};
use serde_json::json;
use sqlserver_mock::{Login, Mock, Reply, Script, Value, done, table};
use tokio::net::TcpListener;

const WRITES: [&str; 4] = [
    "DELETE FROM items",
    "SELECT 1; DELETE FROM items",
    "MERGE INTO items USING other ON 1 = 1 WHEN MATCHED THEN DELETE",
    "EXEC sp_executesql N'DELETE FROM items'",
];

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// What db-probe asks of a reader, and DBHub's settings for its session.
fn answer(_: &Login, batch: &str) -> Reply {
    let right = |name: &str| vec![text("database"), text(name), text(""), text(""), text(""), Value::Number(1)];
    let rows = match batch {
        _ if batch.contains("ProductVersion") => vec![vec![text("16.0.4135.4")]],
        _ if batch.contains("dm_exec_sessions") || batch.contains("N'SERVER'") => vec![],
        _ if batch.contains("N'DATABASE'") => vec![right("CONNECT"), right("SELECT")],
        _ => return Reply::Tokens(done(0)),
    };
    Reply::Tokens(table(&rows))
}

#[tokio::test]
async fn a_write_never_reaches_the_mock_of_a_server() -> Result<()> {
    let mut bed = Bed::new("hub-mssql").await?;
    let Some(cluster) = bed.harness().cluster() else {
        println!("skipped: only in the throw-away cluster can a mock listen beside the servers");
        return Ok(());
    };
    let listener = TcpListener::from_std(cluster.listen()?)?;
    let mock = Mock::serve(listener, Script { batch: Box::new(answer), ..Script::open() })?;
    let password = bed.canary();
    bed.apply(&opaque_secret("mssql", &json!({"username": "reader", "password": password}))).await?;
    let spec = json!({"type": "sqlserver", "host": SERVERS_ADDRESS, "port": mock.port(), "database": "orders",
                      "sslMode": "disable", "credentialsRef": {"name": "mssql"}});
    bed.apply(&database("mssql", &spec, &json!({}))).await?;
    connected(&bed, "mssql").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mssql"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    for sql in WRITES {
        let answer = agent.say(&["call", "execute_sql", &json!({"sql": sql}).to_string()]).await?;
        ensure!(answer.code == Some(1) && answer.stdout.contains("READONLY"), "{sql}: {answer:?}");
    }
    let seen = mock.seen();
    ensure!(seen.logins.iter().any(|login| login.application == "db-probe"), "db-probe never came");
    let reached = |batch: &&String| batch.contains("items");
    assert_eq!(seen.batches.iter().find(reached), None);
    bed.finish().await
}
