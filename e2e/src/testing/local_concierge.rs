//! concierge-operator as a process of this machine against an API server of its own, so that it may dial the loopback:
//! for what must not happen to the servers of the cluster under test, and for settings that only one test wants.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::bare_api::BareApi;
use super::bed::{Area, HOME};
use super::leaks::assert_absent;
use super::process::OperatorProcess;
use super::{Cli, manifests};
use crate::loopback::ADDRESS;

/// The namespace of the AppDatabases and of their applications.
const APPS: &str = "apps";

/// The concierge's login on each server.
const ADMIN: &str = "concierge_admin";

/// What the concierge calls its look at all healthy AppDatabases.
const DRIFT_LOOK: &str = "looking for drift";
const SETTLES: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// The kind of a server, as the keys of an admin Secret begin.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// The operator at work; it and the API server are gone when this is dropped.
pub struct LocalConcierge {
    apps: Area,
    home: Area,
    operator: OperatorProcess,
    flags: Vec<String>,
    api: BareApi,
}

impl LocalConcierge {
    /// Starts both. `None` where the programs for an API server are not at hand, which it then says.
    pub async fn start(flags: &[&str]) -> Result<Option<Self>> {
        let Some(api) = BareApi::of_cluster().await? else { return Ok(None) };
        api.define_app_databases().await?;
        for namespace in [HOME, APPS] {
            api.kubectl().apply(None, &manifests::namespace(namespace).to_string()).await?;
        }
        let mut own = vec![format!("--home-namespace={HOME}"), format!("--lease-namespace={HOME}")];
        own.extend(flags.iter().map(|&flag| flag.to_owned()));
        let operator = operator(&api, &own).await?;
        Ok(Some(Self { apps: api.area(APPS).await?, home: api.area(HOME).await?, operator, flags: own, api }))
    }

    /// Kills the operator and starts it anew, which has to wait until the lease of the first has run out.
    pub async fn crash(&mut self) -> Result<()> {
        self.operator.kill().await?;
        self.operator = operator(&self.api, &self.flags).await?;
        Ok(())
    }

    /// The namespace of the AppDatabases and of their applications.
    #[must_use]
    pub fn apps(&self) -> &Area {
        &self.apps
    }

    /// Makes a server on this machine known as `cluster`.
    pub async fn serve(&self, kind: Kind, cluster: &str, port: u16, password: &str) -> Result<()> {
        self.serve_with(kind, cluster, port, password, &[]).await
    }

    /// The same with further keys in the admin Secret.
    pub async fn serve_with(
        &self,
        kind: Kind,
        cluster: &str,
        port: u16,
        password: &str,
        more: &[(&str, &str)],
    ) -> Result<()> {
        let prefix = match kind {
            Kind::Mysql => "MYSQL",
            Kind::Postgres => "POSTGRES",
        };
        let values = [("HOST", ADDRESS), ("PORT", &port.to_string()), ("USER", ADMIN), ("PASSWORD", password)];
        let own = values.iter().map(|(key, value)| (format!("{prefix}_ADMIN_{key}"), json!(value)));
        let more = more.iter().map(|&(key, value)| (key.to_owned(), json!(value)));
        let texts: serde_json::Map<String, Value> = own.chain(more).collect();
        let mut secret = manifests::opaque_secret(cluster, &texts.into());
        secret["metadata"]["labels"] = json!({"db.stillwaters.io/cluster": cluster});
        self.home.apply(&secret).await
    }

    /// Takes the admin Secret of a server away.
    pub async fn forget(&self, cluster: &str) -> Result<()> {
        self.home.delete::<Secret>(cluster).await
    }

    /// An AppDatabase of this name on that server, with Secret `<name>-creds`; its database is the name with `_` for
    /// `-`.
    #[must_use]
    pub fn app_database(&self, name: &str, cluster: &str) -> Value {
        let spec = json!({"clusterRef": cluster, "dbName": name.replace('-', "_"), "appNamespace": APPS,
                          "secretName": format!("{name}-creds"), "deletionPolicy": "Delete"});
        manifests::app_database(name, &spec, &json!({}))
    }

    /// The samples of one metric, without the operator's prefix: what stands after the name, in its order, and the value.
    pub async fn samples(&self, metric: &str) -> Result<Vec<(String, f64)>> {
        let text = self.operator.get("/metrics").await?.1;
        let name = format!("db_concierge_operator_{metric}");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&name)?.rsplit_once(' '));
        let samples: Result<Vec<_>> = lines.map(|(labels, value)| Ok((labels.to_owned(), value.parse()?))).collect();
        samples.map(|mut samples| {
            samples.sort_by(|one, other| one.0.cmp(&other.0));
            samples
        })
    }

    /// How many statements of that description were sent.
    pub async fn statements(&self, description: &str) -> Result<f64> {
        let label = format!("\"{description}\"");
        let samples = self.samples("sql_statements_total").await?;
        Ok(samples.iter().find(|(labels, _)| labels.contains(&label)).map_or(0.0, |(_, value)| *value))
    }

    /// How many full passes have ended well.
    pub async fn passes(&self) -> Result<f64> {
        let samples = self.samples("provisioning_seconds_count").await?;
        Ok(samples.iter().filter(|(labels, _)| labels.contains("outcome=\"ready\"")).map(|(_, count)| count).sum())
    }

    /// Waits until so many full passes have ended well. A status tells times to the second, so it may not tell them.
    pub async fn until_passes(&self, count: f64) -> Result<()> {
        let reached = async {
            while self.passes().await? < count {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(SETTLES, reached).await.context("too few passes ended well")?
    }

    /// Waits until all healthy AppDatabases of one server, fewer than one statement takes, were looked at `times` more.
    pub async fn looks(&self, times: u8) -> Result<()> {
        let wanted = self.statements(DRIFT_LOOK).await? + f64::from(times);
        let reached = async {
            while self.statements(DRIFT_LOOK).await? < wanted {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(SETTLES, reached).await.context("nobody looks for drift")?
    }

    /// kubectl on its API server.
    #[must_use]
    pub fn kubectl(&self) -> &Cli {
        self.api.kubectl()
    }

    /// The operator's process id.
    pub fn process(&self) -> Result<i32> {
        self.operator.id()
    }

    /// Everything that the operator has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.operator.log()
    }

    /// Reads the operator's log up to a line that contains `text`, and gives that line.
    pub async fn says(&mut self, text: &str) -> Result<String> {
        self.operator.says(text).await
    }

    /// Ends the operator, and fails when one of `words` is in what it said or wrote.
    pub async fn finish(self, words: &[String]) -> Result<ExitStatus> {
        let objects = ["get", "appdatabases,events", "--all-namespaces", "--output=json"];
        let objects = self.api.kubectl().run(&objects).await?;
        let metrics = self.operator.get("/metrics").await.context("no metrics")?.1;
        let log = self.operator.log();
        ensure!(log.contains("leading") && metrics.contains("# HELP"), "nothing seen");
        for (place, text) in [("the log", &log), ("the metrics", &metrics), ("an AppDatabase or an Event", &objects)] {
            assert_absent(place, text, words)?;
        }
        self.operator.terminate().await
    }
}

async fn operator(api: &BareApi, flags: &[String]) -> Result<OperatorProcess> {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut operator = OperatorProcess::start("concierge-operator", &api.kubeconfig(), &flags).await?;
    operator.says("leading").await?;
    Ok(operator)
}
