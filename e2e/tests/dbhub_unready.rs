//! Pods that run and do not answer: what is told of them, and that those who answer go on.

use anyhow::{Context, Result, ensure};
use api_types::DBHubInstance;
use api_types::InstancePhase::{Degraded, Failed};
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::Bed;
use e2e::testing::hub::{condition, pods, small_hub, stuck};
use e2e::testing::manifests::instance;
use e2e::testing::wall::{From, Wall};
use serde_json::json;

/// A program that waits for its end, whatever its arguments.
const PAUSE_IMAGE: &str = "localhost/pause:1";

#[tokio::test]
async fn pods_that_no_longer_answer_are_counted_out_until_they_do() -> Result<()> {
    let bed = Bed::new("unready-pods").await?;
    if bed.harness().cluster().is_none() {
        println!("skipped: no fault can be injected into the node of another cluster");
        return bed.finish().await;
    }
    small_hub(&bed, &json!({"replicas": 2})).await?;
    let pods = pods(&bed).await?;
    let addresses: Vec<_> = pods.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone()).collect();
    let [first, second] = addresses.as_slice() else { anyhow::bail!("two pods are wanted: {addresses:?}") };

    let one = Wall::build(&bed, "one", From::Node, first).await?;
    let message = stuck(&bed, Degraded, "PodsUnavailable").await?;
    assert!(message.contains("1 of 2 pods"), "{message}");
    let other = Wall::build(&bed, "other", From::Node, second).await?;
    let message = stuck(&bed, Failed, "PodsUnavailable").await?;
    assert!(message.contains("0 of 2 pods"), "{message}");
    one.tear_down().await?;
    other.tear_down().await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_rollout_that_gets_nowhere_is_told_while_old_pods_answer() -> Result<()> {
    let bed = Bed::new("unready-stalled").await?;
    if bed.harness().cluster().is_none() {
        println!("skipped: the image that never answers is the throw-away cluster's own");
        return bed.finish().await;
    }
    small_hub(&bed, &json!({})).await?;
    // Ten minutes by default. The instance does not say, so that a person's deadline stays.
    bed.kubectl(&["patch", "deployment", "hub", "-p", r#"{"spec": {"progressDeadlineSeconds": 5}}"#]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let stalls = async {
        bed.apply(&instance("hub", &json!({"image": PAUSE_IMAGE, "imagePullPolicy": "Never"}))).await?;
        stuck(&bed, Degraded, "RolloutStalled").await
    };
    let message = agent.asks_during(("execute_sql", "SELECT 1 AS one"), &json!([{"one": 1}]), stalls).await?;
    ensure!(message.contains("kubectl describe pod"), "{message}");
    let hub = bed.get::<DBHubInstance>("hub").await?;
    assert_eq!(condition(&hub, "Progressing").as_deref(), Some("False"));
    assert_eq!(hub.status.context("no status")?.available_replicas, Some(1));
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["mem"]).await?;
    bed.finish().await
}
