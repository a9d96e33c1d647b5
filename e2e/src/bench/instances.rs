//! DBHubInstances: from apply to Running, beside a bare pod of the same template and beside DBHub's own start.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::{DBHubInstance, Database, DatabasePhase, InstancePhase};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::wait::conditions::is_pod_running;
use serde_json::json;

use super::databases::make_mysql_login;
use super::place::Place;
use super::processes::PodProcess;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::testing::bed::Login;
use crate::testing::{manifests, wait_for};

const ROUNDS: u32 = 20;
const MODEL: &str = "model";
const DEADLINE: Duration = Duration::from_mins(1);
const PORT: &str = "18081";

/// Both comparisons. What was made is removed, or goes with the namespace.
pub(super) async fn measure(place: &Place) -> Result<Vec<Figure>> {
    make_database(place).await?;
    let mut instances = Watched::<DBHubInstance>::open(place.api()).await?;
    let mut pods = Watched::<Pod>::open(place.api()).await?;
    create(place, &mut instances, MODEL).await?;
    let template = place.api::<Deployment>().get(MODEL).await?.spec.context("a Deployment without spec")?.template;
    let (mut ours, mut bare, mut alone) = (Sample::default(), Sample::default(), Sample::default());
    let model = model_process(place).await?;
    for round in 0..ROUNDS {
        let name = place.name("hub", round);
        ours.took(create(place, &mut instances, &name).await?);
        place.delete::<DBHubInstance>(&name).await?;
        let name = place.name("pod", round);
        bare.took(create_pod(place, &mut pods, &name, &template).await?);
        place.delete::<Pod>(&name).await?;
        alone.took(start_alone(model).await?);
    }
    place.delete::<DBHubInstance>(MODEL).await?;
    place.clear_mariadb().await?;
    Ok(vec![
        Figure::new("DBHubInstance: apply → Running", Unit::Milliseconds, ours.clone())
            .beside("bare pod of the same template, apply → Ready", bare),
        Figure::new("DBHubInstance: apply → Running", Unit::Milliseconds, ours)
            .beside("DBHub's own start until /healthz is 200", alone),
    ])
}

/// One Database on MariaDB for all instances.
async fn make_database(place: &Place) -> Result<()> {
    let login = Login { database: place.name("hub", 0), user: place.name("hubuser", 0), password: place.name("pw", 0) };
    make_mysql_login(place, &login).await?;
    place.create::<Secret>(manifests::secret("hub-login", &login)).await?;
    let spec = json!({"type": "mysql", "host": "users-mysql.acme.internal", "database": login.database,
                      "credentialsRef": {"name": "hub-login"}, "sslMode": "require"});
    place.create::<Database>(manifests::database("hub", &spec, &json!({}))).await?;
    let connected = |database: Option<&Database>| {
        database.and_then(|database| database.status.as_ref()?.phase) == Some(DatabasePhase::Connected)
    };
    wait_for(&place.api(), "hub", "phase Connected", connected, DEADLINE).await.map(drop)
}

async fn create(place: &Place, instances: &mut Watched<DBHubInstance>, name: &str) -> Result<Duration> {
    let spec = json!({"image": "bytebase/dbhub:1.4.0", "replicas": 1, "databaseSelector": {"matchNames": ["hub"]}});
    let begun = Instant::now();
    place.create::<DBHubInstance>(manifests::instance(name, &spec)).await?;
    let runs = |instance: &DBHubInstance| {
        let phase = instance.status.as_ref().and_then(|status| status.phase);
        instance.name_any() == name && phase == Some(InstancePhase::Running)
    };
    instances.applied("Running", runs).await?;
    Ok(begun.elapsed())
}

async fn create_pod(
    place: &Place,
    pods: &mut Watched<Pod>,
    name: &str,
    template: &PodTemplateSpec,
) -> Result<Duration> {
    // Without the template's labels, or the model's ReplicaSet would take it for its own.
    let manifest = json!({"metadata": {"name": name}, "spec": template.spec});
    let begun = Instant::now();
    place.create::<Pod>(manifest).await?;
    pods.applied("Ready", |pod| pod.name_any() == name && is_ready(pod)).await?;
    Ok(begun.elapsed())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn model_process(place: &Place) -> Result<PodProcess> {
    let pods = place.api::<Pod>();
    let all = pods.list_metadata(&ListParams::default()).await?.items;
    let of_model = |name: &String| name.starts_with(MODEL);
    let name = all.iter().map(ResourceExt::name_any).find(of_model).context("the model has no pod")?;
    PodProcess::of(&wait_for(&pods, &name, "running DBHub", is_pod_running(), DEADLINE).await?)
}

async fn start_alone(model: PodProcess) -> Result<Duration> {
    let arguments = model.arguments(&[("--port", PORT), ("--host", "127.0.0.1")])?;
    model.time_start(&arguments, &format!("http://127.0.0.1:{PORT}/healthz")).await
}
