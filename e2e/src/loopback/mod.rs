//! Database servers, proxies and stubs on 127.0.0.1, for tables with many cells: each server is a process with a
//! folder of its own, and gone with its value. Nothing here touches the cluster under test or its servers.

pub mod certificates;
pub mod check;
pub mod cut;
pub mod galera;
pub mod mariadb;
pub mod mysql8;
pub mod postgres;
pub mod proxy;
pub mod stub;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::command;
use crate::servers::{as_account, hand_over};

/// Where everything here listens.
pub const ADDRESS: &str = "127.0.0.1";

const START_DEADLINE: Duration = Duration::from_mins(1);
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Whether servers can be started here; says so where not.
#[must_use]
pub fn is_possible() -> bool {
    let possible = crate::tools::is_root() && command::is_installed("mariadbd") && postgres::is_installed();
    if !possible {
        println!("skipped: starting servers takes root, MariaDB and PostgreSQL on this machine");
    }
    possible
}

/// A server's folder, which belongs to the account that it runs as.
struct Folder {
    folder: TempDir,
    account: &'static str,
}

impl Folder {
    fn new(account: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        hand_over(folder.path(), account)?;
        Ok(Self { folder, account })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file into the folder, or into one of the folders in it, which exists.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        crate::cluster::pki::write(&path, content)?;
        hand_over(path.parent().unwrap_or(Path::new("/")), self.account)
    }

    fn command(&self, program: &[&str]) -> Command {
        let words = as_account(self.account, program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Runs a short program of the server.
    async fn run(&self, program: &[&str]) -> Result<()> {
        command::run(&mut self.command(program), &self.path("log"), START_DEADLINE).await
    }

    /// Starts the server. It ends with this thread too, since a test that is interrupted drops nothing.
    fn start(self, program: &[&str], stop: Signal) -> Result<Running> {
        // Only after the change of account: that takes the signal away.
        let tied = [&["setpriv", "--pdeathsig", name(stop)], program].concat();
        let log = command::append_to(&self.path("log"))?;
        let mut command = self.command(&tied);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {}", program[0]))?;
        Ok(Running { child, folder: self, stop })
    }
}

fn name(signal: Signal) -> &'static str {
    if signal == Signal::QUIT { "QUIT" } else { "KILL" }
}

/// A server's process and its folder.
struct Running {
    child: Child,
    folder: Folder,
    stop: Signal,
}

impl Running {
    /// Kills it as a crash does; its folder stays.
    fn kill(&mut self) -> Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("it ended already")?;
        kill_process(id, Signal::KILL).context("it cannot be killed")
    }

    /// Asks again and again until the server is there: what does not listen yet cannot be watched.
    async fn wait(&mut self, is_there: impl AsyncFn() -> bool) -> Result<()> {
        let ready = async {
            while !is_there().await {
                if self.child.try_wait()?.is_some() {
                    bail!("the server ended\n{}", command::quote(&self.folder.path("log")));
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        let late = || format!("the server is not ready\n{}", command::quote(&self.folder.path("log")));
        tokio::time::timeout(START_DEADLINE, ready).await.with_context(late)?
    }
}

impl Drop for Running {
    /// PostgreSQL leaves a piece of shared memory behind when it is killed, so it is asked; what stays is killed.
    fn drop(&mut self) {
        let Some(id) = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) else { return };
        if kill_process(id, self.stop).is_err() {
            return;
        }
        let end = std::time::Instant::now() + STOP_DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < end {
            std::thread::sleep(POLL);
        }
    }
}
