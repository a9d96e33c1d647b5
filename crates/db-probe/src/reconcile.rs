//! The story of one look at a Database: gather -> validate -> probe -> judge -> publish.

use std::sync::Arc;
use std::time::Instant;

use api_types::Database;
use jiff::Timestamp;
use kube::runtime::controller::Action;
use operator_runtime::ApiError;
use operator_runtime::backoff::{jittered, requeue_after};

use crate::apply::publish;
use crate::controller::Context;
use crate::gather::{Gathered, gather};
use crate::probe::probe;
use crate::status::{Outcome, Past, judge, rest};
use crate::validate::validate;

/// Looks at the Database and publishes what was found. Only a failed call of the Kubernetes API is an error: whatever
/// is wrong with the Database is a finding.
pub async fn reconcile(ctx: Arc<Context>, database: Arc<Database>) -> Result<Action, ApiError> {
    let known = ctx.index().past(&database);
    let gathered = gather(&ctx, &database).await?; // API server
    let is_first = known.is_none();
    let past = known.unwrap_or_else(|| Past::from_status(database.status.clone().unwrap_or_default()));
    if is_first && let Some(action) = leave_alone(&ctx, &database, &past, &gathered) {
        return Ok(action);
    }
    let outcome = look(&ctx, &database, &gathered).await; // database server
    let verdict = judge(&database, &past, &outcome, ctx.settings.failure_threshold, Timestamp::now()); // pure
    let interval = ctx.settings.interval(verdict.recheck);
    publish(&ctx, &database, &past, verdict).await?; // API server
    Ok(requeue_after(interval))
}

/// After a restart a Database that was found healthy a short while ago keeps its turn, so that not all are probed at
/// once.
fn leave_alone(ctx: &Context, database: &Database, past: &Past, gathered: &Gathered) -> Option<Action> {
    let interval = jittered(ctx.settings.healthy);
    let rest = rest(database, &past.status, gathered.changed, interval, Timestamp::now())?;
    ctx.index().looked(database, past.failures, None);
    Some(Action::requeue(rest))
}

async fn look(ctx: &Context, database: &Database, gathered: &Gathered) -> Outcome {
    let target = validate(database, gathered, &ctx.settings)?;
    let _running = ctx.metrics.start();
    let start = Instant::now();
    let outcome = probe(&target).await;
    ctx.metrics.ended(database.spec.engine, &outcome, start.elapsed());
    outcome
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
