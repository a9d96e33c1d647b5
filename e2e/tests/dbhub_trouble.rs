//! What keeps a `DBHubInstance` from serving is told with a reason, a message that says what to do, and an Event; what
//! ran before runs on, and it recovers by itself.

use anyhow::{Result, ensure};
use api_types::InstancePhase::{Degraded, Failed};
use e2e::command;
use e2e::images::CLIENT_IMAGE;
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::Bed;
use e2e::testing::hub::{condition, in_memory, small_hub, stuck};
use e2e::testing::manifests::instance;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);
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

#[tokio::test]
async fn a_quota_is_named_until_it_lets_the_pods_in() -> Result<()> {
    let bed = Bed::new("hub-quota").await?;
    let quota = |pods: &str| {
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
               "spec": {"hard": {"pods": pods}}})
    };
    bed.apply(&quota("0")).await?;
    let counted = |quota: &k8s_openapi::api::core::v1::ResourceQuota| quota.status.is_some();
    bed.wait_for("few", "a counted quota", counted).await?;
    apply(&bed, &json!({})).await?;
    let message = stuck(&bed, Failed, "PodsRefused").await?;
    assert!(message.contains("exceeded quota: few"), "{message}");
    bed.apply(&quota("9")).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

/// Refuses connections to an address of the node's Services, until it is dropped or undone.
struct Wall<'a> {
    bed: &'a Bed,
    table: String,
}

impl<'a> Wall<'a> {
    async fn build(bed: &'a Bed, address: &str) -> Result<Self> {
        let wall = Self { bed, table: bed.name().replace('-', "_") };
        let table = &wall.table;
        wall.nft(&format!(
            "table ip {table} {{ chain c {{ type filter hook prerouting priority raw; \
             ip daddr {address} tcp dport 8080 reject with tcp reset; }}; }}"
        ))
        .await?;
        Ok(wall)
    }

    async fn tear_down(self) -> Result<()> {
        self.nft(&format!("delete table ip {}", self.table)).await
    }

    async fn nft(&self, rules: &str) -> Result<()> {
        let cluster = self.bed.harness().cluster().ok_or_else(|| anyhow::anyhow!("the cluster is not ours"))?;
        command::output(cluster.command("nft")?.arg(rules), DEADLINE).await.map(drop)
    }
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
    let wall = Wall::build(&bed, &address).await?;
    bed.kubectl(&["rollout", "restart", "deployment", "hub"]).await?;
    let message = stuck(&bed, Failed, "HandshakeUnreachable").await?;
    assert!(message.contains("Service"), "{message}");
    let hub = bed.get::<api_types::DBHubInstance>("hub").await?;
    assert_eq!(condition(&hub, "Verified").as_deref(), Some("False"));
    wall.tear_down().await?;
    let hub = running(&bed, &["mem"]).await?;
    ensure!(hub.available_replicas == Some(1));
    bed.finish().await
}
