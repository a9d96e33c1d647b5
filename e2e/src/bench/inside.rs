//! What runs inside the node: every part in turn, each with the machine's load around it. The figures go to standard
//! output as JSON, progress to standard error.

use anyhow::{Context, Result, bail};

use super::place::Place;
use super::table::{Figure, Measured};
use super::{Part, app_databases, databases, instances, many_databases, operators, rechecks};
use crate::cluster::layout::Layout;
use crate::progress::Progress;

/// Measures these parts and prints what was found.
pub async fn run(layout: &Layout, parts: &[Part]) -> Result<()> {
    let progress = Progress::new();
    let place = Place::enter(layout).await?;
    let fresh = progress.step("restart the operators", operators::restart(&place)).await?;
    let mut measured = Vec::new();
    for part in parts {
        let figures = async {
            match part {
                Part::AppDatabases => app_databases::measure(&place).await,
                Part::Databases => databases::measure(&place).await,
                Part::Rechecks => rechecks::measure(&place).await,
                Part::ManyDatabases => many_databases::measure(&place).await,
                Part::ManyAppDatabases | Part::ManyInstances => bail!("they are measured outside of the node"),
                Part::Instances => instances::measure(&place).await,
                Part::Operators => operators::measure(&place, &fresh).await,
            }
        };
        measured.push(progress.step(part.title(), with_load(figures)).await?);
    }
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

pub(super) async fn with_load(work: impl Future<Output = Result<Vec<Figure>>>) -> Result<Measured> {
    let before = load()?;
    let figures = work.await?;
    Ok(Measured { load: [before, load()?], figures })
}

/// The load average of the last minute.
pub(super) fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
    text.split(' ').next().unwrap_or_default().parse().context("the load average is no number")
}
