//! What an AppDatabase may ask for beside database, user and Secret: TLS, a limit of connections, a user that can only
//! read, and a script that is run once. On servers of the tests' own; and what somebody gives to a user by hand.

mod mariadb;
mod mysql8;
mod postgres;
mod rights;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use api_types::AppDatabase;
use e2e::loopback::certificates::{Certificates, Shown};
use e2e::loopback::{self, mariadb::MariaDb, postgres::Postgres};
use e2e::testing::app_databases::{credentials, ready};
use e2e::testing::bed::ready_reason;
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

const CLUSTER: &str = "main";
const PASSWORD: &str = "canary-additions-admin";

/// A server that offers TLS, and a concierge for it.
async fn on_mariadb(flags: &[&str]) -> Result<Option<(MariaDb, LocalConcierge)>> {
    if !loopback::is_possible() {
        return Ok(None);
    }
    let Some(concierge) = LocalConcierge::start(flags).await? else { return Ok(None) };
    let server = MariaDb::start(Certificates::new()?.identity(Shown::Right)?.as_ref()).await?;
    server.concierge(PASSWORD).await?;
    concierge.serve(Kind::Mysql, CLUSTER, server.port, PASSWORD).await?;
    Ok(Some((server, concierge)))
}

/// The same with PostgreSQL.
async fn on_postgres(flags: &[&str]) -> Result<Option<(Postgres, LocalConcierge)>> {
    if !loopback::is_possible() {
        return Ok(None);
    }
    beside(Postgres::start(&[]).await?, flags).await
}

/// The same with PostgreSQL 18.
async fn on_postgres_18(flags: &[&str]) -> Result<Option<(Postgres, LocalConcierge)>> {
    let Some(server) = Postgres::start_18(&[]).await? else { return Ok(None) };
    beside(server, flags).await
}

async fn beside(server: Postgres, flags: &[&str]) -> Result<Option<(Postgres, LocalConcierge)>> {
    let Some(concierge) = LocalConcierge::start(flags).await? else { return Ok(None) };
    server.present(Certificates::new()?.identity(Shown::Right)?.as_ref()).await?;
    server.concierge(PASSWORD).await?;
    concierge.serve(Kind::Postgres, CLUSTER, server.port, PASSWORD).await?;
    Ok(Some((server, concierge)))
}

/// Creates or changes the AppDatabase of this name.
async fn ask(concierge: &LocalConcierge, name: &str, more: &Value) -> Result<()> {
    let mut object = concierge.app_database(name, CLUSTER);
    for (field, value) in more.as_object().context("no fields")? {
        object["spec"][field] = value.clone();
    }
    concierge.apps().apply(&object).await
}

/// Asks for a full pass, and waits until it has ended with everything in place or with a script that did not.
async fn again(concierge: &LocalConcierge, name: &str, pass: &str) -> Result<AppDatabase> {
    let apps = concierge.apps();
    apps.kubectl(&["annotate", "appdatabase", name, "--overwrite", &format!("reconcile={pass}")]).await?;
    let handled = |app: &AppDatabase| {
        app.status.as_ref().and_then(|status| status.last_handled_reconcile.as_deref()) == Some(pass)
    };
    apps.wait_for(name, &format!("the pass {pass}"), handled).await
}

/// Waits until its Ready condition speaks of this generation and has this reason.
async fn settles(concierge: &LocalConcierge, name: &str, reason: &str) -> Result<AppDatabase> {
    let is_it = |app: &AppDatabase| {
        let seen = app.status.as_ref().and_then(|status| status.observed_generation);
        seen == app.metadata.generation && ready_reason(app).as_deref() == Some(reason)
    };
    concierge.apps().wait_for(name, reason, is_it).await
}

/// One of its conditions.
fn condition(app: &AppDatabase, type_: &str) -> Result<Condition> {
    let mut conditions = app.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == type_).cloned().with_context(|| format!("no condition {type_}"))
}

/// Waits until one of its conditions has this reason.
async fn turns(concierge: &LocalConcierge, name: &str, type_: &str, reason: &str) -> Result<Condition> {
    let is_it = |app: &AppDatabase| condition(app, type_).is_ok_and(|condition| condition.reason == reason);
    let app = concierge.apps().wait_for(name, &format!("{type_} {reason}"), is_it).await?;
    condition(&app, type_)
}

async fn creds(concierge: &LocalConcierge, secret: &str) -> Result<BTreeMap<String, String>> {
    credentials(concierge.apps(), secret).await
}

/// The four conditions of a part each, all True, and Drift False.
async fn assert_whole(concierge: &LocalConcierge, name: &str) -> Result<()> {
    let app = ready(concierge.apps(), name).await?;
    for type_ in ["DatabaseReady", "UserReady", "SecretReady", "Verified"] {
        assert_eq!(condition(&app, type_)?.status, "True", "{type_}");
    }
    assert_eq!(condition(&app, "Drift")?.status, "False");
    Ok(())
}

/// Three statements of a script, the second of which fails until it is corrected.
fn script(second: &str) -> Value {
    json!({"initSql": {"inline": format!(
        "CREATE TABLE IF NOT EXISTS runs (who VARCHAR(80));\n-- one; and\nINSERT INTO runs VALUES (CURRENT_USER);\n{second};"
    )}})
}
