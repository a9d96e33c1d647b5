//! What pods read only at their start rolls them once when it changes, without a failed call, and never when it does
//! not; what others do to the Deployment's pods is respected.

use anyhow::{Context, Result, ensure};
use api_types::DBHubInstance;
use e2e::testing::agent::{Agent, refusal, running};
use e2e::testing::bed::{Area, Bed, ready_reason};
use e2e::testing::hub::{SELECT, connected, generation, items, pod, rolled, server, small_hub, templates};
use e2e::testing::manifests::{config_map, instance, opaque_secret, secret};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};

const SQL: (&str, &str) = ("execute_sql", SELECT);

/// Waits until a pod is gone and gives the exit code of its container. It must still be there.
async fn exit_code(area: &Area, pod: &str) -> Result<i32> {
    let only = watcher::Config::default().fields(&format!("metadata.name={pod}"));
    let mut events = std::pin::pin!(watcher(area.api::<Pod>(), only));
    loop {
        let event = events.next().await.context("the watch ended")??;
        if let Event::Delete(pod) = event {
            let status = pod.status.and_then(|status| status.container_statuses).context("no container")?;
            let ended = status[0].state.as_ref().and_then(|state| state.terminated.as_ref());
            return Ok(ended.context("it did not end")?.exit_code);
        }
    }
}

/// The phases of the instance `hub`, each with the reason of its condition Ready, as they follow each other at first
/// while `work` goes on.
async fn phases_during(area: &Area, work: impl Future<Output = Result<()>>) -> Result<Vec<String>> {
    let only = watcher::Config::default().fields("metadata.name=hub");
    let mut events = std::pin::pin!(watcher(area.api::<DBHubInstance>(), only).applied_objects());
    let (mut work, mut phases) = (std::pin::pin!(work), Vec::new());
    loop {
        tokio::select! {
            done = &mut work => return done.map(|()| phases),
            hub = events.next() => {
                let hub = hub.context("the watch ended")??;
                let phase = hub.status.as_ref().and_then(|status| status.phase).context("no phase")?;
                let phase = format!("{phase:?} {}", ready_reason(&hub).unwrap_or_default());
                if !phases.contains(&phase) {
                    phases.push(phase);
                }
            }
        }
    }
}

#[tokio::test]
async fn tokens_may_overlap_and_old_pods_end_by_themselves() -> Result<()> {
    let mut bed = Bed::new("roll-token").await?;
    let (old, new) = (bed.canary(), bed.canary());
    let token = |text: &str| opaque_secret("mine", &json!({"token": text}));
    for (name, text) in [("old", &old), ("new", &new)] {
        bed.apply(&opaque_secret(name, &json!({"token": text}))).await?;
    }
    bed.apply(&token(&old)).await?;
    let login = bed.mariadb_login().await?;
    bed.apply(&secret("items", &login)).await?;
    let spec = json!({"type": "mysql", "host": "users-mysql.acme.internal", "sslMode": "require"});
    bed.apply(&server("items", &login, &spec)).await?;
    connected(&bed, "items").await?;
    bed.apply(&instance("hub", &json!({"auth": {"tokenSecretRef": {"name": "mine"}}}))).await?;
    running(&bed, &["items"]).await?;
    let (first, second) =
        (Agent::with_secret(&bed, "hub", "old").await?, Agent::with_secret(&bed, "hub", "new").await?);
    let (before, old_pod) = (generation(&bed).await?, pod(&bed).await?);

    let overlap = async {
        bed.apply(&token(&format!("{old},{new}"))).await?;
        rolled(&bed, before + 1, &["items"]).await
    };
    let (code, ()) =
        first.asks_during(SQL, &items(), async { tokio::try_join!(exit_code(&bed, &old_pod), overlap) }).await?;
    assert_eq!(code, 0, "DBHub was killed when its grace period was over");
    let alone = async {
        bed.apply(&token(&new)).await?;
        rolled(&bed, before + 2, &["items"]).await
    };
    second.asks_during(SQL, &items(), alone).await?;
    let refused = refusal(first.say(&["list"]).await?)?;
    ensure!(refused.contains("401"), "the old token is still taken: {refused}");
    assert_eq!((generation(&bed).await?, templates(&bed).await?), (before + 2, 3));
    bed.finish().await
}

#[tokio::test]
async fn an_authority_or_a_setting_rolls_once_and_what_means_the_same_never() -> Result<()> {
    let mut bed = Bed::new("roll-ca").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("items", &login)).await?;
    let ca = bed.servers_ca_pem()?;
    bed.apply(&config_map("ca", "ca.crt", &ca)).await?;
    let with = |more: &Value| {
        let mut spec = json!({"type": "postgres", "host": "analytics-pg.acme.internal", "sslMode": "verify-full",
                              "tls": {"caRef": {"kind": "ConfigMap", "name": "ca"}}});
        spec.as_object_mut().into_iter().zip(more.as_object()).for_each(|(spec, more)| spec.extend(more.clone()));
        server("items", &login, &spec)
    };
    bed.apply(&with(&json!({}))).await?;
    connected(&bed, "items").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["items"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let before = generation(&bed).await?;
    let authority = async {
        bed.apply(&config_map("ca", "ca.crt", &format!("{ca}{}", bed.other_ca_pem()?))).await?;
        rolled(&bed, before + 1, &["items"]).await
    };
    agent.asks_during(SQL, &items(), authority).await?;
    let setting = async {
        bed.apply(&with(&json!({"queryTimeout": 7}))).await?;
        rolled(&bed, before + 2, &["items"]).await
    };
    agent.asks_during(SQL, &items(), setting).await?;
    assert_eq!((generation(&bed).await?, templates(&bed).await?), (before + 2, 3));

    // Each is an event for the instance; none changes what its pods read.
    bed.kubectl(&["label", "secret", "items", "hub-token", "touched=yes"]).await?;
    bed.kubectl(&["annotate", "configmap", "ca", "touched=yes"]).await?;
    bed.kubectl(&["annotate", "database", "items", "reconcile=now"]).await?;
    bed.kubectl(&["label", "database", "items", "touched=yes"]).await?;
    bed.kubectl(&["annotate", "dbhubinstance", "hub", "reconcile=now"]).await?;
    bed.expect_quiet::<Deployment>("hub").await?;
    assert_eq!((generation(&bed).await?, templates(&bed).await?), (before + 2, 3));
    bed.finish().await
}

#[tokio::test]
async fn a_restart_that_a_person_asks_for_happens_once_and_stays() -> Result<()> {
    let bed = Bed::new("roll-restart").await?;
    small_hub(&bed, &json!({"replicas": 2})).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let before = generation(&bed).await?;
    let restart = async {
        bed.kubectl(&["rollout", "restart", "deployment", "hub"]).await?;
        rolled(&bed, before + 1, &["mem"]).await
    };
    let one = json!([{"one": 1}]);
    let phases = phases_during(&bed, agent.asks_during(("execute_sql", "SELECT 1 AS one"), &one, restart)).await?;
    assert_eq!(phases.iter().map(String::as_str).collect::<Vec<_>>(), ["Running Running", "Running RolloutInProgress"]);
    bed.kubectl(&["annotate", "dbhubinstance", "hub", "reconcile=now"]).await?;
    bed.expect_quiet::<Deployment>("hub").await?;
    let deployment = bed.get::<Deployment>("hub").await?;
    let template = deployment.spec.and_then(|spec| spec.template.metadata).context("no template")?;
    let asked = template.annotations.is_some_and(|all| all.contains_key("kubectl.kubernetes.io/restartedAt"));
    ensure!(asked, "the restart was taken back");
    assert_eq!((deployment.metadata.generation, templates(&bed).await?), (Some(before + 1), 2));
    bed.finish().await
}
