//! A namespace for one test. Its name is unique, so that tests run in parallel and a crashed run does not disturb the
//! next one.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use rand::distr::{Alphanumeric, SampleString};

use super::{Cli, Harness};

/// The label of every namespace that tests make: `kubectl delete ns -l e2e.db-operators/test` clears up after a crash.
pub const LABEL: &str = "e2e.db-operators/test";

/// What a failed test shows of its namespace.
const SHOWN: &str = "pods,databases.dbhub.tas.io,dbhubinstances.dbhub.tas.io,appdatabases.db.stillwaters.io,events";

/// Deleted when dropped. `E2E_KEEP=1` keeps it; a test that panics shows what is in it.
pub struct TestNamespace {
    name: String,
    kubectl: Cli,
}

impl TestNamespace {
    pub(super) async fn create(harness: &Harness, purpose: &str) -> Result<Self> {
        let random = Alphanumeric.sample_string(&mut rand::rng(), 6).to_lowercase();
        Self::create_named(harness, purpose, format!("{purpose}-{random}")).await
    }

    /// A namespace whose name the test must know before it exists.
    pub(super) async fn create_named(harness: &Harness, purpose: &str, name: String) -> Result<Self> {
        let labels = BTreeMap::from([(LABEL.to_owned(), purpose.to_owned())]);
        let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let api: Api<Namespace> = Api::all(harness.client.clone());
        api.create(&PostParams::default(), &namespace).await.context("cannot create a namespace")?;
        Ok(Self { name, kubectl: harness.kubectl.clone() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl.program);
        command.args(&self.kubectl.global).arg("--request-timeout=20s").args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(shown) = self.kubectl(&["get", SHOWN, "--namespace", &self.name]).output()
        {
            eprintln!("namespace {}:\n{}", self.name, String::from_utf8_lossy(&shown.stdout));
        }
        if std::env::var_os("E2E_KEEP").is_some() {
            return;
        }
        let deleted = self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]).stdout(Stdio::null()).status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("cannot delete the namespace {}", self.name);
        }
    }
}
