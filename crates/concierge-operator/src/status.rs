//! What the status of an AppDatabase says after a pass. [`next`] is pure: the old status and an outcome give the new
//! one; [`report`] writes it when it differs and publishes an Event when a condition turned.
//!
//! Trouble with a server says nothing about a database that was verified there before. So such an AppDatabase stays
//! Ready, and condition ServerUnavailable tells why nobody looks after it at the moment.

mod parts;

use api_types::{AppDatabase, AppDatabasePhase, AppDatabaseStatus, READY};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Api, Resource as _, ResourceExt as _};
use operator_runtime::apply::apply_status;
use operator_runtime::conditions::{self, Change, ConditionStatus, Finding};
use operator_runtime::events::EventType;
use operator_runtime::{ApiError, PublicError as _};

use api_types::names::{RECONCILE, ROTATE};

use crate::OPERATOR;
use crate::context::Context;
use crate::error::Error;
use crate::ledger::scripts::Record;

/// The server cannot be reached or used; present only then.
pub const SERVER_UNAVAILABLE: &str = "ServerUnavailable";

/// How a pass ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Everything is in place, and the application's login works.
    Ready(&'a Facts),
    /// Something is in the way.
    Failed(&'a Error),
    /// The object is to go, and what was made for it could not be dropped yet.
    StillThere(&'a Error),
}

/// What was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The database.
    pub database: String,
    /// Its user.
    pub user: String,
    /// The Secret with the credentials.
    pub secret: String,
    /// The user that can only read, and its Secret.
    pub reader: Option<(String, String)>,
    /// The namespace of the Secrets.
    pub namespace: String,
    /// With a placeholder for the password.
    pub connection_string: String,
    /// Whether this pass changed something or was asked for.
    pub changed: bool,
    /// What of the server had been changed by somebody, and was changed back.
    pub repaired: Vec<&'static str>,
    /// What a user has too much, and we may not take away.
    pub left: Vec<&'static str>,
    /// The read-only user that was dropped.
    pub dropped: Option<String>,
    /// Whether a login was accepted and then refused because its connections are all in use.
    pub full: bool,
    /// The script that was run last.
    pub script: Option<Record>,
}

/// Writes the outcome into the status if that changes it, and publishes what turned.
pub async fn report(ctx: &Context, app: &AppDatabase, outcome: Outcome<'_>) -> Result<(), ApiError> {
    if matches!(outcome, Outcome::Failed(error) | Outcome::StillThere(error) if !error.is_news()) {
        return Ok(());
    }
    let (status, change) = next(app, outcome, Timestamp::now());
    let api: Api<AppDatabase> = Api::namespaced(ctx.client.clone(), &app.namespace().unwrap_or_default());
    match apply_status(&api, OPERATOR, &app.name_any(), &status, app.status.as_ref()).await {
        // It was deleted meanwhile; nobody is left to read it.
        Err(ApiError::NotFound { .. }) => return Ok(()),
        result => drop(result?),
    }
    tell_what_was_done(ctx, app, outcome).await;
    if change == Change::Transition {
        let (type_, reason, note) = event(outcome, status.message.as_deref().unwrap_or_default());
        ctx.events.publish(&object_ref(app), type_, reason, action(outcome), note).await;
    }
    Ok(())
}

/// What an Event about the object refers to.
#[must_use]
pub fn object_ref(app: &AppDatabase) -> ObjectReference {
    app.object_ref(&())
}

/// What somebody may wonder about, besides conditions that turned.
async fn tell_what_was_done(ctx: &Context, app: &AppDatabase, outcome: Outcome<'_>) {
    let Outcome::Ready(facts) = outcome else { return };
    let (about, action) = (object_ref(app), action(outcome));
    if !facts.repaired.is_empty() {
        let note = parts::repairs(facts);
        ctx.events.publish(&about, EventType::Warning, "DriftRepaired", action, &note).await;
    }
    if let Some(user) = &facts.dropped {
        let note = format!("dropped user {user} and its Secret, since spec.readOnlyUser no longer asks for them");
        ctx.events.publish(&about, EventType::Normal, "ReadOnlyUserDropped", action, &note).await;
    }
}

fn event<'a>(outcome: Outcome<'_>, message: &'a str) -> (EventType, &'static str, &'a str) {
    match outcome {
        Outcome::Ready(facts) => match parts::summary(facts) {
            summary if summary.status == ConditionStatus::True => (EventType::Normal, READY, message),
            summary => (EventType::Warning, summary.reason, message),
        },
        Outcome::Failed(error) | Outcome::StillThere(error) => (EventType::Warning, error.reason(), message),
    }
}

fn action(outcome: Outcome<'_>) -> &'static str {
    match outcome {
        Outcome::Ready(_) | Outcome::Failed(_) => "Provision",
        Outcome::StillThere(_) => "Delete",
    }
}

/// The status after a pass, and the greatest change of a condition.
fn next(app: &AppDatabase, outcome: Outcome<'_>, now: Timestamp) -> (AppDatabaseStatus, Change) {
    let mut status = app.status.clone().unwrap_or_default();
    let change = match outcome {
        Outcome::Ready(facts) => ready(&mut status, app, facts, now),
        Outcome::Failed(error) if error.is_server_trouble() && is_ready(&status) => {
            status.message = Some(error.message());
            server_unavailable(&mut status.conditions, error, now)
        }
        Outcome::Failed(error) => {
            let message = error.message();
            not_ready(&mut status, app, error, error.phase(), message, now)
        }
        Outcome::StillThere(error) => {
            let message = format!(
                "waiting to drop database and user: {}; to give up on them, annotate with db.stillwaters.io/orphan=true",
                error.message()
            );
            not_ready(&mut status, app, error, AppDatabasePhase::Pending, message, now)
        }
    };
    (status, change)
}

fn ready(status: &mut AppDatabaseStatus, app: &AppDatabase, facts: &Facts, now: Timestamp) -> Change {
    let recovered = conditions::remove(&mut status.conditions, SERVER_UNAVAILABLE);
    let summary = parts::summary(facts);
    let change = set(&mut status.conditions, app, (READY, summary.status, summary.reason, &summary.message), now);
    parts::set_all(&mut status.conditions, app, facts, now);
    if facts.changed || change == Change::Transition {
        status.last_reconcile_time = Some(Time(now));
    }
    status.phase = Some(summary.phase());
    status.message = Some(summary.message);
    status.user_name = Some(facts.user.clone());
    status.secret_name = Some(facts.secret.clone());
    (status.read_only_user_name, status.read_only_secret_name) = facts.reader.clone().unzip();
    status.init_sql_hash = facts.script.as_ref().map(|script| script.hash.clone());
    status.connection_string = Some(facts.connection_string.clone());
    status.observed_generation = app.metadata.generation;
    let annotation = |key| app.annotations().get(key).cloned();
    status.last_handled_reconcile = annotation(RECONCILE).or(status.last_handled_reconcile.take());
    status.last_handled_rotate = annotation(ROTATE).or(status.last_handled_rotate.take());
    if recovered { Change::Transition } else { change }
}

fn not_ready(
    status: &mut AppDatabaseStatus,
    app: &AppDatabase,
    error: &Error,
    phase: AppDatabasePhase,
    message: String,
    now: Timestamp,
) -> Change {
    let found = |type_, status| (type_, status, error.reason(), message.as_str());
    let change = set(&mut status.conditions, app, found(READY, ConditionStatus::False), now);
    for (type_, says) in parts::concerned(error) {
        let _ = set(&mut status.conditions, app, found(type_, *says), now);
    }
    if error.is_server_trouble() {
        let _ = server_unavailable(&mut status.conditions, error, now);
    } else {
        let _ = conditions::remove(&mut status.conditions, SERVER_UNAVAILABLE);
    }
    status.phase = Some(phase);
    status.message = Some(message);
    status.observed_generation = app.metadata.generation;
    change
}

/// Whether the status tells of something that could not be changed back.
#[must_use]
pub fn is_drifted(app: &AppDatabase) -> bool {
    let conditions = app.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::get(conditions, parts::DRIFT).is_some_and(|drift| drift.status == ConditionStatus::True.as_str())
}

fn is_ready(status: &AppDatabaseStatus) -> bool {
    conditions::get(&status.conditions, READY).is_some_and(|ready| ready.status == ConditionStatus::True.as_str())
}

type Found<'a> = (&'a str, ConditionStatus, &'a str, &'a str);

fn set(list: &mut Vec<Condition>, app: &AppDatabase, found: Found<'_>, now: Timestamp) -> Change {
    let (type_, status, reason, message) = found;
    let observed_generation = app.metadata.generation;
    conditions::set(list, Finding { type_, status, reason, message, observed_generation }, now)
}

fn server_unavailable(list: &mut Vec<Condition>, error: &Error, now: Timestamp) -> Change {
    let message = error.message();
    let finding = Finding {
        type_: SERVER_UNAVAILABLE,
        status: ConditionStatus::True,
        reason: error.reason(),
        message: &message,
        // It is about the server, whatever the spec says.
        observed_generation: None,
    };
    conditions::set(list, finding, now)
}

/// The status after such a pass, for tests of what follows it.
#[cfg(test)]
pub fn after(app: &AppDatabase, outcome: Outcome<'_>) -> AppDatabaseStatus {
    next(app, outcome, Timestamp::UNIX_EPOCH).0
}

#[cfg(test)]
mod tests;
