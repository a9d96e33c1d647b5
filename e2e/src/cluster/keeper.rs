//! The one process of a cluster that runs outside its namespaces. It starts the tree, forwards a loopback port to the
//! API server, and clears up the machine when the tree has ended, for whatever reason. If the keeper itself is killed,
//! the kernel kills the tree with it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::layout::Layout;
use super::mount_points::MountPoints;
use super::process::Process;
use super::{cgroups, config, forward};
use crate::command;

const INIT_DEADLINE: Duration = Duration::from_secs(10);

/// What a running cluster is known by, kept in its state folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Record {
    /// The keeper.
    pub keeper: Process,
    /// The init of the tree: killing it ends everything.
    pub init: Process,
    /// The loopback port that leads to the API server.
    pub port: u16,
}

impl Record {
    /// The record in a state folder, if there is one.
    #[must_use]
    pub fn read(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&fs::read(layout.path("cluster.json")).ok()?).ok()
    }

    /// Whether keeper and init are both there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.keeper.is_running() && self.init.is_running()
    }

    fn write(&self, layout: &Layout) -> Result<()> {
        let unfinished = layout.path("cluster.json.new");
        fs::write(&unfinished, serde_json::to_vec(self)?).context("cannot write the cluster's record")?;
        fs::rename(unfinished, layout.path("cluster.json")).context("cannot move the cluster's record into place")
    }
}

/// Starts the tree and stays until it has ended. Must run on the main thread: the kernel ties the tree's life to the
/// thread that started it.
pub async fn keep(layout: &Layout) -> Result<()> {
    let mount_points = MountPoints::make()?;
    cgroups::create(&layout.cgroup())?;
    let result = run_tree(layout).await;
    result.and(cgroups::remove(&layout.cgroup())).and(mount_points.remove())
}

async fn run_tree(layout: &Layout) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on the loopback")?;
    let port = listener.local_addr()?.port();
    config::write_outside_kubeconfig(layout, port)?;
    let mut tree = start_tree(layout)?;
    let init = find_init(&tree).await?;
    Record { keeper: Process::current()?, init, port }.write(layout)?;
    tokio::select! {
        status = tree.wait() => println!("the tree ended: {}", status.context("cannot wait for the tree")?),
        ended = forward::port_to_socket(listener, layout.api_socket()) => ended?,
    }
    Ok(())
}

fn start_tree(layout: &Layout) -> Result<Child> {
    let log = command::append_to(&layout.log("init"))?;
    let errors = log.try_clone()?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"])
        .args(["--kill-child=SIGKILL", "--mount-proc", "--propagation", "private"])
        .arg(program)
        .arg("cluster-init")
        .arg(layout.state())
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start setpriv")
}

async fn find_init(tree: &Child) -> Result<Process> {
    let id = tree.id().context("the tree ended at once")?;
    let unshare = Process::find(i32::try_from(id)?)?;
    let search = async {
        loop {
            match unshare.child() {
                Some(init) => return init,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let Ok(init) = tokio::time::timeout(INIT_DEADLINE, search).await else {
        bail!("unshare made no namespaces within {} s", INIT_DEADLINE.as_secs());
    };
    Ok(init)
}
