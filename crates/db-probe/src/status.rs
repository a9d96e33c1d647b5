//! Turns what a probe found into the status to publish, given what was published before. Pure: no clock, no client.

use std::time::Duration;

use api_types::{Database, DatabasePhase, DatabaseSpec, DatabaseStatus, Privileges, READY};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use operator_runtime::conditions::{self, Change, ConditionStatus};

use crate::error::{Problem, Reason, Recheck};
use crate::probe::{Gap, Reached, Rights};
use crate::turns::Standing;

/// The condition that says whether the login can do no more than read.
pub const LEAST_PRIVILEGE: &str = "LeastPrivilege";

/// What a look at the database gave.
pub type Outcome = Result<Reached, Problem>;

/// What is known from before this look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The status as it was last published.
    pub status: DatabaseStatus,
    /// Transient failures in a row.
    pub failures: u32,
}

impl Past {
    /// What a published status tells after a restart. How many failures in a row made it flap is not in it: at least
    /// one did.
    #[must_use]
    pub fn from_status(status: DatabaseStatus) -> Self {
        let flapping = ready_reason(&status) == Some(Reason::Flapping.as_str());
        Self { failures: u32::from(flapping), status }
    }

    /// Whether this generation of the spec was seen to work.
    fn worked(&self, generation: Option<i64>) -> bool {
        let up = matches!(self.status.phase, Some(DatabasePhase::Connected | DatabasePhase::Degraded));
        up && self.status.observed_generation == generation
    }
}

/// What to publish, and when to look again.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a verdict is published"]
pub struct Verdict {
    /// The whole status.
    pub status: DatabaseStatus,
    /// Transient failures in a row, this look included.
    pub failures: u32,
    /// Whether an Event is due.
    pub change: Change,
    /// Why this phase.
    pub reason: Reason,
    /// When to look again.
    pub recheck: Recheck,
}

/// One row of the table of phases.
struct Finding {
    phase: DatabasePhase,
    ready: ConditionStatus,
    reason: Reason,
    message: String,
    failures: u32,
    recheck: Recheck,
}

/// Judges an outcome. `threshold` transient failures in a row after a success make a Database Failed; fewer leave it
/// Degraded with `Ready` Unknown, since one lost connection does not tell whether it is down.
pub fn judge(database: &Database, past: &Past, outcome: &Outcome, threshold: u32, now: Timestamp) -> Verdict {
    let generation = database.metadata.generation;
    let finding = match outcome {
        Ok(reached) => of_success(&database.spec, reached),
        Err(problem) => of_problem(problem, past, generation, threshold),
    };
    let mut conditions = past.status.conditions.clone();
    let ready = conditions::Finding {
        type_: READY,
        status: finding.ready,
        reason: finding.reason.as_str(),
        message: &finding.message,
        observed_generation: generation,
    };
    let change = conditions::set(&mut conditions, ready, now);
    let reached = outcome.as_ref().ok();
    let rights = reached.map(|reached| &reached.rights);
    // Ready tells what an Event is due for: who narrows a login looks at the condition.
    let _ = conditions::set(&mut conditions, least_privilege(rights, generation, &describe(rights)), now);
    let status = DatabaseStatus {
        phase: Some(finding.phase),
        last_checked: last_checked(past, outcome, generation, now),
        message: Some(finding.message),
        connection_pool: reached.and_then(|reached| reached.pool),
        privileges: Some(rights.map_or(Privileges::Unknown, Rights::privileges)),
        server_version: reached.map(|reached| reached.version.clone()),
        observed_generation: generation,
        conditions,
    };
    Verdict { status, failures: finding.failures, change, reason: finding.reason, recheck: finding.recheck }
}

fn least_privilege<'a>(
    rights: Option<&Rights>,
    observed_generation: Option<i64>,
    message: &'a str,
) -> conditions::Finding<'a> {
    let (status, reason) = match rights {
        None => (ConditionStatus::Unknown, "NotConnected"),
        Some(Rights::ReadOnly) => (ConditionStatus::True, "ReadOnly"),
        Some(Rights::Excess(_)) => (ConditionStatus::False, "MoreThanReading"),
        Some(Rights::Unknown(Gap::NotRead)) => (ConditionStatus::Unknown, "NotRead"),
        Some(Rights::Unknown(Gap::Role(_))) => (ConditionStatus::Unknown, "RoleNotResolved"),
    };
    conditions::Finding { type_: LEAST_PRIVILEGE, status, reason, message, observed_generation }
}

fn describe(rights: Option<&Rights>) -> String {
    rights.map_or_else(|| "what the login may do is read once it is let in".to_owned(), Rights::to_string)
}

fn of_success(spec: &DatabaseSpec, reached: &Reached) -> Finding {
    let (phase, reason, message) = match slow_step(spec, reached) {
        None => (DatabasePhase::Connected, Reason::Connected, "Connection verified".to_owned()),
        Some(message) => (DatabasePhase::Degraded, Reason::Slow, message),
    };
    Finding { phase, ready: ConditionStatus::True, reason, message, failures: 0, recheck: Recheck::Healthy }
}

/// Which step took more than half its timeout.
fn slow_step(spec: &DatabaseSpec, reached: &Reached) -> Option<String> {
    let steps = [
        ("login", reached.login, spec.connection_timeout, "spec.connectionTimeout"),
        ("query", reached.query, spec.query_timeout, "spec.queryTimeout"),
    ];
    let is_slow = |(_, took, timeout, _): &(_, Duration, u32, _)| *took * 2 > Duration::from_secs((*timeout).into());
    steps.into_iter().find(is_slow).map(|(step, took, timeout, field)| {
        let took = took.as_secs_f64();
        format!(
            "Connected, but the {step} took {took:.1} s of the {timeout} s that {field} allows: check the server's load"
        )
    })
}

fn of_problem(problem: &Problem, past: &Past, generation: Option<i64>, threshold: u32) -> Finding {
    let failures = if problem.is_transient() { past.failures.saturating_add(1) } else { 0 };
    let left = threshold.saturating_sub(failures);
    if problem.is_transient() && past.worked(generation) && left > 0 {
        return Finding {
            phase: DatabasePhase::Degraded,
            ready: ConditionStatus::Unknown,
            reason: Reason::Flapping,
            message: format!("{problem}; it worked before, {left} more of these in a row and it counts as Failed"),
            failures,
            recheck: problem.recheck(),
        };
    }
    let reason = problem.reason();
    let (phase, ready) = match reason {
        // It was not looked at, and it may well be served.
        Reason::FileNotVisible => (DatabasePhase::Pending, ConditionStatus::Unknown),
        _ => (DatabasePhase::Failed, ConditionStatus::False),
    };
    Finding { phase, ready, reason, message: problem.to_string(), failures, recheck: problem.recheck() }
}

/// A look that never got as far as the server leaves the time of the last one that did, unless that was for another
/// spec.
fn last_checked(past: &Past, outcome: &Outcome, generation: Option<i64>, now: Timestamp) -> Option<Time> {
    match outcome {
        Err(problem) if !problem.was_probed() => {
            past.status.last_checked.clone().filter(|_| past.status.observed_generation == generation)
        }
        _ => Some(Time(now)),
    }
}

/// How long a Database that was found healthy before this process started can be left alone: until `interval` after
/// its last look. `None` when it has to be looked at now: it is not healthy, something it depends on may have changed
/// since (`changed` is the newest change that its generation does not tell of), or the time is over.
#[must_use]
pub fn rest(
    database: &Database,
    status: &DatabaseStatus,
    changed: Option<Timestamp>,
    interval: Duration,
    now: Timestamp,
) -> Option<Duration> {
    let checked = status.last_checked.as_ref()?.0;
    let healthy = status.phase == Some(DatabasePhase::Connected);
    let current = status.observed_generation == database.metadata.generation;
    let untouched = changed.is_none_or(|changed| checked.duration_since(changed) > CLOCK_SKEW);
    if !(healthy && current && untouched) {
        return None;
    }
    // A time in the future is another machine's clock: it must not put the look off for longer.
    let age = Duration::try_from(now.duration_since(checked)).unwrap_or_default();
    interval.checked_sub(age).filter(|rest| !rest.is_zero())
}

/// `lastChecked` is our clock, the time of a change the API server's. They may differ this much.
const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// How the last look at this spec went, by the status alone, so that it is known after a restart too.
#[must_use]
pub fn standing(database: &Database) -> Standing {
    let hung = [Reason::Timeout, Reason::Flapping].map(Reason::as_str);
    let current = |status: &&DatabaseStatus| status.observed_generation == database.metadata.generation;
    match database.status.as_ref().filter(current).and_then(ready_reason) {
        Some(reason) if hung.contains(&reason) => Standing::Hangs,
        _ => Standing::Answers,
    }
}

fn ready_reason(status: &DatabaseStatus) -> Option<&str> {
    conditions::get(&status.conditions, READY).map(|ready| ready.reason.as_str())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
