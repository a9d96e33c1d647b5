//! dbhub-operator: runs DBHub, the MCP server for SQL, over the Databases that a `DBHubInstance` selects.

mod apply;
mod changes;
mod controller;
mod error;
#[cfg(test)]
mod fixtures;
mod gather;
mod idle;
mod metrics;
mod options;
mod plan;
mod random;
mod reconcile;
mod rollout;
mod status;
mod validate;
mod verifications;
mod verify;

use std::time::Duration;

use api_types::{DBHubInstance, Database};
use clap::Parser as _;
use kube::core::ApiResource;
use operator_runtime::Operator;

use crate::options::Options;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let settings = options.settings()?;
    let operator = Operator {
        name: plan::names::OPERATOR,
        version: env!("CARGO_PKG_VERSION"),
        required_crds: vec![ApiResource::erase::<DBHubInstance>(&()), ApiResource::erase::<Database>(&())],
        concurrency: 16,
        // Reads, writes and three tries of a handshake, each with a deadline of its own.
        reconcile_timeout: Duration::from_mins(1),
    };
    operator_runtime::run(operator, options.runtime, |ctx| controller::run(ctx, settings)).await?;
    Ok(())
}
