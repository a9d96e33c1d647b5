//! What deleting an AppDatabase does when something that it needs is gone: it waits, says why, and how to be released.

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::loopback::{self};
use e2e::testing::app_databases::{ready, stuck};
use e2e::testing::bed::Bed;
use e2e::testing::local_concierge::{Kind, LocalConcierge};
use e2e::testing::manifests::app_database;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};

const CLUSTER: &str = "main";
const PASSWORD: &str = "canary-deletion-admin";

/// A concierge with its server, which can be cut off.
struct Scene {
    server: MariaDb,
    proxy: Proxy,
    concierge: LocalConcierge,
}

impl Scene {
    async fn start() -> Result<Option<Self>> {
        if !loopback::is_possible() {
            return Ok(None);
        }
        let server = MariaDb::start(None).await?;
        server.concierge(PASSWORD).await?;
        let proxy = Proxy::start(server.port, Meddling::None).await?;
        let Some(concierge) = LocalConcierge::start(&["--connect-timeout=2"]).await? else { return Ok(None) };
        concierge.serve(Kind::Mysql, CLUSTER, proxy.port, PASSWORD).await?;
        Ok(Some(Self { server, proxy, concierge }))
    }

    async fn create(&self, name: &str, policy: &str) -> Result<()> {
        self.concierge.apps().apply(&self.manifest(name, policy)).await?;
        ready(self.concierge.apps(), name).await.map(drop)
    }

    fn manifest(&self, name: &str, policy: &str) -> Value {
        let mut app = self.concierge.app_database(name, CLUSTER);
        app["spec"]["deletionPolicy"] = json!(policy);
        app
    }

    async fn ask_to_delete(&self, name: &str) -> Result<()> {
        self.concierge.apps().kubectl(&["delete", "appdatabase", name, "--wait=false"]).await.map(drop)
    }

    async fn gone(&self, name: &str) -> Result<()> {
        self.concierge.apps().wait_until_gone::<AppDatabase>(name).await
    }

    async fn has(&self, database: &str) -> Result<bool> {
        let query = format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'");
        let count: Option<u64> = self.server.admin().await?.query_first(query).await?;
        Ok(count == Some(1))
    }

    async fn finish(self) -> Result<()> {
        self.concierge.finish(&[PASSWORD.to_owned()]).await.map(drop)
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_or_given_up() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    let apps = scene.concierge.apps();
    for name in ["waits", "released"] {
        scene.create(name, "Delete").await?;
    }
    scene.proxy.meddle(Meddling::Reset);
    scene.proxy.cut();
    for name in ["waits", "released"] {
        scene.ask_to_delete(name).await?;
        let message = stuck(apps, name, "ServerUnavailable").await?;
        ensure!(message.contains("waiting to drop") && message.contains("orphan=true"), "{message}");
    }
    apps.kubectl(&["annotate", "appdatabase", "released", "db.stillwaters.io/orphan=true"]).await?;
    scene.gone("released").await?;
    ensure!(scene.has("released").await? && scene.has("waits").await?, "something was dropped");
    scene.proxy.meddle(Meddling::None);
    scene.gone("waits").await?;
    ensure!(scene.has("released").await? && !scene.has("waits").await?, "the wrong one was dropped");
    scene.finish().await
}

#[tokio::test]
async fn without_its_admin_secret_it_waits_too() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    scene.create("app", "Delete").await?;
    scene.concierge.forget(CLUSTER).await?;
    scene.ask_to_delete("app").await?;
    let message = stuck(scene.concierge.apps(), "app", "UnknownCluster").await?;
    ensure!(message.contains("orphan=true"), "{message}");
    scene.concierge.serve(Kind::Mysql, CLUSTER, scene.proxy.port, PASSWORD).await?;
    scene.gone("app").await?;
    ensure!(!scene.has("app").await?, "it was not dropped");
    scene.finish().await
}

#[tokio::test]
async fn the_policy_of_the_last_moment_counts() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    let apps = scene.concierge.apps();
    scene.create("kept", "Delete").await?;
    scene.create("dropped", "Retain").await?;
    apps.apply(&scene.manifest("dropped", "Delete")).await?;
    let is_held = |app: &AppDatabase| app.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
    apps.wait_for("dropped", "held by the finalizer", is_held).await?;
    scene.ask_to_delete("dropped").await?;
    scene.gone("dropped").await?;
    // Retain contacts no server, so none need be there.
    scene.proxy.meddle(Meddling::Reset);
    scene.proxy.cut();
    apps.apply(&scene.manifest("kept", "Retain")).await?;
    scene.ask_to_delete("kept").await?;
    scene.gone("kept").await?;
    ensure!(scene.has("kept").await? && !scene.has("dropped").await?, "the first policy counted");
    scene.finish().await
}

#[tokio::test]
async fn what_the_bookkeeping_no_longer_knows_is_taken_back_and_never_dropped() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    let apps = scene.concierge.apps();
    scene.create("app", "Delete").await?;
    scene.server.run(&["DROP DATABASE db_concierge"]).await?;
    apps.kubectl(&["annotate", "appdatabase", "app", "reconcile=lost"]).await?;
    let handled = |app: &AppDatabase| {
        app.status.as_ref().and_then(|status| status.last_handled_reconcile.as_deref()) == Some("lost")
    };
    apps.wait_for("app", "the forced pass", handled).await?;
    ready(apps, "app").await?;
    let origins: Vec<String> = scene
        .server
        .admin()
        .await?
        .query("SELECT CONCAT_WS(' ', kind, origin) FROM db_concierge.ownership ORDER BY 1")
        .await?;
    assert_eq!(origins, ["database adopted", "user adopted"]);
    scene.ask_to_delete("app").await?;
    scene.gone("app").await?;
    ensure!(scene.has("app").await?, "what nobody knows to be ours was dropped");
    scene.finish().await
}

#[tokio::test]
async fn who_never_owned_it_drops_nothing() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    let apps = scene.concierge.apps();
    scene.create("app", "Delete").await?;
    let mut second = scene.manifest("app", "Delete");
    second["metadata"]["name"] = json!("second");
    second["spec"]["secretName"] = json!("second-creds");
    apps.apply(&second).await?;
    stuck(apps, "second", "Conflict").await?;
    scene.ask_to_delete("second").await?;
    scene.gone("second").await?;
    ensure!(scene.has("app").await?, "another's database was dropped");
    scene.finish().await
}

#[tokio::test]
async fn an_application_whose_namespace_is_gone_is_dropped_all_the_same() -> Result<()> {
    let mut bed = Bed::new("app-ns-gone").await?;
    let name = bed.database_name();
    let target = bed.other_namespace("target").await?;
    let consent = format!("db.stillwaters.io/allowed-namespaces={}", bed.name());
    bed.kubectl(&["annotate", "namespace", target.name(), &consent]).await?;
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": name, "appNamespace": target.name()});
    bed.apply(&app_database("app", &spec, &json!({"deletionPolicy": "Delete"}))).await?;
    ready(&bed, "app").await?;
    bed.kubectl(&["delete", "namespace", target.name()]).await.context("the namespace stays")?;
    stuck(&bed, "app", "NamespaceNotFound").await?;
    ensure!(bed.server_has_database(&name).await?, "the database went with the namespace");
    bed.delete::<AppDatabase>("app").await?;
    ensure!(!bed.server_has_database(&name).await?, "it was not dropped");
    bed.finish().await
}
