use super::fixtures::{
    ALL, Asked, OBJECT, account, claimed, fulfilled, grant, holding, inputs, password, readable, settled,
};
use super::*;
use crate::engine::AuthPlugin;
use crate::ledger::Origin;
use crate::look::mysql::{AccountView, DatabaseView, Found as Server, GrantView};
use crate::validate::Account;

/// Everything a plan would do, in order.
pub fn describe(plan: &Plan) -> String {
    let mut lines: Vec<_> = plan.claim.iter().map(|claim| readable(claim.expose_text())).collect();
    lines.extend(plan.logins.iter().filter_map(|login| login.secret.as_ref()).map(|change| match change {
        SecretChange::Create(_) => "-- create the Secret".to_owned(),
        SecretChange::Replace(_) => "-- replace the Secret".to_owned(),
    }));
    lines.extend(plan.steps.iter().chain(&plan.passwords).map(sent));
    if let Some(farewell) = &plan.farewell {
        lines.extend(farewell.steps.iter().map(sent));
        lines.extend(farewell.secret.iter().map(|_| "-- delete the Secret".to_owned()));
        lines.push(readable(farewell.withdraw.expose_text()));
    }
    lines.join("\n")
}

fn sent(step: &Step) -> String {
    let inside = if step.place == Place::Database { "-- inside: " } else { "" };
    format!("{inside}{}", readable(step.statement.expose_text()))
}

pub fn planned(intent: &Intent<'_>, view: ServerView, secret: Option<Secret>) -> Result<String, Refusal> {
    plan(intent, &inputs(view, secret)).map(|plan| describe(&plan))
}

/// The Secret as we wrote it.
pub fn secret(asked: &Asked, letter: char) -> Secret {
    secret_of(asked, &asked.request.application, letter)
}

/// The Secret of one of the logins.
pub fn secret_of(asked: &Asked, account: &Account, letter: char) -> Secret {
    match secret::change(&asked.intent(), account, None, &password(letter)) {
        Some(SecretChange::Create(secret)) => secret,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_database_takes_one_claim_one_secret_and_three_statements() {
    let asked = Asked::new("{}");
    insta::assert_snapshot!(planned(&asked.intent(), holding(Server::default()), None).unwrap(), @"
    INSERT INTO `db_concierge`.`ownership` (`kind`, `name`, `owner`, `origin`, `uid`) VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    -- create the Secret
    CREATE DATABASE `myapp` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
    CREATE USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    ");
}

#[test]
fn an_underscore_is_no_wildcard_in_a_grant() {
    let asked = Asked::new("{dbName: my_app, charset: latin1, collation: latin1_bin, userName: U1}");
    insta::assert_snapshot!(planned(&asked.intent(), holding(Server::default()), None).unwrap(), @r#"
    INSERT INTO `db_concierge`.`ownership` (`kind`, `name`, `owner`, `origin`, `uid`) VALUES ('database', 'my_app', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'U1', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    -- create the Secret
    CREATE DATABASE `my_app` CHARACTER SET latin1 COLLATE latin1_bin
    CREATE USER 'U1'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    GRANT ALL PRIVILEGES ON `my\_app`.* TO 'U1'@'%'
    "#);
}

#[test]
fn where_grants_name_databases_nothing_is_escaped() {
    let asked = Asked::new("{dbName: my_app}");
    let granted = |pattern: &str| {
        let accounts = vec![account("my_app_app")];
        let grants = vec![GrantView { pattern: pattern.into(), ..grant("my_app_app", ALL) }];
        let found = Server { literal_grants: true, accounts, grants, ..fulfilled() };
        let view = ServerView { claims: settled().claims, ..holding(found) };
        planned(&asked.intent(), view, Some(secret(&asked, 'k'))).unwrap()
    };
    insta::assert_snapshot!(granted(r"my\_app"), @"
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'my_app_app'@'%'
    GRANT ALL PRIVILEGES ON `my_app`.* TO 'my_app_app'@'%'
    ");
    assert_eq!(granted("my_app"), "");
}

#[test]
fn users_prove_their_passwords_as_the_admin_secret_says() {
    let mut asked = Asked::new("{}");
    asked.request.auth_plugin = Some(AuthPlugin::Native);
    let plan = plan(&asked.intent(), &inputs(holding(Server::default()), None)).unwrap();
    let password = "n".repeat(32);
    let wanted = format!("'myapp_app'@'%' IDENTIFIED WITH mysql_native_password BY '{password}'");
    assert!(describe(&plan).contains(&format!("CREATE USER {wanted}")), "{}", describe(&plan));
    let again = set_password(&asked.request, &plan.logins.application);
    assert_eq!(again.statement.expose_text(), format!("ALTER USER {wanted}"));
}

#[test]
fn what_an_earlier_pass_claimed_is_no_claim_of_this_one() {
    let asked = Asked::new("{}");
    let fresh = plan(&asked.intent(), &inputs(holding(Server::default()), None)).unwrap();
    assert_eq!(fresh.claimed, [Kind::Database, Kind::User]);
    let view = ServerView { claims: settled().claims, ..holding(Server::default()) };
    let resumed = plan(&asked.intent(), &inputs(view, None)).unwrap();
    assert!(resumed.claimed.is_empty() && resumed.steps.iter().any(|step| step.creates == Some(Kind::User)));
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let asked = Asked::new("{}");
    let found = secret(&asked, 'k');
    assert_eq!(planned(&asked.intent(), settled(), Some(found)).unwrap(), "");
    assert!(is_settled(&asked.request, &asked.owner, &settled()));
}

#[test]
fn a_pass_that_was_cut_off_is_completed_with_the_same_password() {
    let asked = Asked::new("{}");
    let found = secret(&asked, 'k');
    let claims = ServerView { claims: settled().claims, ..holding(Server::default()) };
    insta::assert_snapshot!(planned(&asked.intent(), claims, Some(found.clone())).unwrap(), @"
    CREATE DATABASE `myapp` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
    CREATE USER 'myapp_app'@'%' IDENTIFIED BY 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    ");
    let no_grant = ServerView { found: Found::Mysql(Server { grants: vec![], ..fulfilled() }), ..settled() };
    assert!(!is_settled(&asked.request, &asked.owner, &no_grant));
    insta::assert_snapshot!(planned(&asked.intent(), no_grant, Some(found)).unwrap(), @"GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'");
}

#[test]
fn a_lost_or_spoilt_secret_is_healed_with_a_new_password() {
    let asked = Asked::new("{}");
    insta::assert_snapshot!(planned(&asked.intent(), settled(), None).unwrap(), @"
    -- create the Secret
    ALTER USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    ");
    let mut spoilt = secret(&asked, 'k');
    spoilt.data.as_mut().unwrap().insert("password".into(), k8s_openapi::ByteString(b"hunter2".to_vec()));
    insta::assert_snapshot!(planned(&asked.intent(), settled(), Some(spoilt)).unwrap(), @"
    -- replace the Secret
    ALTER USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    ");
}

#[test]
fn a_rotation_writes_the_secret_before_the_user() {
    let asked = Asked::new("{}");
    let found = secret(&asked, 'k');
    let intent = Intent { rotate: true, ..asked.intent() };
    insta::assert_snapshot!(planned(&intent, settled(), Some(found)).unwrap(), @"
    -- replace the Secret
    ALTER USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    ");
}

#[test]
fn only_the_password_is_read_back() {
    let asked = Asked::new("{}");
    let mut found = secret(&asked, 'k');
    let data = found.data.as_mut().unwrap();
    data.insert("host".into(), k8s_openapi::ByteString(b"evil.example".to_vec()));
    data.insert("mine".into(), k8s_openapi::ByteString(b"kept".to_vec()));
    let plan = plan(&asked.intent(), &inputs(settled(), Some(found))).unwrap();
    assert!(plan.steps.is_empty());
    let Some(SecretChange::Replace(replaced)) = plan.logins.application.secret else { panic!("not replaced") };
    let value = |key: &str| String::from_utf8(replaced.data.as_ref().unwrap()[key].0.clone()).unwrap();
    assert_eq!(value("host"), "cluster1-haproxy.default.svc.cluster.local");
    assert_eq!((value("mine"), value("password")), ("kept".into(), "k".repeat(32)));
}

#[test]
fn the_secret_has_the_documented_keys() {
    let asked = Asked::new("{}");
    let found = secret(&asked, 'k');
    let data = found.data.clone().unwrap();
    let lines: Vec<_> =
        data.iter().map(|(key, value)| format!("{key}: {}", String::from_utf8_lossy(&value.0))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    connection-string: mysql://myapp_app:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk@cluster1-haproxy.default.svc.cluster.local:3306/myapp
    database: myapp
    host: cluster1-haproxy.default.svc.cluster.local
    password: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
    port: 3306
    username: myapp_app
    ");
    insta::assert_snapshot!(serde_norway::to_string(&found.metadata).unwrap(), @"
    annotations:
      db.stillwaters.io/owner: db-concierge/myapp
    labels:
      app.kubernetes.io/managed-by: db-concierge-operator
    name: myapp-mysql-creds
    namespace: myapp
    ");
    assert_eq!(found.type_.as_deref(), Some("Opaque"));
}

#[test]
fn a_foreign_secret_is_never_touched() {
    let asked = Asked::new("{}");
    let conflict = |found: Secret| planned(&asked.intent(), holding(Server::default()), Some(found)).unwrap_err();
    let ours = secret(&asked, 'k');
    let mut unlabelled = ours.clone();
    unlabelled.metadata.labels = None;
    let mut forged = ours.clone();
    forged.metadata.annotations = None;
    let mut anothers = ours;
    anothers.metadata.annotations = Some([("db.stillwaters.io/owner".to_owned(), format!("{OBJECT}2"))].into());
    for found in [unlabelled, forged, anothers, Secret::default()] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(conflict(found), @"a Secret myapp-mysql-creds exists in namespace myapp and does not belong to this AppDatabase: delete or rename it, or create the AppDatabase anew with another spec.secretName");
        }
    }
}

#[test]
fn what_another_claims_is_out_of_reach() {
    let asked = Asked::new("{}");
    for kind in [Kind::Database, Kind::User] {
        let view = ServerView { claims: vec![claimed(kind, "i/ns/other/myapp", Origin::Created)], ..settled() };
        let intent = Intent { provisioned: true, forced: true, ..asked.intent() };
        assert!(!is_settled(&asked.request, &asked.owner, &view));
        let refusal = planned(&intent, view, None).unwrap_err();
        assert_eq!(refusal, Refusal::Conflict { kind, name: kind.name(&asked.request).into() });
        assert!(!refusal.to_string().contains("other/"), "the owner is nobody's business");
    }
}

#[test]
fn what_exists_is_adopted_only_if_empty_or_listed() {
    let mut asked = Asked::new("{}");
    let mut view = settled();
    view.claims.clear();
    let refused = planned(&asked.intent(), view.clone(), None).unwrap_err();
    insta::assert_snapshot!(refused, @"the database myapp exists on the server and was not made by the concierge: choose another name, or list it in annotation db.stillwaters.io/adoptable of the server's admin Secret");

    let empty = Inputs { empty: true, ..inputs(view.clone(), None) };
    let user = plan(&asked.intent(), &empty).unwrap_err();
    assert_eq!(user, Refusal::AdoptionNotAllowed { kind: Kind::User, name: "myapp_app".into() });

    asked.server = fixtures::server("annotations: {db.stillwaters.io/adoptable: 'myapp_app, myapp'}");
    insta::assert_snapshot!(planned(&asked.intent(), view, None).unwrap(), @"
    INSERT INTO `db_concierge`.`ownership` (`kind`, `name`, `owner`, `origin`, `uid`) VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'adopted', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'adopted', 'u-1')
    -- create the Secret
    ALTER USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    ");
}

#[test]
fn an_account_of_another_host_is_a_user_that_exists() {
    let asked = Asked::new("{}");
    let view = holding(Server {
        accounts: vec![AccountView { host: "10.%".into(), ..account("myapp_app") }],
        ..Server::default()
    });
    let refusal = planned(&asked.intent(), view, None).unwrap_err();
    assert_eq!(refusal, Refusal::AdoptionNotAllowed { kind: Kind::User, name: "myapp_app".into() });
}

#[test]
fn a_lost_table_is_rebuilt_from_status_and_nothing_is_dropped_afterwards() {
    let asked = Asked::new("{}");
    let mut view = settled();
    view.claims.clear();
    let intent = Intent { provisioned: true, ..asked.intent() };
    let plan = plan(&intent, &inputs(view, Some(secret(&asked, 'k')))).unwrap();
    let claim = readable(plan.claim.unwrap().expose_text());
    assert_eq!(claim.matches("'adopted'").count(), 2, "{claim}");
}

#[test]
fn a_lost_database_is_made_again_only_on_request() {
    let asked = Asked::new("{}");
    let found = Found::Mysql(Server { database: None, ..fulfilled() });
    let view = ServerView { found, ..settled() };
    let intent = Intent { provisioned: true, ..asked.intent() };
    insta::assert_snapshot!(planned(&intent, view.clone(), None).unwrap_err(), @"the database myapp was created and is no longer on the server: restore it, or annotate the AppDatabase with reconcile=<any new value> to have an empty one created");
    let forced = Intent { forced: true, ..intent };
    let again = planned(&forced, view, Some(secret(&asked, 'k'))).unwrap();
    assert!(again.contains("CREATE DATABASE"), "{again}");
}

#[test]
fn a_changed_charset_is_set_on_databases_that_we_made() {
    let asked = Asked::new("{charset: latin1, collation: latin1_bin}");
    let found = Some(secret(&asked, 'k'));
    insta::assert_snapshot!(planned(&asked.intent(), settled(), found.clone()).unwrap(), @"ALTER DATABASE `myapp` CHARACTER SET latin1 COLLATE latin1_bin");
    let mut adopted = settled();
    adopted.claims[0].origin = Origin::Adopted;
    assert_eq!(planned(&asked.intent(), adopted, found).unwrap(), "");
}

#[test]
fn other_names_of_a_charset_are_no_change() {
    let asked = Asked::new("{charset: UTF8, collation: utf8_general_ci}");
    let with = |charset: &str, collation: String| {
        let database = Some(DatabaseView { charset: charset.into(), collation });
        ServerView { found: Found::Mysql(Server { database, ..fulfilled() }), ..settled() }
    };
    for name in ["utf8", "utf8mb3", "utf8mb4"] {
        assert!(is_settled(&asked.request, &asked.owner, &with(name, format!("{name}_general_ci"))), "{name}");
    }
    assert!(!is_settled(&asked.request, &asked.owner, &with("utf8mb4", "utf8mb4_bin".into())));
}
