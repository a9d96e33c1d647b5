//! Waiting for what the concierge says about AppDatabases, and reading what it wrote.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use api_types::{AppDatabase, AppDatabasePhase};
use k8s_openapi::api::core::v1::Secret;

use super::bed::{Area, ready_reason};

/// Waits until it is Ready.
pub async fn ready(bed: &Area, name: &str) -> Result<AppDatabase> {
    bed.wait_for(name, "Ready", |app: &AppDatabase| phase(app) == Some(AppDatabasePhase::Ready)).await
}

/// Waits for this reason and gives the message that goes with it.
pub async fn stuck(bed: &Area, name: &str, reason: &str) -> Result<String> {
    let is_it = |app: &AppDatabase| ready_reason(app).as_deref() == Some(reason);
    let app: AppDatabase = bed.wait_for(name, reason, is_it).await?;
    bed.expect_event(name, reason).await?;
    Ok(app.status.and_then(|status| status.message).unwrap_or_default())
}

/// The phase of an AppDatabase.
#[must_use]
pub fn phase(app: &AppDatabase) -> Option<AppDatabasePhase> {
    app.status.as_ref()?.phase
}

/// The texts of a Secret.
pub async fn credentials(bed: &Area, secret: &str) -> Result<BTreeMap<String, String>> {
    let secret: Secret = bed.get(secret).await?;
    secret
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| Ok((key, String::from_utf8(value.0).context("a Secret's value is no text")?)))
        .collect()
}
