//! db-probe: is each `Database` reachable with its credentials, and what may they do?

mod apply;
mod check;
mod controller;
mod error;
#[cfg(test)]
mod fixtures;
mod gather;
mod gauges;
mod index;
mod metrics;
mod probe;
mod reconcile;
mod references;
mod settings;
mod status;
mod trust;
mod turns;
mod validate;

use std::process::ExitCode;
use std::time::Duration;

use api_types::Database;
use clap::{Parser, Subcommand};
use kube::core::ApiResource;
use operator_runtime::{Operator, RuntimeArgs};

use crate::check::Check;
use crate::settings::{Flags, Settings};

/// Probes every Database and reports in its status
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
}

/// A probe has the deadline of its spec, two hours at most; this one only ends what that one should have. Waiting for
/// the host's turn counts too, hours of it where hundreds of Databases are on a host that never answers.
const RECONCILE_TIMEOUT: Duration = Duration::from_hours(24);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Check(check)) => check.run().await,
        None => operate(cli.runtime, cli.flags).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn operate(runtime: RuntimeArgs, flags: Flags) -> anyhow::Result<()> {
    let settings = Settings::try_from(flags)?;
    let operator = Operator {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        required_crds: vec![ApiResource::erase::<Database>(&())],
        concurrency: 32,
        reconcile_timeout: RECONCILE_TIMEOUT,
    };
    let act = async |runtime| {
        controller::run(runtime, settings).await;
        Ok(())
    };
    Ok(operator_runtime::run(operator, runtime, act).await?)
}
