//! A whole operator that does nothing but lead: start two and stop one to see the lease change hands.

use clap::Parser;
use operator_runtime::{Operator, RuntimeArgs, run};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    runtime: RuntimeArgs,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let operator = Operator {
        name: "lead-example",
        version: env!("CARGO_PKG_VERSION"),
        required_crds: Vec::new(),
        concurrency: 1,
        reconcile_timeout: std::time::Duration::from_secs(30),
    };
    run(operator, Cli::parse().runtime, async |ctx| {
        ctx.readiness.synced();
        ctx.shutdown.cancelled().await;
        Ok(())
    })
    .await?;
    Ok(())
}
