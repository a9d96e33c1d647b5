//! Databases of type sqlite: files that a real DBHub serves from volumes and cannot write, and what db-probe sees below
//! its folder and nowhere else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use api_types::{DBHubInstance, Database, DatabasePhase, DatabaseStatus, Privileges};
use e2e::testing::agent::{Agent, running};
use e2e::testing::bare_api::BareApi;
use e2e::testing::bed::{Area, Bed, ready_reason};
use e2e::testing::manifests::{database, instance};
use e2e::testing::process::OperatorProcess;
use e2e::testing::{Harness, wait_for};
use e2e::{command, images};
use k8s_openapi::ByteString;
use kube::Api;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(30);
const SELECT: &str = "SELECT id FROM items ORDER BY id";

fn make(file: &Path, statements: &str) -> Result<()> {
    Ok(Connection::open(file)?.execute_batch(statements)?)
}

fn items(first: u32) -> String {
    format!("CREATE TABLE items (id INT); INSERT INTO items VALUES ({first}), ({})", first + 1)
}

/// A ConfigMap with that table in the file `items.db`.
fn config_map(name: &str, first: u32) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("items.db");
    make(&file, &items(first))?;
    let bytes = ByteString(fs::read(file)?);
    Ok(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": {"items.db": bytes}}))
}

fn on_volume(name: &str, volume: &Value) -> Value {
    database(name, &json!({"type": "sqlite", "database": "items.db", "sqlite": {"volume": volume}}), &json!({}))
}

/// Waits until an instance leaves this database out for this reason.
async fn left_out(area: &Area, name: &str, reason: &str) -> Result<()> {
    let is_it = |hub: &DBHubInstance| {
        let entries = hub.status.iter().flat_map(|status| &status.databases);
        entries.filter(|entry| entry.name == name).any(|entry| entry.reason.as_deref() == Some(reason))
    };
    area.wait_for("hub", reason, is_it).await.map(drop)
}

/// Calls until the rows are these: pods that go may still answer while others come.
async fn becomes(agent: &Agent, tool: &str, expected: &Value) -> Result<()> {
    let asked = async {
        loop {
            match agent.rows(tool, SELECT).await {
                Ok(rows) if rows == *expected => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.with_context(|| format!("the rows never were {expected}"))
}

#[tokio::test]
async fn the_example_is_served_while_the_probe_does_not_see_its_file() -> Result<()> {
    let bed = Bed::new("sqlite-example").await?;
    bed.harness().apply_file(Some(bed.name()), "examples/sqlite.yaml").await?;
    bed.apply(&instance("hub", &json!({}))).await?;
    running(&bed, &["rates"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    let rates = json!([{"currency": "CHF", "rate": 0.94}, {"currency": "GBP", "rate": 0.86},
                       {"currency": "USD", "rate": 1.09}]);
    assert_eq!(agent.rows("execute_sql", "SELECT currency, rate FROM rates ORDER BY currency").await?, rates);
    let refusal = agent.refusal("execute_sql", "DELETE FROM rates").await?;
    assert!(refusal.contains("READONLY"), "{refusal}");

    let unseen = |db: &Database| ready_reason(db).as_deref() == Some("FileNotVisible");
    let status = bed.wait_for("rates", "FileNotVisible", unseen).await?.status.unwrap_or_default();
    assert_eq!((status.phase, status.last_checked), (Some(DatabasePhase::Pending), None));
    assert!(status.message.is_some_and(|message| message.contains("it is served all the same")));
    bed.expect_quiet::<Database>("rates").await?;
    bed.finish().await
}

#[tokio::test]
async fn a_file_in_a_config_map_is_served_as_it_is_now_and_never_written() -> Result<()> {
    let bed = Bed::new("sqlite-map").await?;
    bed.apply(&on_volume("items", &json!({"configMap": {"name": "files"}}))).await?;
    // Only the volume stands between an agent and a write.
    bed.apply(&instance("hub", &json!({"defaultPolicy": {"readonly": false}}))).await?;
    left_out(&bed, "items", "VolumeNotFound").await?;
    bed.apply(&config_map("files", 1)?).await?;
    running(&bed, &["items"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.rows("execute_sql", SELECT).await?, json!([{"id": 1}, {"id": 2}]));
    let refusal = agent.refusal("execute_sql", "DELETE FROM items").await?;
    assert!(refusal.contains("readonly database"), "{refusal}");

    bed.apply(&config_map("files", 7)?).await?;
    becomes(&agent, "execute_sql", &json!([{"id": 7}, {"id": 8}])).await?;
    running(&bed, &["items"]).await?;
    bed.kubectl(&["delete", "configmap", "files"]).await?;
    left_out(&bed, "items", "VolumeNotFound").await?;
    bed.finish().await
}

/// A claim that is bound to this folder of the node.
fn claim(name: &str, namespace: &str, folder: &Path) -> [Value; 2] {
    let storage = json!({"storage": "1Mi"});
    [
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace},
               "spec": {"capacity": storage, "accessModes": ["ReadOnlyMany"], "storageClassName": "",
                        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": folder, "type": "Directory"},
                        "claimRef": {"namespace": namespace, "name": name}}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
               "spec": {"accessModes": ["ReadOnlyMany"], "storageClassName": "", "volumeName": namespace,
                        "resources": {"requests": storage}}}),
    ]
}

#[tokio::test]
async fn a_file_on_a_claim_is_served_and_never_written() -> Result<()> {
    let bed = Bed::new("sqlite-claim").await?;
    if bed.harness().cluster().is_none() {
        println!("skipped: the node of another cluster does not see this machine's files");
        return bed.finish().await;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("items.db");
    make(&file, &items(1))?;
    // Whoever may write is told so; DBHub's pods cannot all the same.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    let before = fs::read(&file)?;
    bed.apply(&on_volume("items", &json!({"persistentVolumeClaim": {"claimName": "files"}}))).await?;
    bed.apply(&instance("hub", &json!({"defaultPolicy": {"readonly": false}}))).await?;
    left_out(&bed, "items", "VolumeNotFound").await?;
    for manifest in claim("files", bed.name(), folder.path()) {
        bed.apply(&manifest).await?;
    }
    running(&bed, &["items"]).await?;
    let agent = Agent::of(&bed, "hub").await?;
    assert_eq!(agent.rows("execute_sql", SELECT).await?, json!([{"id": 1}, {"id": 2}]));
    let refusal = agent.refusal("execute_sql", "DELETE FROM items").await?;
    assert!(refusal.contains("readonly database"), "{refusal}");
    assert_eq!(fs::read(&file)?, before);
    bed.delete::<DBHubInstance>("hub").await?;
    bed.kubectl(&["delete", "persistentvolumeclaim", "files", "--wait=false"]).await?;
    bed.kubectl(&["delete", "persistentvolume", bed.name(), "--wait=false"]).await?;
    bed.finish().await
}

/// A root with files of the namespaces `default` and `other`.
fn root() -> Result<TempDir> {
    let root = tempfile::tempdir()?;
    let own = root.path().join("default");
    fs::create_dir_all(own.join("data"))?;
    fs::create_dir(root.path().join("other"))?;
    make(&root.path().join("other/secret.db"), &items(1))?;
    for name in ["data/app.db", "shared.db"] {
        make(&own.join(name), &items(1))?;
        fs::set_permissions(own.join(name), fs::Permissions::from_mode(0o644))?;
    }
    fs::set_permissions(own.join("shared.db"), fs::Permissions::from_mode(0o666))?;
    fs::write(own.join("garbage.db"), "this is no database, whatever its name may promise ".repeat(100))?;
    make(
        &own.join("hostile.db"),
        "PRAGMA writable_schema = 1; CREATE TABLE t (id);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)
         INSERT INTO sqlite_schema SELECT 'view', 'v' || i, 'v' || i, 0, 'CREATE VIEW v' || i || ' AS SELECT 1 AS a' FROM n",
    )?;
    symlink("../other/secret.db", own.join("link.db"))?;
    symlink("../other", own.join("folder"))?;
    Ok(root)
}

/// The definition of Databases without the rules that keep bad paths away from the operator.
fn lenient(definition: &str) -> Result<String> {
    let mut definition: Value = serde_norway::from_str(definition)?;
    drop_rules(&mut definition);
    Ok(definition.to_string())
}

fn drop_rules(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.remove("x-kubernetes-validations");
        members.values_mut().for_each(drop_rules);
    }
    value.as_array_mut().into_iter().flatten().for_each(drop_rules);
}

fn file(name: &str, path: &str) -> Value {
    database(name, &json!({"type": "sqlite", "database": path}), &json!({}))
}

#[tokio::test]
async fn the_probe_sees_the_files_of_a_namespace_below_its_folder_and_nothing_else() -> Result<()> {
    let Some(api) = BareApi::of_cluster().await? else { return Ok(()) };
    let strict = fs::read_to_string(e2e::cache::workspace_root().join("crds/dbhub.tas.io_databases.yaml"))?;
    api.kubectl().apply(None, &lenient(&strict)?).await?;
    let root = root()?;
    let flag = format!("--sqlite-root={}", root.path().display());
    let mut operator =
        OperatorProcess::start("db-probe", &api.kubeconfig(), &["--lease-namespace=default", &flag]).await?;
    operator.says("leading").await?;
    let databases: Api<Database> = Api::default_namespaced(api.client().await?);
    for (name, path, reason, privileges) in [
        ("app", "data/app.db", "Connected", Privileges::ReadOnly),
        ("shared", "shared.db", "Connected", Privileges::ReadWrite),
        ("memory", ":memory:", "Connected", Privileges::ReadOnly),
        ("none", "none.db", "DatabaseNotFound", Privileges::Unknown),
        ("other", "other/secret.db", "DatabaseNotFound", Privileges::Unknown),
        ("link", "link.db", "AccessDenied", Privileges::Unknown),
        ("folder", "folder/secret.db", "AccessDenied", Privileges::Unknown),
        ("up", "../other/secret.db", "InvalidSpec", Privileges::Unknown),
        ("absolute", "/etc/hostname", "InvalidSpec", Privileges::Unknown),
        ("garbage", "garbage.db", "ProtocolError", Privileges::Unknown),
        ("hostile", "hostile.db", "ProtocolError", Privileges::Unknown),
    ] {
        api.kubectl().apply(Some("default"), &file(name, path).to_string()).await?;
        let judged = |db: Option<&Database>| db.and_then(ready_reason).as_deref() == Some(reason);
        let status = wait_for(&databases, name, reason, judged, DEADLINE).await?.status.unwrap_or_default();
        assert_eq!(status.privileges, Some(privileges), "{name}");
        assert!(status.connection_pool.is_none(), "{name}: a file counts no connections");
        is_sound(&status, reason);
        if name == "hostile" {
            assert!(status.message.is_some_and(|message| message.contains("too large for a probe")));
        }
    }
    api.kubectl().apply(None, &strict).await?;
    let refused = api.kubectl().apply(Some("default"), &file("late", "../other/secret.db").to_string()).await;
    assert!(refused.is_err_and(|error| format!("{error:#}").contains("spec.database")));
    assert!(operator.terminate().await?.success(), "SIGTERM did not end it well");
    Ok(())
}

/// What holds for every status with this reason.
fn is_sound(status: &DatabaseStatus, reason: &str) {
    let connected = reason == "Connected";
    let expected = if connected { DatabasePhase::Connected } else { DatabasePhase::Failed };
    assert_eq!(status.phase, Some(expected), "{status:?}");
    let version = status.server_version.as_deref();
    assert_eq!(version.is_some_and(|version| version.starts_with("SQLite 3.")), connected, "{status:?}");
}

#[tokio::test]
async fn a_check_of_a_file_ends_with_the_code_of_its_reason() -> Result<()> {
    let harness = Harness::connect().await?;
    if harness.cluster().is_none() {
        println!("skipped: this takes root, as the throw-away cluster does");
        return Ok(());
    }
    let program = images::program("db-probe").await?;
    let root = root()?;
    let secret = root.path().join("default/secret.db");
    make(&secret, &items(1))?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    chown(&secret, Some(65_532), Some(65_532))?;
    for (name, code, words) in [
        ("default/data/app.db", 0, "privileges:  ReadWrite"),
        ("default/none.db", 8, "DatabaseNotFound: "),
        ("default/secret.db", 8, "AccessDenied: "),
        ("default/garbage.db", 10, "ProtocolError: "),
        ("default/data", 10, "ProtocolError: "),
        // Who runs the check may follow links for themselves.
        ("default/link.db", 0, "server:      SQLite 3."),
    ] {
        // Root without the right to read what is not its own.
        let mut check = Command::new("setpriv");
        check.arg("--bounding-set=-dac_override,-dac_read_search").arg(&program);
        check.args(["check", "--type=sqlite", "--file"]).arg(root.path().join(name));
        let answer = command::capture(&mut check, DEADLINE).await?;
        assert_eq!(answer.code, Some(code), "{name}: {answer:?}");
        assert!(answer.stdout.contains(words), "{name}: {answer:?}");
    }
    Ok(())
}
