//! Turns the flags that db-probe has of its own into checked settings.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;
use sql_client::{DeniedAddresses, DeniedAddressesError};

use crate::error::Recheck;
use crate::probe::Root;

/// What can be set, beside what every operator has.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// Seconds until a Database whose Secret or CA is missing is looked at again
    #[arg(long, env = "MISSING_SECRET_INTERVAL", default_value_t = 30, value_parser = value_parser!(u64).range(1..=86_400))]
    missing_secret_interval: u64,

    /// Seconds until a Database that failed is probed again
    #[arg(long, env = "FAILED_INTERVAL", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    failed_interval: u64,

    /// Seconds until a healthy Database is probed again
    #[arg(long, env = "HEALTHY_INTERVAL", default_value_t = 300, value_parser = value_parser!(u64).range(1..=86_400))]
    healthy_interval: u64,

    /// Timeouts, refusals or resets in a row that make a working Database Failed; fewer make it Degraded
    #[arg(long, env = "FAILURE_THRESHOLD", default_value_t = 2, value_parser = value_parser!(u32).range(1..=100))]
    failure_threshold: u32,

    /// Probes at the same time at one host, beside the bound of --concurrency on all
    #[arg(long, env = "CONCURRENCY_PER_HOST", default_value_t = 4, value_parser = value_parser!(u16).range(1..=1000))]
    concurrency_per_host: u16,

    /// Networks that are never contacted, as a comma separated list of CIDRs
    #[arg(long, env = "DENIED_CIDRS", default_value = "127.0.0.0/8,::1/128,169.254.0.0/16,fe80::/10")]
    denied_cidrs: String,

    /// The API server's address, which is never contacted as a database either
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    api_server: Option<String>,

    /// PEM file with the CAs that verify-ca and verify-full trust where a Database names none [default: public web roots]
    #[arg(long, env = "TRUST_BUNDLE")]
    trust_bundle: Option<PathBuf>,

    /// Folder with SQLite files: those of a namespace's Databases are in its folder of that name [default: none is seen]
    #[arg(long, env = "SQLITE_ROOT")]
    sqlite_root: Option<PathBuf>,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    missing_secret: Duration,
    failed: Duration,
    /// How long a healthy Database is left alone.
    pub healthy: Duration,
    /// Transient failures in a row that make a working Database Failed.
    pub failure_threshold: u32,
    /// Probes at the same time at one host.
    pub concurrency_per_host: usize,
    /// Networks that are never contacted.
    pub denied: DeniedAddresses,
    /// The platform's CAs.
    pub trust_bundle: Option<PathBuf>,
    /// The folder with SQLite files.
    pub sqlite_root: Option<Root>,
}

impl Settings {
    /// How long a Database is left alone, unless something is seen to change; before jitter.
    #[must_use]
    pub fn interval(&self, recheck: Recheck) -> Duration {
        match recheck {
            Recheck::Healthy => self.healthy,
            Recheck::Failed => self.failed,
            Recheck::MissingSecret => self.missing_secret,
        }
    }
}

impl TryFrom<Flags> for Settings {
    type Error = DeniedAddressesError;

    fn try_from(flags: Flags) -> Result<Self, Self::Error> {
        // Some platforms put a name there; what that resolves to is not ours to guess.
        let api_server = flags.api_server.as_deref().filter(|address| address.parse::<IpAddr>().is_ok());
        let written = flags.denied_cidrs.split(',').map(str::trim).filter(|text| !text.is_empty());
        Ok(Self {
            missing_secret: Duration::from_secs(flags.missing_secret_interval),
            failed: Duration::from_secs(flags.failed_interval),
            healthy: Duration::from_secs(flags.healthy_interval),
            failure_threshold: flags.failure_threshold,
            concurrency_per_host: flags.concurrency_per_host.into(),
            denied: DeniedAddresses::parse(written.chain(api_server))?,
            trust_bundle: flags.trust_bundle,
            sqlite_root: flags.sqlite_root.map(Root::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::fixtures::settings;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = settings(&[]);
        let intervals =
            [Recheck::MissingSecret, Recheck::Failed, Recheck::Healthy].map(|r| settings.interval(r).as_secs());
        assert_eq!((intervals, settings.failure_threshold), ([30, 60, 300], 2));
        assert_eq!(settings.concurrency_per_host, 4);
        for denied in ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1"] {
            assert!(settings.denied.denies(denied.parse().unwrap()), "{denied}");
        }
        assert!(!settings.denied.denies("10.96.0.1".parse().unwrap()));
    }

    #[test]
    fn the_api_server_stays_denied_whatever_else_is_allowed() {
        let settings = settings(&["--denied-cidrs", "", "--api-server", "10.96.0.1"]);
        assert!(settings.denied.denies("10.96.0.1".parse().unwrap()));
        assert!(!settings.denied.denies("127.0.0.1".parse().unwrap()));
        assert!(Cli::try_parse_from(["db-probe", "--api-server", "api.example.com"]).is_ok());
    }

    #[test]
    fn no_folder_with_files_is_looked_into_unless_one_is_named() {
        assert!(settings(&[]).sqlite_root.is_none());
        assert!(settings(&["--sqlite-root", "/var/lib/sqlite"]).sqlite_root.is_some());
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            ["--healthy-interval", "0"],
            ["--failure-threshold", "0"],
            ["--concurrency-per-host", "0"],
            ["--failed-interval", "1.5"],
        ] {
            assert!(Cli::try_parse_from(["db-probe", arguments[0], arguments[1]]).is_err(), "{arguments:?}");
        }
        let cli = Cli::try_parse_from(["db-probe", "--denied-cidrs", "10.0.0.0/99"]).unwrap();
        assert!(Settings::try_from(cli.flags).is_err());
    }
}
