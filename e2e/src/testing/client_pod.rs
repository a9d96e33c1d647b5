//! A pod with nothing but the client program, from which tests see the cluster as an application does.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::wait::conditions::is_pod_running;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;

use super::{Cli, Harness, wait_for};
use crate::command::Captured;
use crate::images::CLIENT_IMAGE;

const START_DEADLINE: Duration = Duration::from_mins(1);
const PROGRAM: &str = "/usr/local/bin/operator";

/// A running client pod. It goes with its namespace.
#[derive(Debug)]
pub struct ClientPod {
    kubectl: Cli,
    namespace: String,
    name: String,
}

impl ClientPod {
    pub(super) async fn start(harness: &Harness, namespace: &str, secret: Option<&str>) -> Result<Self> {
        let random = Alphanumeric.sample_string(&mut rand::rng(), 5).to_lowercase();
        let name = format!("e2e-client-{random}");
        let api: Api<Pod> = Api::namespaced(harness.client.clone(), namespace);
        api.create(&PostParams::default(), &pod(&name, secret)?).await.context("cannot create the client pod")?;
        wait_for(&api, &name, "running client pod", is_pod_running(), START_DEADLINE).await?;
        Ok(Self { kubectl: harness.kubectl.clone(), namespace: namespace.to_owned(), name })
    }

    /// Runs the client with these arguments. Exit code 0: answered, 1: refused, 2: anything else.
    pub async fn exec(&self, arguments: &[&str]) -> Result<Captured> {
        let exec = ["exec", "--namespace", &self.namespace, &self.name, "--", PROGRAM];
        self.kubectl.capture(&[&exec[..], arguments].concat()).await
    }
}

fn pod(name: &str, secret: Option<&str>) -> Result<Pod> {
    let volumes: Vec<_> =
        secret.iter().map(|secret| json!({"name": "secret", "secret": {"secretName": secret}})).collect();
    let mounts: Vec<_> = secret.iter().map(|_| json!({"name": "secret", "mountPath": "/secret"})).collect();
    let pod = json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "e2e-client"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": volumes,
            "containers": [{
                "name": "client",
                "image": CLIENT_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": ["sleep"],
                "volumeMounts": mounts,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    serde_json::from_value(pod).context("the client pod is no pod")
}
