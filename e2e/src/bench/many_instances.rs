//! Five hundred DBHubInstances over two thousand Databases, against the API server alone: memory, what is written while
//! nothing happens, and what one Database's change sets in motion. Pods are fakes ([`FakeDbhub`]), so no time of theirs
//! is measured here.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::{DBHubInstance, Database, InstancePhase};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::fake_dbhub::FakeDbhub;
use super::processes::resident_memory;
use super::requests::Requests;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::testing::bare_api::BareApi;
use crate::testing::bed::{Kind, Login};
use crate::testing::manifests;
use crate::testing::process::OperatorProcess;
use crate::tools::Tools;

const INSTANCES: usize = 500;
/// Databases of one instance, and of no other.
const DATABASES_EACH: usize = 4;
/// Requests under way at the same time.
const PARALLEL: usize = 20;
const IDLE: Duration = Duration::from_mins(10);
/// After this nothing more comes of one change.
const SETTLED: Duration = Duration::from_secs(15);
const CHANGES: usize = 5;

/// Starts an API server and the operator for it, and ends both.
pub(super) async fn measure(tools: &Tools) -> Result<Vec<Figure>> {
    let api = BareApi::start(tools).await?;
    api.define_databases().await?;
    let client = api.client().await?;
    let fake = FakeDbhub::start(client.clone(), tools_of).await?;
    let operator = OperatorProcess::start("dbhub-operator", &api.kubeconfig(), &["--lease-namespace=default"]).await?;
    let mut instances = Watched::<DBHubInstance>::open(Api::default_namespaced(client.clone())).await?;
    let running = create_all(&client, &mut instances, fake.port).await?;
    tokio::time::sleep(SETTLED).await;
    let mut figures = vec![
        Figure::new("500 DBHubInstances, 2,000 Databases: created → all Running", Unit::Milliseconds, running),
        Figure::new("their operator: resident memory", Unit::Megabytes, Sample::one(resident_memory(operator.id()?)?)),
    ];
    figures.extend(one_change(&api, &client, &fake).await?);
    let before = Requests::of_all(api.kubectl()).await?;
    tokio::time::sleep(IDLE).await;
    let idle = Requests::of_all(api.kubectl()).await?.since(before);
    let memory = Sample::one(resident_memory(operator.id()?)?);
    figures.extend([
        Figure::new("10 idle minutes: writes, leases apart", Unit::Times, Sample::one(idle.writes.into())),
        Figure::new("10 idle minutes: reads, watches apart", Unit::Times, Sample::one(idle.reads.into())),
        Figure::new("their operator after that: resident memory", Unit::Megabytes, memory),
    ]);
    Ok(figures)
}

/// As DBHub names the tools of several sources.
fn tools_of(host: &str) -> Vec<String> {
    let instance = host.split('.').next().unwrap_or_default();
    let number = instance.strip_prefix("hub").and_then(|number| number.parse().ok()).unwrap_or(0);
    let databases = (0..DATABASES_EACH).map(|each| database_name(number, each));
    databases.flat_map(|id| [format!("execute_sql_{id}"), format!("search_objects_{id}")]).collect()
}

fn database_name(instance: usize, each: usize) -> String {
    format!("db{instance}x{each}")
}

async fn create_all(client: &Client, instances: &mut Watched<DBHubInstance>, port: u16) -> Result<Sample> {
    let login = Login { database: "app".to_owned(), user: "reader".to_owned(), password: "word".to_owned() };
    create::<Secret>(client, manifests::secret("login", &login)).await?;
    let numbers = || (0..INSTANCES).flat_map(|instance| (0..DATABASES_EACH).map(move |each| (instance, each)));
    let databases = numbers().map(|(instance, each)| create::<Database>(client, database(instance, each)));
    stream::iter(databases).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
    let begun = Instant::now();
    let created = (0..INSTANCES).map(|number| create::<DBHubInstance>(client, instance(number, port)));
    stream::iter(created).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
    let mut running = HashSet::new();
    let all_run = |instance: &DBHubInstance| {
        if instance.status.as_ref().and_then(|status| status.phase) == Some(InstancePhase::Running) {
            running.insert(instance.name_any());
        }
        running.len() == INSTANCES
    };
    instances.applied("last one Running", all_run).await?;
    let mut sample = Sample::default();
    sample.took(begun.elapsed());
    Ok(sample)
}

fn database(instance: usize, each: usize) -> Value {
    let spec = json!({"type": "postgres", "host": "pg.acme.internal", "database": "app",
                      "credentialsRef": {"name": "login"}});
    let mut manifest = manifests::database(&database_name(instance, each), &spec, &json!({}));
    manifest["metadata"]["labels"] = json!({"instance": format!("hub{instance}")});
    manifest
}

fn instance(number: usize, port: u16) -> Value {
    let name = format!("hub{number}");
    let spec = json!({"image": "bytebase/dbhub:1.4.0", "port": port,
                      "databaseSelector": {"matchLabels": {"instance": name}}});
    manifests::instance(&name, &spec)
}

async fn create<K: Kind>(client: &Client, manifest: Value) -> Result<()> {
    let object: K = serde_json::from_value(manifest).context("the manifest is wrong")?;
    let created = Api::<K>::default_namespaced(client.clone()).create(&PostParams::default(), &object).await;
    created.map(drop).with_context(|| format!("cannot create a {}", K::kind(&())))
}

/// What a change of one Database's spec costs, without the change itself and what the fakes wrote.
async fn one_change(api: &BareApi, client: &Client, fake: &FakeDbhub) -> Result<[Figure; 2]> {
    let (mut writes, mut reads) = (Sample::default(), Sample::default());
    for number in 0..CHANGES {
        let (before, by_fake) = (Requests::of_all(api.kubectl()).await?, fake.writes());
        let spec = json!({"spec": {"queryTimeout": 20 + number}});
        let databases: Api<Database> = Api::default_namespaced(client.clone());
        databases.patch(&database_name(number, 0), &PatchParams::default(), &Patch::Merge(&spec)).await?;
        tokio::time::sleep(SETTLED).await;
        let counted = Requests::of_all(api.kubectl()).await?.since(before);
        writes.push((counted.writes - 1 - (fake.writes() - by_fake)).into());
        reads.push(counted.reads.into());
    }
    Ok([
        Figure::new("one Database changed: writes by the operator", Unit::Times, writes),
        Figure::new("one Database changed: reads by the operator", Unit::Times, reads),
    ])
}
