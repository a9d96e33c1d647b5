use insta::assert_yaml_snapshot;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use proptest::prelude::*;
use sql_client::{ConnectClass, SqlClass};

use super::*;
use crate::error::{FileClass, FileName, FileProblem, LoginProblem};
use crate::fixtures::{at, attempt, database};

const THRESHOLD: u32 = 2;

fn reached(login: u64, query: u64) -> Reached {
    Reached {
        version: "PostgreSQL 15.18".to_owned(),
        pool: Some(api_types::ConnectionPool { active: 1, idle: 4 }),
        rights: Rights::ReadOnly,
        login: Duration::from_secs(login),
        query: Duration::from_secs(query),
    }
}

fn failed(class: ConnectClass) -> Outcome {
    Err(LoginProblem::login(&attempt(), class, None).into())
}

#[test]
fn a_file_that_cannot_be_seen_is_neither_up_nor_down() {
    let name = FileName { path: "app.db".into(), namespace: Some("acme".into()), on_volume: true };
    let verdict = last([Err(FileProblem::new(FileClass::NotVisible, &name).into())]);
    assert_eq!(verdict.status.phase, Some(DatabasePhase::Pending));
    let ready = &verdict.status.conditions[0];
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("Unknown", "FileNotVisible"));
    assert_eq!((verdict.status.last_checked, verdict.recheck), (None, Recheck::Healthy));
}

fn no_secret() -> Outcome {
    Err(Problem::SecretNotFound(attempt().secret))
}

/// The verdicts on one outcome a minute.
fn verdicts(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<Verdict> {
    let mut past = Past::default();
    let mut verdicts = Vec::new();
    for (minute, outcome) in (0..).zip(outcomes) {
        let verdict = judge(&database("{}"), &past, &outcome, THRESHOLD, at(minute * 60));
        past = Past { status: verdict.status.clone(), failures: verdict.failures };
        verdicts.push(verdict);
    }
    verdicts
}

fn last(outcomes: impl IntoIterator<Item = Outcome>) -> Verdict {
    verdicts(outcomes).pop().unwrap()
}

#[test]
fn a_first_success() {
    let verdict = last([Ok(reached(1, 1))]);
    assert_eq!((verdict.change, verdict.recheck), (Change::Transition, Recheck::Healthy));
    assert_yaml_snapshot!(verdict.status, @r#"
    phase: Connected
    lastChecked: "2027-01-15T08:00:00Z"
    message: Connection verified
    connectionPool:
      active: 1
      idle: 4
    privileges: ReadOnly
    serverVersion: PostgreSQL 15.18
    observedGeneration: 1
    conditions:
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: Connection verified
        observedGeneration: 1
        reason: Connected
        status: "True"
        type: Ready
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: no right to write was found
        observedGeneration: 1
        reason: ReadOnly
        status: "True"
        type: LeastPrivilege
    "#);
}

#[test]
fn a_missing_secret_says_nothing_about_when_the_server_was_asked() {
    let verdict = last([no_secret()]);
    assert_eq!((verdict.change, verdict.recheck), (Change::Transition, Recheck::MissingSecret));
    assert_yaml_snapshot!(verdict.status, @r#"
    phase: Failed
    message: "Secret creds not found in namespace acme: create it or correct spec.credentialsRef"
    privileges: Unknown
    observedGeneration: 1
    conditions:
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: "Secret creds not found in namespace acme: create it or correct spec.credentialsRef"
        observedGeneration: 1
        reason: SecretNotFound
        status: "False"
        type: Ready
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: what the login may do is read once it is let in
        observedGeneration: 1
        reason: NotConnected
        status: Unknown
        type: LeastPrivilege
    "#);
}

#[test]
fn one_timeout_after_a_success_is_flapping() {
    let verdict = last([Ok(reached(1, 1)), failed(ConnectClass::Timeout)]);
    assert_eq!((verdict.change, verdict.recheck), (Change::Transition, Recheck::Failed));
    assert_yaml_snapshot!(verdict.status, @r#"
    phase: Degraded
    lastChecked: "2027-01-15T08:01:00Z"
    message: "pg.acme.internal:5432 did not complete the login within 30 s: check spec.type and spec.port, firewalls and NetworkPolicies, or raise spec.connectionTimeout; it worked before, 1 more of these in a row and it counts as Failed"
    privileges: Unknown
    observedGeneration: 1
    conditions:
      - lastTransitionTime: "2027-01-15T08:01:00Z"
        message: "pg.acme.internal:5432 did not complete the login within 30 s: check spec.type and spec.port, firewalls and NetworkPolicies, or raise spec.connectionTimeout; it worked before, 1 more of these in a row and it counts as Failed"
        observedGeneration: 1
        reason: Flapping
        status: Unknown
        type: Ready
      - lastTransitionTime: "2027-01-15T08:01:00Z"
        message: what the login may do is read once it is let in
        observedGeneration: 1
        reason: NotConnected
        status: Unknown
        type: LeastPrivilege
    "#);
}

#[test]
fn the_second_timeout_in_a_row_is_a_failure() {
    let timeout = || failed(ConnectClass::Timeout);
    let verdict = last([Ok(reached(1, 1)), timeout(), timeout()]);
    assert_eq!((verdict.change, verdict.recheck), (Change::Transition, Recheck::Failed));
    assert_yaml_snapshot!(verdict.status, @r#"
    phase: Failed
    lastChecked: "2027-01-15T08:02:00Z"
    message: "pg.acme.internal:5432 did not complete the login within 30 s: check spec.type and spec.port, firewalls and NetworkPolicies, or raise spec.connectionTimeout"
    privileges: Unknown
    observedGeneration: 1
    conditions:
      - lastTransitionTime: "2027-01-15T08:02:00Z"
        message: "pg.acme.internal:5432 did not complete the login within 30 s: check spec.type and spec.port, firewalls and NetworkPolicies, or raise spec.connectionTimeout"
        observedGeneration: 1
        reason: Timeout
        status: "False"
        type: Ready
      - lastTransitionTime: "2027-01-15T08:01:00Z"
        message: what the login may do is read once it is let in
        observedGeneration: 1
        reason: NotConnected
        status: Unknown
        type: LeastPrivilege
    "#);
}

#[test]
fn a_slow_login_is_degraded_but_ready() {
    let verdict = last([Ok(reached(16, 0))]);
    assert_eq!(verdict.recheck, Recheck::Healthy);
    assert_yaml_snapshot!(verdict.status, @r#"
    phase: Degraded
    lastChecked: "2027-01-15T08:00:00Z"
    message: "Connected, but the login took 16.0 s of the 30 s that spec.connectionTimeout allows: check the server's load"
    connectionPool:
      active: 1
      idle: 4
    privileges: ReadOnly
    serverVersion: PostgreSQL 15.18
    observedGeneration: 1
    conditions:
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: "Connected, but the login took 16.0 s of the 30 s that spec.connectionTimeout allows: check the server's load"
        observedGeneration: 1
        reason: Slow
        status: "True"
        type: Ready
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: no right to write was found
        observedGeneration: 1
        reason: ReadOnly
        status: "True"
        type: LeastPrivilege
    "#);
}

#[test]
fn least_privilege_says_what_is_too_much_and_touches_nothing_else() {
    use crate::probe::{Excess, Level};
    let excess = Excess { level: Level::Write, right: "INSERT on table \"a.b\"".to_owned(), remedy: "revoke it" };
    let found = [Rights::ReadOnly, Rights::Excess(excess), Rights::Unknown(Gap::NotRead)].map(|rights| {
        let status = last([Ok(Reached { rights, ..reached(1, 1) })]).status;
        let condition = conditions::get(&status.conditions, LEAST_PRIVILEGE).unwrap();
        assert_eq!(status.phase, Some(DatabasePhase::Connected));
        let Condition { status: held, reason, message, .. } = condition;
        format!("{:?}: {held}, {reason}, {message}", status.privileges.unwrap())
    });
    assert_yaml_snapshot!(found, @r#"
    - "ReadOnly: True, ReadOnly, no right to write was found"
    - "ReadWrite: False, MoreThanReading, the login can write, by INSERT on table \"a.b\": revoke it"
    - "Unknown: Unknown, NotRead, the server did not tell what the login may do"
    "#);
}

#[test]
fn slow_means_more_than_half_the_timeout_of_the_step() {
    let reason = |login, query| last([Ok(reached(login, query))]).reason;
    assert_eq!(reason(15, 7), Reason::Connected);
    assert_eq!(reason(16, 0), Reason::Slow);
    assert_eq!(reason(0, 8), Reason::Slow);
}

#[test]
fn only_timeouts_refusals_and_resets_flap() {
    use ConnectClass::{
        AuthenticationFailed, ConnectionRefused, ConnectionReset, HostNotFound, Timeout, TooManyConnections,
    };
    for class in [Timeout, ConnectionRefused, ConnectionReset] {
        assert_eq!(last([Ok(reached(1, 1)), failed(class)]).reason, Reason::Flapping, "{class:?}");
    }
    for class in [AuthenticationFailed, HostNotFound, TooManyConnections] {
        let verdict = last([Ok(reached(1, 1)), failed(class)]);
        assert_eq!(verdict.status.phase, Some(DatabasePhase::Failed), "{class:?}");
    }
}

#[test]
fn a_lost_query_flaps_like_a_lost_login() {
    let lost = Err(LoginProblem::query(&attempt(), SqlClass::ConnectionLost, None).into());
    assert_eq!(last([Ok(reached(1, 1)), lost]).reason, Reason::Flapping);
}

#[test]
fn a_success_in_between_starts_the_count_over() {
    use DatabasePhase::{Connected, Degraded, Failed};
    let refused = || failed(ConnectClass::ConnectionRefused);
    let verdicts = verdicts([Ok(reached(1, 1)), refused(), Ok(reached(1, 1)), refused(), refused()]);
    let phases: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.status.phase).collect();
    assert_eq!(phases, [Connected, Degraded, Connected, Degraded, Failed]);
}

#[test]
fn a_database_that_never_worked_fails_at_once() {
    assert_eq!(last([failed(ConnectClass::Timeout)]).reason, Reason::Timeout);
}

#[test]
fn a_success_with_another_spec_does_not_count() {
    let past = Past { status: last([Ok(reached(1, 1))]).status, failures: 0 };
    let mut changed = database("host: elsewhere.acme.internal");
    changed.metadata.generation = Some(2);
    let verdict = judge(&changed, &past, &failed(ConnectClass::Timeout), THRESHOLD, at(60));
    assert_eq!((verdict.reason, verdict.status.observed_generation), (Reason::Timeout, Some(2)));
    let verdict = judge(&changed, &past, &no_secret(), THRESHOLD, at(60));
    assert_eq!(verdict.status.last_checked, None, "what was checked was another server");
}

#[test]
fn a_restart_remembers_that_it_flapped() {
    let flapping = last([Ok(reached(1, 1)), failed(ConnectClass::Timeout)]).status;
    let past = Past::from_status(flapping);
    assert_eq!(past.failures, 1);
    let verdict = judge(&database("{}"), &past, &failed(ConnectClass::Timeout), THRESHOLD, at(120));
    assert_eq!(verdict.reason, Reason::Timeout);
    assert_eq!(Past::from_status(last([Ok(reached(1, 1))]).status).failures, 0);
}

#[test]
fn the_same_again_is_no_transition_and_without_a_probe_no_change() {
    let again = verdicts([Ok(reached(1, 1)), Ok(reached(1, 1))]);
    assert_eq!(again[1].change, Change::None);
    assert_ne!(again[1].status.last_checked, again[0].status.last_checked);
    let again = verdicts([no_secret(), no_secret()]);
    assert_eq!(again[0].status, again[1].status, "nothing is written");
}

#[test]
fn a_healthy_database_keeps_its_turn_after_a_restart() {
    let interval = Duration::from_mins(5);
    let status = last([Ok(reached(1, 1))]).status;
    let rest_at = |changed: i64, now| rest(&database("{}"), &status, Some(at(changed)), interval, at(now));
    assert_eq!(rest_at(-60, 100), Some(Duration::from_secs(200)));
    assert_eq!(rest_at(-60, -5), Some(interval), "a clock that is ahead puts nothing off");
    assert_eq!(rest_at(-60, 300), None, "it is its turn");
    assert_eq!(rest_at(50, 100), None, "its Secret changed since");
    assert_eq!(rest_at(-5, 100), None, "within the clocks' difference");
    assert_eq!(rest(&database("{}"), &status, None, interval, at(100)), Some(Duration::from_secs(200)));
}

#[test]
fn whatever_is_not_healthy_is_looked_at_after_a_restart() {
    let rest = |database: &Database, status| rest(database, &status, Some(at(-60)), Duration::from_mins(5), at(70));
    assert_eq!(rest(&database("{}"), DatabaseStatus::default()), None);
    assert_eq!(rest(&database("{}"), last([failed(ConnectClass::Timeout)]).status), None);
    assert_eq!(rest(&database("{}"), last([Ok(reached(20, 1))]).status), None, "slow");
    let mut changed = database("{}");
    changed.metadata.generation = Some(2);
    assert_eq!(rest(&changed, last([Ok(reached(1, 1))]).status), None);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0..30u64, 0..15u64).prop_map(|(login, query)| Ok(reached(login, query))),
        Just(no_secret()),
        Just(failed(ConnectClass::Timeout)),
        Just(failed(ConnectClass::ConnectionReset)),
        Just(failed(ConnectClass::AuthenticationFailed)),
    ]
}

proptest! {
    #[test]
    fn every_history_keeps_the_rules(outcomes in prop::collection::vec(any_outcome(), 1..20)) {
        let verdicts = verdicts(outcomes.clone());
        let mut before = DatabaseStatus::default();
        for (minute, (outcome, verdict)) in (0..).zip(outcomes.iter().zip(&verdicts)) {
            let status = &verdict.status;
            let ready = conditions::get(&status.conditions, READY).unwrap();
            let expected = match status.phase {
                Some(DatabasePhase::Failed) => "False",
                Some(DatabasePhase::Degraded) if outcome.is_err() => "Unknown",
                _ => "True",
            };
            prop_assert_eq!(&ready.status, expected);
            prop_assert_eq!(Some(&ready.message), status.message.as_ref());
            prop_assert_eq!(outcome.is_ok(), status.server_version.is_some());
            prop_assert!(verdict.failures <= 1 || status.phase == Some(DatabasePhase::Failed));
            let old = conditions::get(&before.conditions, READY);
            let moved = old.is_none_or(|old| old.status != ready.status);
            prop_assert_eq!(ready.last_transition_time.0 == at(minute * 60), moved);
            let transition = old.is_none_or(|old| old.status != ready.status || old.reason != ready.reason);
            prop_assert_eq!(verdict.change == Change::Transition, transition);
            before = status.clone();
        }
    }
}

#[test]
fn a_database_that_hung_is_known_by_its_status_until_its_spec_changes() {
    let mut database = database("{}");
    for (outcome, expected) in [
        (Ok(reached(1, 1)), Standing::Answers),
        (failed(ConnectClass::ConnectionRefused), Standing::Answers),
        (failed(ConnectClass::Timeout), Standing::Hangs),
    ] {
        database.status = Some(last([outcome]).status);
        assert_eq!(standing(&database), expected);
    }
    database.status = Some(last([Ok(reached(1, 1)), failed(ConnectClass::Timeout)]).status);
    assert_eq!(standing(&database), Standing::Hangs);
    database.metadata.generation = Some(2);
    assert_eq!(standing(&database), Standing::Answers);
}
