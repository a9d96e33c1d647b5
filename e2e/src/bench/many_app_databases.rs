//! A thousand AppDatabases on one MariaDB, against an API server alone: how long until all are Ready, memory, what one
//! look for drift costs, and what a restart of the concierge costs.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::{AppDatabase, AppDatabasePhase};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use mysql_async::prelude::Queryable;

use super::processes::resident_memory;
use super::requests::Requests;
use super::table::{Figure, Sample, Unit};
use super::watched::Watched;
use crate::loopback::mariadb::MariaDb;
use crate::testing::app_databases::phase;
use crate::testing::local_concierge::{Kind, LocalConcierge};

const COUNT: u16 = 1000;
/// Requests under way at the same time.
const PARALLEL: usize = 20;
const CLUSTER: &str = "main";
const PASSWORD: &str = "of-no-use-elsewhere";
/// Longer than what a look takes, and short enough to wait for.
const FLAGS: [&str; 1] = ["--drift-interval=20"];
/// What one look for drift takes at this count.
const STATEMENTS: u8 = 5;
const SETTLED: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
const RESTARTED: Duration = Duration::from_mins(3);

/// Starts a server, an API server and the operator, and ends all.
pub(super) async fn measure() -> Result<Vec<Figure>> {
    let server = MariaDb::start(None).await?;
    server.concierge(PASSWORD).await?;
    let mut concierge = LocalConcierge::start(&FLAGS).await?.context("this takes a throw-away cluster's programs")?;
    concierge.serve(Kind::Mysql, CLUSTER, server.port, PASSWORD).await?;
    let made = create_all(&concierge).await?;
    tokio::time::sleep(SETTLED).await;
    let at_rest = resident_memory(concierge.process()?)?;
    let mut figures = vec![
        Figure::new("1,000 AppDatabases at once: apply → Ready", Unit::PerSecond, Sample::one(made)),
        Figure::new("1,000 AppDatabases: resident memory at rest", Unit::Megabytes, Sample::one(at_rest)),
    ];
    figures.extend(one_look(&concierge, &server).await?);
    figures.extend(restart(&mut concierge).await?);
    figures.push(delete_all(&concierge).await?);
    Ok(figures)
}

async fn create_all(concierge: &LocalConcierge) -> Result<f64> {
    let api = concierge.apps().api::<AppDatabase>();
    let mut apps = Watched::<AppDatabase>::open(api.clone()).await?;
    let begun = Instant::now();
    let creating = (0..COUNT).map(|number| {
        let manifest = concierge.app_database(&format!("many-{number}"), CLUSTER);
        let api = &api;
        async move {
            let app: AppDatabase = serde_json::from_value(manifest).context("the manifest is wrong")?;
            api.create(&PostParams::default(), &app).await.context("cannot create an AppDatabase")
        }
    });
    let creating = stream::iter(creating).buffer_unordered(PARALLEL).try_for_each(|_| async { Ok(()) });
    let mut ready = HashSet::new();
    let all_ready = apps.applied("last one Ready", |app| {
        if phase(app) == Some(AppDatabasePhase::Ready) {
            ready.insert(app.name_any());
        }
        ready.len() == usize::from(COUNT)
    });
    tokio::try_join!(creating, all_ready)?;
    Ok(rate(begun.elapsed()))
}

fn rate(time: Duration) -> f64 {
    f64::from(COUNT) / time.as_secs_f64()
}

/// From the end of one look for drift to the end of the next.
async fn one_look(concierge: &LocalConcierge, server: &MariaDb) -> Result<[Figure; 3]> {
    let mut admin = server.admin().await?;
    concierge.looks(STATEMENTS).await?;
    let (requests, asked) = (Requests::of_all(concierge.kubectl()).await?, questions(&mut admin).await?);
    concierge.looks(STATEMENTS).await?;
    let requests = Requests::of_all(concierge.kubectl()).await?.since(requests);
    // The question itself is one.
    let asked = questions(&mut admin).await? - asked - 1;
    admin.disconnect().await?;
    let figure = |what: &str, count: u32| {
        Figure::new(format!("a look for drift at 1,000 AppDatabases: {what}"), Unit::Times, Sample::one(count.into()))
    };
    Ok([
        figure("commands to the server", asked),
        figure("API writes, leases apart", requests.writes),
        figure("API reads, watches apart", requests.reads),
    ])
}

/// How many commands the server got since its start.
async fn questions(admin: &mut mysql_async::Conn) -> Result<u32> {
    let row: Option<(String, u32)> = admin.query_first("SHOW GLOBAL STATUS LIKE 'Questions'").await?;
    row.map(|(_, count)| count).context("the server does not count statements")
}

/// Kills the concierge and waits until the next has tried every login once more.
async fn restart(concierge: &mut LocalConcierge) -> Result<[Figure; 3]> {
    let before = Requests::of_all(concierge.kubectl()).await?;
    concierge.crash().await?;
    let begun = Instant::now();
    while concierge.passes().await? < f64::from(COUNT) {
        ensure!(begun.elapsed() < RESTARTED, "the concierge did not come back");
        tokio::time::sleep(POLL).await;
    }
    let mut took = Sample::default();
    took.took(begun.elapsed());
    let requests = Requests::of_all(concierge.kubectl()).await?.since(before);
    let memory = Sample::one(resident_memory(concierge.process()?)?);
    Ok([
        Figure::new("concierge restarted: leading → all 1,000 verified again", Unit::Milliseconds, took),
        Figure::new("API writes that took, leases apart", Unit::Times, Sample::one(requests.writes.into())),
        Figure::new("resident memory after it", Unit::Megabytes, memory),
    ])
}

async fn delete_all(concierge: &LocalConcierge) -> Result<Figure> {
    let api = concierge.apps().api::<AppDatabase>();
    let mut apps = Watched::<AppDatabase>::open(api.clone()).await?;
    let begun = Instant::now();
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.context("cannot delete them")?;
    apps.deleted(COUNT.into()).await?;
    let dropped = Sample::one(rate(begun.elapsed()));
    Ok(Figure::new("1,000 AppDatabases at once: delete → gone, database dropped", Unit::PerSecond, dropped))
}
