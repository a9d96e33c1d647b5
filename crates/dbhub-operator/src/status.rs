//! What a pass found, as phase, conditions and the list of databases. Pure.

use api_types::{
    DBHubInstance, DBHubInstanceStatus, Database, DatabaseEntry, DatabasePhase, DatabaseState, InstancePhase,
    Privileges, READY,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as k8s;
use kube::ResourceExt as _;
use operator_runtime::conditions::{self, Change, ConditionStatus, Finding as Condition};
use operator_runtime::events::EventType;

use crate::plan::names::Names;
use crate::plan::target::tools;
use crate::rollout::{Rollout, Trouble};
use crate::validate::source::Verdict;
use crate::validate::{Access, Request};
use crate::verifications::Verification;
use crate::verify::Target;

const VERIFIED: &str = "Verified";
const PROGRESSING: &str = "Progressing";
const LEAST_PRIVILEGE: &str = "LeastPrivilege";
/// The one reason for which Ready is True.
const RUNNING: &str = "Running";
const ROLLING: &str = "RolloutInProgress";
/// So many databases are named in a message; the rest stands in `status.databases`.
const NAMED: usize = 3;

/// What a pass found.
pub enum Finding {
    /// Nothing could be changed; what ran before still runs.
    Stuck {
        /// CamelCase.
        reason: &'static str,
        /// For a person.
        message: String,
        /// Pods that are available.
        available: i32,
    },
    /// No database to serve; nothing runs.
    Nothing {
        /// Names of the instance's objects.
        names: Names,
        /// The selected Databases, none of which can be served.
        verdicts: Vec<Verdict>,
    },
    /// At least one database to serve.
    Serving(Box<Serving>),
}

/// What serves, and how well.
pub struct Serving {
    /// What the instance asks for.
    pub request: Request,
    /// The selected Databases.
    pub verdicts: Vec<Verdict>,
    /// The pods.
    pub rollout: Rollout,
    /// What keeps pods from being ready.
    pub trouble: Option<Trouble>,
    /// The last handshake, once there was something to shake hands with.
    pub verification: Option<Verification>,
    /// Where handshakes go.
    pub target: Target,
}

/// The summary of a finding.
struct Summary {
    phase: InstancePhase,
    reason: &'static str,
    message: String,
}

impl Summary {
    fn new(phase: InstancePhase, reason: &'static str, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into() }
    }

    /// Pods start or end. While some of them answer, who was served is served: the phase stays, and only Ready says that
    /// what is asked for now does not stand yet.
    fn rolling(before: Option<InstancePhase>, available: i32, message: String) -> Self {
        let serves = |phase: &InstancePhase| matches!(phase, InstancePhase::Running | InstancePhase::Degraded);
        let phase = before.filter(serves).filter(|_| available > 0).unwrap_or(InstancePhase::Pending);
        Self::new(phase, ROLLING, message)
    }
}

/// The new status, and what became of condition Ready. What a stuck pass did not look at stays as it was.
pub fn status(instance: &DBHubInstance, finding: &Finding, now: Timestamp) -> (DBHubInstanceStatus, Change) {
    let mut status = instance.status.clone().unwrap_or_default();
    let before = status.phase;
    let summary = match finding {
        Finding::Stuck { reason, message, available } => {
            status.available_replicas = Some(*available);
            Summary::new(InstancePhase::Failed, reason, message)
        }
        Finding::Nothing { names, verdicts } => {
            describe(&mut status, names, verdicts, 0);
            status.endpoint = None;
            nothing(&status.databases)
        }
        Finding::Serving(serving) => {
            describe(&mut status, &serving.request.names, &serving.verdicts, serving.rollout.available);
            status.endpoint = endpoint(&serving.request);
            serving_summary(serving, &status.databases, before)
        }
    };
    let generation = instance.metadata.generation;
    let ready = (ConditionStatus::from(summary.reason == RUNNING), summary.reason, summary.message);
    let change = set(&mut status.conditions, READY, Some(ready), generation, now);
    for (type_, state) in details(finding) {
        // Ready alone is worth an Event.
        let _ = set(&mut status.conditions, type_, state, generation, now);
    }
    status.phase = Some(summary.phase);
    status.observed_generation = generation;
    (status, change)
}

fn set(list: &mut Vec<k8s::Condition>, type_: &str, state: State, generation: Option<i64>, now: Timestamp) -> Change {
    let Some((status, reason, message)) = state else {
        return if conditions::remove(list, type_) { Change::Detail } else { Change::None };
    };
    let condition = Condition { type_, status, reason, message: &message, observed_generation: generation };
    conditions::set(list, condition, now)
}

/// What is said about condition Ready when it changes.
#[must_use]
pub fn event(status: &DBHubInstanceStatus) -> (EventType, String, String) {
    let type_ = match status.phase {
        Some(InstancePhase::Failed | InstancePhase::Degraded) => EventType::Warning,
        Some(InstancePhase::Pending | InstancePhase::Running) | None => EventType::Normal,
    };
    let ready = conditions::get(&status.conditions, READY);
    let (reason, message) = ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default();
    (type_, reason, message)
}

fn endpoint(request: &Request) -> Option<String> {
    match request.access {
        Access::Http { .. } => Some(format!("{}:{}", request.names.service_host(), request.spec.port)),
        Access::Stdio => None,
    }
}

fn describe(status: &mut DBHubInstanceStatus, names: &Names, verdicts: &[Verdict], available: i32) {
    let served = verdicts.iter().filter(|verdict| verdict.result.is_ok()).count();
    status.databases = verdicts.iter().map(|verdict| entry(verdict, served)).collect();
    status.connected_databases = with_state(&status.databases, DatabaseState::Served).map(|e| e.name.clone()).collect();
    status.available_replicas = Some(available);
    status.selector = Some(names.selector());
}

fn entry(verdict: &Verdict, served: usize) -> DatabaseEntry {
    let database = &verdict.database;
    let name = database.name_any();
    match &verdict.result {
        Err(rejection) => DatabaseEntry {
            name,
            state: DatabaseState::LeftOut,
            reason: Some(rejection.reason().to_owned()),
            message: Some(rejection.to_string()),
            tools: Vec::new(),
        },
        Ok(source) => {
            let down = database.status.as_ref().filter(|status| status.phase == Some(DatabasePhase::Failed));
            let ready = down.and_then(|status| conditions::get(&status.conditions, READY));
            DatabaseEntry {
                name,
                state: if down.is_some() { DatabaseState::Down } else { DatabaseState::Served },
                reason: ready.map(|ready| ready.reason.clone()),
                message: down.and_then(|status| status.message.clone()),
                tools: tools(source, served),
            }
        }
    }
}

fn with_state(databases: &[DatabaseEntry], state: DatabaseState) -> impl Iterator<Item = &DatabaseEntry> {
    databases.iter().filter(move |entry| entry.state == state)
}

fn nothing(databases: &[DatabaseEntry]) -> Summary {
    if let Some(why) = list(databases, DatabaseState::LeftOut) {
        return Summary::new(InstancePhase::Failed, "NoDatabaseServed", why);
    }
    let message = "no Database of this namespace is selected; nothing is started until there is one";
    Summary::new(InstancePhase::Pending, "NoDatabases", message)
}

fn serving_summary(serving: &Serving, databases: &[DatabaseEntry], before: Option<InstancePhase>) -> Summary {
    use InstancePhase::{Degraded, Failed, Running};
    let Rollout { wanted, available, complete, ending, .. } = serving.rollout;
    let pods = format!("{available} of {wanted} pods are available");
    if let Some(Trouble { reason, message }) = &serving.trouble {
        return Summary::new(if available > 0 { Degraded } else { Failed }, reason, message);
    }
    if !complete {
        return Summary::rolling(before, available, format!("pods are starting: {pods}"));
    }
    if available == 0 {
        return Summary::new(Failed, "PodsUnavailable", pods);
    }
    if ending > 0 {
        return Summary::rolling(before, available, format!("old pods are ending: {ending}; {pods}"));
    }
    if let Some(Err(error)) = serving.verification.as_ref().map(|last| &last.result) {
        return Summary::new(Failed, error.reason(), error.to_string());
    }
    if available < wanted {
        return Summary::new(Degraded, "PodsUnavailable", pods);
    }
    if let Some(why) = list(databases, DatabaseState::LeftOut) {
        return Summary::new(Degraded, "DatabasesLeftOut", why);
    }
    if let Some(why) = list(databases, DatabaseState::Down) {
        return Summary::new(Degraded, "DatabasesDown", why);
    }
    Summary::new(Running, RUNNING, format!("{pods}; databases served: {}", databases.len()))
}

/// The databases in one state, each with its message; `None` when there are none.
fn list(databases: &[DatabaseEntry], state: DatabaseState) -> Option<String> {
    let all: Vec<_> = with_state(databases, state).collect();
    let say = |entry: &&DatabaseEntry| match &entry.message {
        Some(message) => format!("{}: {message}", entry.name),
        None => entry.name.clone(),
    };
    let named: Vec<_> = all.iter().take(NAMED).map(say).collect();
    let more = all.len().saturating_sub(NAMED);
    match (named.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named.join("; ")),
        (false, _) => Some(format!("{}; and {more} more, see status.databases", named.join("; "))),
    }
}

/// A condition's status, reason and message; `None` when it does not apply.
type State = Option<(ConditionStatus, &'static str, String)>;

/// The conditions beside Ready that a finding speaks of.
fn details(finding: &Finding) -> Vec<(&'static str, State)> {
    match finding {
        Finding::Stuck { .. } => Vec::new(),
        Finding::Nothing { .. } => vec![(VERIFIED, None), (PROGRESSING, None), (LEAST_PRIVILEGE, None)],
        Finding::Serving(serving) => vec![
            (VERIFIED, verified(serving)),
            (PROGRESSING, Some(progressing(&serving.rollout))),
            (LEAST_PRIVILEGE, least_privilege(serving)),
        ],
    }
}

fn verified(serving: &Serving) -> State {
    let result = match (&serving.request.access, &serving.verification) {
        (Access::Stdio, _) => return None,
        (Access::Http { .. }, None) => {
            let message =
                "the handshake waits until all pods are of the newest template and no old one is asked any longer";
            return Some((ConditionStatus::Unknown, "NotVerifiedYet", message.to_owned()));
        }
        (Access::Http { .. }, Some(verification)) => &verification.result,
    };
    Some(match result {
        Ok(()) => {
            let message = "initialize and tools/list answered through the Service, and every expected tool is there";
            (ConditionStatus::True, "HandshakeSucceeded", message.to_owned())
        }
        Err(error) => (ConditionStatus::False, error.reason(), error.to_string()),
    })
}

fn progressing(rollout: &Rollout) -> (ConditionStatus, &'static str, String) {
    let pods = format!("{} pods are wanted", rollout.wanted);
    match (&rollout.trouble, rollout.complete && rollout.ending == 0) {
        (Some(trouble), _) => (ConditionStatus::False, trouble.reason, trouble.message.clone()),
        (None, true) => (ConditionStatus::False, "RolloutComplete", pods),
        (None, false) => (ConditionStatus::True, ROLLING, pods),
    }
}

/// DBHub's own read-only check filters key words; a login that cannot write is the real control.
fn least_privilege(serving: &Serving) -> State {
    let logins: Vec<_> = serving
        .verdicts
        .iter()
        .filter(|verdict| verdict.result.as_ref().is_ok_and(|source| source.policy.readonly && source.has_login()))
        .map(|verdict| (verdict.database.name_any(), privileges(&verdict.database)))
        .collect();
    let names = |wanted: fn(&Privileges) -> bool| {
        let names: Vec<_> = logins.iter().filter(|(_, found)| wanted(found)).map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let writers = names(|found| matches!(found, Privileges::ReadWrite | Privileges::Admin));
    let unknown = names(|found| *found == Privileges::Unknown);
    if logins.is_empty() {
        return None;
    }
    Some(match (writers.is_empty(), unknown.is_empty()) {
        (false, _) => {
            let message = format!("under a read-only policy these logins can write: {writers}; give DBHub others");
            (ConditionStatus::False, "LoginCanWrite", message)
        }
        (true, false) => (ConditionStatus::Unknown, "NotKnown", format!("rights not known yet: {unknown}")),
        (true, true) => (ConditionStatus::True, "LoginsReadOnly", "no login can write".to_owned()),
    })
}

fn privileges(database: &Database) -> Privileges {
    database.status.as_ref().and_then(|status| status.privileges).unwrap_or(Privileges::Unknown)
}

#[cfg(test)]
mod tests;
