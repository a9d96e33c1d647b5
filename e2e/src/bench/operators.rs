//! The operators themselves: memory, size, and the time from their start until every watch has listed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};

use super::place::Place;
use super::processes::PodProcess;
use super::table::{Figure, Sample, Unit};
use crate::install::NAMESPACE;
use crate::testing::{wait_for, wait_until_gone};

const DEPLOYMENTS: [&str; 3] = ["db-probe", "dbhub-operator", "db-concierge-operator"];
const STARTS: usize = 10;
const DEADLINE: Duration = Duration::from_mins(1);
/// After so long at rest memory is what it stays.
const SETTLED: Duration = Duration::from_secs(5);
/// Free in the node's network namespace, where only the node's own programs listen.
const PORT: u16 = 18_080;

/// Resident memory by Deployment, in megabytes.
pub(super) type Memory = BTreeMap<&'static str, f64>;

/// Restarts all operators, and gives their memory once they are at rest.
pub(super) async fn restart(place: &Place) -> Result<Memory> {
    let pods: Api<Pod> = Api::namespaced(place.harness.client.clone(), NAMESPACE);
    for deployment in DEPLOYMENTS {
        let name = pod(place, deployment).await?.name_any();
        pods.delete(&name, &DeleteParams::default()).await?;
        wait_until_gone(&pods, &name, DEADLINE).await?;
    }
    let deployments: Api<Deployment> = Api::namespaced(place.harness.client.clone(), NAMESPACE);
    for name in DEPLOYMENTS {
        wait_for(&deployments, name, "available replica", is_available, DEADLINE).await?;
    }
    tokio::time::sleep(SETTLED).await;
    memory(place).await
}

fn is_available(deployment: Option<&Deployment>) -> bool {
    deployment.and_then(|deployment| deployment.status.as_ref()?.available_replicas).is_some_and(|count| count > 0)
}

async fn memory(place: &Place) -> Result<Memory> {
    let mut memory = Memory::new();
    for deployment in DEPLOYMENTS {
        memory.insert(deployment, PodProcess::of(&pod(place, deployment).await?)?.resident()?);
    }
    Ok(memory)
}

/// The running pod of an operator.
pub(super) async fn pod(place: &Place, deployment: &str) -> Result<Pod> {
    let deployments: Api<Deployment> = Api::namespaced(place.harness.client.clone(), NAMESPACE);
    let labels = deployments.get(deployment).await?.spec.and_then(|spec| spec.selector.match_labels);
    let selector: Vec<String> = labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = Api::namespaced(place.harness.client.clone(), NAMESPACE);
    let found = pods.list(&ListParams::default().labels(&selector.join(","))).await?;
    let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    found.items.into_iter().find(stays).with_context(|| format!("{deployment} has no pod"))
}

/// What is to be said of each operator after all other work, `fresh` being their memory before it.
pub(super) async fn measure(place: &Place, fresh: &Memory) -> Result<Vec<Figure>> {
    let used = memory(place).await?;
    let mut figures = Vec::new();
    for deployment in DEPLOYMENTS {
        let process = PodProcess::of(&pod(place, deployment).await?)?;
        let name = |what: &str| format!("{deployment}: {what}");
        let of = |memory: &Memory| Sample::one(memory.get(deployment).copied().unwrap_or_default());
        figures.extend([
            Figure::new(name("start → /readyz is 200 (stores filled)"), Unit::Milliseconds, starts(process).await?),
            Figure::new(name("resident memory after all this"), Unit::Megabytes, of(&used))
                .beside("after a restart", of(fresh)),
            Figure::new(name("program"), Unit::Megabytes, Sample::one(process.program()?)),
        ]);
    }
    Ok(figures)
}

/// A second process of the same kind, which needs no lease: there is nothing to act on at this time.
async fn starts(process: PodProcess) -> Result<Sample> {
    let mut arguments = process.arguments(&[])?;
    arguments.extend(["--leader-elect=false".to_owned(), format!("--http-addr=127.0.0.1:{PORT}")]);
    let mut sample = Sample::default();
    for _ in 0..STARTS {
        sample.took(process.time_start(&arguments, &format!("http://127.0.0.1:{PORT}/readyz")).await?);
    }
    Ok(sample)
}
