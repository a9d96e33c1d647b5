//! What a `DBHubInstance` may ask of its pods, and what a Database may ask of those who serve it: it arrives, once, and
//! nobody gets more by it than they may have.

use anyhow::{Context, Result, ensure};
use api_types::{DBHubInstance, DatabaseEntry, DatabaseState, InstancePhase};
use e2e::testing::agent::{Agent, running};
use e2e::testing::bed::{Area, Bed, ready_reason};
use e2e::testing::manifests::{config_map, database, instance, opaque_secret};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

/// A Database that needs no server.
async fn in_memory(bed: &Area, name: &str, policy: &Value) -> Result<()> {
    bed.apply(&database(name, &json!({"type": "sqlite", "database": ":memory:"}), policy)).await
}

/// The instance `hub` with this `podTemplate`.
fn hub(pod_template: &Value) -> Value {
    instance("hub", &json!({"podTemplate": pod_template}))
}

/// The instance's only pod that is not on its way out.
async fn pod(bed: &Area) -> Result<Pod> {
    let mut pods = bed.api::<Pod>().list(&ListParams::default().labels("app=hub")).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    ensure!(pods.len() == 1, "one pod is wanted: {:?}", pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    pods.pop().context("no pod")
}

async fn templates(bed: &Area) -> Result<usize> {
    Ok(bed.api::<ReplicaSet>().list(&ListParams::default().labels("app=hub")).await?.items.len())
}

#[tokio::test]
async fn what_is_asked_of_the_pods_arrives_and_replaces_them_once() -> Result<()> {
    let bed = Bed::new("pod-asked").await?;
    in_memory(&bed, "notes", &json!({})).await?;
    bed.apply(&opaque_secret("licence", &json!({"text": "open"}))).await?;
    bed.apply(&config_map("places", "here", "Berlin")).await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["notes"]).await?;
    assert_eq!(templates(&bed).await?, 1);

    let same_host =
        json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "other"}}}]);
    let mut asked = json!({
        "labels": {"team": "data"},
        "annotations": {"example.org/contact": "data team"},
        "nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "value": ""}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": same_host}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "hub"}}}],
        "imagePullSecrets": [{"name": "registry"}],
        "env": [
            {"name": "TZ", "value": "Europe/Berlin"},
            {"name": "EMPTY", "value": ""},
            {"name": "LICENCE", "valueFrom": {"secretKeyRef": {"name": "licence", "key": "text"}}},
            {"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "places", "key": "here"}}},
        ],
    });
    bed.apply(&hub(&asked)).await?;
    running(&bed, &["notes"]).await?;
    assert_eq!(templates(&bed).await?, 2, "the pods were replaced more than once");
    arrived(&pod(&bed).await?, &asked)?;
    let name = pod(&bed).await?.name_any();
    let print = "process.stdout.write([process.env.TZ, process.env.LICENCE, process.env.PLACE].join())";
    assert_eq!(bed.kubectl(&["exec", &name, "--", "node", "-e", print]).await?, "Europe/Berlin,open,Berlin");
    // Old pods that end change the Deployment's status alone.
    let written = bed.get::<Deployment>("hub").await?.metadata.generation;
    bed.expect_quiet::<DBHubInstance>("hub").await?;
    assert_eq!(bed.get::<Deployment>("hub").await?.metadata.generation, written);

    asked["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    bed.apply(&hub(&asked)).await?;
    running(&bed, &["notes"]).await?;
    arrived(&pod(&bed).await?, &asked)?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["notes"]).await?;
    ensure!(!pod(&bed).await?.labels().contains_key("team"), "what is no longer asked for is still there");
    bed.finish().await
}

#[tokio::test]
async fn the_example_of_a_pod_template_runs() -> Result<()> {
    let bed = Bed::new("pod-example").await?;
    bed.harness().apply_file(Some(bed.name()), "examples/pod-template.yaml").await?;
    running(&bed, &["scratch"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let refusal = agent.refusal("execute_sql", "CREATE TABLE t (n INTEGER)").await?;
    assert!(refusal.contains("READONLY"), "{refusal}");
    let zone = ["exec", &pod(&bed).await?.name_any(), "--", "node", "-e", "process.stdout.write(process.env.TZ)"];
    assert_eq!(bed.kubectl(&zone).await?, "Europe/Berlin");
    bed.finish().await
}

/// Checks what stands in a pod against a podTemplate.
fn arrived(pod: &Pod, asked: &Value) -> Result<()> {
    let (labels, spec) = (pod.labels(), pod.spec.as_ref().context("no spec")?);
    assert_eq!((labels["team"].as_str(), labels["app"].as_str()), ("data", "hub"));
    assert_eq!(pod.annotations()["example.org/contact"], "data team");
    ensure!(pod.annotations().contains_key("dbhub.tas.io/config-hash"), "our own annotation is gone");
    assert_eq!(json!(spec.node_selector), asked["nodeSelector"]);
    assert_eq!(json!(spec.affinity), asked["affinity"]);
    assert_eq!(json!(spec.topology_spread_constraints), asked["topologySpreadConstraints"]);
    assert_eq!(json!(spec.image_pull_secrets), asked["imagePullSecrets"]);
    let tolerated = spec.tolerations.iter().flatten().any(|one| one.key.as_deref() == Some("dedicated"));
    ensure!(tolerated, "the toleration did not arrive");
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_persons_to_ask_is_refused_at_admission() -> Result<()> {
    let bed = Bed::new("pod-refused").await?;
    let env = |name: &str| json!({"env": [{"name": name, "value": "x"}]});
    for (asked, field) in [
        (env("DBHUB_AUTH_TOKEN"), "spec.podTemplate.env"),
        (env("DSN"), "spec.podTemplate.env"),
        (env("ID"), "spec.podTemplate.env"),
        (env("TRANSPORT"), "spec.podTemplate.env"),
        (env("NODE_OPTIONS"), "spec.podTemplate.env"),
        (env("NODE_TLS_REJECT_UNAUTHORIZED"), "spec.podTemplate.env"),
        (env("PGOPTIONS"), "spec.podTemplate.env"),
        (json!({"env": [{"name": "X", "valueFrom": {}}]}), "spec.podTemplate.env.valueFrom"),
        (json!({"labels": {"app": "other"}}), "spec.podTemplate.labels"),
        (json!({"labels": {"app.kubernetes.io/managed-by": "me"}}), "spec.podTemplate.labels"),
        (json!({"annotations": {"dbhub.tas.io/config-hash": "x"}}), "spec.podTemplate.annotations"),
        (
            json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/dbhub": "unconfined"}}),
            "spec.podTemplate.annotations",
        ),
        (json!({"priorityClassName": "system-node-critical"}), "spec.podTemplate.priorityClassName"),
        (json!({"securityContext": {"runAsUser": 0}}), "spec.podTemplate.securityContext"),
        (json!({"serviceAccountName": "default"}), "spec.podTemplate.serviceAccountName"),
        (json!({"volumes": []}), "spec.podTemplate.volumes"),
        (json!({"containers": []}), "spec.podTemplate.containers"),
        (json!({"affinity": []}), "spec.podTemplate.affinity"),
    ] {
        let refusal = bed.refused(&hub(&asked)).await?;
        assert!(refusal.contains(field), "{asked}: {refusal}");
    }
    bed.finish().await
}

#[tokio::test]
async fn what_no_pod_understands_is_told_while_the_pods_go_on() -> Result<()> {
    let bed = Bed::new("pod-nonsense").await?;
    in_memory(&bed, "notes", &json!({})).await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["notes"]).await?;
    let before = pod(&bed).await?.uid();
    let no_key = json!([{"labelSelector": {}}]);
    for (affinity, reason, told) in [
        (json!({"nodeAfinity": {}}), "InvalidSpec", "spec.podTemplate.affinity.nodeAfinity: a pod has no such field"),
        (
            json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": no_key}}),
            "ApiRefused",
            "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        ),
    ] {
        bed.apply(&hub(&json!({"affinity": affinity}))).await?;
        let is_told = |hub: &DBHubInstance| ready_reason(hub).as_deref() == Some(reason);
        let status = bed.wait_for("hub", reason, is_told).await?.status.context("no status")?;
        assert_eq!((status.phase, status.available_replicas), (Some(InstancePhase::Failed), Some(1)));
        let messages: Vec<_> = status.conditions.iter().map(|condition| condition.message.as_str()).collect();
        ensure!(messages.iter().any(|message| message.contains(told)), "{told} is not in {messages:?}");
        assert_eq!(pod(&bed).await?.uid(), before);
    }
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["notes"]).await?;
    assert_eq!(pod(&bed).await?.uid(), before);
    bed.finish().await
}

#[tokio::test]
async fn an_instance_names_nothing_that_its_author_may_not_read() -> Result<()> {
    let bed = Bed::new("pod-author").await?;
    let who = format!("dev-{}", bed.name());
    let dev = bed.acting_as(&who, &["developers"]);
    let verbs = ["--verb=get,create,patch,update", "--resource=dbhubinstances.dbhub.tas.io"];
    bed.allow(&who, "instances", &verbs).await?;
    dev.apply(&instance("hub", &json!({}))).await?;
    let from = |kind: &str, name: &str| json!({"name": "X", "valueFrom": {kind: {"name": name, "key": "k"}}});
    for (resource, name, spec, told) in [
        (
            "secrets",
            "token",
            json!({"auth": {"tokenSecretRef": {"name": "token"}}}),
            "spec.auth.tokenSecretRef: you may not get Secret token",
        ),
        (
            "secrets",
            "registry",
            json!({"podTemplate": {"imagePullSecrets": [{"name": "registry"}]}}),
            "spec.podTemplate.imagePullSecrets: you may not get Secret registry",
        ),
        (
            "secrets",
            "admin",
            json!({"podTemplate": {"env": [{"name": "A", "value": "b"}, from("secretKeyRef", "admin")]}}),
            "spec.podTemplate.env: you may not get Secret admin",
        ),
        (
            "configmaps",
            "places",
            json!({"podTemplate": {"env": [from("configMapKeyRef", "places")]}}),
            "spec.podTemplate.env: you may not get ConfigMap places",
        ),
    ] {
        let refusal = dev.refused(&instance("hub", &spec)).await?;
        assert!(refusal.contains(told), "{refusal}");
        let rule = ["--verb=get", &format!("--resource={resource}"), &format!("--resource-name={name}")];
        bed.allow(&who, name, &rule).await?;
        dev.apply(&instance("hub", &spec)).await?;
    }
    many_names(&bed, &dev, &who).await?;
    bed.finish().await
}

/// Asking after each of many names must not exceed what the API server spends on a policy.
async fn many_names(bed: &Area, dev: &Area, who: &str) -> Result<()> {
    let named = |count: usize| {
        let secret = |index: usize| json!({"secretKeyRef": {"name": format!("s{index}"), "key": "k"}});
        let env: Vec<_> =
            (0..count).map(|index| json!({"name": format!("X{index}"), "valueFrom": secret(index)})).collect();
        hub(&json!({"env": env}))
    };
    bed.allow(who, "all-but-one", &["--verb=get", "--resource=secrets", "--resource-name=s0"]).await?;
    let refusal = dev.refused(&named(20)).await?;
    assert!(refusal.contains("you may not get Secret s1 "), "{refusal}");
    bed.apply(&named(20)).await?;
    let refusal = bed.refused(&named(21)).await?;
    assert!(refusal.contains("more than 20 Secrets and ConfigMaps"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn the_stricter_of_two_policies_wins() -> Result<()> {
    let bed = Bed::new("pod-policy").await?;
    for (name, policy) in [
        ("a-free", json!({})),
        ("b-reads", json!({"policy": {"readonly": true}})),
        ("c-one-row", json!({"policy": {"maxRows": 1, "readonly": false}})),
        ("d-searched", json!({"policy": {"allowedOperations": ["search_objects"]}})),
    ] {
        in_memory(&bed, name, &policy).await?;
    }
    let refusal = bed.refused(&database("e", &json!({}), &json!({"policy": {"maxRows": 0}}))).await?;
    assert!(refusal.contains("spec.policy.maxRows"), "{refusal}");
    let loose = json!({"defaultPolicy": {"readonly": false, "maxRows": 10, "allowedOperations": ["execute_sql"]}});
    bed.apply(&instance("hub", &loose)).await?;
    let is_told = |hub: &DBHubInstance| ready_reason(hub).as_deref() == Some("DatabasesLeftOut");
    let hub = bed.wait_for("hub", "DatabasesLeftOut", is_told).await?;
    let databases = hub.status.context("no status")?.databases;
    let out = |entry: &DatabaseEntry| (entry.name.clone(), entry.state, entry.reason.clone().unwrap_or_default());
    assert_eq!(
        databases.last().map(out),
        Some(("d-searched".to_owned(), DatabaseState::LeftOut, "NoOperationAllowed".to_owned()))
    );
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.tools().await?, ["execute_sql_a_free", "execute_sql_b_reads", "execute_sql_c_one_row"]);
    let numbers = "SELECT 1 AS n UNION SELECT 2";
    assert_eq!(agent.rows("execute_sql_a_free", numbers).await?, json!([{"n": 1}, {"n": 2}]));
    assert_eq!(agent.rows("execute_sql_c_one_row", numbers).await?, json!([{"n": 1}]));
    for tool in ["execute_sql_a_free", "execute_sql_c_one_row"] {
        agent.rows(tool, "CREATE TABLE t (n INTEGER)").await?;
    }
    let refusal = agent.refusal("execute_sql_b_reads", "CREATE TABLE t (n INTEGER)").await?;
    assert!(refusal.contains("READONLY"), "{refusal}");

    in_memory(&bed, "d-searched", &json!({})).await?;
    running(&bed, &["a-free", "b-reads", "c-one-row", "d-searched"]).await?;
    bed.finish().await
}
