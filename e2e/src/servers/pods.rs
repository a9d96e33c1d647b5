//! The servers as pods, on a cluster that the harness did not start. Their administrator comes through forwarded ports,
//! with the password from the Secret that their installation made.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mysql_async::{Conn, OptsBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config};

use super::{Passwords, connect, mariadb, postgres};
use crate::cluster::pki::{Authority, SERVER_NAMES};
use crate::testing::{Cli, Forward};

const MANIFEST: &str = include_str!("../../files/servers.yaml");
const NAMESPACE: &str = "default";
const SECRET: &str = "e2e-servers";
const LOOPBACK: &str = "127.0.0.1";

/// The servers, with a forwarded port to each.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    data: BTreeMap<String, ByteString>,
    mariadb: Arc<Forward>,
    mysql8: Arc<Forward>,
    postgres: Arc<Forward>,
}

impl Pods {
    /// Finds the servers, installing them where they are missing.
    pub(super) async fn ensure(kubectl: &Cli) -> Result<Self> {
        if !kubectl.capture(&["get", "secret", SECRET, "-n", NAMESPACE]).await?.success {
            kubectl.apply(None, &manifest()?).await.context("cannot install the database servers")?;
        }
        for server in ["deployment/e2e-mariadb", "deployment/e2e-mysql8", "deployment/e2e-postgres"] {
            kubectl.run(&["rollout", "status", server, "-n", NAMESPACE, "--timeout=180s"]).await?;
        }
        let text = kubectl.run(&["get", "secret", SECRET, "-n", NAMESPACE, "-o", "json"]).await?;
        let secret: Secret = serde_json::from_str(&text).context("the servers' Secret is damaged")?;
        Ok(Self {
            data: secret.data.unwrap_or_default(),
            mariadb: Arc::new(Forward::start(kubectl, NAMESPACE, "deployment/e2e-mariadb", 3306).await?),
            mysql8: Arc::new(Forward::start(kubectl, NAMESPACE, "deployment/e2e-mysql8", 3306).await?),
            postgres: Arc::new(Forward::start(kubectl, NAMESPACE, "deployment/e2e-postgres", 5432).await?),
        })
    }

    /// A key of the servers' Secret.
    pub(super) fn value(&self, key: &str) -> Result<SecretString> {
        let bytes = self.data.get(key).with_context(|| format!("the servers' Secret has no key {key}"))?;
        Ok(String::from_utf8(bytes.0.clone()).context("the servers' Secret holds no text")?.into())
    }

    pub(super) async fn mariadb_admin(&self) -> Result<Conn> {
        connect("MariaDB", through(&self.mariadb).user(Some("root")), &self.value("admin-password")?).await
    }

    /// The way to MySQL 8.
    pub(super) fn mysql8(&self) -> OptsBuilder {
        through(&self.mysql8)
    }

    pub(super) async fn postgres_admin(&self, database: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host(LOOPBACK).port(self.postgres.port).password(self.value("admin-password")?.expose_secret());
        postgres::connect(config, database).await
    }
}

fn through(forward: &Forward) -> OptsBuilder {
    OptsBuilder::default().ip_or_hostname(LOOPBACK).tcp_port(forward.port).prefer_socket(false)
}

fn manifest() -> Result<String> {
    let passwords = Passwords::generate();
    let authority = Authority::new("e2e-servers")?;
    let identity = authority.issue("e2e-servers", None, &SERVER_NAMES)?;
    let base64 = |text: &str| -> Result<String> {
        let value = serde_json::to_value(ByteString(text.as_bytes().to_vec()))?;
        Ok(value.as_str().context("bytes that are no text")?.to_owned())
    };
    let values = [
        ("ADMIN_PASSWORD", passwords.harness.expose_secret().to_owned()),
        ("CONCIERGE_PASSWORD", passwords.concierge.expose_secret().to_owned()),
        ("CONCIERGE_GRANT", mariadb::CONCIERGE_GRANT.to_owned()),
        ("CA", base64(&authority.certificate())?),
        ("CERTIFICATE", base64(&identity.certificate)?),
        ("KEY", base64(&identity.key)?),
    ];
    let fill = |text: String, (name, value): &(&str, String)| text.replace(&format!("{{{{{name}}}}}"), value);
    Ok(values.iter().fold(MANIFEST.to_owned(), fill))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_complete_and_carries_a_readable_certificate() {
        let text = manifest().unwrap();
        assert!(!text.contains("{{"), "{text}");
        let first = text.split("\n---\n").next().unwrap();
        let secret: Secret = serde_norway::from_str(first).unwrap();
        let data = secret.data.unwrap();
        assert!(data["tls.crt"].0.starts_with(b"-----BEGIN CERTIFICATE-----"));
        assert!(secret.string_data.unwrap()["concierge.sql"].contains("WITH GRANT OPTION;"));
    }
}
