//! `kubectl port-forward` as a value: the port it got, and its end with the value.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::Cli;

const DEADLINE: Duration = Duration::from_secs(20);

/// A loopback port that leads into the cluster, until this is dropped.
#[derive(Debug)]
pub struct Forward {
    /// The port on 127.0.0.1.
    pub port: u16,
    _kubectl: Child,
}

impl Forward {
    pub(crate) async fn start(kubectl: &Cli, namespace: &str, target: &str, port: u16) -> Result<Self> {
        let mut command = kubectl.command(&["port-forward", "--address=127.0.0.1", "--namespace", namespace, target]);
        command.arg(format!(":{port}")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("cannot start kubectl")?;
        let mut lines = BufReader::new(child.stdout.take().context("kubectl has no output")?).lines();
        let Ok(first) = tokio::time::timeout(DEADLINE, lines.next_line()).await else {
            bail!("kubectl port-forward to {target} said nothing within {} s", DEADLINE.as_secs());
        };
        let Some(local) = first?.as_deref().and_then(forwarded_port) else {
            bail!("kubectl port-forward to {target} failed: {}", errors_of(child).await);
        };
        drain(lines);
        Ok(Self { port: local, _kubectl: child })
    }
}

/// The local port in `Forwarding from 127.0.0.1:41297 -> 8080`.
fn forwarded_port(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(' ')?.0.parse().ok()
}

/// kubectl prints a line for each connection, and would stop if nobody read them.
fn drain(mut lines: Lines<BufReader<ChildStdout>>) {
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}

async fn errors_of(mut child: Child) -> String {
    let mut text = String::new();
    if let Some(mut errors) = child.stderr.take() {
        // What cannot be read cannot be shown; the caller's message stands without it.
        let _ = tokio::time::timeout(DEADLINE, errors.read_to_string(&mut text)).await;
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_first_line() {
        assert_eq!(forwarded_port("Forwarding from 127.0.0.1:41297 -> 8080"), Some(41297));
        assert_eq!(forwarded_port("error: no pods"), None);
    }
}
