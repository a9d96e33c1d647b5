//! The conditions beside Ready, each about one part of what was asked for, and the sentence that sums them up. Pure.

use api_types::{AppDatabase, AppDatabasePhase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator_runtime::conditions::{self, ConditionStatus};

use super::{Facts, set};
use crate::error::Error;
use crate::ledger::Kind;
use crate::ledger::scripts::State;
use crate::plan::Refusal;

const DATABASE: &str = "DatabaseReady";
const USER: &str = "UserReady";
const SECRET: &str = "SecretReady";
const VERIFIED: &str = "Verified";
/// Condition: something on the server could not be changed back.
pub const DRIFT: &str = "Drift";
const INIT_SQL: &str = "InitSql";

/// What Ready says.
pub struct Summary {
    /// Whether everything is as it was asked for.
    pub status: ConditionStatus,
    /// The reason.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Summary {
    /// A person must act, or nobody.
    pub fn phase(&self) -> AppDatabasePhase {
        if self.status == ConditionStatus::True { AppDatabasePhase::Ready } else { AppDatabasePhase::Failed }
    }
}

/// Sums up a pass that made and verified everything; a script may have failed in it.
pub fn summary(facts: &Facts) -> Summary {
    let (status, reason, message) = match script(facts) {
        Some((ConditionStatus::False, reason, message)) => (ConditionStatus::False, reason, message),
        _ => (ConditionStatus::True, VERIFIED, everything_is_ready(facts)),
    };
    Summary { status, reason, message }
}

fn everything_is_ready(facts: &Facts) -> String {
    let Facts { database, user, secret, namespace, .. } = facts;
    let reader = facts.reader.as_ref();
    let reader =
        reader.map(|(user, secret)| format!("; those of {user}, which can only read, in {namespace}/{secret}"));
    format!(
        "database {database} and user {user} are ready, and the login was tried; credentials are in Secret {namespace}/{secret}{}",
        reader.unwrap_or_default()
    )
}

/// How the script ended, with its reason and a sentence.
fn script(facts: &Facts) -> Option<(ConditionStatus, &'static str, String)> {
    Some(match &facts.script.as_ref()?.state {
        State::Done => (ConditionStatus::True, "Done", "spec.initSql was run to its end".to_owned()),
        State::Failed(problem) => (
            ConditionStatus::False,
            "InitSqlFailed",
            format!(
                "spec.initSql stopped at {problem}; the statements before it were run. Correct the script, or have all of it run again by annotation reconcile=<any new value>"
            ),
        ),
        State::Running => (
            ConditionStatus::False,
            "InitSqlInterrupted",
            "spec.initSql was begun, and nobody knows how far it got. Look into the database, then change the script, or have all of it run again by annotation reconcile=<any new value>".to_owned(),
        ),
    })
}

/// Sets the condition of each part.
pub fn set_all(list: &mut Vec<Condition>, app: &AppDatabase, facts: &Facts, now: Timestamp) {
    if facts.script.is_none() {
        let _ = conditions::remove(list, INIT_SQL);
    }
    for (type_, status, reason, message) in parts(list, facts) {
        let _ = set(list, app, (type_, status, reason, &message), now);
    }
}

type Part = (&'static str, ConditionStatus, &'static str, String);

fn parts(list: &[Condition], facts: &Facts) -> Vec<Part> {
    let Facts { database, user, secret, namespace, reader, .. } = facts;
    let and = |part: fn(&(String, String)) -> &String| {
        reader.as_ref().map(|reader| format!(" and {}", part(reader))).unwrap_or_default()
    };
    let users = format!("{user}{} may do in this database what was asked for", and(|reader| &reader.0));
    let secrets = format!("{secret}{} in namespace {namespace}", and(|reader| &reader.1));
    let (verified, how) = verified(facts);
    let mut parts = vec![
        (DATABASE, ConditionStatus::True, "Exists", format!("{database} belongs to this AppDatabase")),
        (USER, ConditionStatus::True, "Exists", users),
        (SECRET, ConditionStatus::True, "Exists", secrets),
        (VERIFIED, ConditionStatus::True, verified, how.to_owned()),
    ];
    // What was repaired last stays told.
    let in_sync = || (ConditionStatus::False, "InSync", "the server is as it was asked for".to_owned());
    let drift = drift(facts).or_else(|| (!says(list, DRIFT, ConditionStatus::False)).then(in_sync));
    parts.extend(drift.map(|(status, reason, message)| (DRIFT, status, reason, message)));
    parts.extend(script(facts).map(|(status, reason, message)| (INIT_SQL, status, reason, message)));
    parts
}

fn says(list: &[Condition], type_: &str, status: ConditionStatus) -> bool {
    conditions::get(list, type_).is_some_and(|condition| condition.status == status.as_str())
}

fn verified(facts: &Facts) -> (&'static str, &'static str) {
    if facts.full {
        ("ConnectionsInUse", "the login was accepted, and then refused because all its connections are in use")
    } else {
        ("LoggedIn", "the login was tried and sees its database")
    }
}

/// What differs, or was changed back.
fn drift(facts: &Facts) -> Option<(ConditionStatus, &'static str, String)> {
    if !facts.left.is_empty() {
        let mut left = facts.left.clone();
        left.sort_unstable();
        left.dedup();
        let message = format!(
            "the concierge may not take away what somebody gave to a user of this database: {}; whoever runs the server must",
            left.join(", ")
        );
        return Some((ConditionStatus::True, "ExcessRights", message));
    }
    (!facts.repaired.is_empty()).then(|| (ConditionStatus::False, "Repaired", repairs(facts)))
}

/// What was repaired, in one sentence.
pub fn repairs(facts: &Facts) -> String {
    let mut repairs = facts.repaired.clone();
    repairs.dedup();
    format!("somebody had changed the server; it was changed back by: {}", repairs.join(", "))
}

/// What an error says about parts.
pub fn concerned(error: &Error) -> &'static [(&'static str, ConditionStatus)] {
    use ConditionStatus::False;
    match error {
        Error::Refused(refusal) => of_refusal(refusal),
        Error::Charset { .. } => &[(DATABASE, False)],
        Error::RoleInUse { .. } => &[(USER, False)],
        Error::NamespaceNotFound { .. }
        | Error::NamespaceTerminating { .. }
        | Error::NamespaceLeftOut { .. }
        | Error::NamespaceNotShared { .. } => &[(SECRET, False)],
        Error::Verification(_) | Error::TlsNotEnforced { .. } | Error::ReaderWrites => &[(VERIFIED, False)],
        Error::ScriptMissing { .. } | Error::Script(_) => &[(INIT_SQL, False)],
        _ => &[],
    }
}

fn of_refusal(refusal: &Refusal) -> &'static [(&'static str, ConditionStatus)] {
    use ConditionStatus::{False, True};
    match refusal {
        Refusal::Conflict { kind: Kind::Database, .. }
        | Refusal::AdoptionNotAllowed { kind: Kind::Database, .. }
        | Refusal::CharsetFixed { .. } => &[(DATABASE, False)],
        Refusal::Conflict { .. } | Refusal::AdoptionNotAllowed { .. } => &[(USER, False)],
        Refusal::SecretConflict { .. } => &[(SECRET, False)],
        Refusal::DatabaseMissing { .. } => &[(DATABASE, False), (DRIFT, True)],
    }
}
