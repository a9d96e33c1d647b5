//! What tests of `DBHubInstance` share: Databases on the real servers, the instance `hub` of a test as its status,
//! Deployment and pods show it, and what its messages say.

use anyhow::{Context, Result, ensure};
use api_types::{DBHubInstance, Database, DatabasePhase, InstancePhase};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::agent::running;
use super::bed::{Area, Bed, HOME, Login, ready_reason};
use super::http;
use super::manifests::{database, instance, secret};

/// Reads the table that every login's database has.
pub const SELECT: &str = "SELECT id, name FROM items ORDER BY id";

/// What [`SELECT`] gives.
#[must_use]
pub fn items() -> Value {
    json!([{"id": 1, "name": "one"}, {"id": 2, "name": "two"}, {"id": 3, "name": "three"}])
}

/// A Database on PostgreSQL, whose Secret has its own name.
#[must_use]
pub fn of_postgres(name: &str, login: &Login) -> Value {
    server(name, login, &json!({"type": "postgres", "host": "analytics-pg.acme.internal", "sslMode": "verify-full"}))
}

/// A Database on MariaDB, whose Secret has its own name.
#[must_use]
pub fn of_mysql(name: &str, login: &Login) -> Value {
    server(name, login, &json!({"type": "mysql", "host": "users-mysql.acme.internal", "sslMode": "require"}))
}

/// A Database whose Secret has its own name, with `more` in its spec.
#[must_use]
pub fn server(name: &str, login: &Login, more: &Value) -> Value {
    let common = json!({"database": login.database, "credentialsRef": {"name": name},
                        "connectionTimeout": 5, "queryTimeout": 5});
    database(name, &common, more)
}

/// A Database of type sqlite in memory: it needs no server and no Secret.
#[must_use]
pub fn in_memory(name: &str) -> Value {
    database(name, &json!({"type": "sqlite", "database": ":memory:"}), &json!({}))
}

/// A connected Database on MariaDB.
pub async fn mysql_database(bed: &mut Bed, name: &str) -> Result<Login> {
    let login = bed.mariadb_login().await?;
    bed.apply(&secret(name, &login)).await?;
    bed.apply(&of_mysql(name, &login)).await?;
    connected(bed, name).await?;
    Ok(login)
}

/// Waits for a Database. From then on its status does not change, so that none of its changes is taken for the
/// instance's.
pub async fn connected(area: &Area, name: &str) -> Result<()> {
    let is_it = |db: &Database| db.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Connected);
    area.wait_for(name, "Connected", is_it).await.map(drop)
}

/// The instance `hub` with this spec, running over one Database in memory.
pub async fn small_hub(bed: &Bed, spec: &Value) -> Result<()> {
    bed.apply(&in_memory("mem")).await?;
    connected(bed, "mem").await?;
    bed.apply(&instance("hub", spec)).await?;
    running(bed, &["mem"]).await.map(drop)
}

/// Waits until the instance `hub` has this phase for this reason, with an Event, and gives the message.
pub async fn stuck(area: &Area, phase: InstancePhase, reason: &str) -> Result<String> {
    let is_it = |hub: &DBHubInstance| {
        hub.status.as_ref().and_then(|status| status.phase) == Some(phase)
            && ready_reason(hub).as_deref() == Some(reason)
    };
    let hub = area.wait_for("hub", reason, is_it).await?;
    area.expect_event("hub", reason).await?;
    message(&hub, "Ready").context("no condition Ready")
}

/// The status of one of the instance's conditions.
#[must_use]
pub fn condition(hub: &DBHubInstance, type_: &str) -> Option<String> {
    let conditions = &hub.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.clone())
}

/// The message of one of the instance's conditions.
#[must_use]
pub fn message(hub: &DBHubInstance, type_: &str) -> Option<String> {
    let conditions = &hub.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.message.clone())
}

/// The pods of the instance `hub`, those that end included.
pub async fn pods(area: &Area) -> Result<Vec<Pod>> {
    Ok(area.api::<Pod>().list(&ListParams::default().labels("app=hub")).await?.items)
}

/// The name of the instance's only pod.
pub async fn pod(area: &Area) -> Result<String> {
    let names: Vec<_> = pods(area).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(names.len() == 1, "one pod is wanted: {names:?}");
    Ok(names.concat())
}

/// How often the pods of the instance `hub` were started again.
pub async fn restarts(area: &Area) -> Result<i32> {
    let pods = pods(area).await?;
    let containers = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    Ok(containers.map(|container| container.restart_count).sum())
}

/// How many pod templates the Deployment `hub` has had. Kubernetes keeps more old ReplicaSets than a test makes.
pub async fn templates(area: &Area) -> Result<usize> {
    Ok(area.api::<ReplicaSet>().list(&ListParams::default().labels("app=hub")).await?.items.len())
}

/// The generation of the Deployment `hub`: it counts each change of its spec.
pub async fn generation(area: &Area) -> Result<i64> {
    area.get::<Deployment>("hub").await?.metadata.generation.context("no generation")
}

/// Waits until the Deployment `hub` is complete in this generation or a later one, and the instance runs again with
/// these databases.
pub async fn rolled(area: &Area, generation: i64, databases: &[&str]) -> Result<()> {
    let complete = |hub: &Deployment| {
        let wanted = hub.spec.as_ref().and_then(|spec| spec.replicas);
        hub.metadata.generation >= Some(generation)
            && hub.status.as_ref().is_some_and(|status| {
                status.observed_generation == hub.metadata.generation
                    && [status.replicas, status.updated_replicas, status.available_replicas] == [wanted; 3]
            })
    };
    area.wait_for("hub", "a complete rollout", complete).await?;
    running(area, databases).await.map(drop)
}

/// The name of the figure that tells when the last handshake ended, as [`figures`] gives it.
pub const LAST_HANDSHAKE: &str = "dbhub_operator_instance_last_handshake_timestamp_seconds{}";

/// The figures of the instance `hub` of a namespace, without it: name and other labels, value.
pub async fn figures(area: &Area) -> Result<Vec<(String, i64)>> {
    let forward = area.harness().forward(HOME, "service/dbhub-operator", 8080).await?;
    let (_, text) = http::get(forward.port, "/metrics").await?;
    let labels = format!("namespace=\"{}\",name=\"hub\"", area.name());
    let lines = text.lines().filter(|line| line.contains(&labels));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').context("no value")?;
            Ok((name.replace(&labels, ""), value.parse().with_context(|| format!("no number: {line}"))?))
        })
        .collect()
}
