//! What the additions come to: requireTls, connectionLimit, readOnlyUser, and the drift of each.

use super::fixtures::{
    ALL, Asked, READING, account, fulfilled, fulfilled_on_postgres, fulfilled_with_reader,
    fulfilled_with_reader_on_postgres, grant, holding, inputs, on_postgres, role, settled,
};
use super::postgres_tests::{repaired, without_verifiers};
use super::tests::{describe, planned, secret, secret_of};
use super::*;
use crate::ledger::Origin;
use crate::ledger::scripts::{Record, State};
use crate::look::mysql::{self, AccountView, Extra, ExtraKind, GrantView, Rights};
use crate::look::postgres::{self, RoleView};

const READER: &str = "{readOnlyUser: true}";

/// The plan for a server and both Secrets in place.
fn with_secrets(asked: &Asked, view: ServerView) -> String {
    describe(&plan(&asked.intent(), &both(asked, view)).unwrap())
}

fn both(asked: &Asked, view: ServerView) -> Inputs {
    let mut inputs = inputs(view, Some(secret(asked, 'k')));
    inputs.reader.secret = Some(secret_of(asked, asked.request.reader.as_ref().unwrap(), 'l'));
    inputs
}

fn on_mysql(change: impl FnOnce(&mut mysql::Found)) -> ServerView {
    let mut found = fulfilled();
    change(&mut found);
    ServerView { claims: settled().claims, ..holding(found) }
}

/// What each change comes to; none of them is taken for settled.
fn each(asked: &Asked, views: Vec<ServerView>) -> String {
    let plans = views.into_iter().map(|view| {
        assert!(!is_settled(&asked.request, &asked.owner, &view));
        without_verifiers(&with_secrets(asked, view))
    });
    plans.collect::<Vec<_>>().join("\n--\n")
}

#[test]
fn terms_are_part_of_a_new_account() {
    let yaml = "{requireTls: true, connectionLimit: 5}";
    let view = ServerView { claims: settled().claims, ..holding(mysql::Found::default()) };
    insta::assert_snapshot!(with_secrets(&Asked::new(yaml), view), @"
    CREATE DATABASE `myapp` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
    CREATE USER 'myapp_app'@'%' IDENTIFIED BY 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    ");
    let view = on_postgres(postgres::Found { roles: vec![], ..fulfilled_on_postgres() });
    insta::assert_snapshot!(without_verifiers(&with_secrets(&Asked::postgres(yaml), view)), @r#"CREATE ROLE "myapp_app" LOGIN CONNECTION LIMIT 5 PASSWORD '<verifier>'"#);
}

#[test]
fn terms_are_kept_up_and_lifted() {
    let held = |ssl_type: &str, connections| {
        let account = AccountView { ssl_type: ssl_type.into(), connections, ..account("myapp_app") };
        on_mysql(move |found| found.accounts = vec![account])
    };
    let strict = Asked::new("{requireTls: true, connectionLimit: 5}");
    assert!(is_settled(&strict.request, &strict.owner, &held("ANY", 5)));
    insta::assert_snapshot!(each(&strict, vec![held("", 5), held("ANY", 0)]), @"
    ALTER USER 'myapp_app'@'%' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5
    --
    ALTER USER 'myapp_app'@'%' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5
    ");
    insta::assert_snapshot!(each(&Asked::new("{}"), vec![held("ANY", 0), held("", 5), held("X509", 0)]), @"
    ALTER USER 'myapp_app'@'%' REQUIRE NONE WITH MAX_USER_CONNECTIONS 0
    --
    ALTER USER 'myapp_app'@'%' REQUIRE NONE WITH MAX_USER_CONNECTIONS 0
    --
    ALTER USER 'myapp_app'@'%' REQUIRE NONE WITH MAX_USER_CONNECTIONS 0
    ");

    let limited = |connections| {
        let role = RoleView { connections, ..role("myapp_app") };
        on_postgres(postgres::Found { roles: vec![role], ..fulfilled_on_postgres() })
    };
    let asked = Asked::postgres("{connectionLimit: 5}");
    assert!(is_settled(&asked.request, &asked.owner, &limited(5)));
    insta::assert_snapshot!(each(&asked, vec![limited(-1)]), @r#"ALTER ROLE "myapp_app" LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT 5"#);
    insta::assert_snapshot!(each(&Asked::postgres("{}"), vec![limited(5)]), @r#"ALTER ROLE "myapp_app" LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT -1"#);
}

#[test]
fn connection_strings_speak_of_tls_only_where_it_is_required() {
    let url = |asked: Asked| connection_template(&asked.request, &asked.server);
    let urls = [
        url(Asked::new("{}")),
        url(Asked::new("{requireTls: true}")),
        url(Asked::postgres("{}")),
        url(Asked::postgres("{requireTls: true}")),
    ];
    insta::assert_snapshot!(urls.join("\n"), @"
    mysql://myapp_app:<password>@cluster1-haproxy.default.svc.cluster.local:3306/myapp
    mysql://myapp_app:<password>@cluster1-haproxy.default.svc.cluster.local:3306/myapp?ssl-mode=REQUIRED
    postgresql://myapp_app:<password>@postgres-main.default:5432/myapp
    postgresql://myapp_app:<password>@postgres-main.default:5432/myapp?sslmode=require
    ");
}

#[test]
fn a_read_only_user_has_a_claim_a_secret_and_its_own_rights() {
    let asked = Asked::new(READER);
    insta::assert_snapshot!(planned(&asked.intent(), holding(mysql::Found::default()), None).unwrap(), @"
    INSERT INTO `db_concierge`.`ownership` (`kind`, `name`, `owner`, `origin`, `uid`) VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_ro', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    -- create the Secret
    -- create the Secret
    CREATE DATABASE `myapp` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
    CREATE USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    CREATE USER 'myapp_ro'@'%' IDENTIFIED BY 'rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr'
    GRANT SELECT, SHOW VIEW ON `myapp`.* TO 'myapp_ro'@'%'
    ");
    let view = ServerView { claims: vec![], ..on_postgres(postgres::Found::default()) };
    let new = planned(&Asked::postgres(READER).intent(), view, None).unwrap();
    insta::assert_snapshot!(without_verifiers(&new), @r#"
    INSERT INTO "concierge"."ownership" ("kind", "name", "owner", "origin", "uid") VALUES ('database', 'myapp', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_app', 'installation/db-concierge/myapp/myapp', 'created', 'u-1'), ('user', 'myapp_ro', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    -- create the Secret
    -- create the Secret
    CREATE ROLE "myapp_app" LOGIN PASSWORD '<verifier>'
    CREATE ROLE "myapp_ro" LOGIN PASSWORD '<verifier>'
    GRANT "myapp_app" TO CURRENT_USER
    CREATE DATABASE "myapp" OWNER "myapp_app" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false
    REVOKE ALL ON DATABASE "myapp" FROM PUBLIC
    ALTER DATABASE "myapp" ALLOW_CONNECTIONS true
    GRANT CONNECT ON DATABASE "myapp" TO "myapp_ro"
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT USAGE ON SCHEMAS TO "myapp_ro"
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT SELECT ON TABLES TO "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
}

#[test]
fn a_read_only_user_comes_to_a_database_with_tables() {
    let asked = Asked::postgres(READER);
    let mut inputs = both(&asked, on_postgres(fulfilled_on_postgres()));
    inputs.inside = Inside {
        schemas: vec!["a \"quoted\" one".into()],
        tables: vec![("public".into(), "t".into()), ("public".into(), "Ünlü".into())],
    };
    insta::assert_snapshot!(without_verifiers(&describe(&plan(&asked.intent(), &inputs).unwrap())), @r#"
    INSERT INTO "concierge"."ownership" ("kind", "name", "owner", "origin", "uid") VALUES ('user', 'myapp_ro', 'installation/db-concierge/myapp/myapp', 'created', 'u-1')
    CREATE ROLE "myapp_ro" LOGIN PASSWORD '<verifier>'
    GRANT "myapp_app" TO CURRENT_USER
    GRANT CONNECT ON DATABASE "myapp" TO "myapp_ro"
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT USAGE ON SCHEMAS TO "myapp_ro"
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT SELECT ON TABLES TO "myapp_ro"
    -- inside: GRANT USAGE ON SCHEMA "a ""quoted"" one" TO "myapp_ro"
    -- inside: GRANT SELECT ON TABLE "public"."t", "public"."Ünlü" TO "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
}

#[test]
fn a_read_only_user_that_is_as_it_should_be_is_left_alone() {
    for (asked, view) in
        [(Asked::new(READER), fulfilled_with_reader()), (Asked::postgres(READER), fulfilled_with_reader_on_postgres())]
    {
        assert!(is_settled(&asked.request, &asked.owner, &view));
        assert_eq!(with_secrets(&asked, view), "");
    }
}

#[test]
fn a_read_only_user_with_other_rights_is_put_right() {
    let asked = Asked::new(READER);
    let rights = |rights| {
        let Found::Mysql(mut found) = fulfilled_with_reader().found else { panic!() };
        found.grants[1].rights = rights;
        ServerView { found: Found::Mysql(found), ..fulfilled_with_reader() }
    };
    let none = Rights { reading: false, ..READING };
    insta::assert_snapshot!(each(&asked, vec![rights(ALL), rights(none)]), @"
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'myapp_ro'@'%'
    GRANT SELECT, SHOW VIEW ON `myapp`.* TO 'myapp_ro'@'%'
    --
    GRANT SELECT, SHOW VIEW ON `myapp`.* TO 'myapp_ro'@'%'
    ");

    let asked = Asked::postgres(READER);
    let changed = |rights: &[&str], defaults| {
        let Found::Postgres(mut found) = fulfilled_with_reader_on_postgres().found else { panic!() };
        found.reader_rights = rights.iter().map(|right| (*right).to_owned()).collect();
        found.reader_defaults = defaults;
        ServerView { found: Found::Postgres(found), ..fulfilled_with_reader_on_postgres() }
    };
    let views = vec![changed(&["CONNECT", "CREATE"], 2), changed(&[], 2), changed(&["CONNECT"], 1)];
    insta::assert_snapshot!(each(&asked, views), @r#"
    GRANT "myapp_app" TO CURRENT_USER
    REVOKE CREATE, TEMPORARY ON DATABASE "myapp" FROM "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    --
    GRANT "myapp_app" TO CURRENT_USER
    GRANT CONNECT ON DATABASE "myapp" TO "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    --
    GRANT "myapp_app" TO CURRENT_USER
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT USAGE ON SCHEMAS TO "myapp_ro"
    -- inside: ALTER DEFAULT PRIVILEGES FOR ROLE "myapp_app" GRANT SELECT ON TABLES TO "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    "#);
}

#[test]
fn a_read_only_user_that_is_no_longer_wanted_goes() {
    insta::assert_snapshot!(each(&Asked::new("{}"), vec![fulfilled_with_reader()]), @"
    DROP USER IF EXISTS 'myapp_ro'@'%'
    -- delete the Secret
    DELETE FROM `db_concierge`.`ownership` WHERE `kind` = 'user' AND `name` = 'myapp_ro' AND `owner` = 'installation/db-concierge/myapp/myapp'
    ");
    insta::assert_snapshot!(each(&Asked::postgres("{}"), vec![fulfilled_with_reader_on_postgres()]), @r#"
    GRANT "myapp_app" TO CURRENT_USER
    GRANT "myapp_ro" TO CURRENT_USER
    -- inside: DROP OWNED BY "myapp_ro"
    DROP ROLE IF EXISTS "myapp_ro"
    REVOKE "myapp_app" FROM CURRENT_USER
    -- delete the Secret
    DELETE FROM "concierge"."ownership" WHERE "kind" = 'user' AND "name" = 'myapp_ro' AND "owner" = 'installation/db-concierge/myapp/myapp'
    "#);
    let mut adopted = fulfilled_with_reader();
    adopted.claims[2].origin = Origin::Adopted;
    assert!(is_settled(&Asked::new("{}").request, &Asked::new("{}").owner, &adopted), "it was there before");
    let mut anothers = fulfilled_with_reader();
    anothers.claims[2].owner = "i/ns/other/myapp".into();
    assert_eq!(with_secrets(&Asked::new("{}"), anothers.clone()), "");
    let asked = Asked::new(READER);
    let refusal = plan(&asked.intent(), &both(&asked, anothers)).unwrap_err();
    assert_eq!(refusal, Refusal::Conflict { kind: Kind::Reader, name: "myapp_ro".into() });
}

#[test]
fn a_foreign_secret_of_an_unwanted_user_stays() {
    let asked = Asked::new("{}");
    let mut inputs = both(&asked, fulfilled_with_reader());
    inputs.reader.secret.as_mut().unwrap().metadata.labels = None;
    assert!(plan(&asked.intent(), &inputs).unwrap().farewell.unwrap().secret.is_none());
}

#[test]
fn both_passwords_are_rotated() {
    let asked = Asked::new(READER);
    let intent = Intent { rotate: true, ..asked.intent() };
    let planned = describe(&plan(&intent, &both(&asked, fulfilled_with_reader())).unwrap());
    insta::assert_snapshot!(planned, @"
    -- replace the Secret
    -- replace the Secret
    ALTER USER 'myapp_app'@'%' IDENTIFIED BY 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    ALTER USER 'myapp_ro'@'%' IDENTIFIED BY 'rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr'
    ");
}

#[test]
fn rights_that_were_added_on_mysql_are_taken_away() {
    let asked = Asked::new("{}");
    let extra = |what| on_mysql(|found| found.extras.push(Extra { user: "myapp_app".into(), what }));
    let other = |pattern: &str, rights| {
        let grant = GrantView { pattern: pattern.into(), ..grant("myapp_app", rights) };
        on_mysql(|found| found.grants.push(grant))
    };
    let views = vec![
        other("other", READING),
        on_mysql(|found| found.grants[0].rights.passing_on = true),
        extra(ExtraKind::Global),
        extra(ExtraKind::Within("other".into())),
        extra(ExtraKind::Role("dba".into(), None)),
        extra(ExtraKind::Role("dba".into(), Some("%".into()))),
    ];
    insta::assert_snapshot!(each(&asked, views), @"
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'myapp_app'@'%'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    --
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'myapp_app'@'%'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    --
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'myapp_app'@'%'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    --
    REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'myapp_app'@'%'
    GRANT ALL PRIVILEGES ON `myapp`.* TO 'myapp_app'@'%'
    --
    REVOKE `dba` FROM 'myapp_app'@'%'
    --
    REVOKE 'dba'@'%' FROM 'myapp_app'@'%'
    ");
    let harmless = extra(ExtraKind::Within("myapp".into()));
    assert!(is_settled(&asked.request, &asked.owner, &harmless));
}

#[test]
fn what_cannot_be_taken_away_is_told() {
    let asked = Asked::new("{}");
    let view = on_mysql(|found| {
        found.extras.push(Extra { user: "myapp_app".into(), what: ExtraKind::Proxy });
        found.accounts.push(AccountView { host: "10.%".into(), ..account("myapp_app") });
    });
    let plan = plan(&asked.intent(), &both(&asked, view)).unwrap();
    assert_eq!(
        plan.left,
        ["the right to act for another account (PROXY)", "an account of the same name for another host"]
    );
    assert!(plan.is_empty());

    let asked = Asked::postgres("{}");
    let changed =
        RoleView { privileged: true, elsewhere: 1, member_of: vec!["pg_read_all_data".into()], ..role("myapp_app") };
    let found = postgres::Found { roles: vec![changed], ..fulfilled_on_postgres() };
    let plan = super::plan(&asked.intent(), &both(&asked, on_postgres(found.clone()))).unwrap();
    assert_eq!(plan.left, ["rights in or on other databases"]);
    assert!(plan.steps.iter().all(|step| step.tolerated.is_some()));
    insta::assert_snapshot!(repaired(&asked, found), @r#"
    ALTER ROLE "myapp_app" NOSUPERUSER NOREPLICATION NOBYPASSRLS
    REVOKE "pg_read_all_data" FROM "myapp_app"
    "#);
}

#[test]
fn a_script_is_forgotten_with_the_database_it_was_run_in() {
    let asked = Asked::new("{}");
    let last = Record { hash: "abc".into(), state: State::Done };
    let view = on_mysql(|found| found.database = None);
    let planned = with_secrets(&asked, ServerView { script: Some(last), ..view });
    insta::assert_snapshot!(planned, @"
    DELETE FROM `db_concierge`.`scripts` WHERE `name` = 'myapp' AND `owner` = 'installation/db-concierge/myapp/myapp'
    CREATE DATABASE `myapp` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
    ");
}
