//! Every reason that a Database can give, by the real condition: the operator, real servers and a Database object for
//! each. A stub stands in where no server can be held in the state, and is called one. The list ends where the
//! definition's ends: a reason without a row here fails the test.

mod place;
mod rows;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use api_types::Database;
use e2e::loopback::is_possible;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::testing::bed::{Area, Login, ready_reason};
use e2e::testing::local_probe::LocalProbe;
use e2e::testing::manifests::{config_map, database, opaque_secret, secret};
use e2e::testing::process::free_port;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::{Value, json};

use place::Place;
use rows::{Row, of, rows};

const PASSWORD: &str = "canary-reasons-7e35";
/// Where nothing may be dialled, although nothing listens there anyway.
const DENIED: &str = "127.66.0.0/16";

#[tokio::test]
async fn every_reason_is_given_for_what_it_says() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let denied = format!("--denied-cidrs={DENIED}");
    let flags = [denied.as_str()];
    let (place, probe) = tokio::try_join!(Place::prepare(), LocalProbe::start(&flags))?;
    let Some(probe) = probe else { return Ok(()) };
    let rows = rows(&place, free_port().await?);
    let given: BTreeSet<_> = rows.iter().map(|row| row.reason.to_owned()).collect();
    assert_eq!(given, reasons_of_the_definition()?, "the reasons of the definition, and those with a row here");

    let area = probe.area();
    write_references(area, &probe.other_namespace("vault").await?).await?;
    for row in &rows {
        area.apply(&database(row.name, &row.spec, &json!({}))).await?;
    }
    the_flapping_one(area, &place.flapping).await?;
    for row in &rows {
        assert_given(area, row).await.with_context(|| row.name)?;
    }
    assert_counts_as_failed(area).await?;
    ensure!(probe.finish(&[PASSWORD.to_owned()]).await?.success(), "SIGTERM did not end it well");
    Ok(())
}

/// The words behind "Its reason is one of" in the definition that was applied.
fn reasons_of_the_definition() -> Result<BTreeSet<String>> {
    let path = e2e::cache::workspace_root().join("crds/dbhub.tas.io_databases.yaml");
    let text = std::fs::read_to_string(path)?;
    let (_, list) = text.split_once("Its reason is one of ").context("the definition lists no reasons")?;
    let (list, _) = list.split_once('.').context("the list has no end")?;
    Ok(list.split(',').map(|reason| reason.trim().to_owned()).collect())
}

async fn assert_given(area: &Area, row: &Row) -> Result<()> {
    let is_it = |db: &Database| ready_reason(db).as_deref() == Some(row.reason);
    let found: Database = area.wait_for(row.name, row.reason, is_it).await?;
    let message = found.status.and_then(|status| status.message).unwrap_or_default();
    for words in row.says {
        ensure!(message.contains(words), "{words:?} is not in {message:?}");
    }
    area.expect_event(row.name, row.reason).await?;
    let noted = events(area, row.name).await?.into_iter().any(|(reason, note)| reason == row.reason && note == message);
    ensure!(noted, "no Event says {message:?}");
    Ok(())
}

/// Reason and message of every Event about a Database.
async fn events(area: &Area, name: &str) -> Result<Vec<(String, String)>> {
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = area.api::<Event>().list(&about).await?;
    let texts = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.items.into_iter().map(texts).collect())
}

/// Works, and is reset once.
async fn the_flapping_one(area: &Area, proxy: &Proxy) -> Result<()> {
    area.wait_for("flapping", "Connected", |db: &Database| ready_reason(db).as_deref() == Some("Connected")).await?;
    proxy.meddle(Meddling::Reset);
    area.kubectl(&["annotate", "database", "flapping", "reconcile=once"]).await.map(drop)
}

/// A second reset in a row is no flapping any more.
async fn assert_counts_as_failed(area: &Area) -> Result<()> {
    area.kubectl(&["annotate", "database", "flapping", "--overwrite", "reconcile=twice"]).await?;
    area.expect_event("flapping", "ConnectionRefused").await
}

fn login(user: &str) -> Login {
    Login { database: "app".to_owned(), user: user.to_owned(), password: PASSWORD.to_owned() }
}

/// The Secrets and ConfigMaps that the rows name.
async fn write_references(area: &Area, vault: &Area) -> Result<()> {
    for user in ["app", "expired", "outsider", "limited"] {
        area.apply(&secret(user, &login(user))).await?;
    }
    vault.apply(&secret("app", &login("app"))).await?;
    area.apply(&secret("in-clear", &login("in_clear"))).await?;
    area.apply(&secret("wrong", &Login { password: format!("{PASSWORD}-wrong"), ..login("app") })).await?;
    area.apply(&opaque_secret("keyless", &json!({"username": "app", "pass": PASSWORD}))).await?;
    area.apply(&config_map("no-ca", "ca.crt", "no certificate")).await
}

/// What anybody who may read a Database learns of it: its status, its Events and its metrics, without times, and with
/// one word for the two names in them.
async fn told(probe: &LocalProbe, name: &str, secret: &str) -> Result<Value> {
    let area = probe.area();
    let mut status = serde_json::to_value(area.get::<Database>(name).await?)?["status"].take();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"].take();
    }
    let metrics = probe.metrics().await?;
    let of_this: Vec<_> = metrics.lines().filter(|line| line.contains(&format!("name=\"{name}\""))).collect();
    let told = json!({"status": status, "events": events(area, name).await?, "metrics": of_this});
    Ok(serde_json::from_str(&told.to_string().replace(name, "X").replace(secret, "X"))?)
}

#[tokio::test]
async fn nobody_learns_whether_a_foreign_secret_exists() -> Result<()> {
    let Some(probe) = LocalProbe::start(&[]).await? else { return Ok(()) };
    let (area, vault) = (probe.area(), probe.other_namespace("vault").await?);
    let mut of_others = secret("secret-of-others", &login("app"));
    of_others["metadata"]["annotations"] = json!({"dbhub.tas.io/allowed-namespaces": "somebody,else"});
    vault.apply(&secret("secret-there", &login("app"))).await?;
    vault.apply(&of_others).await?;
    let mut all_told = Vec::new();
    for (name, secret) in [("db-a", "secret-there"), ("db-b", "secret-of-others"), ("db-c", "secret-nowhere")] {
        let reference = json!({"credentialsRef": {"name": secret, "namespace": "vault"}});
        area.apply(&database(name, &of("postgres", 1, secret, &json!({})), &reference)).await?;
        area.expect_event(name, "CredentialsNotShared").await?;
        all_told.push(told(&probe, name, secret).await?);
    }
    let nowhere = all_told.last().context("nothing told")?;
    ensure!(nowhere["events"][0][0] == "CredentialsNotShared" && nowhere["metrics"][0] != Value::Null, "{nowhere}");
    assert!(all_told.iter().all(|told| told == nowhere), "{all_told:?}");

    // Nor does anybody learn that one comes, changes or goes: nothing is written.
    let versions = ["get", "databases", "--output=jsonpath={.items[*].metadata.resourceVersion}"];
    let before = area.kubectl(&versions).await?;
    vault.apply(&secret("secret-nowhere", &login("app"))).await?;
    vault.kubectl(&["label", "secret", "secret-of-others", "changed=yes"]).await?;
    vault.kubectl(&["delete", "secret", "secret-there"]).await?;
    let [a, b, c] = ["db-a", "db-b", "db-c"].map(|name| area.expect_quiet::<Database>(name));
    tokio::try_join!(a, b, c)?;
    assert_eq!(area.kubectl(&versions).await?, before);
    assert_eq!(&told(&probe, "db-c", "secret-nowhere").await?, nowhere);
    ensure!(probe.finish(&[PASSWORD.to_owned()]).await?.success(), "SIGTERM did not end it well");
    Ok(())
}
