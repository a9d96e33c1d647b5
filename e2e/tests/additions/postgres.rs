//! On PostgreSQL.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::postgres::Postgres;
use e2e::testing::app_databases::ready;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::{again, ask, assert_whole, condition, creds, on_postgres, script, settles, turns};

async fn count(server: &Postgres, database: &str, query: &str) -> Result<i64> {
    let row = server.admin_in(database).await?.query_one(query, &[]).await;
    Ok(row.with_context(|| format!("cannot run {query}"))?.try_get(0)?)
}

#[tokio::test]
async fn a_server_that_takes_plaintext_is_found_out() -> Result<()> {
    let Some((server, concierge)) = on_postgres(&[]).await? else { return Ok(()) };
    ask(&concierge, "app", &json!({"requireTls": true, "readOnlyUser": true})).await?;
    let refused = settles(&concierge, "app", "TlsNotEnforced").await?;
    assert_eq!(condition(&refused, "Verified")?.status, "False");
    let message = refused.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("pg_hba.conf") && message.contains("app_app"), "{message}");

    let lines = ["host all concierge_admin 127.0.0.0/8 scram-sha-256", "hostssl all all 127.0.0.0/8 scram-sha-256"];
    server.admit(&lines).await?;
    concierge.apps().kubectl(&["annotate", "appdatabase", "app", "reconcile=now"]).await?;
    assert_whole(&concierge, "app").await?;
    let login = creds(&concierge, "app-creds").await?;
    assert!(login["connection-string"].ends_with("/app?sslmode=require"));
    ensure!(server.session("app_app", &login["password"], "app").await.is_err(), "a login in plaintext is taken");
    concierge.finish(&[login["password"].clone()]).await.map(drop)
}

#[tokio::test]
async fn a_limit_is_kept_by_an_application_that_uses_it() -> Result<()> {
    let Some((server, concierge)) = on_postgres(&["--drift-interval=5"]).await? else { return Ok(()) };
    ask(&concierge, "app", &json!({"connectionLimit": 1})).await?;
    assert_whole(&concierge, "app").await?;
    let login = creds(&concierge, "app-creds").await?;
    let application = server.session("app_app", &login["password"], "app").await?;
    ensure!(server.session("app_app", &login["password"], "app").await.is_err(), "a second connection is taken");
    let app = again(&concierge, "app", "full").await?;
    assert_eq!(condition(&app, "Ready")?.status, "True", "an application that uses its limit is well");
    assert_eq!(condition(&app, "Verified")?.reason, "ConnectionsInUse");
    assert_eq!(creds(&concierge, "app-creds").await?, login, "the Secret was written");
    application.batch_execute("CREATE TABLE t (id INT)").await.context("the application was disturbed")?;
    drop(application);

    server.run("ALTER ROLE app_app CONNECTION LIMIT 7").await?;
    turns(&concierge, "app", "Drift", "Repaired").await?;
    let limit = "SELECT rolconnlimit::bigint FROM pg_roles WHERE rolname = 'app_app'";
    assert_eq!(count(&server, "postgres", limit).await?, 1);
    ask(&concierge, "app", &json!({"connectionLimit": null})).await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, "postgres", limit).await?, -1, "what is no longer asked for stays");
    concierge.finish(&[login["password"].clone()]).await.map(drop)
}

#[tokio::test]
async fn a_read_only_user_reads_what_is_there_and_what_comes() -> Result<()> {
    let Some((server, concierge)) = on_postgres(&[]).await? else { return Ok(()) };
    ask(&concierge, "app", &json!({})).await?;
    ready(concierge.apps(), "app").await?;
    let owner = creds(&concierge, "app-creds").await?;
    let application = server.session("app_app", &owner["password"], "app").await?;
    application.batch_execute("CREATE SCHEMA \"odd \"\" one\"; CREATE TABLE \"odd \"\" one\".\"T'\" (id INT)").await?;
    application.batch_execute("CREATE TABLE before (id INT); CREATE VIEW seen AS SELECT * FROM before").await?;

    ask(&concierge, "app", &json!({"readOnlyUser": true})).await?;
    settles(&concierge, "app", "Verified").await?;
    let reader = creds(&concierge, "app-creds-ro").await?;
    application.batch_execute("CREATE TABLE later (id INT); CREATE SCHEMA next CREATE TABLE t (id INT)").await?;
    let session = server.session("app_ro", &reader["password"], "app").await?;
    for allowed in ["before", "seen", "\"odd \"\" one\".\"T'\"", "later", "next.t"] {
        session
            .batch_execute(&format!("SELECT * FROM {allowed}"))
            .await
            .with_context(|| format!("hidden: {allowed}"))?;
    }
    for forbidden in [
        "INSERT INTO later VALUES (1)",
        "CREATE TABLE mine (id INT)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id INT)",
        "DROP TABLE later",
        "SET ROLE app_app",
    ] {
        ensure!(session.batch_execute(forbidden).await.is_err(), "it may: {forbidden}");
    }
    drop(session);
    let members = "SELECT count(*) FROM pg_auth_members WHERE roleid IN ('app_app'::regrole, 'app_ro'::regrole)";
    assert_eq!(count(&server, "postgres", members).await?, 0, "the admin stayed a member");

    application.batch_execute("GRANT INSERT ON later TO app_ro").await?;
    concierge.apps().kubectl(&["annotate", "appdatabase", "app", "reconcile=writer"]).await?;
    settles(&concierge, "app", "ReadOnlyUserCanWrite").await?;
    application.batch_execute("REVOKE INSERT ON later FROM app_ro; REVOKE SELECT ON before FROM app_ro").await?;
    again(&concierge, "app", "reader").await?;
    let session = server.session("app_ro", &reader["password"], "app").await?;
    session.batch_execute("SELECT * FROM before").await.context("a lost right was not given back")?;
    drop(session);

    ask(&concierge, "app", &json!({"readOnlyUser": false})).await?;
    concierge.apps().wait_until_gone::<Secret>("app-creds-ro").await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'app_ro'").await?, 0);
    application.batch_execute("SELECT * FROM later").await.context("the application lost something")?;

    ask(&concierge, "app", &json!({"readOnlyUser": true})).await?;
    settles(&concierge, "app", "Verified").await?;
    concierge.apps().delete::<AppDatabase>("app").await?;
    assert_eq!(count(&server, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app\\_%'").await?, 0);
    concierge.finish(&[owner["password"].clone(), reader["password"].clone()]).await.map(drop)
}

#[tokio::test]
async fn what_is_planted_is_never_run_when_a_reader_comes() -> Result<()> {
    let Some((server, concierge)) = on_postgres(&[]).await? else { return Ok(()) };
    ask(&concierge, "app", &json!({})).await?;
    ready(concierge.apps(), "app").await?;
    let owner = creds(&concierge, "app-creds").await?;
    let application = server.session("app_app", &owner["password"], "app").await?;
    application
        .batch_execute(
            "CREATE TABLE public.ran (who name DEFAULT session_user, what text);
             CREATE FUNCTION public.trap(oid, oid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
               $$ BEGIN INSERT INTO public.ran (what) VALUES ('='); RETURN true; END $$;
             CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.trap);
             CREATE FUNCTION public.trap(name, text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
               $$ BEGIN INSERT INTO public.ran (what) VALUES ('name'); RETURN true; END $$;
             CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.trap);
             ALTER DATABASE app SET search_path = public, pg_catalog;",
        )
        .await?;
    let careless = server.session("app_app", &owner["password"], "app").await?;
    careless.batch_execute("SELECT 1 FROM pg_class WHERE oid = relowner").await?;
    ensure!(count(&server, "app", "SELECT pg_catalog.count(*) FROM public.ran").await? > 0, "the trap does not work");
    careless.batch_execute("TRUNCATE public.ran").await?;
    ask(&concierge, "app", &json!({"readOnlyUser": true})).await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(
        count(&server, "app", "SELECT pg_catalog.count(*) FROM public.ran").await?,
        0,
        "what was planted was run"
    );
    concierge.finish(&[owner["password"].clone()]).await.map(drop)
}

#[tokio::test]
async fn a_script_is_run_once_by_the_application_and_never_blindly_again() -> Result<()> {
    let Some((server, mut concierge)) = on_postgres(&[]).await? else { return Ok(()) };
    let runs = "SELECT count(*) FROM runs WHERE who = 'app_app'";
    ask(&concierge, "app", &script("DO $$ BEGIN RAISE EXCEPTION 'canary-script;'; END $$")).await?;
    let failed = settles(&concierge, "app", "InitSqlFailed").await?;
    let message = failed.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    assert!(message.contains("statement 3 of 3") && message.contains("P0001"), "{message}");
    assert_eq!(count(&server, "app", runs).await?, 1);
    concierge.crash().await?;
    concierge.apps().kubectl(&["annotate", "appdatabase", "app", "note=a-pass"]).await?;
    settles(&concierge, "app", "InitSqlFailed").await?;
    assert_eq!(count(&server, "app", runs).await?, 1, "it was run again");

    // As a concierge leaves it that is stopped while a script runs.
    let recorded = server.admin_in("db_concierge").await?;
    recorded.batch_execute("UPDATE concierge.scripts SET state = 'running'").await?;
    concierge.crash().await?;
    settles(&concierge, "app", "InitSqlInterrupted").await?;
    assert_eq!(count(&server, "app", runs).await?, 1, "it was run again");
    ask(&concierge, "app", &script("SELECT 1")).await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, "app", runs).await?, 2);

    // A database that was lost takes its record with it.
    server.run("DROP DATABASE app WITH (FORCE)").await?;
    again(&concierge, "app", "lost").await?;
    settles(&concierge, "app", "Verified").await?;
    assert_eq!(count(&server, "app", runs).await?, 1, "a new database got no script");
    concierge.finish(&["canary-script".to_owned()]).await.map(drop)
}
