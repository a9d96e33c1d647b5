//! Two thousand Databases on two servers: how long until all are verified, what they cost at rest, what a restart of
//! db-probe costs, and whether hundreds of hosts that never answer delay the healthy ones.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::{Database, DatabasePhase};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use tokio::io;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::databases::{self, Server};
use super::operators;
use super::place::Place;
use super::processes::PodProcess;
use super::rechecks::request;
use super::scrape::Scrape;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::cluster::layout::SERVERS_ADDRESS;
use crate::testing::bed::Login;

const HEALTHY: u32 = 2000;
/// A fifth of all.
const SILENT: u32 = 500;
/// Requests under way at the same time.
const PARALLEL: usize = 20;
/// Looks that a percentile is of.
const LOOKS: u32 = 300;
/// Longer than the default connectionTimeout: every silent host has been found out.
const FOUND_OUT: Duration = Duration::from_secs(45);
const SETTLED: Duration = Duration::from_secs(10);
/// A Secret that changed less than ten seconds before a look has the next process look again, since clocks differ. Most
/// Secrets are older than that.
const SECRET_IS_OLD: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
const RESTART_DEADLINE: Duration = Duration::from_mins(2);
/// On the address of the servers, free beside them.
const SILENT_PORT: u16 = 14_999;
const OPERATOR: &str = "db-probe";

/// Makes them all, and removes them.
pub(super) async fn measure(place: &Place) -> Result<Vec<Figure>> {
    let login = databases::make_logins(place).await?;
    tokio::time::sleep(SECRET_IS_OLD).await;
    let mut databases = Watched::<Database>::open(place.api()).await?;
    let verified = create_healthy(place, &mut databases, &login).await?;
    tokio::time::sleep(SETTLED).await;
    let at_rest = process(place).await?.resident()?;
    let mut figures = vec![
        Figure::new("2,000 Databases: created → all Connected", Unit::Milliseconds, verified),
        Figure::new("2,000 Databases: resident memory at rest", Unit::Megabytes, Sample::one(at_rest)),
    ];
    figures.extend(restart(place).await?);
    figures.extend(beside_silent_hosts(place, &mut databases, &login).await?);
    place.api::<Database>().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    databases.deleted((HEALTHY + SILENT) as usize).await?;
    databases::remove_logins(place, &login).await?;
    Ok(figures)
}

async fn create_healthy(place: &Place, databases: &mut Watched<Database>, login: &Login) -> Result<Sample> {
    let server =
        |number: u32| -> Server { if number.is_multiple_of(2) { databases::POSTGRES } else { databases::MYSQL } };
    let manifests = (0..HEALTHY).map(|number| databases::manifest(&server(number), login, &healthy(place, number)));
    let begun = Instant::now();
    create_all(place, manifests).await?;
    let mut connected = HashSet::new();
    let all_connected = |database: &Database| {
        if database.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Connected) {
            connected.insert(database.name_any());
        }
        connected.len() == HEALTHY as usize
    };
    databases.applied("last one Connected", all_connected).await?;
    let mut sample = Sample::default();
    sample.took(begun.elapsed());
    Ok(sample)
}

fn healthy(place: &Place, number: u32) -> String {
    place.name("many", number)
}

async fn create_all(place: &Place, manifests: impl Iterator<Item = Value>) -> Result<()> {
    let creating = stream::iter(manifests).map(|manifest| place.create::<Database>(manifest));
    creating.buffer_unordered(PARALLEL).try_for_each(|_| async { Ok(()) }).await
}

async fn process(place: &Place) -> Result<PodProcess> {
    PodProcess::of(&operators::pod(place, OPERATOR).await?)
}

/// Kills db-probe and waits until it has come back to each Database. A Database verified a short while ago keeps its
/// turn, and that takes no write.
async fn restart(place: &Place) -> Result<[Figure; 3]> {
    let before = versions(place).await?;
    let begun = Instant::now();
    process(place).await?.kill()?;
    let (mut ready, mut resumed) = (Sample::default(), Sample::default());
    let mut reconciled = 0.0;
    while reconciled < f64::from(HEALTHY) {
        ensure!(begun.elapsed() < RESTART_DEADLINE, "db-probe did not come back");
        tokio::time::sleep(POLL).await;
        let pod: Pod = operators::pod(place, OPERATOR).await?;
        let Ok(scrape) = Scrape::of(&pod).await else { continue };
        if ready.is_empty() {
            ready.took(begun.elapsed());
        }
        reconciled = scrape.sum("db_probe_reconcile_duration_seconds_count");
    }
    resumed.took(begun.elapsed());
    let after = versions(place).await?;
    let written = u32::try_from(after.difference(&before).count()).context("too many writes")?;
    Ok([
        Figure::new("db-probe killed → all 2,000 looked after again", Unit::Milliseconds, resumed)
            .beside("killed → the new process answers", ready),
        Figure::new("writes that took", Unit::Times, Sample::one(f64::from(written))),
        Figure::new("resident memory after it", Unit::Megabytes, Sample::one(process(place).await?.resident()?)),
    ])
}

/// Name and resourceVersion of every Database.
async fn versions(place: &Place) -> Result<HashSet<(String, Option<String>)>> {
    let list = place.api::<Database>().list(&ListParams::default()).await?;
    Ok(list.items.iter().map(|database| (database.name_any(), database.resource_version())).collect())
}

async fn beside_silent_hosts(place: &Place, databases: &mut Watched<Database>, login: &Login) -> Result<[Figure; 3]> {
    let alone = looks(place, databases).await?;
    let _silent = silent_server().await?;
    create_all(place, (0..SILENT).map(|number| silent(place, login, number))).await?;
    let at_once = looks(place, databases).await?;
    tokio::time::sleep(FOUND_OUT).await;
    let later = looks(place, databases).await?;
    let figure = |when: &str, sample: &Sample| {
        Figure::new(format!("a healthy look, {when}: p99"), Unit::Milliseconds, sample.p99())
            .beside("without silent hosts: p99", alone.p99())
    };
    let memory = process(place).await?.resident()?;
    Ok([
        figure("just after 500 silent hosts were added", &at_once),
        figure("500 silent hosts being retried", &later),
        Figure::new("2,500 Databases, 500 of them silent: resident memory", Unit::Megabytes, Sample::one(memory)),
    ])
}

async fn looks(place: &Place, databases: &mut Watched<Database>) -> Result<Sample> {
    let mut sample = Sample::default();
    for number in 0..LOOKS {
        // All over the list.
        let number = number * 7 % HEALTHY;
        sample.took(request(place, databases, &healthy(place, number)).await?);
    }
    Ok(sample)
}

/// Each on a host of its own.
fn silent(place: &Place, login: &Login, number: u32) -> Value {
    let mut manifest = databases::manifest(&databases::POSTGRES, login, &place.name("silent", number));
    manifest["spec"]["host"] = json!(format!("silent-{number}.e2e.internal"));
    manifest["spec"]["port"] = json!(SILENT_PORT);
    manifest
}

/// Takes connections and never says a word.
async fn silent_server() -> Result<JoinSet<()>> {
    let listener =
        TcpListener::bind((SERVERS_ADDRESS, SILENT_PORT)).await.context("cannot listen beside the servers")?;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            connections.spawn(async move { io::copy(&mut connection, &mut io::sink()).await });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(server)
}
