use super::fixtures::{Asked, fulfilled_on_postgres, inputs, on_postgres, role};
use super::tests::{planned, secret};
use super::*;
use crate::ledger::Origin;
use crate::look::postgres::{DatabaseView, Found as Server, RoleView};

/// The plan of what a server lacks that holds this under our claims; verifiers are cut short.
pub fn repaired(asked: &Asked, found: Server) -> String {
    let planned = planned(&asked.intent(), on_postgres(found), Some(secret(asked, 'k'))).unwrap();
    without_verifiers(&planned)
}

pub fn without_verifiers(planned: &str) -> String {
    let mut parts = planned.split("SCRAM-SHA-256$4096:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "<verifier>" + &part[part.find('\'').unwrap()..])
}

fn database(change: fn(&mut DatabaseView)) -> Server {
    let mut found = fulfilled_on_postgres();
    found.database.iter_mut().for_each(change);
    found
}

#[test]
fn a_new_database_is_closed_before_it_takes_connections() {
    let asked = Asked::postgres("{}");
    let view = ServerView { claims: vec![], ..on_postgres(Server::default()) };
    let planned = planned(&asked.intent(), view, None).unwrap();
    insta::assert_snapshot!(without_verifiers(&planned), @r#"
    INSERT INTO "concierge"."ownership" ("kind", "name", "owner", "origin", "uid") VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    -- create the Secret
    CREATE ROLE "myapp_app" LOGIN PASSWORD '<verifier>'
    GRANT "myapp_app" TO CURRENT_USER
    CREATE DATABASE "myapp" OWNER "myapp_app" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false
    REVOKE ALL ON DATABASE "myapp" FROM PUBLIC
    ALTER DATABASE "myapp" ALLOW_CONNECTIONS true
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
}

#[test]
fn a_pass_that_was_cut_off_is_completed_from_wherever_it_was() {
    let asked = Asked::postgres("{}");
    let joining = |joined| vec![RoleView { joined, ..role("myapp_app") }];
    let alone = |joined| Server { roles: joining(joined), ..Server::default() };
    insta::assert_snapshot!(repaired(&asked, alone(false)), @r#"
    GRANT "myapp_app" TO CURRENT_USER
    CREATE DATABASE "myapp" OWNER "myapp_app" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false
    REVOKE ALL ON DATABASE "myapp" FROM PUBLIC
    ALTER DATABASE "myapp" ALLOW_CONNECTIONS true
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
    assert!(repaired(&asked, alone(true)).starts_with("CREATE DATABASE"));
    let mut half = database(|database| (database.open, database.public) = (false, true));
    half.roles = joining(true);
    insta::assert_snapshot!(repaired(&asked, half.clone()), @r#"
    REVOKE ALL ON DATABASE "myapp" FROM PUBLIC
    ALTER DATABASE "myapp" ALLOW_CONNECTIONS true
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
    half.database = fulfilled_on_postgres().database;
    insta::assert_snapshot!(repaired(&asked, half), @r#"REVOKE "myapp_app" FROM CURRENT_USER"#);
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let asked = Asked::postgres("{}");
    assert_eq!(repaired(&asked, fulfilled_on_postgres()), "");
    assert!(is_settled(&asked.request, &asked.owner, &on_postgres(fulfilled_on_postgres())));
}

#[test]
fn what_was_changed_by_hand_is_changed_back() {
    let asked = Asked::postgres("{}");
    let drifted = [
        database(|database| database.public = true),
        database(|database| database.owner = "concierge_admin".into()),
        database(|database| database.complete = false),
        Server { roles: vec![RoleView { plain: false, ..role("myapp_app") }], ..fulfilled_on_postgres() },
        Server { roles: vec![], ..fulfilled_on_postgres() },
    ];
    let repairs: Vec<_> = drifted
        .into_iter()
        .map(|found| {
            assert!(!is_settled(&asked.request, &asked.owner, &on_postgres(found.clone())));
            repaired(&asked, found)
        })
        .collect();
    insta::assert_snapshot!(repairs.join("\n--\n"), @r#"
    GRANT "myapp_app" TO CURRENT_USER
    REVOKE ALL ON DATABASE "myapp" FROM PUBLIC
    REVOKE "myapp_app" FROM CURRENT_USER
    --
    GRANT "myapp_app" TO CURRENT_USER
    ALTER DATABASE "myapp" OWNER TO "myapp_app"
    REVOKE "myapp_app" FROM CURRENT_USER
    --
    GRANT "myapp_app" TO CURRENT_USER
    GRANT ALL ON DATABASE "myapp" TO "myapp_app"
    REVOKE "myapp_app" FROM CURRENT_USER
    --
    ALTER ROLE "myapp_app" LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT -1
    --
    CREATE ROLE "myapp_app" LOGIN PASSWORD '<verifier>'
    "#);
}

#[test]
fn a_new_password_is_one_statement_that_does_not_hold_it() {
    let asked = Asked::postgres("{}");
    let planned = planned(&asked.intent(), on_postgres(fulfilled_on_postgres()), None).unwrap();
    assert!(!planned.contains("nnnnn"));
    insta::assert_snapshot!(without_verifiers(&planned), @r#"
    -- create the Secret
    ALTER ROLE "myapp_app" PASSWORD '<verifier>'
    "#);
}

#[test]
fn the_secret_speaks_of_postgresql() {
    let found = secret(&Asked::postgres("{}"), 'k');
    assert_eq!(found.metadata.name.as_deref(), Some("myapp-postgres-creds"));
    let value = |key: &str| String::from_utf8(found.data.as_ref().unwrap()[key].0.clone()).unwrap();
    assert_eq!(value("port"), "5432");
    insta::assert_snapshot!(value("connection-string"), @"postgresql://myapp_app:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk@postgres-main.default:5432/myapp");
}

#[test]
fn encoding_and_locale_are_chosen_once() {
    let asked = Asked::postgres("{charset: latin1, collation: C}");
    let planned = repaired(&asked, Server::default());
    assert!(planned.contains("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"), "{planned}");

    let view = on_postgres(fulfilled_on_postgres());
    assert!(!is_settled(&asked.request, &asked.owner, &view));
    insta::assert_snapshot!(plan(&asked.intent(), &inputs(view.clone(), None)).unwrap_err(), @"the database myapp was created with encoding UTF8 and locale C.UTF-8, which PostgreSQL cannot change: correct spec.charset and spec.collation, or create another AppDatabase and move the data");
    let mut adopted = view;
    adopted.claims[0].origin = Origin::Adopted;
    assert!(is_settled(&asked.request, &asked.owner, &adopted), "it was somebody else's choice");
}
