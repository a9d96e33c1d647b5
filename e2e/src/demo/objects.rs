//! Waits for the demo's objects and shows them as kubectl does.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use api_types::{AppDatabase, AppDatabasePhase, DBHubInstance, Database, DatabasePhase, InstancePhase};
use kube::Api;

use crate::progress::Progress;
use crate::testing::{Harness, wait_for};

const DEADLINE: Duration = Duration::from_mins(2);

pub(super) async fn wait(harness: &Harness, progress: Progress) -> Result<()> {
    for name in ["analytics-prod", "users-prod"] {
        progress.step(&format!("Database {name} Connected"), connected(harness, name)).await?;
    }
    progress.step("AppDatabase myapp Ready", ready(harness)).await?;
    progress.step("DBHubInstance acme-dbhub Running, 2/2", running(harness)).await
}

async fn connected(harness: &Harness, name: &str) -> Result<()> {
    let api: Api<Database> = Api::namespaced(harness.client.clone(), "tas-acme");
    let is_connected = |database: Option<&Database>| {
        database.and_then(|database| database.status.as_ref()?.phase) == Some(DatabasePhase::Connected)
    };
    wait_for(&api, name, "phase Connected", is_connected, DEADLINE).await.map(drop)
}

async fn ready(harness: &Harness) -> Result<()> {
    let api: Api<AppDatabase> = Api::namespaced(harness.client.clone(), "db-concierge");
    let is_ready =
        |app: Option<&AppDatabase>| app.and_then(|app| app.status.as_ref()?.phase) == Some(AppDatabasePhase::Ready);
    wait_for(&api, "myapp", "phase Ready", is_ready, DEADLINE).await.map(drop)
}

async fn running(harness: &Harness) -> Result<()> {
    let api: Api<DBHubInstance> = Api::namespaced(harness.client.clone(), "tas-acme");
    let is_running = |instance: Option<&DBHubInstance>| {
        instance
            .and_then(|instance| instance.status.as_ref())
            .is_some_and(|status| status.phase == Some(InstancePhase::Running) && status.available_replicas == Some(2))
    };
    wait_for(&api, "acme-dbhub", "phase Running with 2 replicas", is_running, DEADLINE).await.map(drop)
}

/// The tables of the seed's Usage section, as they are now.
pub(super) async fn tables(harness: &Harness) -> Result<String> {
    let mut shown = String::new();
    for command in [
        "get pods -n db-concierge",
        "get databases -n tas-acme",
        "get dbhubinstances -n tas-acme",
        "get appdatabase -n db-concierge",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        write!(shown, "\n$ kubectl {command}\n{}", harness.kubectl.run(&words).await?)?;
    }
    Ok(shown)
}
