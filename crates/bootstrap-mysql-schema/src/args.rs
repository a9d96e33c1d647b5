//! The command line.

use std::time::Duration;

use api_types::DeletionPolicy;
use clap::{Parser, ValueEnum};

/// Ask the DB Concierge for a MySQL database, a user and a Secret with the credentials
#[derive(Clone, Debug, Parser)]
#[command(version)]
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

    /// Print the credentials to stdout as environment variables, and everything else to stderr
    #[arg(long, conflicts_with = "no_wait")]
    pub output_env: bool,

    /// Do not wait until the database is ready
    #[arg(long)]
    pub no_wait: bool,

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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("bootstrap-mysql-schema").chain(flags.split_whitespace()))
    }

    #[test]
    fn two_flags_are_enough() {
        let args = parse("--name myapp --namespace myapp").unwrap();
        assert_eq!((args.cluster.as_str(), args.concierge_namespace.as_str()), ("cluster1-haproxy", "db-concierge"));
        assert_eq!((args.timeout, args.deletion_policy, args.no_wait), (300, None, false));
    }

    #[test]
    fn flags_are_those_of_the_documentation() {
        let args =
            parse("--name a --namespace b --cluster my-pxc-haproxy --deletion-policy Delete --output-env").unwrap();
        assert_eq!((args.deletion_policy, args.output_env), (Some(Policy::Delete), true));
        for wrong in [
            "--name a",
            "--name my-app --namespace b",
            "--name __ --namespace b",
            "--name a --namespace b --deletion-policy delete",
            "--name a --namespace b --output-env --no-wait",
            "--name a --namespace b --timeout 0",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
