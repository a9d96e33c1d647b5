//! Runs commands: in the open, or as a step with a log file that is quoted when the step fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The harness's command line.
pub(crate) const E2E: [&str; 6] = ["run", "--package", "e2e", "--bin", "e2e", "--"];

const QUOTED_LINES: usize = 30;

/// Runs a command whose output the person sees, and which gets no input.
pub(crate) fn run(program: &str, arguments: &[&str], more: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(more.iter().map(String::as_str)).collect();
    let status = command(program, &arguments).status().with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// What a command prints.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program, arguments).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("`{program} {}` ended with {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command as a step: one line with its duration, its output in a log file, both shown when it fails.
pub(crate) fn step(name: &str, program: &str, arguments: &[&str]) -> Result<()> {
    let log = log_file(name)?;
    eprint!("==> {name} … ");
    let begun = Instant::now();
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command(program, arguments).stdout(file.try_clone()?).stderr(file).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if status.success() {
        eprintln!("{seconds:.1} s");
        return Ok(());
    }
    eprintln!("failed after {seconds:.1} s");
    bail!("{name}: `{program} {}` ended with {status}\nlog: {}\n{}", arguments.join(" "), log.display(), tail(&log));
}

/// Runs a command in the open, between two lines that name it.
pub(crate) fn open_step(name: &str, program: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("==> {name}");
    let begun = Instant::now();
    let result = run(program, arguments, &[]);
    let how = if result.is_ok() { "done" } else { "failed" };
    eprintln!("==> {name}: {how} after {:.1} s", begun.elapsed().as_secs_f64());
    result.with_context(|| name.to_owned())
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn log_file(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/xtask-logs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(folder.join(format!("{name}.log")))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(QUOTED_LINES));
    last.map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
