//! The only writes: one status patch a look, if anything differs, then an Event if the Database changed its state.

use api_types::{Database, DatabasePhase};
use kube::{Api, Resource as _, ResourceExt as _};
use operator_runtime::ApiError;
use operator_runtime::apply::{Applied, apply_status};
use operator_runtime::conditions::Change;
use operator_runtime::events::EventType;

use crate::controller::Context;
use crate::status::{Past, Verdict};

/// Publishes a verdict about the Database. One that was deleted meanwhile needs none.
pub async fn publish(ctx: &Context, database: &Database, past: &Past, verdict: Verdict) -> Result<(), ApiError> {
    let api: Api<Database> = Api::namespaced(ctx.client.clone(), &database.namespace().unwrap_or_default());
    let name = database.name_any();
    let written = match apply_status(&api, ctx.manager, &name, &verdict.status, Some(&past.status)).await {
        Ok(Applied::Written(written)) => Some(written),
        Ok(Applied::Unchanged) => None,
        Err(ApiError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    ctx.index().looked(database, verdict.failures, written);
    if verdict.change == Change::Transition {
        announce(ctx, database, &verdict).await;
    }
    Ok(())
}

async fn announce(ctx: &Context, database: &Database, verdict: &Verdict) {
    let type_ = match verdict.status.phase {
        Some(DatabasePhase::Connected | DatabasePhase::Pending) => EventType::Normal,
        _ => EventType::Warning,
    };
    let note = verdict.status.message.as_deref().unwrap_or_default();
    ctx.events.publish(&database.object_ref(&()), type_, verdict.reason.as_str(), "Probe", note).await;
}
