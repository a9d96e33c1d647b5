use proptest::prelude::*;

use super::*;
use crate::plan::fixtures::{AROUND, spec};

const ON_POSTGRES: Surroundings<'static> = Surroundings { engine: Engine::Postgres, ..AROUND };

fn validated(yaml: &str) -> Result<Request, Invalid> {
    validate(&spec(yaml), AROUND)
}

fn message(yaml: &str) -> String {
    validated(yaml).unwrap_err().to_string()
}

#[test]
fn defaults_are_the_documented_ones() {
    let request = validated("{}").unwrap();
    assert_eq!(request.application.user.as_str(), "myapp_app");
    assert_eq!(request.application.secret.as_str(), "myapp-mysql-creds");
    assert_eq!((request.charset.as_str(), request.collation.as_str()), ("utf8mb4", "utf8mb4_unicode_ci"));
    assert_eq!(request.policy, DeletionPolicy::Retain);
}

#[test]
fn the_default_secret_has_a_name_that_kubernetes_takes() {
    assert_eq!(validated("dbName: My_App").unwrap().application.secret.as_str(), "my-app-mysql-creds");
    insta::assert_snapshot!(message("dbName: _app"), @"the Secret cannot be called -app-mysql-creds, since Kubernetes does not take this name: set spec.secretName");
    assert!(validated("{dbName: _app, secretName: app-creds}").is_ok());
}

#[test]
fn names_of_the_server_are_refused_in_any_case() {
    for name in ["mysql", "MySQL", "sys", "DB_Concierge", "pg_app", "Test"] {
        assert_eq!(validated(&format!("dbName: {name}")), Err(Invalid::Reserved { field: "spec.dbName" }), "{name}");
    }
    for name in ["root", "ROOT", "monitor", "concierge_admin", "CONCIERGE_ADMIN", "PG_user"] {
        assert_eq!(
            validated(&format!("userName: {name}")),
            Err(Invalid::Reserved { field: "spec.userName" }),
            "{name}"
        );
    }
    assert!(validated("dbName: mysql2").is_ok());
}

#[test]
fn the_admin_is_refused_as_a_default_user_too() {
    let around = Surroundings { admin_user: "myapp_app", ..AROUND };
    assert_eq!(validate(&spec("{}"), around), Err(Invalid::Reserved { field: "spec.userName" }));
}

#[test]
fn lengths_are_those_of_mysql() {
    let name = |length: usize| "a".repeat(length);
    assert!(validated(&format!("dbName: {}", name(28))).is_ok());
    insta::assert_snapshot!(message(&format!("dbName: {}", name(29))), @"the default user name aaaaaaaaaaaaaaaaaaaaaaaaaaaaa_app has more than 32 characters, which MySQL does not take: set spec.userName");
    assert!(validated(&format!("{{dbName: {}, userName: u}}", name(64))).is_ok());
    insta::assert_snapshot!(message(&format!("{{dbName: {}, userName: u}}", name(65))), @"spec.dbName has more than 64 characters, which the server does not take");
    insta::assert_snapshot!(message(&format!("userName: {}", name(33))), @"spec.userName has more than 32 characters, which the server does not take");
}

#[test]
fn postgresql_has_lengths_and_defaults_of_its_own() {
    let on_postgres = |yaml: &str| validate(&spec(yaml), ON_POSTGRES);
    let request = on_postgres("dbName: My_App").unwrap();
    assert_eq!(
        (request.application.user.as_str(), request.application.secret.as_str()),
        ("My_App_app", "my-app-postgres-creds")
    );
    assert_eq!(request.charset.as_str(), "UTF8");
    let name = |length: usize| "a".repeat(length);
    assert!(on_postgres(&format!("dbName: {}", name(59))).is_ok());
    insta::assert_snapshot!(on_postgres(&format!("dbName: {}", name(60))).unwrap_err(), @"the default user name aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_app has more than 63 characters, which PostgreSQL does not take: set spec.userName");
    insta::assert_snapshot!(on_postgres(&format!("{{dbName: {}, userName: u}}", name(64))).unwrap_err(), @"spec.dbName has more than 63 characters, which the server does not take");
    for name in ["Postgres", "TEMPLATE1", "template0", "pg_app", "DB_Concierge"] {
        assert_eq!(on_postgres(&format!("dbName: {name}")), Err(Invalid::Reserved { field: "spec.dbName" }), "{name}");
    }
    assert_eq!(on_postgres("userName: concierge_ADMIN"), Err(Invalid::Reserved { field: "spec.userName" }));
}

#[test]
fn a_charset_of_mysql_is_an_encoding_of_postgresql_where_there_is_one() {
    let encoding = |charset: &str| {
        let request = validate(&spec(&format!("charset: {charset}")), ON_POSTGRES);
        request.map(|request| request.charset.to_string())
    };
    for (charset, name) in [("utf8mb4", "UTF8"), ("utf8", "UTF8"), ("latin1", "LATIN1"), ("Win1252", "WIN1252")] {
        assert_eq!(encoding(charset).as_deref(), Ok(name));
    }
    assert_eq!(encoding("swe7"), Err(Invalid::Encoding));
}

#[test]
fn secrets_go_to_namespaces_of_applications_alone() {
    for namespace in ["db-concierge", "kube-system", "kube-public"] {
        assert_eq!(validated(&format!("appNamespace: {namespace}")), Err(Invalid::NamespaceForbidden), "{namespace}");
    }
    assert_eq!(validated("appNamespace: My_App"), Err(Invalid::AppNamespace));
    assert!(validated("appNamespace: kubernetes").is_ok());
}

#[test]
fn a_read_only_user_has_a_name_of_its_own_where_there_is_room_for_one() {
    let request = validated("{readOnlyUser: true, connectionLimit: 3, requireTls: true}").unwrap();
    let reader = request.wanted_reader().unwrap();
    assert_eq!((reader.user.as_str(), reader.user.quoted()), ("myapp_ro", "'myapp_ro'@'%'"));
    assert_eq!(reader.secret.as_str(), "myapp-mysql-creds-ro");
    assert_eq!(request.terms, Terms { tls: true, connections: NonZeroU32::new(3) });

    let request = validated("{}").unwrap();
    assert!(request.wanted_reader().is_none() && request.reader.is_some(), "there may have been one");
    let long = "a".repeat(30);
    assert!(validated(&format!("{{dbName: {long}, userName: u}}")).unwrap().reader.is_none());
    insta::assert_snapshot!(message(&format!("{{dbName: {long}, userName: u, readOnlyUser: true}}")), @"the user of spec.readOnlyUser would be called aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_ro, and MySQL takes no name of more than 32 characters: leave it out, or create another AppDatabase with a shorter dbName");
    assert!(validated("{userName: MyApp_RO}").unwrap().reader.is_none(), "it is the application's");
    assert_eq!(validated("{userName: MyApp_RO, readOnlyUser: true}"), Err(Invalid::ReaderIsUser));
    let around = Surroundings { admin_user: "myapp_ro", ..AROUND };
    assert_eq!(validate(&spec("{readOnlyUser: true}"), around), Err(Invalid::Reserved { field: "spec.readOnlyUser" }));
    assert_eq!(validated("{connectionLimit: 0}"), Err(Invalid::ConnectionLimit));
}

#[test]
fn a_grant_on_mysql_has_room_for_so_many_underscores() {
    let name = |underscores: usize| format!("{{dbName: {}{}, userName: u}}", "a".repeat(24), "_".repeat(underscores));
    assert!(validated(&name(20)).is_ok());
    insta::assert_snapshot!(message(&name(21)), @"spec.dbName has more than 64 characters when each underscore counts twice, which MySQL does not take");
    assert!(validate(&spec(&name(21)), ON_POSTGRES).is_ok());
}

proptest! {
    #[test]
    fn nothing_but_words_becomes_a_name(text in ".{0,70}") {
        let mut spec = spec("secretName: s");
        spec.db_name.clone_from(&text);
        spec.user_name = Some(text);
        spec.charset.clone_from(&spec.db_name);
        if let Ok(request) = validate(&spec, AROUND) {
            for name in [request.database.as_str(), request.application.user.as_str(), request.charset.as_str()] {
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                prop_assert!(!name.is_empty() && name.len() <= 64);
            }
        }
    }
}
