//! `cargo xtask test`: checks, unit tests, generated files, the chart, then the end-to-end tests on a cluster. The same
//! on a developer's machine and in CI.

use std::fs;

use anyhow::{Context, Result};

use crate::steps::{E2E, open_step, output, root, step};

/// What to leave out, and where the end-to-end tests run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no cluster
    #[arg(long)]
    without_e2e: bool,
    /// Run the end-to-end tests on this context of your kubeconfig instead of a throw-away cluster
    #[arg(long, value_name = "NAME", conflicts_with = "without_e2e")]
    context: Option<String>,
    /// With --context: how an image archive gets onto its nodes, such as 'kind load image-archive {}'
    #[arg(long, value_name = "COMMAND", requires = "context")]
    load_images: Option<String>,
    /// Goes on to the end-to-end tests' own command line
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    checks()?;
    unit_tests()?;
    real_dbhub()?;
    chart()?;
    if options.without_e2e {
        return Ok(());
    }
    match &options.context {
        Some(context) => on_context(context, options),
        None => on_throw_away_cluster(options),
    }
}

fn checks() -> Result<()> {
    step("cargo fmt --check", "cargo", &["fmt", "--all", "--check"])?;
    step("cargo clippy", "cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    step("codegen --check", "cargo", &["run", "--package", "api-types", "--example", "crds", "--", "--check"])
}

fn unit_tests() -> Result<()> {
    let all = ["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"];
    open_step("unit tests", "cargo", &all)?;
    open_step("unit tests of the harness", "cargo", &["test", "--package", "e2e", "--lib", "--bins"])
}

/// The unit tests that need DBHub's own code, which all others do without.
fn real_dbhub() -> Result<()> {
    let packages = output("cargo", &[&E2E[..], &["tool", "dbhub"]].concat())?;
    let packages = format!("DBHUB_PACKAGES={}", packages.trim());
    let tests = ["cargo", "test", "--package", "dbhub-operator", "--", "--ignored"];
    open_step("unit tests with DBHub's own code", "env", &[&[packages.as_str()], &tests[..]].concat())
}

fn chart() -> Result<()> {
    let helm = output("cargo", &[&E2E[..], &["tool", "helm"]].concat())?;
    let (helm, chart) = (helm.trim(), "charts/db-operators");
    step("helm lint", helm, &["lint", "--strict", chart])?;
    let render = ["template", "db-operators", chart, "--namespace", "db-concierge", "--kube-version", "1.30"];
    for (name, file) in example_values(chart)? {
        step(&format!("helm template with {name}"), helm, &[&render[..], &["--values", &file]].concat())?;
    }
    Ok(())
}

/// The value files of the chart's `ci` folder, the defaults among them: name and path.
fn example_values(chart: &str) -> Result<Vec<(String, String)>> {
    let folder = root().join(chart).join("ci");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let named = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), entry.path().to_string_lossy().into_owned())
    };
    let mut files = entries.map(|entry| Ok(named(entry?))).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// A cluster that ran before stays; one that was started here is ended, whatever the tests said.
fn on_throw_away_cluster(options: &Options) -> Result<()> {
    let was_running = output("cargo", &[&E2E[..], &["cluster", "is-running"]].concat())?.trim() == "yes";
    let tested = harness("start the cluster", &["cluster", "up"])
        .and_then(|()| harness("install the operators", &["install"]))
        .and_then(|()| end_to_end(options));
    if was_running {
        return tested;
    }
    let ended = harness("end the cluster", &["cluster", "down"]);
    tested.and(ended)
}

fn on_context(context: &str, options: &Options) -> Result<()> {
    let loading = options.load_images.as_deref();
    let load: Vec<&str> = loading.map(|command| vec!["--load-images", command]).unwrap_or_default();
    harness("install the operators", &[&["install", "--context", context], &load[..]].concat())?;
    end_to_end(options)
}

/// More than there are processors: these tests wait for pods most of the time.
const TESTS_AT_ONCE: u32 = 5;

fn end_to_end(options: &Options) -> Result<()> {
    eprintln!("==> end-to-end tests");
    let context = options.context.iter().map(|name| format!("E2E_CONTEXT={name}"));
    let threads = std::iter::once(format!("RUST_TEST_THREADS={TESTS_AT_ONCE}"));
    let cargo = ["cargo", "test", "--package", "e2e", "--test", "*", "--no-fail-fast", "--"].map(str::to_owned);
    let words: Vec<String> = threads.chain(context).chain(cargo).chain(options.rest.iter().cloned()).collect();
    crate::steps::run("env", &[], &words)
}

fn harness(name: &str, arguments: &[&str]) -> Result<()> {
    open_step(name, "cargo", &[&E2E[..], arguments].concat())
}
