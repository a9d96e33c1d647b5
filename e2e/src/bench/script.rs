//! The floor that the concierge is measured against: a script that sends the same statements on one open connection
//! and makes the same API writes on one keep-alive client, and tries the same login. It decides nothing and reads
//! nothing from the API server.
//!
//! Its AppDatabases are of a twin kind with the same schema in another group, which no operator watches.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::AppDatabase;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{CustomResourceExt, ResourceExt};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use serde_json::{Value, json};
use sql_client::{ConnectOptions, Credentials, DeniedAddresses, Endpoint, Engine, Host, Session, Statement};
use sql_client::{TlsMode, TrustRoots, connect};

use super::app_databases::manifest;
use super::place::Place;
use super::recipe::{ADMIN, Recipe};
use crate::testing::wait_for;

const GROUP: &str = "bench.db-operators.test";
const TWIN: &str = "appdatabases.bench.db-operators.test";
const SERVED: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many API writes one creation takes under `Retain`: the Secret, the status and the Event.
pub(super) const WRITES: u32 = 3;

/// The script, with its connection to the server open.
pub(super) struct Script<'a> {
    place: &'a Place,
    recipe: Recipe,
    twins: Api<DynamicObject>,
    twin: ApiResource,
    session: Box<dyn Session>,
}

impl<'a> Script<'a> {
    /// Learns the recipe, installs the twin kind and connects.
    pub(super) async fn prepare(place: &'a Place) -> Result<Self> {
        let recipe = Recipe::learn(place).await?;
        let twin =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", "AppDatabase"), "appdatabases");
        let twins = Api::namespaced_with(place.harness.client.clone(), place.namespace(), &twin);
        install_twin(place, &twins).await?;
        let session = connect(&admin_login(place)?).await?;
        let mut script = Self { place, recipe, twins, twin, session };
        // The first object of a new kind takes the API server up to seconds.
        script.create(&place.name("warm", 0), "Retain").await?;
        Ok(script)
    }

    /// Makes what the concierge makes for one AppDatabase, and gives the time from before the twin is created until
    /// its status says Ready. The Event comes after that, as the concierge's does.
    pub(super) async fn create(&mut self, name: &str, policy: &str) -> Result<Duration> {
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let recipe = self.recipe.fill(name, &password)?;
        let manifest = self.twin_manifest(name, policy)?;
        let login = application_login(name, &password)?;
        let begun = Instant::now();
        self.twins.create(&PostParams::default(), &manifest).await?;
        if policy == "Delete" {
            // Stands for the finalizer, which nobody would remove.
            self.patch(name, json!({"metadata": {"annotations": {"bench": "finalizer"}}})).await?;
        }
        self.run(&recipe.before_secret).await?;
        self.place.api::<Secret>().create(&PostParams::default(), &recipe.secret).await?;
        self.run(&recipe.after_secret).await?;
        connect(&login).await?.close().await;
        let status = Patch::Merge(json!({ "status": recipe.status }));
        let twin = self.twins.patch_status(name, &PatchParams::default(), &status).await?;
        let took = begun.elapsed();
        self.place.create::<Event>(self.event(&twin, &recipe.status)).await?;
        Ok(took)
    }

    /// Removes the twin kind, and all objects with it.
    pub(super) async fn end(self) -> Result<()> {
        self.session.close().await;
        let crds: Api<CustomResourceDefinition> = Api::all(self.place.harness.client.clone());
        crds.delete(TWIN, &DeleteParams::default()).await.map(drop).context("cannot remove the twin kind")
    }

    async fn run(&mut self, statements: &[String]) -> Result<()> {
        for text in statements {
            self.session.query(&Statement::new("the script's statement", text.as_str())).await?;
        }
        Ok(())
    }

    async fn patch(&self, name: &str, body: Value) -> Result<()> {
        self.twins.patch(name, &PatchParams::default(), &Patch::Merge(body)).await?;
        Ok(())
    }

    fn twin_manifest(&self, name: &str, policy: &str) -> Result<DynamicObject> {
        let mut manifest = manifest(self.place, name, policy);
        manifest["apiVersion"] = json!(self.twin.api_version);
        serde_json::from_value(manifest).context("the twin's manifest is wrong")
    }

    fn event(&self, twin: &DynamicObject, status: &Value) -> Value {
        let name = twin.name_any();
        let regarding = json!({"apiVersion": self.twin.api_version, "kind": self.twin.kind, "name": name,
                               "namespace": self.place.namespace(), "uid": twin.uid()});
        json!({"metadata": {"name": name}, "regarding": regarding, "type": "Normal", "reason": "Ready",
               "action": "Provision", "note": status["message"], "eventTime": jiff::Timestamp::now(),
               "reportingController": "bench", "reportingInstance": "bench"})
    }
}

async fn install_twin(place: &Place, twins: &Api<DynamicObject>) -> Result<()> {
    let mut crd = AppDatabase::crd();
    crd.metadata.name = Some(TWIN.to_owned());
    GROUP.clone_into(&mut crd.spec.group);
    crd.spec.names.short_names = None;
    let crds: Api<CustomResourceDefinition> = Api::all(place.harness.client.clone());
    crds.patch(TWIN, &PatchParams::apply("bench").force(), &Patch::Apply(&crd)).await?;
    wait_for(&crds, TWIN, "established twin kind", is_crd_established(), SERVED).await?;
    // Established a moment before it is served.
    let end = Instant::now() + SERVED;
    while let Err(error) = twins.list(&ListParams::default()).await {
        anyhow::ensure!(Instant::now() < end, "the twin kind is not served: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// As the concierge logs in: with the four basic keys of its admin Secret, thus without TLS.
fn admin_login(place: &Place) -> Result<ConnectOptions> {
    login(None, ADMIN, place.harness.servers().concierge_password()?)
}

fn application_login(name: &str, password: &str) -> Result<ConnectOptions> {
    login(Some(name.to_owned()), &format!("{name}_app"), password.into())
}

fn login(database: Option<String>, user: &str, password: SecretString) -> Result<ConnectOptions> {
    let host = Host::parse("cluster1-haproxy.default.svc.cluster.local")?;
    Ok(ConnectOptions {
        engine: Engine::Mysql,
        endpoint: Endpoint { host, port: Engine::Mysql.default_port() },
        database,
        tls: TlsMode::Disable,
        roots: TrustRoots::web(),
        credentials: Credentials { user: user.to_owned(), password },
        connect_timeout: TIMEOUT,
        query_timeout: TIMEOUT,
        max_answer: 1 << 20,
        application_name: "bench".to_owned(),
        denied: DeniedAddresses::default(),
    })
}
