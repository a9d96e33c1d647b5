//! The workspace's tasks. A thin dispatcher: it prints and runs cargo commands, and compiles in seconds, so that the
//! first thing a newcomer sees is progress.

mod steps;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use steps::{E2E, run};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of this workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what is missing, builds, starts a cluster and shows all three operators at work
    Demo(Rest),
    /// Runs every check and every test
    Test(test::Options),
    /// Writes the CRDs; with --check fails where they differ from those in the repository
    Codegen(Rest),
    /// Builds the container images; with --output DIR copies them there
    Images(Rest),
    /// Starts, ends or describes the throw-away cluster: up, down, status, env
    Cluster(Rest),
    /// Measures the operators beside a script that does the same work
    Bench(Rest),
}

/// Everything after the task's name goes on to the program that does it.
#[derive(clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<()> {
    match task {
        Task::Demo(rest) => harness("demo", &rest),
        Task::Test(options) => test::run(&options),
        Task::Codegen(rest) => run("cargo", &["run", "-p", "api-types", "--example", "crds", "--"], &rest.arguments),
        Task::Images(rest) => harness("images", &rest),
        Task::Cluster(rest) => harness("cluster", &rest),
        // Optimised, as the operators are: what stands beside them must not be slower than it has to be.
        Task::Bench(rest) => {
            run("cargo", &["run", "--release", "-p", "e2e", "--bin", "e2e", "--", "bench"], &rest.arguments)
        }
    }
}

fn harness(task: &str, rest: &Rest) -> Result<()> {
    run("cargo", &[&E2E[..], &[task]].concat(), &rest.arguments)
}
