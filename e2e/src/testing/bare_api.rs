//! An API server and its etcd as two processes on the loopback, without a node or any of our kinds: for what an
//! operator does before there is anything to operate on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::bed::Area;
use super::process::free_port;
use super::{Cli, Harness};
use crate::cache::workspace_root;
use crate::cluster::layout::Layout;
use crate::cluster::pki;
use crate::command;
use crate::servers::Servers;
use crate::tools::Tools;

const DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
const KUBECONFIG: &str = include_str!("../../files/cluster/kubeconfig.yaml");

/// Killed when dropped, with everything in it.
pub struct BareApi {
    layout: Layout,
    kubectl: Cli,
    _processes: [Child; 2],
    _folder: TempDir,
}

impl BareApi {
    /// Starts both with the programs of the cluster under test. `None` where it has none at hand, which it then says.
    pub async fn of_cluster() -> Result<Option<Self>> {
        let harness = Harness::connect().await?;
        let Some(cluster) = harness.cluster() else {
            println!("skipped: the programs for an API server come with the throw-away cluster");
            return Ok(None);
        };
        Self::start(&cluster.tools()?).await.map(Some)
    }

    /// Starts both and waits until the API is ready.
    pub async fn start(tools: &Tools) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let layout = Layout::new(folder.path().to_path_buf())?;
        for part in ["pki", "logs"] {
            std::fs::create_dir(layout.path(part))?;
        }
        pki::write_kubernetes(&layout)?;
        let (etcd_port, port) = (free_port().await?, free_port().await?);
        let text = layout.render(KUBECONFIG, &[("USER", "admin"), ("PORT", &port.to_string())]);
        pki::write(&layout.kubeconfig(), &text)?;
        let etcd = format!("http://127.0.0.1:{etcd_port}");
        let processes = [
            spawn(&layout, &tools.etcd, &etcd_arguments(&layout, &etcd))?,
            spawn(&layout, &tools.kubernetes("kube-apiserver"), &api_arguments(&layout, &etcd, port))?,
        ];
        let global = vec![format!("--kubeconfig={}", layout.kubeconfig().display())];
        let kubectl = Cli { program: tools.kubectl(), global };
        let api = Self { layout, kubectl, _processes: processes, _folder: folder };
        api.wait().await?;
        Ok(api)
    }

    /// kubectl on it, as administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Cli {
        &self.kubectl
    }

    /// An administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// An administrator's client.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?)
    }

    /// One of its namespaces, which must exist. There are no database servers, and no helm.
    pub async fn area(&self, namespace: &str) -> Result<Area> {
        let harness = Harness {
            client: self.client().await?,
            kubectl: self.kubectl.clone(),
            helm: Cli { program: "helm".into(), global: Vec::new() },
            servers: Servers::beside_pods(self.layout.clone()),
            cluster: None,
        };
        Ok(Area::new(harness, namespace.to_owned()))
    }

    /// Defines the kinds that db-probe watches.
    pub async fn define_databases(&self) -> Result<()> {
        self.define(&["crds/dbhub.tas.io_databases.yaml", "crds/dbhub.tas.io_dbhubinstances.yaml"]).await
    }

    /// Defines the kind that the concierge watches.
    pub async fn define_app_databases(&self) -> Result<()> {
        self.define(&["crds/db.stillwaters.io_appdatabases.yaml"]).await
    }

    async fn define(&self, definitions: &[&str]) -> Result<()> {
        for definition in definitions {
            let path = workspace_root().join(definition);
            self.kubectl.apply(None, &std::fs::read_to_string(path)?).await?;
        }
        Ok(())
    }

    /// What does not listen yet cannot be watched: this asks again and again.
    async fn wait(&self) -> Result<()> {
        let ready = async {
            while !self.kubectl.capture(&["get", "--raw", "/readyz"]).await?.success {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        match tokio::time::timeout(DEADLINE, ready).await {
            Ok(result) => result,
            Err(_) => bail!("the API server is not ready\n{}", command::quote(&self.layout.log("kube-apiserver"))),
        }
    }
}

fn etcd_arguments(layout: &Layout, address: &str) -> Vec<String> {
    vec![
        format!("--data-dir={}", layout.path("etcd").display()),
        format!("--listen-client-urls={address}"),
        format!("--advertise-client-urls={address}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_arguments(layout: &Layout, etcd: &str, port: u16) -> Vec<String> {
    let pki = |file: &str| layout.path("pki").join(file).display().to_string();
    vec![
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--service-account-key-file={}", pki("sa.pub")),
        // Services without a node lead nowhere else than to this machine's loopback.
        "--service-cluster-ip-range=127.96.0.0/16".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
    ]
}

/// Tied to this thread's life too, since a test that is interrupted drops nothing.
fn spawn(layout: &Layout, program: &Path, arguments: &[String]) -> Result<Child> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let log = command::append_to(&layout.log(&name))?;
    let errors = log.try_clone()?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments).current_dir(layout.state());
    command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {name}"))
}
