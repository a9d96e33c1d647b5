use api_types::Policy;

use super::*;
use crate::fixtures::{candidates, instance, request, target};
use crate::validate::source::judge;
use crate::verifications::Subject;
use crate::verify::HandshakeError;

const TWO: &str = "
    - {name: analytics, type: postgres, host: pg.internal, database: app, privileges: ReadOnly}
    - {name: users, type: mysql, host: my.internal, database: app, privileges: ReadOnly}
";

/// Two pods of two, verified, serving these databases.
fn serving(databases: &str) -> Serving {
    let now = std::time::Instant::now();
    let subject = Subject::from(&k8s_openapi::api::apps::v1::Deployment::default());
    Serving {
        request: request(&instance("{replicas: 2}")).unwrap(),
        verdicts: judge(candidates(databases), &Policy::default(), None),
        rollout: Rollout { wanted: 2, available: 2, complete: true, ending: 0, trouble: None },
        trouble: None,
        verification: Some(Verification { subject, at: now, result: Ok(()), stands_for: std::time::Duration::MAX }),
        target: target("acme-dbhub:8080".into(), &[]),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn summary(serving: Serving) -> String {
    summary_after("null", serving)
}

/// The summary of an instance that was in this phase.
fn summary_after(phase: &str, serving: Serving) -> String {
    let mut instance = instance("{replicas: 2}");
    instance.status = serde_norway::from_str(&format!("{{phase: {phase}}}")).unwrap();
    let (status, _) = status(&instance, &Finding::Serving(Box::new(serving)), at(1));
    let ready = conditions::get(&status.conditions, READY).unwrap();
    format!("{:?} {} {}: {}", status.phase.unwrap(), ready.status, ready.reason, ready.message)
}

#[test]
fn the_whole_status_of_one_that_runs() {
    let (status, change) = status(&instance("{replicas: 2}"), &Finding::Serving(Box::new(serving(TWO))), at(1));
    assert_eq!(change, Change::Transition);
    insta::assert_yaml_snapshot!(status);
}

#[test]
fn the_worst_finding_is_the_summary() {
    let trouble = || Some(Trouble { reason: "ImagePullFailed", message: "no such image".into() });
    let rollout = |available, complete| Rollout { wanted: 2, available, complete, ending: 0, trouble: None };
    let failed = |error| serving(TWO).verification.map(|last| Verification { result: Err(error), ..last });
    let down = "- {name: users, type: mysql, host: my.internal, database: app, phase: Failed}";
    let out = format!("{TWO}    - {{name: bad, type: mysql, host: 'fd00::1', database: app}}\n");
    let told = [
        serving(TWO),
        Serving { rollout: rollout(0, false), verification: None, ..serving(TWO) },
        Serving { rollout: rollout(2, false), verification: None, ..serving(TWO) },
        Serving { rollout: rollout(0, false), trouble: trouble(), verification: None, ..serving(TWO) },
        Serving { rollout: rollout(2, false), trouble: trouble(), verification: None, ..serving(TWO) },
        Serving { rollout: Rollout { ending: 1, ..rollout(2, true) }, verification: None, ..serving(TWO) },
        Serving { rollout: rollout(1, true), ..serving(TWO) },
        Serving { rollout: rollout(0, true), verification: None, ..serving(TWO) },
        Serving { verification: failed(HandshakeError::TokenRefused), ..serving(TWO) },
        serving(down),
        serving(&out),
    ]
    .map(summary);
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_rollout_leaves_the_phase_alone_while_pods_answer() {
    let rolling = |available, complete, ending| {
        let rollout = Rollout { wanted: 2, available, complete, ending, trouble: None };
        Serving { rollout, verification: None, ..serving(TWO) }
    };
    let told = [
        ("Running", rolling(2, false, 0)),
        ("Running", rolling(1, false, 0)),
        ("Running", rolling(0, false, 0)),
        ("Running", rolling(2, true, 1)),
        ("Degraded", rolling(2, false, 0)),
        ("Failed", rolling(2, false, 0)),
        ("Pending", rolling(2, false, 0)),
    ]
    .map(|(phase, serving)| format!("{phase} -> {}", summary_after(phase, serving)));
    insta::assert_snapshot!(told.join("\n"), @r"
    Running -> Running False RolloutInProgress: pods are starting: 2 of 2 pods are available
    Running -> Running False RolloutInProgress: pods are starting: 1 of 2 pods are available
    Running -> Pending False RolloutInProgress: pods are starting: 0 of 2 pods are available
    Running -> Running False RolloutInProgress: old pods are ending: 1; 2 of 2 pods are available
    Degraded -> Degraded False RolloutInProgress: pods are starting: 2 of 2 pods are available
    Failed -> Pending False RolloutInProgress: pods are starting: 2 of 2 pods are available
    Pending -> Pending False RolloutInProgress: pods are starting: 2 of 2 pods are available
    ");
}

#[test]
fn the_same_finding_again_changes_nothing() {
    let mut instance = instance("{replicas: 2}");
    let (first, _) = status(&instance, &Finding::Serving(Box::new(serving(TWO))), at(1));
    instance.status = Some(first.clone());
    let (second, change) = status(&instance, &Finding::Serving(Box::new(serving(TWO))), at(99));
    assert_eq!((second, change), (first, Change::None));
}

#[test]
fn one_database_has_tools_without_a_suffix() {
    let one = "- {name: users, type: mysql, host: my.internal, database: app}";
    let (status, _) = status(&instance("{}"), &Finding::Serving(Box::new(serving(one))), at(1));
    assert_eq!(status.databases[0].tools, ["execute_sql", "search_objects"]);
}

#[test]
fn nothing_selected_waits_and_nothing_servable_fails() {
    let phase = |databases: &str| {
        let names = Names::new("tas-acme", "acme-dbhub").unwrap();
        let verdicts = judge(candidates(databases), &Policy::default(), None);
        let (status, _) = status(&instance("{}"), &Finding::Nothing { names, verdicts }, at(1));
        (status.phase.unwrap(), status.conditions[0].reason.clone(), status.endpoint)
    };
    assert_eq!(phase("[]"), (InstancePhase::Pending, "NoDatabases".into(), None));
    let bad = "- {name: bad, type: mysql, host: 'fd00::1', database: app}";
    assert_eq!(phase(bad), (InstancePhase::Failed, "NoDatabaseServed".into(), None));
}

#[test]
fn what_a_stuck_pass_did_not_look_at_stays() {
    let mut instance = instance("{replicas: 2}");
    let (running, _) = status(&instance, &Finding::Serving(Box::new(serving(TWO))), at(1));
    instance.status = Some(running.clone());
    instance.metadata.generation = Some(2);
    let stuck = Finding::Stuck { reason: "UnsupportedTransport", message: "use http".into(), available: 1 };
    let (stuck, change) = status(&instance, &stuck, at(2));
    assert_eq!((stuck.phase, change), (Some(InstancePhase::Failed), Change::Transition));
    assert_eq!((stuck.endpoint, stuck.databases), (running.endpoint, running.databases));
    assert_eq!((stuck.available_replicas, stuck.observed_generation), (Some(1), Some(2)));
}

fn least_privilege_of(first: &str, second: &str, policy: &Policy) -> Option<String> {
    let databases = format!(
        "[{{name: a, type: mysql, host: h, database: d, privileges: {first}}}, \
          {{name: b, type: mysql, host: h, database: d, privileges: {second}}}, \
          {{name: mem, type: sqlite, database: ':memory:'}}]"
    );
    let serving = Serving { verdicts: judge(candidates(&databases), policy, None), ..serving(TWO) };
    least_privilege(&serving).map(|(status, reason, message)| format!("{} {reason} {message}", status.as_str()))
}

#[test]
fn a_login_that_can_write_under_readonly_is_named() {
    let readonly = Policy::default();
    assert_eq!(
        least_privilege_of("ReadOnly", "ReadOnly", &readonly).unwrap(),
        "True LoginsReadOnly no login can write"
    );
    assert!(least_privilege_of("Admin", "Unknown", &readonly).unwrap().starts_with("False LoginCanWrite"));
    assert_eq!(least_privilege_of("ReadOnly", "null", &readonly).unwrap(), "Unknown NotKnown rights not known yet: b");
    assert_eq!(least_privilege_of("Admin", "Admin", &Policy { readonly: false, ..readonly }), None);
}
