//! Waiting for what db-probe says about the Database `db` of a test.

use anyhow::{Context, Result};
use api_types::{Database, DatabasePhase, Privileges};
use serde_json::Value;

use super::bed::{Bed, ready_reason};

/// The phase of a Database.
#[must_use]
pub fn phase(database: &Database) -> Option<DatabasePhase> {
    database.status.as_ref()?.phase
}

/// Waits until it is Connected.
pub async fn connected(bed: &Bed) -> Result<Database> {
    bed.wait_for("db", "Connected", |db: &Database| phase(db) == Some(DatabasePhase::Connected)).await
}

/// Waits for a failure with this reason and gives its message.
pub async fn failed(bed: &Bed, reason: &str) -> Result<String> {
    let is_it = |db: &Database| phase(db) == Some(DatabasePhase::Failed) && ready_reason(db).as_deref() == Some(reason);
    let database = bed.wait_for("db", reason, is_it).await?;
    bed.expect_event("db", reason).await?;
    Ok(database.status.and_then(|status| status.message).unwrap_or_default())
}

/// Asks for a look at it. `look` names this one among those of the test.
pub async fn look_again(bed: &Bed, look: &str) -> Result<()> {
    bed.kubectl(&["annotate", "database", "db", "--overwrite", &format!("reconcile={look}")]).await.map(drop)
}

/// Asks for a look, waits until it has found these rights, and gives the condition's status and message.
pub async fn found_rights(bed: &Bed, look: &str, expected: Privileges) -> Result<(String, String)> {
    look_again(bed, look).await?;
    let is_it = |db: &Database| db.status.as_ref().and_then(|status| status.privileges) == Some(expected);
    let seen: Database = bed.wait_for("db", &format!("{expected:?} after {look}"), is_it).await?;
    let conditions: Value = serde_json::to_value(seen.status.unwrap_or_default().conditions)?;
    let all = conditions.as_array().cloned().unwrap_or_default();
    let condition = all.into_iter().find(|one| one["type"] == "LeastPrivilege").context("no LeastPrivilege")?;
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("message")))
}
