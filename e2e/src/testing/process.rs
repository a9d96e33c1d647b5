//! An operator that runs as a process of this machine, beside the cluster: for what cannot be tried on the installed
//! ones, which other tests rely on.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

use super::http;
use crate::images;

const DEADLINE: Duration = Duration::from_mins(1);

/// A running operator, killed when dropped.
pub struct OperatorProcess {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
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
        let log = BufReader::new(child.stdout.take().context("the operator has no output")?).lines();
        Ok(Self { child, log, port })
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
        let search = async {
            while let Some(line) = self.log.next_line().await? {
                if line.contains(text) {
                    return Ok(line);
                }
            }
            bail!("the operator ended without saying {text:?}")
        };
        tokio::time::timeout(DEADLINE, search).await.with_context(|| format!("the log never said {text:?}"))?
    }

    /// Status and body of a page of its health and metrics server.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        http::get(self.port, path).await
    }

    /// Its process id.
    pub fn id(&self) -> Result<i32> {
        Ok(self.child.id().context("it ended already")?.try_into()?)
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        let id = Pid::from_raw(self.id()?).context("0 is no process")?;
        kill_process(id, Signal::TERM)?;
        let ended = async {
            while self.log.next_line().await?.is_some() {}
            self.child.wait().await
        };
        Ok(tokio::time::timeout(DEADLINE, ended).await.context("the operator ignores SIGTERM")??)
    }
}

/// A loopback port that nothing listens on now. Another program could take it first; then the start fails and says so.
pub(crate) async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}
