//! What tests and the demo run inside a pod: it waits to be called, speaks MCP and speaks SQL, each in one call.
//!
//! Exit codes: 0 answered, 1 the other side refused (its answer is printed), 2 anything else.

mod mcp;
mod sql;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Stays until SIGTERM
    Sleep,
    /// Sends one MCP request over HTTP and prints its result as JSON
    Mcp(mcp::Arguments),
    /// Runs statements and prints rows as tab-separated text
    Sql(sql::Arguments),
}

/// How a conversation ended that took place at all.
pub(crate) enum Answer {
    Given(String),
    Refused(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(Answer::Given(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused(text)) => {
            println!("{text}");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(task: Task) -> Result<Answer> {
    match task {
        Task::Sleep => sleep().await,
        Task::Mcp(arguments) => mcp::run(arguments).await,
        Task::Sql(arguments) => sql::run(arguments).await,
    }
}

async fn sleep() -> Result<Answer> {
    signal(SignalKind::terminate())?.recv().await;
    Ok(Answer::Given("ended by SIGTERM".into()))
}
