//! What an instance owns stands as it should, whatever is done to it by hand, and its size is the instance's alone: for
//! people, for an autoscaler and for a drain.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DBHubInstance;
use e2e::testing::agent::running;
use e2e::testing::bed::Bed;
use e2e::testing::hub::{LAST_HANDSHAKE, figures, generation, mysql_database, pods, small_hub};
use e2e::testing::manifests::instance;
use e2e::testing::wait_for;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);

/// Kind, group, version, name, what is done to it by hand, and where in the object that shows.
const OWNED: [(&str, &str, &str, &str, &str, &str); 6] = [
    ("ConfigMap", "", "v1", "hub-config", r#"{"data": {"dbhub.toml": ""}}"#, "/data/dbhub.toml"),
    ("Secret", "", "v1", "hub-creds", r#"{"data": {"DBHUB_ITEMS_USER": "eA=="}}"#, "/data/DBHUB_ITEMS_USER"),
    ("Service", "", "v1", "hub", r#"{"spec": {"selector": {"app": "mine"}}}"#, "/spec/selector"),
    ("ServiceAccount", "", "v1", "hub", r#"{"automountServiceAccountToken": true}"#, "/automountServiceAccountToken"),
    ("NetworkPolicy", "networking.k8s.io", "v1", "hub", r#"{"spec": {"egress": [{}]}}"#, "/spec/egress"),
    ("PodDisruptionBudget", "policy", "v1", "hub", r#"{"spec": {"maxUnavailable": 2}}"#, "/spec/maxUnavailable"),
];

#[tokio::test]
async fn what_is_edited_or_deleted_by_hand_comes_back() -> Result<()> {
    let mut bed = Bed::new("own-repair").await?;
    mysql_database(&mut bed, "items").await?;
    bed.apply(&instance("hub", &json!({"replicas": 2}))).await?;
    running(&bed, &["items"]).await?;
    for (kind, group, version, name, patch, place) in OWNED {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(bed.harness().client.clone(), bed.name(), &resource);
        let part = |object: &DynamicObject| object.data.pointer(place).cloned();
        let first = api.get(name).await?;
        ensure!(part(&first).is_some(), "{kind} {name} has nothing at {place}");
        let same = |object: Option<&DynamicObject>| object.is_some_and(|object| part(object) == part(&first));

        bed.kubectl(&["patch", &kind.to_lowercase(), name, "--type=merge", "-p", patch]).await?;
        let what = format!("{kind} as it was before it was edited");
        let repaired = wait_for(&api, name, &what, same, DEADLINE).await?;
        ensure!(repaired.resource_version() != first.resource_version(), "{kind} {name} was not edited");
        bed.kubectl(&["delete", &kind.to_lowercase(), name]).await?;
        let what = format!("{kind} as it was before it was deleted");
        let made = wait_for(&api, name, &what, same, DEADLINE).await?;
        ensure!(made.uid() != first.uid(), "{kind} {name} was not deleted");
        assert_eq!(made.owner_references(), first.owner_references());
    }
    bed.kubectl(&["delete", "deployment", "hub"]).await?;
    running(&bed, &["items"]).await?;
    bed.finish().await
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

#[tokio::test]
async fn its_size_is_the_instances_alone_and_an_autoscaler_finds_its_way() -> Result<()> {
    let bed = Bed::new("own-scale").await?;
    small_hub(&bed, &json!({})).await?;
    let target = json!({"apiVersion": "dbhub.tas.io/v1alpha1", "kind": "DBHubInstance", "name": "hub"});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    let spec = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3, "metrics": [metric]});
    bed.apply(&json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                      "metadata": {"name": "hub"}, "spec": spec}))
        .await?;
    // No figures are needed to keep to the least number, which takes the whole way: scale, selector, status.
    let at_two = |hub: &Deployment| replicas(hub) == Some(2);
    bed.wait_for("hub", "two replicas, as the autoscaler wants", at_two).await?;
    let able = |scaler: &HorizontalPodAutoscaler| {
        let conditions = scaler.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut able = conditions.filter(|condition| condition.type_ == "AbleToScale");
        able.any(|condition| condition.status == "True")
    };
    bed.wait_for("hub", "AbleToScale", able).await?;
    running(&bed, &["mem"]).await?;
    bed.get::<PodDisruptionBudget>("hub").await?;

    bed.delete::<HorizontalPodAutoscaler>("hub").await?;
    let before = generation(&bed).await?;
    bed.kubectl(&["scale", "deployment", "hub", "--replicas=0"]).await?;
    bed.wait_for("hub", "two replicas again", |hub: &Deployment| hub.metadata.generation > Some(before) && at_two(hub))
        .await?;
    bed.kubectl(&["scale", "dbhubinstance", "hub", "--replicas=1"]).await?;
    bed.wait_until_gone::<PodDisruptionBudget>("hub").await?;
    running(&bed, &["mem"]).await?;
    assert_eq!(pods(&bed).await?.len(), 1, "it runs while a pod that is not wanted still ends");
    bed.finish().await
}

#[tokio::test]
async fn its_figures_are_those_of_now_and_go_with_it() -> Result<()> {
    let bed = Bed::new("own-figures").await?;
    let begun = k8s_openapi::jiff::Timestamp::now().as_second();
    small_hub(&bed, &json!({"replicas": 2})).await?;
    let mut found = figures(&bed).await?;
    found.sort();
    let (times, counts): (Vec<_>, Vec<_>) = found.into_iter().partition(|(name, _)| name == LAST_HANDSHAKE);
    ensure!(times.len() == 1 && times[0].1 >= begun, "{times:?}");
    let expected = [
        ("dbhub_operator_instance_databases{,state=\"down\"}", 0),
        ("dbhub_operator_instance_databases{,state=\"left_out\"}", 0),
        ("dbhub_operator_instance_databases{,state=\"served\"}", 1),
        ("dbhub_operator_instance_replicas_available{}", 2),
        ("dbhub_operator_instance_replicas_wanted{}", 2),
        ("dbhub_operator_instance_rollouts_total{}", 1),
    ];
    assert_eq!(counts, expected.map(|(name, value)| (name.to_owned(), value)));
    bed.delete::<DBHubInstance>("hub").await?;
    let gone = async {
        while !figures(&bed).await?.is_empty() {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, gone).await.context("figures of an instance that is gone")?
}
