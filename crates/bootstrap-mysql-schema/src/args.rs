//! The command line.

use std::time::Duration;

use api_types::DeletionPolicy;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Ask the DB Concierge for a database, a user and a Secret with the credentials
#[derive(Clone, Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// The database that is asked for.
    #[command(flatten)]
    pub args: Option<Args>,

    /// What is asked for instead.
    #[command(subcommand)]
    pub instead: Option<Instead>,
}

const EXIT_CODES: &str = "Exit codes: 0 ready (or created, with --no-wait), 1 failed or refused, 2 wrong command line, \
3 not ready in time";

/// What can be asked for instead of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Instead {
    /// Print a completion script: source <(bootstrap-mysql-schema completion bash)
    Completion {
        /// The shell that is to complete
        shell: Shell,
    },
}

/// What database is asked for, and what is printed about it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Name of the database: letters, digits and underscores
    #[arg(long, value_parser = database_name)]
    pub name: String,

    /// Namespace of your application, where the Secret goes
    #[arg(long)]
    pub namespace: String,

    /// Database server to use
    #[arg(long, default_value = "cluster1-haproxy")]
    pub cluster: String,

    /// What deleting the AppDatabase does to database and user; Delete drops them with all data [default: Retain]
    #[arg(long, value_enum)]
    pub deletion_policy: Option<Policy>,

    /// What goes to stdout; everything else then goes to stderr. env and json show the password
    #[arg(long, short, value_enum, default_value_t = Output::Text, conflicts_with = "no_wait")]
    pub output: Output,

    /// Short for --output env
    #[arg(long, conflicts_with_all = ["no_wait", "output"])]
    pub output_env: bool,

    /// Do not wait until the database is ready
    #[arg(long)]
    pub no_wait: bool,

    /// Print the AppDatabase as YAML instead of creating it, for kubectl apply -f - or a repository
    #[arg(long, conflicts_with_all = ["no_wait", "output", "output_env"])]
    pub dry_run: bool,

    /// Seconds to wait
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,

    /// Namespace of the AppDatabase
    #[arg(long, default_value = "db-concierge")]
    pub concierge_namespace: String,

    /// Context of the kubeconfig [default: the current one]
    #[arg(long)]
    pub context: Option<String>,
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A text for people, without the password
    Text,
    /// Environment variables for a shell to source
    Env,
    /// One JSON object
    Json,
}

/// The deletion policy, written as in the AppDatabase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Policy {
    /// Keep database and user
    Retain,
    /// Drop database and user with all data
    Delete,
}

impl From<Policy> for DeletionPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Retain => Self::Retain,
            Policy::Delete => Self::Delete,
        }
    }
}

impl Args {
    /// What goes to stdout.
    #[must_use]
    pub fn output(&self) -> Output {
        if self.output_env { Output::Env } else { self.output }
    }

    /// How long to wait.
    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

fn database_name(text: &str) -> Result<String, &'static str> {
    let letters = text.chars().any(|c| c.is_ascii_alphanumeric());
    if letters && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(text.to_owned())
    } else {
        Err("a database is named with letters, digits and underscores")
    }
}

/// The arguments that these flags come to; the first word of a command line is not among them.
#[cfg(test)]
pub fn parse(flags: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("bootstrap-mysql-schema").chain(flags.split_whitespace());
    CommandLine::try_parse_from(words).map(|line| line.args.unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_flags_are_enough() {
        let args = parse("--name myapp --namespace myapp").unwrap();
        assert_eq!((args.cluster.as_str(), args.concierge_namespace.as_str()), ("cluster1-haproxy", "db-concierge"));
        assert_eq!((args.timeout, args.deletion_policy, args.no_wait), (300, None, false));
        assert_eq!(args.output(), Output::Text);
    }

    #[test]
    fn flags_are_those_of_the_documentation() {
        let args =
            parse("--name a --namespace b --cluster my-pxc-haproxy --deletion-policy Delete --output-env").unwrap();
        assert_eq!((args.deletion_policy, args.output()), (Some(Policy::Delete), Output::Env));
        assert_eq!(parse("--name a --namespace b -o json").unwrap().output(), Output::Json);
        for wrong in [
            "",
            "--name a",
            "--name my-app --namespace b",
            "--name __ --namespace b",
            "--name a --namespace b --deletion-policy delete",
            "--name a --namespace b --output-env --no-wait",
            "--name a --namespace b --output json --no-wait",
            "--name a --namespace b --output json --output-env",
            "--name a --namespace b --output yaml",
            "--name a --namespace b --dry-run --no-wait",
            "--name a --namespace b --timeout 0",
            "--name a completion bash",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn completion_takes_no_database() {
        let line = CommandLine::try_parse_from(["bootstrap-mysql-schema", "completion", "zsh"]).unwrap();
        assert_eq!(line.instead, Some(Instead::Completion { shell: Shell::Zsh }));
    }
}
