//! `db-probe check` as a process of this machine: the operator's own probe, its answer as JSON, and how much memory it
//! took.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::ADDRESS;
use crate::images;
use crate::testing::bed::Login;

/// What a check may take beyond its own timeouts, on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// What to check, and how. The timeouts are seconds.
#[derive(Debug, Clone)]
pub struct Check {
    /// The value of `--type`.
    pub engine: &'static str,
    /// The value of `--host`.
    pub host: String,
    /// The value of `--port`.
    pub port: u16,
    /// Database, user and password.
    pub login: Login,
    /// The value of `--ssl-mode`.
    pub ssl_mode: &'static str,
    /// The value of `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// The value of `--connection-timeout`.
    pub connection_timeout: u64,
    /// The value of `--query-timeout`.
    pub query_timeout: u64,
}

/// How a check ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// The reason in its answer.
    pub reason: String,
    /// The message in its answer.
    pub message: String,
    /// All that it printed.
    pub printed: String,
    /// The most memory that it was seen to hold, in KiB.
    pub peak_kib: u64,
}

impl Check {
    /// A check in plaintext of a server on this machine.
    #[must_use]
    pub fn new(engine: &'static str, port: u16, login: &Login) -> Self {
        Self {
            engine,
            host: ADDRESS.to_owned(),
            port,
            login: login.clone(),
            ssl_mode: "disable",
            ca_file: None,
            connection_timeout: 20,
            query_timeout: 20,
        }
    }

    /// Makes the check. Fails where it does not end by itself, or not with an answer.
    pub async fn run(&self) -> Result<Answer> {
        let password = NamedTempFile::new().context("cannot make a temporary file")?;
        std::fs::write(password.path(), &self.login.password)?;
        let mut command = Command::new(images::program("db-probe").await?);
        command.args(self.arguments()).arg("--password-file").arg(password.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start db-probe")?;
        let status = child.id().map(|id| format!("/proc/{id}/status")).context("it has no id")?;
        let (mut out, mut errors) =
            (child.stdout.take().context("no output")?, child.stderr.take().context("no errors")?);
        let (mut answer, mut complaints, mut peak_kib) = (String::new(), String::new(), 0);
        let ended = async {
            let reading =
                async { tokio::try_join!(out.read_to_string(&mut answer), errors.read_to_string(&mut complaints)) };
            let mut reading = std::pin::pin!(reading);
            loop {
                tokio::select! {
                    read = &mut reading => break read.map(drop),
                    () = tokio::time::sleep(POLL) => peak_kib = peak_kib.max(peak(&status)),
                }
            }?;
            child.wait().await
        };
        let deadline = Duration::from_secs(self.connection_timeout + self.query_timeout) + SLACK;
        let Ok(exit) = tokio::time::timeout(deadline, ended).await else {
            bail!("the check has no end: {self:?}");
        };
        let code = exit?.code().context("a signal ended the check")?;
        let found: Value = serde_json::from_str(&answer)
            .with_context(|| format!("the check gave no answer, but {code}: {answer} {complaints}"))?;
        let text = |key: &str| found[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        let (reason, message) = (text("reason")?, text("message")?);
        ensure!((code == 0) == (reason == "Connected"), "{reason} with exit code {code}");
        Ok(Answer { code, reason, message, printed: answer + &complaints, peak_kib })
    }

    fn arguments(&self) -> Vec<String> {
        let ca = self.ca_file.iter().map(|file| format!("--ca-file={}", file.display()));
        let arguments = [
            "check".to_owned(),
            "--output=json".to_owned(),
            format!("--type={}", self.engine),
            format!("--host={}", self.host),
            format!("--port={}", self.port),
            format!("--user={}", self.login.user),
            format!("--database={}", self.login.database),
            format!("--ssl-mode={}", self.ssl_mode),
            format!("--connection-timeout={}", self.connection_timeout),
            format!("--query-timeout={}", self.query_timeout),
        ];
        arguments.into_iter().chain(ca).collect()
    }
}

/// The most memory that a process has held, by the kernel's own count.
fn peak(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
