//! Runs other programs: output into a log file, a deadline on each, and errors that say which command, where its log
//! is and how it ended. No program gets a standard input, so none can wait for an answer.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 40;

/// Runs `command` to its end, appending what it prints to `log`. Fails on a non-zero exit or after `deadline`.
pub async fn run(command: &mut Command, log: &Path, deadline: Duration) -> Result<()> {
    let name = describe(command);
    let out = append_to(log)?;
    let errors = out.try_clone().context("cannot share the log file")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let Ok(status) = tokio::time::timeout(deadline, child.wait()).await else {
        bail!("`{name}` did not end within {} s\n{}", deadline.as_secs(), quote(log));
    };
    let status = status.with_context(|| format!("cannot wait for `{name}`"))?;
    if !status.success() {
        bail!("`{name}` ended with {status}\n{}", quote(log));
    }
    Ok(())
}

/// Runs `command` and gives what it printed on standard output. Fails with its standard error on a non-zero exit.
pub async fn output(command: &mut Command, deadline: Duration) -> Result<String> {
    let name = describe(command);
    let captured = capture(command, deadline).await?;
    if !captured.success {
        bail!("`{name}` failed: {}", captured.stderr.trim());
    }
    Ok(captured.stdout)
}

/// What a finished program printed and whether it succeeded.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Exit code 0.
    pub success: bool,
    /// The exit code, if no signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `command` and gives what it printed, whatever its exit code. Fails if it cannot be started or takes too long.
pub async fn capture(command: &mut Command, deadline: Duration) -> Result<Captured> {
    let name = describe(command);
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let Ok(output) = tokio::time::timeout(deadline, running).await else {
        bail!("`{name}` did not end within {} s", deadline.as_secs());
    };
    let output = output.with_context(|| format!("cannot start `{name}`"))?;
    Ok(Captured {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The program and its first arguments, for messages.
#[must_use]
pub fn describe(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args().take(4));
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Opens a log file for appending; its folder must exist.
pub fn append_to(log: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(log);
    opened.with_context(|| format!("cannot open the log file {}", log.display()))
}

/// Names a log file and quotes its last lines.
#[must_use]
pub fn quote(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(QUOTED_LINES));
    last.fold(format!("log: {}\n", log.display()), |text, line| text + "  | " + line + "\n")
}

/// Whether `program` is an executable file on `PATH` or in the folders where Debian keeps administrators' programs.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).any(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_failure_names_the_command_and_quotes_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let error = run(Command::new("sh").args(["-c", "echo the reason; exit 3"]), &log, SOON).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("`sh -c") && text.contains("exit status: 3"), "{text}");
        assert!(text.contains("  | the reason") && text.contains("x.log"), "{text}");
    }

    #[tokio::test]
    async fn a_hanging_command_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let error = run(Command::new("sleep").arg("60"), &log, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[tokio::test]
    async fn output_gives_stdout_only() {
        let text = output(Command::new("sh").args(["-c", "echo out; echo err >&2"]), SOON).await.unwrap();
        assert_eq!(text, "out\n");
    }

    #[test]
    fn only_the_last_lines_are_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let lines: Vec<String> = (0..60).map(|n| format!("line {n}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let quoted = quote(&log);
        assert!(quoted.contains("line 59") && quoted.contains("line 20") && !quoted.contains("line 19"));
    }
}
