//! The command line: flags in, settings out that need no further check.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use operator_runtime::RuntimeArgs;

use crate::validate::ca::CaBundle;
use crate::validate::image::AllowedImages;

/// Runs DBHub, the MCP server for SQL, over the Databases that a DBHubInstance selects.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// What every operator has.
    #[command(flatten)]
    pub runtime: RuntimeArgs,

    /// CA certificates (PEM) that verify-ca and verify-full trust where a Database names none
    #[arg(long, env = "TRUST_BUNDLE", value_name = "FILE")]
    trust_bundle: Option<PathBuf>,

    /// Images that may run as DBHub and get the databases' logins: names, repositories or paths above them; absent: any
    #[arg(long, env = "ALLOWED_IMAGES", value_delimiter = ',', value_name = "IMAGE",
          value_parser = NonEmptyStringValueParser::new())]
    allowed_images: Vec<String>,

    /// Seconds between two handshakes with an instance that runs
    #[arg(long, env = "VERIFY_INTERVAL", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(10..=86_400))]
    verify_interval: u64,

    /// Which way the handshake takes
    #[arg(long, value_enum, default_value_t = VerifyVia::Service)]
    verify_via: VerifyVia,

    /// The cluster's DNS domain
    #[arg(long, env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
}

/// Which way the handshake takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyVia {
    /// Through the Service's address, as clients do.
    Service,
}

/// What passes need to know from the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform's certificate authorities.
    pub trust_bundle: Option<CaBundle>,
    /// What may run as DBHub.
    pub images: AllowedImages,
    /// Between two handshakes with an instance that runs.
    pub verify_interval: Duration,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
}

impl Options {
    /// Reads the trust bundle; a bundle that cannot be used stops the start.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let VerifyVia::Service = self.verify_via;
        Ok(Settings {
            trust_bundle: self.trust_bundle.as_deref().map(read_bundle).transpose()?,
            images: AllowedImages::from(self.allowed_images.clone()),
            verify_interval: Duration::from_secs(self.verify_interval),
            cluster_domain: self.cluster_domain.clone(),
        })
    }
}

fn read_bundle(path: &Path) -> anyhow::Result<CaBundle> {
    let text = std::fs::read(path).with_context(|| format!("the trust bundle {} cannot be read", path.display()))?;
    CaBundle::parse(&text).with_context(|| format!("the trust bundle {} cannot be used", path.display()))
}
