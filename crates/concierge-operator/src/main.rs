//! concierge-operator: makes databases, users and Secrets for applications on shared servers, as `AppDatabase` asks.

mod admin;
mod apply;
mod breaker;
mod context;
mod controller;
mod delete;
mod drift;
mod due;
mod engine;
mod error;
mod finalizer;
mod gather;
mod init;
mod ledger;
mod look;
mod metrics;
mod places;
mod plan;
mod pool;
mod reconcile;
mod recovery;
mod script;
mod servers;
mod settings;
mod status;
mod steps;
mod target;
mod validate;
mod verify;

use std::time::Duration;

use api_types::AppDatabase;
use clap::Parser as _;
use kube::core::ApiResource;
use operator_runtime::Operator;

use settings::{Args, Settings};

/// Name of the operator: its lease, its field manager, and the value of the managed-by label.
const OPERATOR: &str = "db-concierge-operator";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { runtime, own } = Args::parse();
    let operator = Operator {
        name: OPERATOR,
        version: env!("CARGO_PKG_VERSION"),
        required_crds: vec![ApiResource::erase::<AppDatabase>(&())],
        // Each server has its own bound far below; see places.rs.
        concurrency: 128,
        reconcile_timeout: Duration::from_mins(2),
    };
    operator_runtime::run(operator, runtime, async |context| {
        let settings = Settings::resolve(own, &context.client).await?;
        controller::run(context, settings).await;
        Ok(())
    })
    .await?;
    Ok(())
}
