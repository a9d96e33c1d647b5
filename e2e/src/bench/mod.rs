//! Measures the operators beside a script, a bare login and a bare pod that do the same work, in one run, and prints
//! one table. It reports and judges nothing: no time fails it.
//!
//! The measuring part runs inside the node, so that it reaches API server, servers and processes as pods do.

mod app_databases;
mod databases;
mod fake_dbhub;
mod inside;
mod instances;
mod many_app_databases;
mod many_databases;
mod many_instances;
mod operators;
mod place;
mod processes;
mod rechecks;
mod recipe;
mod requests;
mod scrape;
mod script;
mod table;
mod watched;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use tokio::process::Command;

use self::processes::megabytes;
use self::table::{Figure, Measured, Sample, Unit};
use crate::cluster::Cluster;
use crate::command;
use crate::images::{ImageFile, OPERATORS};
use crate::progress::Progress;

pub use inside::run as run_inside;

const DEADLINE: Duration = Duration::from_mins(15);

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// apply -> Ready, one by one and three hundred at once
    AppDatabases,
    /// A thousand AppDatabases against an API server alone: memory, drift, a restart; only when named
    ManyAppDatabases,
    /// apply -> Connected, on PostgreSQL and MySQL
    Databases,
    /// What one look at a Database costs
    Rechecks,
    /// Two thousand Databases, a restart, and hundreds of hosts that never answer
    ManyDatabases,
    /// apply -> Running
    Instances,
    /// Five hundred instances against an API server alone; takes a quarter of an hour, so only when named
    ManyInstances,
    /// Memory, sizes and start of the operators
    Operators,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::AppDatabases => "measure AppDatabases",
            Self::ManyAppDatabases => "measure many AppDatabases",
            Self::Databases => "measure Databases",
            Self::Rechecks => "measure rechecks",
            Self::ManyDatabases => "measure many Databases",
            Self::Instances => "measure DBHubInstances",
            Self::ManyInstances => "measure many DBHubInstances",
            Self::Operators => "measure the operators",
        }
    }

    /// Those that need no node. They take long, and are left out by default.
    fn is_outside(self) -> bool {
        matches!(self, Self::ManyAppDatabases | Self::ManyInstances)
    }

    /// As on the command line.
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures on a cluster that has the operators installed from these images, and prints the table. No parts: all.
pub async fn run(cluster: &Cluster, images: &[ImageFile], parts: &[Part]) -> Result<()> {
    let tools = cluster.tools()?;
    ensure!(!cfg!(debug_assertions), "an unoptimised script would flatter the operators: run `cargo xtask bench`");
    let by_default = Part::value_variants().iter().filter(|part| !part.is_outside());
    // At once, since whoever builds the images anew meanwhile removes these.
    let sizes = image_sizes(images)?;
    let parts: Vec<Part> = if parts.is_empty() { by_default.copied().collect() } else { parts.to_vec() };
    let (outside, within): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.is_outside());
    let mut measured = Vec::new();
    if !within.is_empty() {
        measured.extend(measure_inside(cluster, &within).await?);
    }
    for part in outside {
        let figures = async {
            match part {
                Part::ManyAppDatabases => many_app_databases::measure().await,
                _ => many_instances::measure(&tools).await,
            }
        };
        measured.push(Progress::new().step(part.title(), inside::with_load(figures)).await?);
    }
    let load = inside::load()?;
    measured.push(Measured { load: [load, load], figures: sizes });
    println!("{}", table::markdown(&measured));
    Ok(())
}

async fn measure_inside(cluster: &Cluster, parts: &[Part]) -> Result<Vec<Measured>> {
    // A copy, so that cargo may replace the original meanwhile.
    let program = cluster.layout().path("bench");
    fs::copy("/proc/self/exe", &program).context("cannot copy this program into the cluster's folder")?;
    // Names resolve as in a pod; the mount is the measuring process's alone.
    let script = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
    let mut inside = cluster.command("unshare")?;
    inside
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(cluster.layout().path("resolv.conf"))
        .arg(&program)
        .arg("bench-inside")
        .arg(cluster.layout().state())
        .args(parts.iter().map(|part| part.word()));
    let output = run_open(&mut inside).await?;
    serde_json::from_str(&output).context("the measuring process printed no figures")
}

/// Runs a command whose standard error the person sees, and gives its standard output.
async fn run_open(program: &mut Command) -> Result<String> {
    let name = command::describe(program);
    let running = program.stdin(Stdio::null()).stderr(Stdio::inherit()).stdout(Stdio::piped()).kill_on_drop(true);
    let ending = running.spawn().with_context(|| format!("cannot start `{name}`"))?.wait_with_output();
    let Ok(output) = tokio::time::timeout(DEADLINE, ending).await else {
        bail!("measuring did not end within {} s", DEADLINE.as_secs());
    };
    let output = output?;
    ensure!(output.status.success(), "measuring ended with {}", output.status);
    String::from_utf8(output.stdout).context("figures that are no text")
}

/// The archives hold their layers uncompressed.
fn image_sizes(images: &[ImageFile]) -> Result<Vec<Figure>> {
    let size = |name: &str| -> Result<Sample> {
        let image = images.iter().find(|image| image.name == name).with_context(|| format!("no image {name}"))?;
        Ok(Sample::one(megabytes(fs::metadata(&image.file)?.len())))
    };
    let row = |operator: &&str| {
        Ok(Figure::new(format!("{operator}: image"), Unit::Megabytes, size(operator)?).beside("base", size("base")?))
    };
    OPERATORS.iter().map(row).collect()
}
