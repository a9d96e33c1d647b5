//! An operator that runs as a process of this machine, beside the cluster: for what cannot be tried on the installed
//! ones, which other tests rely on.

use std::ops::Range;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use super::http;
use crate::images;

const DEADLINE: Duration = Duration::from_mins(1);
/// Below the ports of Linux's own choice, which begin at 32,768.
const PORTS: Range<u16> = 10_240..32_768;
const PORT_TRIES: u8 = 50;

/// A running operator, killed when dropped.
pub struct OperatorProcess {
    child: Child,
    log: watch::Receiver<String>,
    /// How much of the log [`OperatorProcess::says`] has gone through.
    read: usize,
    port: u16,
}

impl OperatorProcess {
    /// Starts the operator's release binary, as it is in its image, against the cluster of a kubeconfig.
    pub async fn start(name: &str, kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        let port = free_port().await?;
        let mut command = Self::command(name, kubeconfig).await?;
        command.arg("--log-format=text").arg(format!("--http-addr=127.0.0.1:{port}")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = follow(child.stdout.take().context("the operator has no output")?);
        Ok(Self { child, log, read: 0, port })
    }

    /// The operator's command, without the settings that this machine's environment may hold for others.
    pub async fn command(name: &str, kubeconfig: &Path) -> Result<Command> {
        let mut command = Command::new(images::program(name).await?);
        for variable in ["KUBERNETES_SERVICE_HOST", "RUST_BACKTRACE", "RUST_LOG", "LOG_FORMAT"] {
            command.env_remove(variable);
        }
        command.env("KUBECONFIG", kubeconfig);
        Ok(command)
    }

    /// Reads the log up to a line that contains `text`, and gives that line.
    pub async fn says(&mut self, text: &str) -> Result<String> {
        let read = self.read;
        let position = |log: &String| Some(read + log.get(read..)?.find(text)?);
        let said = tokio::time::timeout(DEADLINE, self.log.wait_for(|log| position(log).is_some())).await;
        let said = said.with_context(|| format!("the log never said {text:?}"))?;
        let log = said.with_context(|| format!("the operator ended without saying {text:?}"))?.clone();
        let at = position(&log).unwrap_or_default();
        let start = log[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = log[at..].find('\n').map_or(log.len(), |length| at + length);
        self.read = end;
        Ok(log[start..end].to_owned())
    }

    /// Everything that it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Status and body of a page of its health and metrics server.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        http::get(self.port, path).await
    }

    /// Its process id.
    pub fn id(&self) -> Result<i32> {
        Ok(self.child.id().context("it ended already")?.try_into()?)
    }

    /// Ends it as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("it cannot be killed")
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        let id = Pid::from_raw(self.id()?).context("0 is no process")?;
        kill_process(id, Signal::TERM)?;
        Ok(tokio::time::timeout(DEADLINE, self.child.wait()).await.context("the operator ignores SIGTERM")??)
    }
}

/// Gathers the log line by line: an operator whose output nobody reads would stop.
fn follow(output: ChildStdout) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    let mut lines = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|log| {
                log.push_str(&line);
                log.push('\n');
            });
        }
    });
    receiver
}

/// A loopback port that nothing listens on now, below those that the kernel gives to connections: seconds may pass until
/// it is used. Another program could take it first; then the start fails and says so.
pub async fn free_port() -> Result<u16> {
    for _ in 0..PORT_TRIES {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {PORTS:?} is free")
}
