//! An operator that starts anew finds everything in place. Alone in its file: cargo runs one test file after the other,
//! so that no other test is under way while nobody leads.

use std::time::Duration;

use anyhow::{Context, Result};
use api_types::DBHubInstance;
use e2e::testing::agent::Agent;
use e2e::testing::bed::{Area, Bed, Kind};
use e2e::testing::hub::{LAST_HANDSHAKE, SELECT, figures, items, mysql_database, templates};
use e2e::testing::manifests::instance;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(90);

async fn version<K: Kind>(area: &Area, name: &str) -> Result<String> {
    let version = area.get::<K>(name).await?.resource_version();
    Ok(format!("{} {name} {}", K::kind(&()), version.context("no version")?))
}

/// Versions of the instance and of all that it owns.
async fn versions(area: &Area) -> Result<Vec<String>> {
    Ok(vec![
        version::<DBHubInstance>(area, "hub").await?,
        version::<ServiceAccount>(area, "hub").await?,
        version::<ConfigMap>(area, "hub-config").await?,
        version::<Secret>(area, "hub-creds").await?,
        version::<Secret>(area, "hub-token").await?,
        version::<NetworkPolicy>(area, "hub").await?,
        version::<Service>(area, "hub").await?,
        version::<PodDisruptionBudget>(area, "hub").await?,
        version::<Deployment>(area, "hub").await?,
    ])
}

/// Waits until the operator has shaken hands with the instance, which is the last thing that it does for one.
async fn shaken_hands(area: &Area) -> Result<()> {
    let looked = async {
        // Nothing listens while no operator leads, and nothing tells of a handshake but its figure.
        while !figures(area).await.is_ok_and(|figures| figures.iter().any(|(name, _)| name == LAST_HANDSHAKE)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, looked).await.context("no handshake by the new operator")
}

#[tokio::test]
async fn an_operator_that_starts_anew_writes_nothing_and_stops_no_call() -> Result<()> {
    let mut bed = Bed::new("hub-anew").await?;
    mysql_database(&mut bed, "items").await?;
    bed.apply(&instance("hub", &json!({"replicas": 2}))).await?;
    e2e::testing::agent::running(&bed, &["items"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let before = versions(&bed).await?;
    let restart = async {
        let label = "app.kubernetes.io/name=dbhub-operator";
        bed.home().kubectl(&["delete", "pod", "-l", label, "--wait=true"]).await?;
        shaken_hands(&bed).await
    };
    agent.asks_during(("execute_sql", SELECT), &items(), restart).await?;
    bed.expect_quiet::<Deployment>("hub").await?;
    assert_eq!(versions(&bed).await?, before);
    assert_eq!(templates(&bed).await?, 1);
    bed.finish().await
}
