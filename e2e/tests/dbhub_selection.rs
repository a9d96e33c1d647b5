//! A Database that comes, goes, changes its labels or fails reaches every instance that selects it, and no other. One bad
//! database never hurts another.

use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::InstancePhase::Degraded;
use api_types::{DBHubInstance, Database, DatabaseState};
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::{Area, Bed, HOME, ready_reason};
use e2e::testing::hub::{
    SELECT, connected, generation, in_memory, items, mysql_database, of_mysql, restarts, rolled, server, stuck,
};
use e2e::testing::manifests::{database, instance, secret};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);

/// What the instance says about one Database: its state and the reason.
fn entry(hub: &DBHubInstance, name: &str) -> Option<(DatabaseState, Option<String>)> {
    let entry = hub.status.as_ref()?.databases.iter().find(|entry| entry.name == name)?;
    Some((entry.state, entry.reason.clone()))
}

#[tokio::test]
async fn one_bad_database_never_hurts_another() -> Result<()> {
    let mut bed = Bed::new("hub-bad").await?;
    mysql_database(&mut bed, "good").await?;
    let poor = mysql_database(&mut bed, "poor").await?;
    let sick = mysql_database(&mut bed, "sick").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["good", "poor", "sick"]).await?;
    let (agent, before) = (Agent::of(&bed, "hub").await?, generation(&bed).await?);

    let troubles = async {
        // Down, with the spec as it was: nothing rolls.
        bed.mariadb_admin(&format!("DROP USER {}", sick.user)).await?;
        bed.kubectl(&["annotate", "database", "sick", "reconcile=now"]).await?;
        stuck(&bed, Degraded, "DatabasesDown").await?;
        assert_eq!(generation(&bed).await?, before, "a database that is down rolled the pods");
        // Invalid: it was never served, so nothing rolls.
        bed.apply(&database(
            "bad",
            &json!({"type": "mysql", "host": "fd00::1", "database": "x",
                                           "credentialsRef": {"name": "good"}}),
            &json!({}),
        ))
        .await?;
        let message = stuck(&bed, Degraded, "DatabasesLeftOut").await?;
        assert!(message.contains("bad: "), "{message}");
        assert_eq!(generation(&bed).await?, before, "a database that cannot be served rolled the pods");
        // Without its Secret, and unreachable.
        bed.delete::<Secret>("poor").await?;
        let closed = json!({"type": "mysql", "host": "users-mysql.acme.internal", "port": 9});
        bed.apply(&server("sick", &sick, &closed)).await?;
        let told = |hub: &DBHubInstance| {
            entry(hub, "poor") == Some((DatabaseState::LeftOut, Some("SecretNotFound".to_owned())))
                && entry(hub, "sick").is_some_and(|(state, why)| state == DatabaseState::Down && why.is_some())
        };
        let hub = bed.wait_for("hub", "one left out and one down", told).await?;
        assert_eq!(hub.status.unwrap_or_default().connected_databases, ["good"]);
        // All is well again.
        bed.delete::<Database>("bad").await?;
        bed.delete::<Database>("sick").await?;
        bed.apply(&secret("poor", &poor)).await?;
        rolled(&bed, before + 3, &["good", "poor"]).await
    };
    agent.asks_during(("execute_sql_good", SELECT), &items(), troubles).await?;
    assert_eq!(restarts(&bed).await?, 0);
    assert_eq!(agent.rows("execute_sql_poor", SELECT).await?, items());
    bed.finish().await
}

/// Waits until an instance runs over exactly these databases.
async fn serves(area: &Area, name: &str, databases: &[&str]) -> Result<()> {
    let is_it = |hub: &DBHubInstance| {
        hub.status.as_ref().is_some_and(|status| {
            ready_reason(hub).as_deref() == Some("Running") && status.connected_databases == databases
        })
    };
    area.wait_for(name, &format!("Running with {databases:?}"), is_it).await.map(drop)
}

/// What tells of any change of an instance or its Deployment.
async fn versions(area: &Area, name: &str) -> Result<[Option<String>; 2]> {
    let (hub, pods) = (area.get::<DBHubInstance>(name).await?, area.get::<Deployment>(name).await?);
    Ok([hub.resource_version(), pods.resource_version()])
}

#[tokio::test]
async fn a_database_reaches_those_who_select_it_and_no_other() -> Result<()> {
    let mut bed = Bed::new("hub-select").await?;
    let labelled = |name: &str, tier: &str| {
        let mut database = in_memory(name);
        database["metadata"]["labels"] = json!({"tier": tier});
        database
    };
    bed.apply(&labelled("a", "gold")).await?;
    bed.apply(&labelled("z", "tin")).await?;
    connected(&bed, "a").await?;
    connected(&bed, "z").await?;
    let precious = json!([{"key": "tier", "operator": "In", "values": ["gold", "silver"]},
                          {"key": "hidden", "operator": "DoesNotExist"}]);
    let common = json!([{"key": "tier", "operator": "NotIn", "values": ["gold", "silver"]}]);
    for (name, selector) in [
        ("precious", json!({"matchExpressions": precious})),
        ("common", json!({"matchExpressions": common})),
        ("gold", json!({"matchLabels": {"tier": "gold"}})),
    ] {
        bed.apply(&instance(name, &json!({"databaseSelector": selector}))).await?;
    }
    serves(&bed, "common", &["z"]).await?;
    serves(&bed, "gold", &["a"]).await?;
    serves(&bed, "precious", &["a"]).await?;

    // It comes.
    let (common, gold) = (versions(&bed, "common").await?, versions(&bed, "gold").await?);
    let login = bed.mariadb_login().await?;
    bed.apply(&secret("b", &login)).await?;
    let with_tier = |tier: &str| {
        let mut database = of_mysql("b", &login);
        database["metadata"]["labels"] = json!({"tier": tier});
        database
    };
    bed.apply(&with_tier("silver")).await?;
    serves(&bed, "precious", &["a", "b"]).await?;
    // It fails.
    bed.mariadb_admin(&format!("DROP USER {}", login.user)).await?;
    bed.kubectl(&["annotate", "database", "b", "reconcile=now"]).await?;
    let down = |hub: &DBHubInstance| entry(hub, "b").is_some_and(|(state, _)| state == DatabaseState::Down);
    bed.wait_for("precious", "b down", down).await?;
    assert_eq!((versions(&bed, "common").await?, versions(&bed, "gold").await?), (common, gold.clone()));
    // It changes its labels: one instance loses it, another gets it.
    bed.apply(&with_tier("tin")).await?;
    serves(&bed, "precious", &["a"]).await?;
    bed.wait_for("common", "b down", down).await?;
    // It goes.
    bed.delete::<Database>("b").await?;
    serves(&bed, "common", &["z"]).await?;
    assert_eq!(versions(&bed, "gold").await?, gold);
    bed.finish().await
}

#[tokio::test]
async fn a_namespace_that_is_deleted_ends_in_peace() -> Result<()> {
    let mut bed = Bed::new("hub-end").await?;
    let other = bed.other_namespace("going").await?;
    other.apply(&in_memory("mem")).await?;
    other.apply(&instance("hub", &json!({}))).await?;
    running(&other, &["mem"]).await?;
    let namespaces: Api<Namespace> = Api::all(bed.harness().client.clone());
    namespaces.delete(other.name(), &DeleteParams::default()).await?;
    e2e::testing::wait_until_gone(&namespaces, other.name(), DEADLINE).await?;
    let label = "app.kubernetes.io/name=dbhub-operator";
    let log = bed.harness().kubectl.run(&["logs", "-n", HOME, "-l", label, "--tail=-1"]).await?;
    let complaints: Vec<_> = log.lines().filter(|line| line.contains(other.name()) && line.contains("WARN")).collect();
    ensure!(complaints.len() <= 3, "it did not take the end well:\n{}", complaints.join("\n"));
    bed.finish().await
}
