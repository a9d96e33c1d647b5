//! `AppDatabase` on a real PostgreSQL, by an admin that is no superuser: a database of its own, a role that reaches no
//! other one, a Secret; and what happens to each when things go wrong.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api_types::AppDatabase;
use e2e::testing::app_databases::{credentials, ready, stuck};
use e2e::testing::bed::{Area, Bed};
use e2e::testing::manifests::app_database;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// An AppDatabase `app` with Secret `creds` in the test's namespace, for that namespace.
fn plain(bed: &Area, database: &str, more: &Value) -> Value {
    let spec = json!({"clusterRef": "postgres-main", "dbName": database, "appNamespace": bed.name(),
                      "secretName": "creds"});
    app_database("app", &spec, more)
}

async fn login_works(bed: &Area) -> Result<()> {
    let answer = bed.application("creds").await?.postgres("SELECT current_database()").await?;
    ensure!(answer.success, "the login in Secret creds does not work: {}", answer.stderr);
    Ok(())
}

/// Asks for a full pass and waits until it is done.
async fn again(bed: &Area, pass: &str) -> Result<()> {
    bed.kubectl(&["annotate", "appdatabase", "app", "--overwrite", &format!("reconcile={pass}")]).await?;
    let handled = |app: &AppDatabase| {
        app.status.as_ref().and_then(|status| status.last_handled_reconcile.as_deref()) == Some(pass)
    };
    bed.wait_for("app", &format!("the pass {pass}"), handled).await?;
    ready(bed, "app").await.map(drop)
}

async fn has_database(bed: &Bed, name: &str) -> Result<bool> {
    let query = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    Ok(bed.postgres_count("postgres", &query).await? == 1)
}

async fn has_role(bed: &Bed, name: &str) -> Result<bool> {
    let query = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{name}'");
    Ok(bed.postgres_count("postgres", &query).await? == 1)
}

/// Whether roles without a grant may connect.
async fn is_public(bed: &Bed, database: &str) -> Result<bool> {
    let query = format!(
        "SELECT count(*) FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) a \
         WHERE datname = '{database}' AND a.grantee = 0"
    );
    Ok(bed.postgres_count("postgres", &query).await? > 0)
}

/// Waits until somebody is connected to a database. No watch tells of that.
async fn connected_to(bed: &Bed, database: &str) -> Result<()> {
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    for _ in 0..100 {
        if bed.postgres_count("postgres", &sessions).await? > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("nobody connects to {database}")
}

#[tokio::test]
async fn an_application_gets_database_user_and_secret() -> Result<()> {
    let mut bed = Bed::new("pg-new").await?;
    let name = bed.postgres_name();
    let spec = json!({"clusterRef": "postgres-main", "dbName": name, "appNamespace": bed.name()});
    bed.apply(&app_database("app", &spec, &json!({}))).await?;
    let status = ready(&bed, "app").await?.status.unwrap_or_default();
    let secret = format!("{}-postgres-creds", name.replace('_', "-"));
    assert_eq!(status.secret_name.as_ref(), Some(&secret));

    let creds = credentials(&bed, &secret).await?;
    bed.guard(&creds["password"]);
    let keys: Vec<_> = creds.keys().map(String::as_str).collect();
    assert_eq!(keys, ["connection-string", "database", "host", "password", "port", "username"]);
    assert_eq!((creds["port"].as_str(), creds["username"].as_str()), ("5432", format!("{name}_app").as_str()));
    assert!(creds["connection-string"].starts_with(&format!("postgresql://{name}_app:")));
    assert!(!status.connection_string.unwrap_or_default().contains(&creds["password"]));

    let application = bed.application(&secret).await?;
    for allowed in
        ["CREATE TABLE t (id INT)", "CREATE SCHEMA s", "CREATE FUNCTION f() RETURNS INT LANGUAGE sql RETURN 1"]
    {
        ensure!(application.postgres(allowed).await?.success, "the application may not: {allowed}");
    }
    for forbidden in ["CREATE DATABASE another", "CREATE ROLE another", "SELECT * FROM pg_authid"] {
        ensure!(!application.postgres(forbidden).await?.success, "the application may: {forbidden}");
    }
    let encoding = application.postgres("SHOW server_encoding").await?;
    assert_eq!(encoding.stdout.trim(), "UTF8");

    let superuser = "SELECT count(*) FROM pg_roles WHERE rolname = 'concierge_admin' AND rolsuper";
    assert_eq!(bed.postgres_count("postgres", superuser).await?, 0, "the test proves nothing about a lesser admin");
    let member = format!("SELECT count(*) FROM pg_auth_members WHERE roleid = '{name}_app'::regrole");
    assert_eq!(bed.postgres_count("postgres", &member).await?, 0, "the admin stayed a member of the role");
    bed.finish().await
}

#[tokio::test]
async fn a_login_opens_its_own_database_and_no_other_of_the_concierges() -> Result<()> {
    let mut bed = Bed::new("pg-walls").await?;
    let (one, two) = (bed.postgres_name(), bed.postgres_name());
    bed.apply(&plain(&bed, &one, &json!({}))).await?;
    let other = bed.other_namespace("other").await?;
    other.apply(&plain(&other, &two, &json!({}))).await?;
    ready(&bed, "app").await?;
    ready(&other, "app").await?;
    let application = bed.application("creds").await?;
    assert_eq!(application.postgres_in(&one).await?.stdout.trim(), one);
    for closed in [two.as_str(), "db_concierge"] {
        let answer = application.postgres_in(closed).await?;
        ensure!(!answer.success && answer.stdout.contains("permission denied"), "{closed}: {}", answer.stdout);
    }
    bed.finish().await
}

#[tokio::test]
async fn of_two_for_one_database_the_first_wins() -> Result<()> {
    let mut bed = Bed::new("pg-two").await?;
    let name = bed.postgres_name();
    bed.apply(&plain(&bed, &name, &json!({}))).await?;
    ready(&bed, "app").await?;
    let rival = bed.other_namespace("rival").await?;
    rival.apply(&plain(&rival, &name, &json!({"deletionPolicy": "Delete"}))).await?;
    let message = stuck(&rival, "app", "Conflict").await?;
    assert!(message.contains(&name) && !message.contains(&format!("{}/", bed.name())), "{message}");
    rival.delete::<AppDatabase>("app").await?;
    ensure!(has_database(&bed, &name).await?, "deleting the loser dropped the winner's database");
    login_works(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn what_is_planted_in_a_database_is_never_run_by_the_admin() -> Result<()> {
    let mut bed = Bed::new("pg-planted").await?;
    let name = bed.postgres_name();
    bed.postgres_admin("postgres", &format!("CREATE DATABASE {name} OWNER concierge_admin")).await?;
    // An admin that ran this would be told that nothing is here, besides being somebody else's tool.
    bed.postgres_admin(
        &name,
        &format!(
            "CREATE TABLE public.ran (who name DEFAULT session_user, what text);
             GRANT ALL ON public.ran TO PUBLIC;
             CREATE FUNCTION public.trap(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO public.ran (what) VALUES ('>='); RETURN false; END $$;
             CREATE OPERATOR public.>= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.trap);
             CREATE FUNCTION public.trap(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO public.ran (what) VALUES ('+'); RETURN 0; END $$;
             CREATE OPERATOR public.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = public.trap);
             ALTER DATABASE {name} SET search_path = public, pg_catalog;"
        ),
    )
    .await?;
    let careless = "SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384::oid) + 1::bigint";
    assert_eq!(bed.postgres_count(&name, careless).await?, 0, "the trap does not work");
    let ran = "SELECT pg_catalog.count(*) FROM public.ran";
    ensure!(bed.postgres_count(&name, ran).await? > 0, "the trap does not work");
    bed.postgres_admin(&name, "TRUNCATE public.ran").await?;

    bed.apply(&plain(&bed, &name, &json!({"deletionPolicy": "Delete"}))).await?;
    stuck(&bed, "app", "AdoptionNotAllowed").await?;
    assert_eq!(bed.postgres_count(&name, ran).await?, 0, "the admin ran what was planted");
    bed.finish().await
}

#[tokio::test]
async fn an_empty_database_is_adopted_and_never_dropped() -> Result<()> {
    let mut bed = Bed::new("pg-adopt").await?;
    let name = bed.postgres_name();
    bed.postgres_admin("postgres", &format!("CREATE DATABASE {name} OWNER concierge_admin")).await?;
    bed.postgres_admin(&name, "CREATE TABLE precious (id INT)").await?;
    bed.apply(&plain(&bed, &name, &json!({"deletionPolicy": "Delete"}))).await?;
    stuck(&bed, "app", "AdoptionNotAllowed").await?;
    bed.postgres_admin(&name, "DROP TABLE precious").await?;
    again(&bed, "emptied").await?;
    login_works(&bed).await?;
    ensure!(!is_public(&bed, &name).await?, "an adopted database is open to all");
    bed.delete::<AppDatabase>("app").await?;
    ensure!(has_database(&bed, &name).await?, "what was adopted was dropped");
    bed.finish().await
}

#[tokio::test]
async fn a_password_is_healed_and_rotated_and_never_told_to_the_server() -> Result<()> {
    let mut bed = Bed::new("pg-password").await?;
    let name = bed.postgres_name();
    bed.apply(&plain(&bed, &name, &json!({}))).await?;
    ready(&bed, "app").await?;
    let first = credentials(&bed, "creds").await?["password"].clone();
    again(&bed, "one").await?;
    assert_eq!(credentials(&bed, "creds").await?["password"], first, "a pass changed the password");

    bed.kubectl(&["delete", "secret", "creds"]).await?;
    let changed = |old: String| {
        move |secret: &Secret| {
            let password = secret.data.as_ref().and_then(|data| data.get("password"));
            password.is_some_and(|password| password.0 != old.as_bytes())
        }
    };
    bed.wait_for::<Secret>("creds", "a new password", changed(first.clone())).await?;
    again(&bed, "two").await?;
    login_works(&bed).await?;
    let second = credentials(&bed, "creds").await?["password"].clone();

    bed.kubectl(&["annotate", "appdatabase", "app", "db.stillwaters.io/rotate=now"]).await?;
    bed.wait_for::<Secret>("creds", "the next password", changed(second.clone())).await?;
    let rotated =
        |app: &AppDatabase| app.status.as_ref().and_then(|status| status.last_handled_rotate.as_deref()) == Some("now");
    bed.wait_for("app", "the rotation", rotated).await?;
    login_works(&bed).await?;

    // A password that somebody else set is found by the verified login of a full pass.
    bed.postgres_admin("postgres", &format!("ALTER ROLE {name}_app PASSWORD 'another'")).await?;
    again(&bed, "three").await?;
    login_works(&bed).await?;

    let third = credentials(&bed, "creds").await?["password"].clone();
    let log = bed.harness().postgres_log().await?;
    ensure!(log.contains(&format!("CREATE ROLE \"{name}_app\"")), "the server's log holds no statements");
    for password in [first, second, third] {
        ensure!(!log.contains(&password), "a password is in the server's log");
        bed.guard(&password);
    }
    bed.finish().await
}

#[tokio::test]
async fn retain_keeps_and_delete_drops_whoever_is_connected() -> Result<()> {
    let mut bed = Bed::new("pg-delete").await?;
    let (kept, dropped) = (bed.postgres_name(), bed.postgres_name());
    bed.apply(&plain(&bed, &kept, &json!({}))).await?;
    ready(&bed, "app").await?;
    bed.delete::<AppDatabase>("app").await?;
    login_works(&bed).await.context("Retain took something away")?;
    bed.apply(&plain(&bed, &kept, &json!({}))).await?;
    ready(&bed, "app").await.context("a re-created AppDatabase does not get its database back")?;
    bed.delete::<AppDatabase>("app").await?;

    bed.apply(&plain(&bed, &dropped, &json!({"secretName": "dropped", "deletionPolicy": "Delete"}))).await?;
    ready(&bed, "app").await?;
    let application = bed.application("dropped").await?;
    ensure!(application.postgres("CREATE TABLE t (id INT)").await?.success);
    let connected = tokio::spawn(async move { application.postgres("SELECT pg_sleep(25)").await });
    connected_to(&bed, &dropped).await?;
    bed.delete::<AppDatabase>("app").await?;
    ensure!(!has_database(&bed, &dropped).await?, "Delete kept the database");
    ensure!(!has_role(&bed, &format!("{dropped}_app")).await?, "Delete kept the role");
    bed.get::<Secret>("dropped").await.context("the Secret of a deleted AppDatabase stays")?;
    ensure!(!connected.await??.success, "the application was not disconnected");
    bed.finish().await
}

#[tokio::test]
async fn a_role_with_something_elsewhere_is_waited_for() -> Result<()> {
    let mut bed = Bed::new("pg-inuse").await?;
    let (name, elsewhere) = (bed.postgres_name(), bed.postgres_name());
    bed.postgres_admin("postgres", &format!("CREATE DATABASE {elsewhere}")).await?;
    bed.apply(&plain(&bed, &name, &json!({"deletionPolicy": "Delete"}))).await?;
    ready(&bed, "app").await?;
    bed.postgres_admin(&elsewhere, &format!("CREATE TABLE t (id INT); GRANT SELECT ON t TO {name}_app")).await?;
    bed.kubectl(&["delete", "appdatabase", "app", "--wait=false"]).await?;
    let message = stuck(&bed, "app", "UserInUse").await?;
    assert!(message.contains("DROP OWNED") && message.contains("orphan=true"), "{message}");
    bed.postgres_admin(&elsewhere, &format!("DROP OWNED BY {name}_app")).await?;
    bed.wait_until_gone::<AppDatabase>("app").await?;
    ensure!(!has_role(&bed, &format!("{name}_app")).await?, "Delete kept the role");
    bed.finish().await
}

#[tokio::test]
async fn the_example_works_as_it_stands() -> Result<()> {
    let bed = Bed::new("pg-example").await?;
    let example = "examples/appdatabase-postgres.yaml";
    bed.harness().apply_file(None, example).await?;
    let made = ready(&bed.home(), "reports").await;
    bed.home().delete::<AppDatabase>("reports").await?;
    bed.harness().kubectl.run(&["delete", "namespace", "reports", "--wait=false"]).await?;
    let secret = made?.status.and_then(|status| status.secret_name);
    assert_eq!(secret.as_deref(), Some("reports-postgres-creds"));
    bed.finish().await
}

#[tokio::test]
async fn what_was_changed_by_hand_is_repaired_and_a_lost_database_reported() -> Result<()> {
    let mut bed = Bed::new("pg-drift").await?;
    let name = bed.postgres_name();
    bed.apply(&plain(&bed, &name, &json!({}))).await?;
    ready(&bed, "app").await?;

    let role = format!("{name}_app");
    let changes = format!(
        "GRANT CONNECT ON DATABASE {name} TO PUBLIC; REVOKE CREATE ON DATABASE {name} FROM {role};
         ALTER ROLE {role} NOLOGIN CREATEDB;"
    );
    bed.postgres_admin("postgres", &changes).await?;
    again(&bed, "one").await?;
    ensure!(!is_public(&bed, &name).await?, "PUBLIC may still connect");
    let plain_role =
        format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}' AND rolcanlogin AND NOT rolcreatedb");
    assert_eq!(bed.postgres_count("postgres", &plain_role).await?, 1);
    ensure!(bed.application("creds").await?.postgres("CREATE SCHEMA s").await?.success, "a right was not given back");

    let changes = format!("ALTER DATABASE {name} OWNER TO concierge_admin");
    bed.postgres_admin("postgres", &changes).await?;
    bed.postgres_admin(&name, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    again(&bed, "two").await?;
    login_works(&bed).await.context("a dropped role was not made again")?;
    let owned = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}' AND datdba = '{role}'::regrole");
    assert_eq!(bed.postgres_count("postgres", &owned).await?, 1, "the database was not given back to its role");

    bed.postgres_admin("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    bed.kubectl(&["patch", "appdatabase", "app", "--type=merge", "-p", r#"{"spec":{"deletionPolicy":"Delete"}}"#])
        .await?;
    stuck(&bed, "app", "DatabaseMissing").await?;
    ensure!(!has_database(&bed, &name).await?, "a lost database was created without being asked for");
    again(&bed, "three").await?;
    login_works(&bed).await?;
    bed.delete::<AppDatabase>("app").await?;
    bed.finish().await
}

#[tokio::test]
async fn encodings_are_postgresqls() -> Result<()> {
    let mut bed = Bed::new("pg-charset").await?;
    let (name, other) = (bed.postgres_name(), bed.postgres_name());
    bed.apply(&plain(&bed, &name, &json!({"charset": "latin1", "collation": "C"}))).await?;
    ready(&bed, "app").await?;
    let encoding = bed.application("creds").await?.postgres("SHOW server_encoding").await?;
    assert_eq!(encoding.stdout.trim(), "LATIN1");
    bed.delete::<AppDatabase>("app").await?;
    bed.apply(&plain(&bed, &other, &json!({"secretName": "other", "collation": "xx_XX"}))).await?;
    stuck(&bed, "app", "InvalidCharset").await?;
    bed.finish().await
}
