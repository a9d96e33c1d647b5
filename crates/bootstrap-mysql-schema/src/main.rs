//! bootstrap-mysql-schema: asks the concierge for a database, waits for it and prints how to reach it.

mod args;
mod console;
mod credentials;
mod engine;
mod error;
mod output;
mod request;
mod steps;
mod wait;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use args::{Args, CommandLine, Instead};
use error::Error;

#[tokio::main]
async fn main() -> ExitCode {
    match run(CommandLine::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            error.downcast_ref().map_or(ExitCode::FAILURE, Error::exit_code)
        }
    }
}

async fn run(line: CommandLine) -> anyhow::Result<()> {
    match (line.instead, line.args) {
        (Some(Instead::Completion { shell }), _) => Ok(console::result(&completion(shell))?),
        (None, Some(args)) if args.dry_run => Ok(console::result(&steps::manifest(&args)?)?),
        (None, Some(args)) => request(&args).await,
        // The parser does not let it through.
        (None, None) => CommandLine::command().print_help().context("the help cannot be printed"),
    }
}

async fn request(args: &Args) -> anyhow::Result<()> {
    // An error says that a provider is installed already, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = client(args.context.as_deref()).await?;
    steps::run(args, client).await?;
    Ok(())
}

fn completion(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "bootstrap-mysql-schema", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

async fn client(context: Option<&str>) -> anyhow::Result<Client> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match context {
        Some(name) => Config::from_kubeconfig(&options).await.with_context(|| format!("no usable context {name:?}"))?,
        None => Config::infer().await.context("no cluster: set KUBECONFIG or --context")?,
    };
    Client::try_from(config).context("the cluster's configuration cannot be used")
}
