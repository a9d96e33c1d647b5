//! The leader goes, and another acts. Alone in its file: cargo runs one test file after the other, so that no other
//! test is under way while nobody leads.

use anyhow::{Context, Result, ensure};
use api_types::{Database, DatabasePhase};
use e2e::testing::bed::Bed;
use e2e::testing::manifests::{database, secret};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

#[tokio::test]
async fn when_the_leader_goes_another_acts() -> Result<()> {
    let mut bed = Bed::new("failover").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    let home = bed.home();
    let lease: Lease = home.get("db-probe").await?;
    let leader = holder(&lease).context("nobody leads")?.to_owned();
    home.get::<Pod>(&leader).await.context("the holder of the lease is no pod")?;

    home.kubectl(&["delete", "pod", &leader, "--wait=false"]).await?;
    let spec = json!({"type": "postgres", "host": "analytics-pg.acme.internal", "database": login.database,
                      "credentialsRef": {"name": "creds"}});
    bed.apply(&database("db", &spec, &json!({}))).await?;
    let changed = |lease: &Lease| holder(lease).is_some_and(|holder| holder != leader);
    let lease: Lease = home.wait_for("db-probe", "another leader", changed).await?;
    let connected =
        |db: &Database| db.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Connected);
    bed.wait_for("db", "Connected", connected).await?;
    let new_leader = holder(&lease).unwrap_or_default();
    ensure!(home.get::<Pod>(new_leader).await.is_ok(), "the new leader {new_leader} is no pod");

    // Others find the installation as it was.
    home.wait_until_gone::<Pod>(&leader).await?;
    let available =
        |found: &Deployment| found.status.as_ref().is_some_and(|status| status.available_replicas == status.replicas);
    home.wait_for("db-probe", "all its pods", available).await?;
    bed.finish().await
}
