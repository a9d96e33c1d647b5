//! bootstrap-mysql-schema: asks the concierge for a database, waits for it and prints how to reach it.

mod args;
mod console;
mod error;
mod output;
mod request;
mod steps;
mod wait;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use args::Args;
use error::Error;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            error.downcast_ref().map_or(ExitCode::FAILURE, Error::exit_code)
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    // An error says that a provider is installed already, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = client(args.context.as_deref()).await?;
    steps::run(args, client).await?;
    Ok(())
}

async fn client(context: Option<&str>) -> anyhow::Result<Client> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match context {
        Some(name) => Config::from_kubeconfig(&options).await.with_context(|| format!("no usable context {name:?}"))?,
        None => Config::infer().await.context("no cluster: set KUBECONFIG or --context")?,
    };
    Client::try_from(config).context("the cluster's configuration cannot be used")
}
