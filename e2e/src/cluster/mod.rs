//! The throw-away cluster: a Kubernetes node and database servers inside one tree of namespaces. Starting it twice
//! finds it running, killing its init ends all of it, and what it needs of the machine goes with it.

mod cgroups;
mod config;
pub mod forward;
pub mod init;
pub mod keeper;
pub mod layout;
mod mount_points;
pub mod pki;
pub mod process;

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

use self::keeper::Record;
use self::layout::Layout;
use crate::cache::{Cache, FileLock};
use crate::command;
use crate::images::ImageFile;
use crate::progress::Progress;
use crate::servers::{self, Servers};
use crate::tools::Tools;

const START_DEADLINE: Duration = Duration::from_mins(3);
const END_DEADLINE: Duration = Duration::from_secs(30);
const IMPORT_DEADLINE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(100);

/// The one cluster of a state folder, running or not.
#[derive(Debug, Clone)]
pub struct Cluster {
    layout: Layout,
}

impl Cluster {
    /// The cluster kept in `state`, or in the cache's own folder. Nothing is touched.
    pub fn new(cache: &Cache, state: Option<PathBuf>) -> Result<Self> {
        let state = state.unwrap_or_else(|| cache.path("cluster"));
        Ok(Self { layout: Layout::new(state)? })
    }

    /// Where its files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its database servers.
    #[must_use]
    pub fn servers(&self) -> Servers {
        Servers::beside_pods(self.layout.clone())
    }

    /// The authority that signed the database servers' certificates, PEM.
    pub fn servers_ca_pem(&self) -> Result<String> {
        self.servers().ca_pem()
    }

    /// The programs that it was started with.
    pub fn tools(&self) -> Result<Tools> {
        config::read_tools(&self.layout)
    }

    /// What it is known by, if it runs.
    #[must_use]
    pub fn running(&self) -> Option<Record> {
        Record::read(&self.layout).filter(Record::is_running)
    }

    /// Starts it and loads `images`; where it runs already, only images that changed are loaded.
    pub async fn up(&self, tools: &Tools, images: &[ImageFile], progress: Progress) -> Result<()> {
        let _lock = self.lock(progress)?;
        if self.is_healthy().await {
            progress.say(&format!("the cluster runs already, its files are in {}", self.layout.state().display()));
        } else {
            self.clear(progress)?;
            progress.step("start the cluster", self.start(tools)).await?;
        }
        self.load_images(images, progress).await?;
        // The slowest of them, MySQL 8, fills its data folder while the images are loaded.
        progress.step("database servers", self.wait_for_servers()).await?;
        progress.step("node ready", self.wait_ready()).await
    }

    /// Ends it and removes everything of it. Does nothing where there is none.
    pub fn down(&self, progress: Progress) -> Result<()> {
        let _lock = self.lock(progress)?;
        self.clear(progress)
    }

    /// Loads images into the running cluster, those alone whose content is not there yet.
    pub async fn load_images(&self, images: &[ImageFile], progress: Progress) -> Result<()> {
        for image in images.iter().filter(|image| !self.has(image)) {
            progress.step(&format!("load {}", image.name), self.import(image)).await?;
        }
        Ok(())
    }

    /// What runs, for people.
    pub async fn status(&self) -> String {
        let Some(record) = self.running() else {
            return format!("no cluster runs in {}", self.layout.state().display());
        };
        let nodes = self.kubectl(&["get", "nodes", "--no-headers"]).await.unwrap_or_else(|error| error.to_string());
        format!(
            "the cluster runs: init {}, API https://127.0.0.1:{}\nnode: {}\nstate: {}\nlogs: {}\nKUBECONFIG={}",
            record.init.id,
            record.port,
            nodes.trim(),
            self.layout.state().display(),
            self.layout.path("logs").display(),
            self.layout.kubeconfig().display(),
        )
    }

    /// Shell lines that point kubectl and helm at the running cluster.
    pub fn environment(&self) -> Result<String> {
        self.running().context("the cluster does not run; start it with `cargo xtask cluster up`")?;
        let tools = self.tools()?;
        let helm = tools.helm.parent().context("helm lies in no folder")?;
        Ok(format!(
            "export KUBECONFIG={}\nexport PATH={}:{}:$PATH",
            self.layout.kubeconfig().display(),
            tools.kubernetes.display(),
            helm.display(),
        ))
    }

    /// A command that runs `program` inside the cluster's namespaces, as root.
    pub fn command(&self, program: &str) -> Result<Command> {
        let record = self.running().context("the cluster does not run")?;
        let mut command = Command::new("nsenter");
        command.args(["--target", &record.init.id.to_string(), "--net", "--mount", "--uts", "--ipc", "--pid"]);
        command.arg(program);
        Ok(command)
    }

    /// Listens on a free port beside the servers, where pods come to.
    pub fn listen(&self) -> Result<TcpListener> {
        let record = self.running().context("the cluster does not run")?;
        let network = fs::File::open(format!("/proc/{}/ns/net", record.init.id))?;
        // A thread of its own goes there and ends; a socket stays in the namespace in which it was made.
        let there = std::thread::spawn(move || -> Result<TcpListener> {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            let listener = TcpListener::bind((layout::SERVERS_ADDRESS, 0))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        there.join().map_err(|_| anyhow!("the thread panicked"))?.context("cannot listen beside the servers")
    }

    fn lock(&self, progress: Progress) -> Result<FileLock> {
        FileLock::acquire(&self.layout.lock(), || progress.say("waiting for another `cluster` command to end"))
    }

    async fn is_healthy(&self) -> bool {
        self.running().is_some() && self.kubectl(&["get", "--raw", "/readyz"]).await.is_ok()
    }

    /// Kills what is left of it and removes its files.
    fn clear(&self, progress: Progress) -> Result<()> {
        if let Some(record) = Record::read(&self.layout) {
            if record.is_running() {
                progress.say("ending the cluster");
            }
            record.init.kill()?;
            record.init.wait_gone(END_DEADLINE)?;
            record.keeper.wait_gone(END_DEADLINE)?;
        }
        cgroups::remove(&self.layout.cgroup())?;
        let state = self.layout.state();
        if state.exists() {
            fs::remove_dir_all(state).with_context(|| format!("cannot remove {}", state.display()))?;
        }
        Ok(())
    }

    async fn start(&self, tools: &Tools) -> Result<()> {
        config::write(&self.layout, tools)?;
        servers::write(&self.layout, tools)?;
        self.start_keeper()?;
        self.wait_until("the API server", async || self.is_healthy().await).await?;
        self.kubectl(&["apply", "-f", &self.layout.path("services.yaml").to_string_lossy()]).await?;
        Ok(())
    }

    /// A session of its own, so that the end of the terminal or of the caller does not end the cluster.
    fn start_keeper(&self) -> Result<()> {
        let log = command::append_to(&self.layout.log("keeper"))?;
        let errors = log.try_clone()?;
        // A copy, so that cargo may replace the original while the cluster starts and runs.
        let program = self.layout.path("e2e");
        fs::copy("/proc/self/exe", &program).context("cannot copy this program into the cluster's folder")?;
        std::process::Command::new("setsid")
            .arg(program)
            .arg("cluster-keep")
            .arg(self.layout.state())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .context("cannot start the cluster's keeper")?;
        Ok(())
    }

    async fn wait_for_servers(&self) -> Result<()> {
        let servers = self.servers();
        self.wait_until("the database servers", async || servers.are_ready().await).await
    }

    async fn wait_ready(&self) -> Result<()> {
        self.wait_until("the node", async || {
            let condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let ready = self.kubectl(&["get", "node", layout::NODE_NAME, "-o", condition]).await;
            ready.is_ok_and(|status| status == "True")
        })
        .await?;
        // Pods are refused until this exists, which the controller manager makes a moment later.
        self.wait_until("the default ServiceAccount", async || {
            self.kubectl(&["get", "serviceaccount", "default", "-n", "default"]).await.is_ok()
        })
        .await
    }

    async fn wait_until(&self, what: &str, ready: impl AsyncFn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !ready().await {
            let ended = Record::read(&self.layout).is_some_and(|record| !record.is_running());
            if ended || begun.elapsed() > START_DEADLINE {
                let how = if ended { "ended before it was ready" } else { "was not ready in time" };
                let init = command::quote(&self.layout.log("init"));
                bail!("the cluster {how} ({what}); all logs are in {}\n{init}", self.layout.path("logs").display());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut kubectl = Command::new(self.tools()?.kubectl());
        kubectl.arg("--kubeconfig").arg(self.layout.kubeconfig()).arg("--request-timeout=10s").args(arguments);
        command::output(&mut kubectl, Duration::from_secs(20)).await
    }

    async fn import(&self, image: &ImageFile) -> Result<()> {
        let log = self.layout.log("images");
        let mut ctr = Command::new("ctr");
        ctr.arg("-a").arg(self.layout.containerd_socket()).args(["-n", "k8s.io", "images", "import"]).arg(&image.file);
        command::run(&mut ctr, &log, IMPORT_DEADLINE).await?;
        fs::create_dir_all(self.layout.path("images"))?;
        fs::write(self.mark(image), &image.key).context("cannot note a loaded image")
    }

    fn has(&self, image: &ImageFile) -> bool {
        fs::read_to_string(self.mark(image)).is_ok_and(|key| key == image.key)
    }

    fn mark(&self, image: &ImageFile) -> PathBuf {
        self.layout.path("images").join(&image.name)
    }
}

/// Checks what the machine must have for a cluster, before anything is done.
pub fn check_machine() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the throw-away cluster needs root; on a cluster of your own use --context NAME");
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() && !Path::new("/sys/fs/cgroup/memory").exists() {
        bail!("no cgroups are mounted at /sys/fs/cgroup");
    }
    Ok(())
}
