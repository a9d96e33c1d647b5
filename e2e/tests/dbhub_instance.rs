//! `DBHubInstance` with the real DBHub: what its status promises is what an agent gets through the Service, and it
//! comes back by itself from whatever is done to it.

use anyhow::{Context, Result, ensure};
use api_types::{DBHubInstance, DatabaseState, InstancePhase};
use e2e::testing::agent::{Agent, refusal, running};
use e2e::testing::bed::{Area, Bed, Login};
use e2e::testing::hub::{
    SELECT, connected, generation, items, message, mysql_database, of_postgres, pod, rolled, stuck, templates,
};
use e2e::testing::manifests::{config_map, instance, opaque_secret, secret};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

#[tokio::test]
async fn two_databases_are_served_to_those_who_have_the_token() -> Result<()> {
    let mut bed = Bed::new("hub-two").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("orders", &login)).await?;
    bed.apply(&of_postgres("orders", &login)).await?;
    connected(&bed, "orders").await?;
    mysql_database(&mut bed, "users-eu").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    let status = running(&bed, &["orders", "users-eu"]).await?;
    assert_eq!(status.endpoint, Some(format!("hub.{}.svc:8080", bed.name())));
    let tools: Vec<_> = status.databases.iter().flat_map(|entry| entry.tools.clone()).collect();
    let expected = ["execute_sql_orders", "search_objects_orders", "execute_sql_users_eu", "search_objects_users_eu"];
    assert_eq!(tools, expected);

    let agent = Agent::of(&bed, "hub").await?;
    ensure!(agent.say(&["initialize"]).await?.success, "initialize failed");
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(agent.tools().await?, sorted);
    for tool in ["execute_sql_orders", "execute_sql_users_eu"] {
        assert_eq!(agent.rows(tool, SELECT).await?, items());
        let refusal = agent.refusal(tool, "DELETE FROM items").await?;
        assert!(refusal.contains("READONLY"), "{refusal}");
        assert_eq!(agent.rows(tool, SELECT).await?, items());
    }
    strangers_are_refused(&mut bed, &agent).await?;
    bed.expect_quiet::<DBHubInstance>("hub").await?;
    bed.expect_quiet::<Deployment>("hub").await?;
    bed.finish().await
}

async fn strangers_are_refused(bed: &mut Bed, agent: &Agent) -> Result<()> {
    let token = bed.get::<Secret>("hub-token").await?.data.unwrap_or_default();
    bed.guard(std::str::from_utf8(&token["token"].0)?);
    let wrong = bed.canary();
    bed.apply(&opaque_secret("wrong", &json!({"token": wrong}))).await?;
    let stranger = Agent::with_secret(bed, "hub", "wrong").await?;
    for answer in [agent.say_without_token(&["list"]).await?, stranger.say(&["list"]).await?] {
        let refusal = refusal(answer)?;
        assert!(refusal.contains("401"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_login_rolls_the_pods_without_a_failed_call() -> Result<()> {
    let mut bed = Bed::new("hub-roll").await?;
    let first = mysql_database(&mut bed, "items").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    let status = running(&bed, &["items"]).await?;
    // With one database only, DBHub's tools have no suffix.
    assert_eq!(status.databases[0].tools, ["execute_sql", "search_objects"]);
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.tools().await?, ["execute_sql", "search_objects"]);
    let user = |login: &Login| json!([{"user": format!("{}@%", login.user)}]);
    let who = "SELECT CURRENT_USER() AS user";
    assert_eq!(agent.rows("execute_sql", who).await?, user(&first));

    let before = generation(&bed).await?;
    let second = Login { database: first.database.clone(), ..bed.mariadb_login().await? };
    bed.mariadb_admin(&format!("GRANT SELECT ON {}.* TO '{}'@'%'", second.database, second.user)).await?;
    let change = async {
        bed.apply(&secret("items", &second)).await?;
        rolled(&bed, before + 1, &["items"]).await
    };
    agent.asks_during(("execute_sql", SELECT), &items(), change).await?;
    // It runs: no pod with the first login is asked any longer.
    assert_eq!(agent.rows("execute_sql", who).await?, user(&second));
    assert_eq!((generation(&bed).await?, templates(&bed).await?), (before + 1, 2));
    bed.finish().await
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for() -> Result<()> {
    let mut bed = Bed::new("hub-later").await?;
    bed.apply(&instance("hub", &json!({"databaseSelector": {"matchNames": ["good", "late"]}}))).await?;
    stuck(&bed, InstancePhase::Pending, "NoDatabases").await?;
    ensure!(bed.get::<Deployment>("hub").await.is_err(), "pods were started for no database");
    mysql_database(&mut bed, "good").await?;
    mysql_database(&mut bed, "not-selected").await?;
    running(&bed, &["good"]).await?;

    let login = bed.postgres_login().await?;
    bed.apply(&of_postgres("late", &login)).await?;
    let message = stuck(&bed, InstancePhase::Degraded, "DatabasesLeftOut").await?;
    assert!(message.contains("late") && message.contains("Secret"), "{message}");
    let status = bed.get::<DBHubInstance>("hub").await?.status.unwrap_or_default();
    let late = status.databases.iter().find(|entry| entry.name == "late").context("late is not listed")?;
    assert_eq!((late.state, late.reason.as_deref()), (DatabaseState::LeftOut, Some("SecretNotFound")));
    assert_eq!(status.connected_databases, ["good"]);
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.rows("execute_sql", SELECT).await?, items());

    bed.apply(&secret("late", &login)).await?;
    running(&bed, &["good", "late"]).await?;
    assert_eq!(agent.rows("execute_sql_late", SELECT).await?, items());
    assert_eq!(agent.rows("execute_sql_good", SELECT).await?, items());
    bed.finish().await
}

#[tokio::test]
async fn a_transport_that_dbhub_lost_changes_nothing_that_runs() -> Result<()> {
    let mut bed = Bed::new("hub-sse").await?;
    mysql_database(&mut bed, "items").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["items"]).await?;
    let old_pod = pod(&bed).await?;
    bed.apply(&instance("hub", &json!({"transport": "sse"}))).await?;
    let message = stuck(&bed, InstancePhase::Failed, "UnsupportedTransport").await?;
    assert!(message.contains("http"), "{message}");
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.rows("execute_sql", SELECT).await?, items());
    bed.apply(&instance("hub", &json!({"transport": "http"}))).await?;
    running(&bed, &["items"]).await?;
    assert_eq!(pod(&bed).await?, old_pod);
    bed.finish().await
}

#[tokio::test]
async fn foreign_objects_of_its_names_are_never_touched() -> Result<()> {
    let mut bed = Bed::new("hub-foreign").await?;
    mysql_database(&mut bed, "items").await?;
    let ports = json!([{"port": 80}]);
    bed.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}, "spec": {"ports": ports}}))
        .await?;
    bed.apply(&config_map("hub-config", "mine", "and nobody else's")).await?;
    let before = (bed.get::<Service>("hub").await?, bed.get::<ConfigMap>("hub-config").await?);
    bed.apply(&instance("hub", &json!({}))).await?;
    conflicts_with(&bed, "ConfigMap hub-config").await?;
    ensure!(bed.get::<Deployment>("hub").await.is_err(), "pods were started beside foreign objects");
    let after = (bed.get::<Service>("hub").await?, bed.get::<ConfigMap>("hub-config").await?);
    assert_eq!(after, before);

    bed.delete::<ConfigMap>("hub-config").await?;
    bed.kubectl(&["annotate", "dbhubinstance", "hub", "reconcile=now"]).await?;
    conflicts_with(&bed, "Service hub").await?;
    assert_eq!(bed.get::<Service>("hub").await?, after.0);
    bed.delete::<Service>("hub").await?;
    running(&bed, &["items"]).await?;
    bed.finish().await
}

/// Waits until the instance `hub` complains about this object.
async fn conflicts_with(bed: &Area, object: &str) -> Result<()> {
    let complains = |hub: &DBHubInstance| message(hub, "Ready").is_some_and(|message| message.contains(object));
    bed.wait_for("hub", object, complains).await?;
    stuck(bed, InstancePhase::Failed, "NameConflict").await.map(drop)
}

#[tokio::test]
async fn what_is_changed_by_hand_is_repaired_and_all_goes_with_the_instance() -> Result<()> {
    let mut bed = Bed::new("hub-repair").await?;
    mysql_database(&mut bed, "items").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["items"]).await?;

    let before = toml(&bed.get("hub-config").await?);
    ensure!(before.as_ref().is_some_and(|text| text.contains("[[sources]]")), "no configuration: {before:?}");
    bed.kubectl(&["patch", "configmap", "hub-config", "-p", r#"{"data": {"dbhub.toml": "", "more": "x"}}"#]).await?;
    bed.wait_for("hub-config", "its own text again", |found: &ConfigMap| toml(found) == before).await?;
    bed.kubectl(&["scale", "deployment", "hub", "--replicas=3"]).await?;
    bed.wait_for("hub", "one replica again", |found: &Deployment| replicas(found) == Some(1)).await?;

    bed.kubectl(&["scale", "dbhubinstance", "hub", "--replicas=2"]).await?;
    running(&bed, &["items"]).await?;
    let scale = bed.kubectl(&["get", "dbhubinstance", "hub", "--subresource=scale", "-o", "json"]).await?;
    let scale: Value = serde_json::from_str(&scale)?;
    assert_eq!((&scale["status"]["replicas"], &scale["status"]["selector"]), (&json!(2), &json!("app=hub")));
    bed.get::<PodDisruptionBudget>("hub").await?;

    bed.delete::<DBHubInstance>("hub").await?;
    bed.wait_until_gone::<Deployment>("hub").await?;
    bed.wait_until_gone::<Service>("hub").await?;
    bed.wait_until_gone::<ConfigMap>("hub-config").await?;
    bed.wait_until_gone::<Secret>("hub-creds").await?;
    bed.wait_until_gone::<Secret>("hub-token").await?;
    bed.wait_until_gone::<ServiceAccount>("hub").await?;
    bed.wait_until_gone::<NetworkPolicy>("hub").await?;
    bed.wait_until_gone::<PodDisruptionBudget>("hub").await?;
    bed.get::<Secret>("items").await?;
    bed.finish().await
}

fn toml(config: &ConfigMap) -> Option<String> {
    config.data.as_ref()?.get("dbhub.toml").cloned()
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_admission() -> Result<()> {
    let bed = Bed::new("hub-admission").await?;
    for (spec, field) in [
        (json!({"port": 0}), "spec.port"),
        (json!({"port": 65_536}), "spec.port"),
        (json!({"replicas": 0}), "spec.replicas"),
        (json!({"transport": "carrier-pigeon"}), "spec.transport"),
        (json!({"image": ""}), "spec.image"),
        (json!({"resources": {"limits": {"memory": "much"}}}), "spec.resources.limits.memory"),
        (json!({"auth": {"mode": "none", "tokenSecretRef": {"name": "x"}}}), "spec.auth.tokenSecretRef"),
        (json!({"allowedHosts": ["a b"]}), "spec.allowedHosts"),
        (json!({"defaultPolicy": {"maxRows": 0}}), "spec.defaultPolicy.maxRows"),
        (json!({"defaultPolicy": {"allowedOperations": ["drop_table"]}}), "spec.defaultPolicy.allowedOperations"),
    ] {
        let refusal = bed.refused(&instance("hub", &spec)).await?;
        assert!(refusal.contains(field), "{spec}: {refusal}");
    }
    bed.finish().await
}
