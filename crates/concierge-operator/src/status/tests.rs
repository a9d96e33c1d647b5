use sql_client::{ConnectClass, ConnectError};

use super::*;
use crate::plan::Refusal;
use crate::plan::fixtures::{server, spec};
use crate::pool::PoolError;

fn app(status: Option<AppDatabaseStatus>) -> AppDatabase {
    let mut app = AppDatabase::new("myapp", spec("{}"));
    app.metadata.namespace = Some("db-concierge".into());
    app.metadata.generation = Some(2);
    app.status = status;
    app
}

fn facts(changed: bool) -> Facts {
    Facts {
        database: "myapp".into(),
        user: "myapp_app".into(),
        secret: "myapp-mysql-creds".into(),
        namespace: "myapp".into(),
        connection_string: "mysql://myapp_app:<password>@db:3306/myapp".into(),
        changed,
        ..Facts::default()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ready_at(second: i64) -> AppDatabaseStatus {
    next(&app(None), Outcome::Ready(&facts(true)), at(second)).0
}

fn unreachable() -> Error {
    let refused = ConnectError::new(ConnectClass::ConnectionRefused, None, &server("{}").admin);
    Error::session("cluster1-haproxy", PoolError::Connect(refused))
}

fn yaml(status: &AppDatabaseStatus) -> String {
    serde_norway::to_string(status).unwrap()
}

#[test]
fn a_verified_database_is_ready() {
    insta::assert_snapshot!(yaml(&ready_at(1)), @"
    phase: Ready
    message: database myapp and user myapp_app are ready, and the login was tried; credentials are in Secret myapp/myapp-mysql-creds
    userName: myapp_app
    secretName: myapp-mysql-creds
    connectionString: mysql://myapp_app:<password>@db:3306/myapp
    lastReconcileTime: 1970-01-01T00:00:01Z
    observedGeneration: 2
    conditions:
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: database myapp and user myapp_app are ready, and the login was tried; credentials are in Secret myapp/myapp-mysql-creds
      observedGeneration: 2
      reason: Verified
      status: 'True'
      type: Ready
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: myapp belongs to this AppDatabase
      observedGeneration: 2
      reason: Exists
      status: 'True'
      type: DatabaseReady
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: myapp_app may do in this database what was asked for
      observedGeneration: 2
      reason: Exists
      status: 'True'
      type: UserReady
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: myapp-mysql-creds in namespace myapp
      observedGeneration: 2
      reason: Exists
      status: 'True'
      type: SecretReady
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: the login was tried and sees its database
      observedGeneration: 2
      reason: LoggedIn
      status: 'True'
      type: Verified
    - lastTransitionTime: 1970-01-01T00:00:01Z
      message: the server is as it was asked for
      observedGeneration: 2
      reason: InSync
      status: 'False'
      type: Drift
    ");
}

#[test]
fn a_pass_that_changed_nothing_changes_no_status() {
    let before = ready_at(1);
    let (after, change) = next(&app(Some(before.clone())), Outcome::Ready(&facts(false)), at(2));
    assert_eq!((after, change), (before.clone(), Change::None));
    let (after, change) = next(&app(Some(before)), Outcome::Ready(&facts(true)), at(2));
    assert_eq!((after.last_reconcile_time, change), (Some(Time(at(2))), Change::None));
}

#[test]
fn annotations_that_were_acted_upon_are_remembered() {
    let mut app = app(None);
    app.annotations_mut().insert("reconcile".into(), "5".into());
    app.annotations_mut().insert("db.stillwaters.io/rotate".into(), "6".into());
    let (status, _) = next(&app, Outcome::Ready(&facts(true)), at(1));
    assert_eq!(status.last_handled_reconcile.as_deref(), Some("5"));
    assert_eq!(status.last_handled_rotate.as_deref(), Some("6"));
}

#[test]
fn a_refusal_fails_the_object_and_keeps_what_is_known() {
    let before = ready_at(1);
    let error = Error::from(Refusal::Conflict { kind: crate::ledger::Kind::Database, name: "myapp".into() });
    let (status, change) = next(&app(Some(before.clone())), Outcome::Failed(&error), at(2));
    assert_eq!((status.phase, change), (Some(AppDatabasePhase::Failed), Change::Transition));
    let told = "the database myapp belongs to another AppDatabase: choose another name, or delete the other with \
                deletionPolicy Delete";
    assert_eq!(status.message.as_deref(), Some(told));
    let known = AppDatabaseStatus { phase: before.phase, message: before.message.clone(), ..status.clone() };
    assert_eq!(AppDatabaseStatus { conditions: before.conditions.clone(), ..known }, before);
    for (now, then) in status.conditions.iter().zip(&before.conditions) {
        match now.type_.as_str() {
            READY | "DatabaseReady" => {
                assert_eq!(
                    (now.status.as_str(), now.reason.as_str(), now.message.as_str()),
                    ("False", "Conflict", told)
                );
            }
            _ => assert_eq!(now, then),
        }
    }
}

#[test]
fn a_server_that_is_away_takes_nothing_from_a_verified_database() {
    let before = ready_at(1);
    let (away, change) = next(&app(Some(before.clone())), Outcome::Failed(&unreachable()), at(2));
    assert_eq!(change, Change::Transition);
    assert_eq!(conditions::get(&away.conditions, READY), conditions::get(&before.conditions, READY));
    assert_eq!((away.phase, away.conditions.len()), (Some(AppDatabasePhase::Ready), before.conditions.len() + 1));
    let (back, change) = next(&app(Some(away)), Outcome::Ready(&facts(false)), at(3));
    assert_eq!((back, change), (before, Change::Transition));
}

#[test]
fn a_server_that_is_away_keeps_a_new_database_waiting() {
    let (status, _) = next(&app(None), Outcome::Failed(&unreachable()), at(1));
    assert_eq!(status.phase, Some(AppDatabasePhase::Pending));
    insta::assert_snapshot!(status.message.unwrap(), @"server cluster1-haproxy cannot be used now: nothing accepts connections at cluster1-haproxy.default.svc.cluster.local:3306: check host, port and firewall");
}

#[test]
fn an_object_that_cannot_go_says_why_and_how_to_let_it_go() {
    let (status, _) = next(&app(Some(ready_at(1))), Outcome::StillThere(&unreachable()), at(2));
    assert_eq!(status.phase, Some(AppDatabasePhase::Pending));
    insta::assert_snapshot!(status.message.unwrap(), @"waiting to drop database and user: server cluster1-haproxy cannot be used now: nothing accepts connections at cluster1-haproxy.default.svc.cluster.local:3306: check host, port and firewall; to give up on them, annotate with db.stillwaters.io/orphan=true");
}

#[test]
fn the_admins_login_is_not_told_to_applications() {
    let denied = ConnectError::new(ConnectClass::AuthenticationFailed, Some("1045".into()), &server("{}").admin);
    let error = Error::session("cluster1-haproxy", PoolError::Connect(denied));
    assert_eq!(error.reason(), "AdminLoginFailed");
    insta::assert_snapshot!(error.message(), @"server cluster1-haproxy does not accept the login in its admin Secret: whoever runs the concierge must correct it");
}

/// What the conditions say, a line each.
fn says(status: &AppDatabaseStatus) -> String {
    let line = |it: &Condition| format!("{} {} {}: {}", it.type_, it.status, it.reason, it.message);
    status.conditions.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn after_pass(before: AppDatabaseStatus, facts: &Facts) -> AppDatabaseStatus {
    next(&app(Some(before)), Outcome::Ready(facts), at(2)).0
}

#[test]
fn a_script_that_failed_makes_it_fail_and_leaves_the_parts_as_they_are() {
    use crate::ledger::scripts::State;
    let script = |state| Facts { script: Some(Record { hash: "abc".into(), state }), ..facts(true) };
    let failed = State::Failed("statement 2 of 3: running it failed: the server refused it (server code 1064)".into());
    let status = after_pass(AppDatabaseStatus::default(), &script(failed));
    assert_eq!((status.phase, status.init_sql_hash.as_deref()), (Some(AppDatabasePhase::Failed), Some("abc")));
    insta::assert_snapshot!(says(&status), @"
    Ready False InitSqlFailed: spec.initSql stopped at statement 2 of 3: running it failed: the server refused it (server code 1064); the statements before it were run. Correct the script, or have all of it run again by annotation reconcile=<any new value>
    DatabaseReady True Exists: myapp belongs to this AppDatabase
    UserReady True Exists: myapp_app may do in this database what was asked for
    SecretReady True Exists: myapp-mysql-creds in namespace myapp
    Verified True LoggedIn: the login was tried and sees its database
    Drift False InSync: the server is as it was asked for
    InitSql False InitSqlFailed: spec.initSql stopped at statement 2 of 3: running it failed: the server refused it (server code 1064); the statements before it were run. Correct the script, or have all of it run again by annotation reconcile=<any new value>
    ");
    let status = after_pass(status, &script(State::Running));
    assert!(says(&status).contains("Ready False InitSqlInterrupted"), "{}", says(&status));
    let status = after_pass(status, &script(State::Done));
    assert!(says(&status).contains("InitSql True Done"), "{}", says(&status));
    let status = after_pass(status, &facts(true));
    assert_eq!((status.phase, status.init_sql_hash), (Some(AppDatabasePhase::Ready), None));
    assert!(conditions::get(&status.conditions, "InitSql").is_none(), "no script is asked for");
}

#[test]
fn what_was_repaired_stays_told_and_what_was_not_is_told_while_it_is_so() {
    let drift = |status: &AppDatabaseStatus| {
        let drift = conditions::get(&status.conditions, "Drift").unwrap();
        format!("{} {}: {}", drift.status, drift.reason, drift.message)
    };
    let repaired = Facts { repaired: vec!["granting the rights", "granting the rights"], ..facts(true) };
    let status = after_pass(ready_at(1), &repaired);
    insta::assert_snapshot!(drift(&status), @"False Repaired: somebody had changed the server; it was changed back by: granting the rights");
    assert_eq!(after_pass(status.clone(), &facts(false)), status);
    let status = after_pass(status, &Facts { left: vec!["a role"], ..facts(false) });
    insta::assert_snapshot!(drift(&status), @"True ExcessRights: the concierge may not take away what somebody gave to a user of this database: a role; whoever runs the server must");
    let drifted = app(Some(status.clone()));
    assert!(is_drifted(&drifted));
    assert_eq!(drift(&after_pass(status, &facts(false))), "False InSync: the server is as it was asked for");
}

#[test]
fn a_lost_database_is_drift_too() {
    let error = Error::from(Refusal::DatabaseMissing { database: "myapp".into() });
    let (status, _) = next(&app(Some(ready_at(1))), Outcome::Failed(&error), at(2));
    let told: Vec<_> = status.conditions.iter().filter(|it| it.reason == "DatabaseMissing").collect();
    let told: Vec<_> = told.into_iter().map(|it| (it.type_.as_str(), it.status.as_str())).collect();
    assert_eq!(told, [("Ready", "False"), ("DatabaseReady", "False"), ("Drift", "True")]);
}

#[test]
fn a_read_only_user_is_told_and_forgotten() {
    let reader = Facts { reader: Some(("myapp_ro".into(), "myapp-mysql-creds-ro".into())), ..facts(true) };
    let status = after_pass(AppDatabaseStatus::default(), &reader);
    insta::assert_snapshot!(status.message.as_deref().unwrap(), @"database myapp and user myapp_app are ready, and the login was tried; credentials are in Secret myapp/myapp-mysql-creds; those of myapp_ro, which can only read, in myapp/myapp-mysql-creds-ro");
    assert_eq!(status.read_only_user_name.as_deref(), Some("myapp_ro"));
    let status = after_pass(status, &facts(true));
    assert_eq!((status.read_only_user_name, status.read_only_secret_name), (None, None));
}
