//! What an end-to-end test imports: a client of the cluster under test, namespaces of its own, waiting on a watch,
//! port forwarding and a pod to send requests from.
//!
//! The cluster is the running throw-away one, or the kubeconfig context named by `E2E_CONTEXT`.

pub mod agent;
pub mod app_databases;
pub mod bare_api;
pub mod bed;
mod client_pod;
pub mod databases;
mod forward;
pub mod http;
pub mod hub;
mod kubeconfig;
pub mod leaks;
pub mod local_concierge;
pub mod local_probe;
pub mod manifests;
mod namespace;
pub mod process;
mod wait;
pub mod wall;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::NamedTempFile;
use tokio::process::Command;

pub use client_pod::ClientPod;
pub use forward::Forward;
pub use namespace::TestNamespace;
pub use wait::{wait_for, wait_until_gone};

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::command::{self, Captured};
use crate::servers::Servers;
use crate::tools::Tools;

const CLI_DEADLINE: Duration = Duration::from_mins(5);

/// Where the cluster under test is: what kubectl, helm and the client need to reach it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kubectl program.
    pub kubectl: PathBuf,
    /// The helm program.
    pub helm: PathBuf,
    /// The kubeconfig, unless it is the user's own.
    pub kubeconfig: Option<PathBuf>,
    /// The context, unless it is the current one.
    pub context: Option<String>,
}

impl Target {
    /// The context `name` of the user's kubeconfig, with kubectl and helm from `PATH`.
    #[must_use]
    pub fn context(name: &str) -> Self {
        Self { kubectl: "kubectl".into(), helm: "helm".into(), kubeconfig: None, context: Some(name.to_owned()) }
    }

    /// A throw-away cluster.
    #[must_use]
    pub fn cluster(cluster: &Cluster, tools: &Tools) -> Self {
        Self {
            kubectl: tools.kubectl(),
            helm: tools.helm.clone(),
            kubeconfig: Some(cluster.layout().kubeconfig()),
            context: None,
        }
    }

    /// kubectl on this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Cli {
        Cli { program: self.kubectl.clone(), global: self.global("--context") }
    }

    /// helm on this cluster.
    #[must_use]
    pub fn helm(&self) -> Cli {
        Cli { program: self.helm.clone(), global: self.global("--kube-context") }
    }

    fn global(&self, context_flag: &str) -> Vec<String> {
        let config = self.kubeconfig.iter().map(|path| format!("--kubeconfig={}", path.display()));
        config.chain(self.context.iter().map(|name| format!("{context_flag}={name}"))).collect()
    }

    async fn client(&self) -> Result<Client> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)?,
            None => Kubeconfig::read()?,
        };
        Ok(Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
    }
}

/// A command line program together with the arguments that point it at the cluster under test.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    global: Vec<String>,
}

impl Cli {
    /// Runs it and gives its standard output; an error carries its standard error.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        command::output(&mut self.command(arguments), CLI_DEADLINE).await
    }

    /// Runs it and gives whatever it printed, however it ended.
    pub async fn capture(&self, arguments: &[&str]) -> Result<Captured> {
        command::capture(&mut self.command(arguments), CLI_DEADLINE).await
    }

    /// The command, not yet started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.global).args(arguments);
        command
    }

    /// The same program, acting as another person. Takes the right to impersonate, which an administrator has.
    #[must_use]
    pub fn acting_as(&self, person: &str, groups: &[&str]) -> Self {
        let mut cli = self.clone();
        cli.global.push(format!("--as={person}"));
        cli.global.extend(groups.iter().map(|group| format!("--as-group={group}")));
        cli
    }

    /// `kubectl apply` of a manifest's text. Without a namespace the objects name their own.
    pub async fn apply(&self, namespace: Option<&str>, manifest: &str) -> Result<String> {
        let file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        std::fs::write(file.path(), manifest)?;
        let scope: Vec<&str> = namespace.map(|name| vec!["--namespace", name]).unwrap_or_default();
        let path = file.path().to_string_lossy();
        self.run(&[&scope[..], &["apply", "-f", path.as_ref()]].concat()).await
    }
}

/// The cluster under test, connected.
#[derive(Clone)]
pub struct Harness {
    /// A client with an administrator's rights.
    pub client: Client,
    /// kubectl on this cluster.
    pub kubectl: Cli,
    /// helm on this cluster.
    pub helm: Cli,
    servers: Servers,
    cluster: Option<Cluster>,
}

impl Harness {
    /// Connects to the cluster that the environment names: `E2E_CONTEXT` a context, else `E2E_STATE` the state folder
    /// of a throw-away cluster, else the one in the cache.
    pub async fn connect() -> Result<Self> {
        if let Some(name) = std::env::var("E2E_CONTEXT").ok().filter(|name| !name.is_empty()) {
            return Self::connect_to(&Target::context(&name), None).await;
        }
        let state = std::env::var_os("E2E_STATE").map(PathBuf::from);
        Self::of_cluster(Cluster::new(&Cache::of_user()?, state)?).await
    }

    /// Connects to a throw-away cluster, which must be running.
    pub async fn of_cluster(cluster: Cluster) -> Result<Self> {
        cluster.running().context("no cluster runs; start one with `cargo xtask cluster up`")?;
        Self::connect_to(&Target::cluster(&cluster, &cluster.tools()?), Some(cluster)).await
    }

    /// The programs of MySQL 8, as [`Harness::postgres18`].
    pub fn mysql8(&self) -> Result<Option<PathBuf>> {
        self.programs("MySQL 8", |tools| tools.mysql8)
    }

    /// The programs of PostgreSQL 18; `None`, which it then says, where the throw-away cluster brought none.
    pub fn postgres18(&self) -> Result<Option<PathBuf>> {
        self.programs("PostgreSQL 18", |tools| tools.postgres18)
    }

    fn programs(&self, server: &str, of: fn(Tools) -> Option<PathBuf>) -> Result<Option<PathBuf>> {
        let programs = self.cluster.as_ref().map(Cluster::tools).transpose()?.and_then(of);
        if programs.is_none() {
            println!("skipped: {server} comes with the throw-away cluster, on x86_64");
        }
        Ok(programs)
    }

    /// Connects to a target that is known already. `cluster` is given where the target is a throw-away cluster.
    pub async fn connect_to(target: &Target, cluster: Option<Cluster>) -> Result<Self> {
        let servers = match &cluster {
            Some(cluster) => cluster.servers(),
            None => Servers::in_pods(&target.kubectl()).await?,
        };
        Ok(Self { client: target.client().await?, kubectl: target.kubectl(), helm: target.helm(), servers, cluster })
    }

    /// The database servers, as their administrator.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The throw-away cluster, where the test runs on one: for faults that are injected into the node itself.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// What PostgreSQL has logged, every statement that defines something included.
    pub async fn postgres_log(&self) -> Result<String> {
        match &self.cluster {
            Some(cluster) => {
                std::fs::read_to_string(cluster.layout().log("postgres")).context("cannot read PostgreSQL's log")
            }
            None => self.kubectl.run(&["logs", "-n", "default", "deployment/e2e-postgres", "--tail=-1"]).await,
        }
    }

    /// A new namespace whose name begins with `purpose`, deleted when the value is dropped.
    pub async fn namespace(&self, purpose: &str) -> Result<TestNamespace> {
        TestNamespace::create(self, purpose).await
    }

    /// Forwards a free loopback port to `target`, such as `service/x` or `pod/x`.
    pub async fn forward(&self, namespace: &str, target: &str, port: u16) -> Result<Forward> {
        Forward::start(&self.kubectl, namespace, target, port).await
    }

    /// A kubeconfig of the cluster alone, for a program that acts as `person`, or as the administrator.
    pub async fn kubeconfig(&self, person: Option<&str>) -> Result<NamedTempFile> {
        kubeconfig::write(&self.kubectl, person).await
    }

    /// Starts a pod to send requests from. With `secret`, that Secret's keys are files in `/secret`.
    pub async fn client_pod(&self, namespace: &str, secret: Option<&str>) -> Result<ClientPod> {
        ClientPod::start(self, namespace, secret).await
    }

    /// `kubectl apply` of a file of the repository, such as `examples/database.yaml`.
    pub async fn apply_file(&self, namespace: Option<&str>, file: impl AsRef<Path>) -> Result<String> {
        let path = crate::cache::workspace_root().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.kubectl.apply(namespace, &text).await
    }
}
