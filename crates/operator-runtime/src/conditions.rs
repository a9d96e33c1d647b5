//! Conditions as a list-map by type. Pure: whoever calls decides what is true and writes the status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message that Kubernetes' validation of conditions admits, in bytes (it counts characters, so this is safe).
const MAX_MESSAGE: usize = 32_768;

/// Status of a condition; `Unknown` says that we could not look, never that something is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be found out.
    Unknown,
}

impl ConditionStatus {
    /// The word that Kubernetes uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a change of a condition did; worth an Event only when it is a transition.
#[must_use = "a transition is published as an Event"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing differs, nothing needs to be written.
    None,
    /// Message or generation differ: the status is written, nobody is told.
    Detail,
    /// Status or reason differ: worth an Event.
    Transition,
}

/// One condition as the caller finds it.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'a> {
    /// CamelCase type, such as `Ready`.
    pub type_: &'a str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase reason.
    pub reason: &'a str,
    /// A sentence for people.
    pub message: &'a str,
    /// The generation this was found for.
    pub observed_generation: Option<i64>,
}

/// Writes a finding into the list. `lastTransitionTime` moves to `now` only when the status changes. The order of
/// types is kept, so that an unchanged list stays equal.
pub fn set(conditions: &mut Vec<Condition>, finding: Finding<'_>, now: Timestamp) -> Change {
    let new = Condition {
        type_: finding.type_.to_owned(),
        status: finding.status.as_str().to_owned(),
        reason: finding.reason.to_owned(),
        message: crate::events::truncate(finding.message, MAX_MESSAGE).to_owned(),
        observed_generation: finding.observed_generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        None => {
            conditions.push(new);
            Change::Transition
        }
        Some(old) => replace(old, new),
    }
}

fn replace(old: &mut Condition, mut new: Condition) -> Change {
    if old.status == new.status {
        new.last_transition_time = old.last_transition_time.clone();
    }
    if *old == new {
        return Change::None;
    }
    let transition = old.status != new.status || old.reason != new.reason;
    *old = new;
    if transition { Change::Transition } else { Change::Detail }
}

/// The condition of that type.
#[must_use]
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Takes a condition out of the list, for a type that no longer applies. Whether it was there.
#[must_use = "a list that changed must be written"]
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(status: ConditionStatus, reason: &'static str, message: &'static str) -> Finding<'static> {
        Finding { type_: "Ready", status, reason, message, observed_generation: Some(1) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_a_changed_status_moves_the_transition_time() {
        let mut list = Vec::new();
        assert_eq!(set(&mut list, finding(ConditionStatus::False, "Timeout", "slow"), at(1)), Change::Transition);
        assert_eq!(set(&mut list, finding(ConditionStatus::False, "Timeout", "slow"), at(2)), Change::None);
        assert_eq!(set(&mut list, finding(ConditionStatus::False, "Timeout", "slower"), at(3)), Change::Detail);
        assert_eq!(set(&mut list, finding(ConditionStatus::False, "TlsFailed", "x"), at(4)), Change::Transition);
        assert_eq!(list[0].last_transition_time, Time(at(1)));
        assert_eq!(set(&mut list, finding(ConditionStatus::True, "Connected", "ok"), at(5)), Change::Transition);
        assert_eq!(list[0].last_transition_time, Time(at(5)));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn a_new_generation_is_written_but_is_no_transition() {
        let mut list = Vec::new();
        let first = finding(ConditionStatus::True, "Connected", "ok");
        let _ = set(&mut list, first, at(1));
        let next = Finding { observed_generation: Some(2), ..first };
        assert_eq!(set(&mut list, next, at(2)), Change::Detail);
        assert_eq!(get(&list, "Ready").unwrap().observed_generation, Some(2));
    }

    #[test]
    fn types_are_kept_apart_and_removed_by_name() {
        let mut list = Vec::new();
        let ready = finding(ConditionStatus::True, "Connected", "ok");
        let _ = set(&mut list, ready, at(1));
        let _ = set(&mut list, Finding { type_: "Verified", ..ready }, at(1));
        assert!(remove(&mut list, "Ready"));
        assert!(!remove(&mut list, "Ready"));
        assert_eq!(list.len(), 1);
    }
}
