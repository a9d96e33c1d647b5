//! The operator's flags, and what they come to once the cluster was asked who we are.

use std::time::Duration;

use clap::Parser;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use operator_runtime::error::call;
use operator_runtime::{ApiError, RuntimeArgs};

use crate::servers::Timeouts;

/// Makes databases, users and Secrets for applications on shared servers
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Flags that every operator has.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Flags of this operator.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Flags of this operator.
#[derive(Debug, clap::Args)]
pub struct OwnArgs {
    /// Namespace of the admin Secrets [default: the service account's]
    #[arg(long, env = "POD_NAMESPACE")]
    home_namespace: Option<String>,

    /// Tells apart the concierges that share a server; keep it when moving to another cluster
    /// [default: UID of the home namespace]
    #[arg(long, env = "INSTALLATION_ID")]
    installation: Option<String>,

    /// Label selector, as JSON, of the namespaces that AppDatabases may put Secrets into [default: every namespace
    /// but the home namespace and kube-*]
    #[arg(long, value_parser = namespace_selector)]
    app_namespace_selector: Option<Selector>,

    /// Seconds between two looks at all healthy AppDatabases of a server
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    drift_interval: u64,

    /// Sessions that are open on one server at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    connections_per_server: u16,

    /// Seconds that a login on a server may take
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    connect_timeout: u64,

    /// Seconds that one statement may take
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=60))]
    statement_timeout: u64,
}

/// What the flags come to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the admin Secrets.
    pub home: String,
    /// Tells apart the concierges that share a server.
    pub installation: String,
    /// The namespaces that AppDatabases may put Secrets into.
    pub app_namespaces: Selector,
    /// Time between two looks at all healthy AppDatabases of a server.
    pub drift_interval: Duration,
    /// Sessions that are open on one server at most.
    pub connections_per_server: usize,
    /// How long servers may take.
    pub timeouts: Timeouts,
}

impl Settings {
    /// Fills in what was not given: the home namespace, and its UID as the name of the installation.
    pub async fn resolve(args: OwnArgs, client: &Client) -> Result<Self, ApiError> {
        let home = args.home_namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let installation = match args.installation {
            Some(installation) => installation,
            None => namespace_uid(client, &home).await?,
        };
        Ok(Self {
            home,
            installation,
            app_namespaces: args.app_namespace_selector.unwrap_or_default(),
            drift_interval: Duration::from_secs(args.drift_interval),
            connections_per_server: usize::from(args.connections_per_server),
            timeouts: Timeouts {
                connect: Duration::from_secs(args.connect_timeout),
                statement: Duration::from_secs(args.statement_timeout),
            },
        })
    }
}

async fn namespace_uid(client: &Client, name: &str) -> Result<String, ApiError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = call(format!("get Namespace {name}"), namespaces.get(name)).await?;
    Ok(namespace.uid().unwrap_or_default())
}

fn namespace_selector(json: &str) -> Result<Selector, String> {
    let selector: LabelSelector = serde_json::from_str(json).map_err(|error| error.to_string())?;
    selector.try_into().map_err(|error: kube::core::ParseExpressionError| error.to_string())
}

#[cfg(test)]
mod tests {
    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn a_selector_is_kubernetes_own() {
        let expressions =
            r#"{"matchLabels": {"tier": "apps"}, "matchExpressions": [{"key": "locked", "operator": "DoesNotExist"}]}"#;
        let selector = namespace_selector(expressions).unwrap();
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(selector.matches(&labels(&[("tier", "apps")])));
        assert!(!selector.matches(&labels(&[("tier", "apps"), ("locked", "")])));
        assert!(!selector.matches(&labels(&[])));
        assert!(Selector::default().matches(&labels(&[])));
        assert!(namespace_selector(r#"{"matchExpressions": [{"key": "a", "operator": "Is"}]}"#).is_err());
        assert!(namespace_selector("tier=apps").is_err());
    }
}
