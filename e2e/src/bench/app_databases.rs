//! AppDatabases: one after the other and three hundred at once, each beside the script that does the same work.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::{AppDatabase, AppDatabasePhase};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use super::place::Place;
use super::requests::Requests;
use super::script::{self, Script};
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::testing::manifests::app_database;

const ROUNDS: u32 = 20;
const AT_ONCE: u32 = 300;
const ROUNDS_AT_ONCE: u32 = 5;
/// Requests under way at the same time, as from a person's `kubectl apply` of many files in parallel.
const PARALLEL: usize = 20;

/// An AppDatabase of this place; the database is called as it is.
pub(super) fn manifest(place: &Place, name: &str, policy: &str) -> Value {
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": name, "appNamespace": place.namespace(),
                      "deletionPolicy": policy});
    app_database(name, &spec, &json!({}))
}

/// Whether this is the AppDatabase of that name, and Ready.
pub(super) fn is_ready(app: &AppDatabase, name: &str) -> bool {
    app.name_any() == name && phase(app) == Some(AppDatabasePhase::Ready)
}

fn phase(app: &AppDatabase) -> Option<AppDatabasePhase> {
    app.status.as_ref()?.phase
}

/// Both measurements. What was made is removed.
pub(super) async fn measure(place: &Place) -> Result<Vec<Figure>> {
    let mut script = Script::prepare(place).await?;
    let mut figures = one_after_the_other(place, &mut script).await?;
    figures.extend(at_once(place, &mut script).await?);
    script.end().await?;
    place.clear_mariadb().await?;
    place.clear_ownership().await?;
    Ok(figures)
}

async fn one_after_the_other(place: &Place, script: &mut Script<'_>) -> Result<Vec<Figure>> {
    let mut apps = Watched::<AppDatabase>::open(place.api()).await?;
    let (mut ours, mut floor) = (Sample::default(), Sample::default());
    let (mut asked, mut asked_by_script) = (Sample::default(), Sample::default());
    let mut server = place.harness.servers().mariadb_admin().await?;
    let before = Requests::now(place).await?;
    for round in 0..ROUNDS {
        let first = questions(&mut server).await?;
        ours.took(create(place, &mut apps, &place.name("app", round)).await?);
        let second = questions(&mut server).await?;
        floor.took(script.create(&place.name("script", round), "Retain").await?);
        // Each question is one itself.
        asked.push(f64::from(second - first - 1));
        asked_by_script.push(f64::from(questions(&mut server).await? - second - 1));
    }
    let requests = Requests::now(place).await?.since(before);
    server.disconnect().await?;
    delete_all(place, &mut apps).await?;
    let each = |count: u32| f64::from(count) / f64::from(ROUNDS);
    // Beside the operator's: our creation, and the script's writes but the status, which is another kind's.
    let writes = each(requests.writes) - f64::from(1 + script::WRITES - 1);
    let times = |what: &str, sample| Figure::new(format!("AppDatabase: {what} to make one"), Unit::Times, sample);
    Ok(vec![
        Figure::new("AppDatabase: apply → Ready", Unit::Milliseconds, ours).beside("script", floor),
        times("API writes", Sample::one(writes)).beside("script", Sample::one(f64::from(script::WRITES))),
        times("API reads", Sample::one(each(requests.reads))),
        times("commands to the server", asked).beside("script", asked_by_script),
    ])
}

/// How many commands the server got since its start; a goodbye is one, a login none.
async fn questions(server: &mut Conn) -> Result<u32> {
    let row: Option<(String, u32)> = server.query_first("SHOW GLOBAL STATUS LIKE 'Questions'").await?;
    row.map(|(_, count)| count).context("the server does not count statements")
}

async fn create(place: &Place, apps: &mut Watched<AppDatabase>, name: &str) -> Result<Duration> {
    let manifest = manifest(place, name, "Retain");
    let begun = Instant::now();
    place.create::<AppDatabase>(manifest).await?;
    apps.applied("Ready", |app| is_ready(app, name)).await?;
    Ok(begun.elapsed())
}

async fn at_once(place: &Place, script: &mut Script<'_>) -> Result<Vec<Figure>> {
    let (mut made, mut floor, mut dropped) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..ROUNDS_AT_ONCE {
        let names = |purpose: &str| -> Vec<String> {
            (0..AT_ONCE).map(|number| place.name(purpose, round * AT_ONCE + number)).collect()
        };
        let (created, deleted) = create_and_delete(place, names("many")).await?;
        made.push(rate(created));
        dropped.push(rate(deleted));
        let begun = Instant::now();
        for name in names("sequel") {
            script.create(&name, "Delete").await?;
        }
        floor.push(rate(begun.elapsed()));
    }
    let name = |what: &str| format!("{AT_ONCE} AppDatabases at once: {what}");
    Ok(vec![
        Figure::new(name("apply → Ready"), Unit::PerSecond, made).beside("script", floor),
        Figure::new(name("delete → gone, database dropped"), Unit::PerSecond, dropped),
    ])
}

fn rate(time: Duration) -> f64 {
    f64::from(AT_ONCE) / time.as_secs_f64()
}

async fn create_and_delete(place: &Place, names: Vec<String>) -> Result<(Duration, Duration)> {
    let mut apps = Watched::<AppDatabase>::open(place.api()).await?;
    let mut missing: BTreeSet<String> = names.iter().cloned().collect();
    let begun = Instant::now();
    let creating = stream::iter(names)
        .map(|name| async move { place.create::<AppDatabase>(manifest(place, &name, "Delete")).await })
        .buffer_unordered(PARALLEL)
        .try_for_each(|_| async { Ok(()) });
    let all_ready = apps.applied("Ready of all", |app| {
        if phase(app) == Some(AppDatabasePhase::Ready) {
            missing.remove(&app.name_any());
        }
        missing.is_empty()
    });
    tokio::try_join!(creating, all_ready)?;
    let created = begun.elapsed();
    Ok((created, delete_all(place, &mut apps).await?))
}

async fn delete_all(place: &Place, apps: &mut Watched<AppDatabase>) -> Result<Duration> {
    let api = place.api::<AppDatabase>();
    let count = api.list_metadata(&ListParams::default()).await?.items.len();
    let begun = Instant::now();
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.context("cannot delete them")?;
    apps.deleted(count).await?;
    Ok(begun.elapsed())
}
