//! What one look at a Database costs db-probe, beside the same login and query by the same client from here: wall time
//! and processor time. With and without TLS, so that its share can be told apart; PostgreSQL's password costs both
//! sides thousands of rounds of hashing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::Database;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sql_client::ConnectOptions;

use super::databases::{self, Server};
use super::operators;
use super::place::Place;
use super::processes::{PodProcess, own_processor_time};
use super::scrape::Scrape;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::testing::bed::Login;

const ROUNDS: u32 = 5;
const LOOKS: u32 = 40;

/// Both engines, with and without TLS. What was made is removed.
pub(super) async fn measure(place: &Place) -> Result<Vec<Figure>> {
    let login = databases::make_logins(place).await?;
    let mut figures = Vec::new();
    for server in [databases::POSTGRES, databases::MYSQL] {
        for ssl_mode in [server.ssl_mode, "disable"] {
            figures.extend(one(place, &Server { ssl_mode, ..server }, &login).await?);
        }
    }
    databases::remove_logins(place, &login).await?;
    Ok(figures)
}

/// Times of one look, averaged over a round.
#[derive(Default)]
struct Costs {
    wall: Sample,
    processor: Sample,
}

async fn one(place: &Place, server: &Server, login: &Login) -> Result<[Figure; 2]> {
    let mut databases = Watched::<Database>::open(place.api()).await?;
    let name = place.name("look", 0);
    databases::create(place, &mut databases, databases::manifest(server, login, &name)).await?;
    let options = databases::options(place, server, login)?;
    let (mut ours, mut floor) = (Costs::default(), Costs::default());
    for _ in 0..ROUNDS {
        look(place, &mut databases, &name, &mut ours).await?;
        log_in(&options, &mut floor).await?;
    }
    place.delete::<Database>(&name).await?;
    databases.deleted(1).await?;
    let title = |what: &str| format!("one look, {} {}: {what}", server.kind, server.ssl_mode);
    Ok([
        Figure::new(title("wall time"), Unit::Milliseconds, ours.wall).beside("login and query", floor.wall),
        Figure::new(title("processor time"), Unit::Milliseconds, ours.processor)
            .beside("login and query", floor.processor),
    ])
}

/// Has db-probe look again and again. Its histogram has the wall time of the probes alone.
async fn look(place: &Place, databases: &mut Watched<Database>, name: &str, costs: &mut Costs) -> Result<()> {
    let pod = operators::pod(place, "db-probe").await?;
    let process = PodProcess::of(&pod)?;
    let (before, used) = (Scrape::of(&pod).await?, process.processor_time()?);
    for _ in 0..LOOKS {
        request(place, databases, name).await?;
    }
    let (after, used) = (Scrape::of(&pod).await?, process.processor_time()?.saturating_sub(used));
    let gained = |metric: &str| after.sum(metric) - before.sum(metric);
    let wall = gained("db_probe_probe_duration_seconds_sum") / gained("db_probe_probe_duration_seconds_count");
    costs.wall.took(Duration::try_from_secs_f64(wall).context("db-probe made no probe")?);
    costs.processor.took(used / LOOKS);
    Ok(())
}

/// Changes the spec, waits until the status speaks of it, and gives the time that took.
pub(super) async fn request(place: &Place, databases: &mut Watched<Database>, name: &str) -> Result<Duration> {
    let api = place.api::<Database>();
    let timeout = api.get(name).await?.spec.query_timeout;
    // Above the default, so that no step of a healthy server is slow.
    let spec = json!({"spec": {"queryTimeout": if timeout == 16 { 17 } else { 16 }}});
    let begun = Instant::now();
    let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(&spec)).await?;
    let speaks_of_it = |database: &Database| {
        let generation = database.status.as_ref().and_then(|status| status.observed_generation);
        database.name_any() == name && generation == changed.metadata.generation
    };
    databases.applied("look at the new spec", speaks_of_it).await?;
    Ok(begun.elapsed())
}

async fn log_in(options: &ConnectOptions, costs: &mut Costs) -> Result<()> {
    let (begun, used) = (Instant::now(), own_processor_time()?);
    for _ in 0..LOOKS {
        databases::log_in(options).await?;
    }
    costs.wall.took(begun.elapsed() / LOOKS);
    costs.processor.took(own_processor_time()?.saturating_sub(used) / LOOKS);
    Ok(())
}
