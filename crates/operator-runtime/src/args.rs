//! The flags that every operator has. Each has an environment variable where the chart sets one.

use std::net::SocketAddr;
use std::time::Duration;

use clap::ArgAction;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// Plain text, for people.
    Text,
}

/// Flags of the runtime; flatten them into an operator's own (`#[command(flatten)]`).
#[derive(Debug, Clone, clap::Args)]
pub struct RuntimeArgs {
    /// How log lines are written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,

    /// What is logged, as tracing directives; kube logs every failed connection, the runtime says it once
    #[arg(long, env = "RUST_LOG", default_value = "info,kube=warn,kube_client::client::builder=off")]
    pub log_filter: String,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub http_addr: SocketAddr,

    /// Act only while holding the lease, so that replicas never act together
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_elect: bool,

    /// Namespace of the lease [default: the service account's]
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name under which the lease is held, unique among replicas [default: host name and a random suffix]
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// Seconds that running work gets to end after SIGTERM
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub shutdown_timeout: Duration,

    /// Seconds after which one reconcile is abandoned and tried again [default: the operator's]
    #[arg(long, value_parser = seconds)]
    pub reconcile_timeout: Option<Duration>,

    /// How many objects are reconciled at the same time [default: the operator's]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: Option<u16>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("a whole number of seconds from 1 to 3600 is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        runtime: RuntimeArgs,
    }

    fn parse(flags: &[&str]) -> Result<RuntimeArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"op").chain(flags)).map(|cli| cli.runtime)
    }

    #[test]
    fn defaults_are_those_of_a_pod() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.log_format, LogFormat::Json);
        assert_eq!(args.http_addr.to_string(), "0.0.0.0:8080");
        assert!(args.leader_elect);
        assert_eq!(args.shutdown_timeout, Duration::from_secs(20));
        assert_eq!((args.concurrency, args.reconcile_timeout), (None, None));
    }

    #[test]
    fn leader_election_can_be_switched_off_and_on() {
        assert!(!parse(&["--leader-elect=false"]).unwrap().leader_elect);
        assert!(parse(&["--leader-elect"]).unwrap().leader_elect);
    }

    #[test]
    fn nonsense_is_refused() {
        for flag in ["--shutdown-timeout=0", "--reconcile-timeout=1.5", "--concurrency=0", "--log-format=xml"] {
            assert!(parse(&[flag]).is_err(), "{flag}");
        }
    }
}
