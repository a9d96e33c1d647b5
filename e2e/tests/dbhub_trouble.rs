//! What keeps a `DBHubInstance` from serving is told with a reason, a message that says what to do, and an Event; what
//! ran before runs on, and it recovers by itself.

use anyhow::{Result, ensure};
use api_types::DBHubInstance;
use api_types::InstancePhase::{Degraded, Failed};
use e2e::images::CLIENT_IMAGE;
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::{Bed, ready_reason};
use e2e::testing::hub::{condition, in_memory, message, small_hub, stuck};
use e2e::testing::manifests::instance;
use e2e::testing::wall::{From, Wall};
use k8s_openapi::api::core::v1::{ResourceQuota, Service};
use serde_json::{Value, json};

const ONE: (&str, &str) = ("execute_sql", "SELECT 1 AS one");

fn one() -> Value {
    json!([{"one": 1}])
}

/// An instance over one Database in memory, with this spec.
async fn apply(bed: &Bed, spec: &Value) -> Result<()> {
    bed.apply(&in_memory("mem")).await?;
    bed.apply(&instance("hub", spec)).await
}

#[tokio::test]
async fn an_image_that_cannot_be_had_stops_nothing_that_runs() -> Result<()> {
    let bed = Bed::new("hub-image").await?;
    let missing = json!({"image": "localhost/none:1", "imagePullPolicy": "Never"});
    apply(&bed, &missing).await?;
    let message = stuck(&bed, Failed, "ImagePullFailed").await?;
    assert!(message.contains("localhost/none:1") && message.contains("spec.image"), "{message}");
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;

    let agent = Agent::of(&bed, "hub").await?;
    let fails = async {
        bed.apply(&instance("hub", &missing)).await?;
        stuck(&bed, Degraded, "ImagePullFailed").await
    };
    agent.asks_during(ONE, &one(), fails).await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_crash_is_told_by_what_the_program_said_last() -> Result<()> {
    let bed = Bed::new("hub-crash").await?;
    apply(&bed, &json!({"image": CLIENT_IMAGE, "imagePullPolicy": "Never"})).await?;
    let message = stuck(&bed, Failed, "CrashLoop").await?;
    assert!(message.contains("code 2") && message.contains("does not know DBHub's arguments"), "{message}");
    assert!(!message.contains("--config"), "it quotes the log: {message}");

    bed.apply(&instance("hub", &json!({"resources": {"limits": {"memory": "40Mi"}}}))).await?;
    let message = stuck(&bed, Failed, "OutOfMemory").await?;
    assert!(message.contains("spec.resources.limits.memory"), "{message}");
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_port_that_dbhub_cannot_have_is_told() -> Result<()> {
    let bed = Bed::new("hub-port").await?;
    if bed.harness().cluster().is_none() {
        println!("skipped: another cluster may give every port to every user");
        return bed.finish().await;
    }
    apply(&bed, &json!({"port": 80})).await?;
    let message = stuck(&bed, Failed, "CrashLoop").await?;
    assert!(message.contains("code 1: it cannot listen on spec.port"), "{message}");
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn pods_that_find_no_place_wait_for_one() -> Result<()> {
    let bed = Bed::new("hub-place").await?;
    // Nothing in a pod needs more than this allows.
    bed.harness()
        .kubectl
        .run(&["label", "namespace", bed.name(), "pod-security.kubernetes.io/enforce=restricted"])
        .await?;
    apply(&bed, &json!({"resources": {"requests": {"cpu": "9000"}}})).await?;
    let message = stuck(&bed, Failed, "Unschedulable").await?;
    assert!(message.contains("cpu") && message.contains("spec.resources.requests"), "{message}");
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

/// Lets the namespace have so many of a resource, and waits until that is in force.
async fn limit(bed: &Bed, resource: &str, most: &str) -> Result<()> {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
                       "spec": {"hard": {resource: most}}});
    bed.apply(&quota).await?;
    let in_force = |quota: &ResourceQuota| {
        let hard = quota.status.as_ref().and_then(|status| status.hard.as_ref());
        hard.and_then(|hard| hard.get(resource)).is_some_and(|quantity| quantity.0 == most)
    };
    bed.wait_for("few", &format!("{most} {resource}"), in_force).await.map(drop)
}

#[tokio::test]
async fn a_quota_is_named_until_it_lets_the_pods_in() -> Result<()> {
    let bed = Bed::new("hub-quota").await?;
    limit(&bed, "pods", "0").await?;
    apply(&bed, &json!({})).await?;
    let message = stuck(&bed, Failed, "PodsRefused").await?;
    assert!(message.contains("exceeded quota: few"), "{message}");
    limit(&bed, "pods", "9").await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_quota_is_named_whatever_it_leaves_no_room_for() -> Result<()> {
    let bed = Bed::new("hub-quotas").await?;
    limit(&bed, "count/configmaps", "0").await?;
    apply(&bed, &json!({})).await?;
    let first = stuck(&bed, Failed, "QuotaExceeded").await?;
    assert!(first.contains("ConfigMap hub-config") && first.contains("ResourceQuota few"), "{first}");
    for (resource, object) in [("count/services", "Service hub"), ("count/deployments.apps", "Deployment hub")] {
        limit(&bed, resource, "0").await?;
        let told = |hub: &DBHubInstance| {
            ready_reason(hub).as_deref() == Some("QuotaExceeded")
                && message(hub, "Ready").is_some_and(|message| message.contains(object))
        };
        bed.wait_for("hub", &format!("a message about {object}"), told).await?;
    }
    bed.delete::<ResourceQuota>("few").await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_handshake_that_fails_is_told_and_tried_again() -> Result<()> {
    let bed = Bed::new("hub-wall").await?;
    if bed.harness().cluster().is_none() {
        println!("skipped: no fault can be injected into the node of another cluster");
        return bed.finish().await;
    }
    small_hub(&bed, &json!({})).await?;
    let address = bed.get::<Service>("hub").await?.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    let wall = Wall::build(&bed, "service", From::Pods, &address).await?;
    bed.kubectl(&["rollout", "restart", "deployment", "hub"]).await?;
    let message = stuck(&bed, Failed, "HandshakeUnreachable").await?;
    assert!(message.contains("Service"), "{message}");
    let hub = bed.get::<DBHubInstance>("hub").await?;
    assert_eq!(condition(&hub, "Verified").as_deref(), Some("False"));
    wall.tear_down().await?;
    let hub = running(&bed, &["mem"]).await?;
    ensure!(hub.available_replicas == Some(1));
    bed.finish().await
}
