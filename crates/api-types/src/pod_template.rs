//! `spec.podTemplate` of a DBHubInstance: the few fields of a pod that are a cluster's own business. What is not here
//! (volumes, containers, security contexts, service accounts) cannot be said, so that nobody gets more out of a pod of
//! DBHub than DBHub itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names that a podTemplate must not use, because the operator or DBHub does.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    names: &'static [&'static str],
    prefixes: &'static [&'static str],
}

/// Labels of the operator, and the one by which Kubernetes tells templates apart.
pub const RESERVED_LABELS: Reserved =
    Reserved { names: &["app", "pod-template-hash"], prefixes: &["app.kubernetes.io/", "dbhub.tas.io/"] };

/// Annotations of the operator, of `kubectl rollout restart`, and those that loosen a pod's security.
pub const RESERVED_ANNOTATIONS: Reserved = Reserved {
    names: &[],
    prefixes: &[
        "app.kubernetes.io/",
        "dbhub.tas.io/",
        "kubectl.kubernetes.io/",
        "container.apparmor.security.beta.kubernetes.io/",
        "container.seccomp.security.alpha.kubernetes.io/",
        "seccomp.security.alpha.kubernetes.io/",
    ],
};

/// Environment variables that change what DBHub 1.4, Node.js under it (`NODE_TLS_REJECT_UNAUTHORIZED`), the loader
/// under that or the `PostgreSQL` driver do: they would contradict what the instance and its Databases say.
pub const RESERVED_VARIABLES: Reserved = Reserved {
    names: &["DSN", "ID", "TRANSPORT", "PORT", "READONLY", "MAX_ROWS"],
    prefixes: &["DBHUB_", "DB_", "SSH_", "NODE_", "LD_", "PG"],
};

impl Reserved {
    /// Whether the name is one of them.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.names.contains(&name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The same in CEL, for a variable that holds the name.
    fn rule(&self, variable: &str) -> String {
        let names = self.names.iter().map(|name| format!("{variable} == '{name}'"));
        let prefixes = self.prefixes.iter().map(|prefix| format!("{variable}.startsWith('{prefix}')"));
        names.chain(prefixes).collect::<Vec<_>>().join(" || ")
    }

    /// CEL: no key of a map is one of them.
    fn keys_rule(&self, map: &str) -> String {
        format!("!has(self.{map}) || self.{map}.all(key, !({}))", self.rule("key"))
    }
}

/// Where and how DBHub's pods run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(RESERVED_LABELS.keys_rule("labels")).message("spec.podTemplate.labels: app, pod-template-hash, app.kubernetes.io/* and dbhub.tas.io/* are not yours to set"))]
#[x_kube(validation = Rule::new(RESERVED_ANNOTATIONS.keys_rule("annotations")).message("spec.podTemplate.annotations: app.kubernetes.io/*, dbhub.tas.io/*, kubectl.kubernetes.io/* and the AppArmor and seccomp annotations are not yours to set"))]
pub struct PodTemplate {
    /// Labels of the pods, beside the operator's own, which cannot be changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods, beside the operator's own, which cannot be changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,

    /// As in a pod: nodeAffinity, podAffinity, podAntiAffinity. `kubectl explain pod.spec.affinity` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "as_in_a_pod")]
    pub affinity: Option<Value>,

    /// As in a pod; the label app with the instance's name selects its pods. `kubectl explain
    /// pod.spec.topologySpreadConstraints` says more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "each_as_in_a_pod", length(max = 16))]
    pub topology_spread_constraints: Vec<Value>,

    /// Secrets of the namespace with logins of image registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,

    /// The pods' PriorityClass, none of those that Kubernetes keeps for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('system-')").message("spec.podTemplate.priorityClassName: the classes that begin with system- are for the cluster itself"))]
    pub priority_class_name: Option<String>,

    /// Environment variables of the container, read at a pod's start. Those that DBHub or Node.js reads are set by the
    /// operator and refused here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
}

/// Whatever a pod takes here. The operator and the API server check it, the former before, the latter when it gets the
/// Deployment; the whole schema would be as long as all the rest of the kind.
fn as_in_a_pod(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn each_as_in_a_pod(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": as_in_a_pod(generator)})
}

/// A Secret of the instance's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretName {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// One environment variable.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(format!("!({})", RESERVED_VARIABLES.rule("self.name"))).message("spec.podTemplate.env: DBHUB_*, DB_*, SSH_*, NODE_*, LD_*, PG*, DSN, ID, TRANSPORT, PORT, READONLY and MAX_ROWS would change what DBHub does and are refused"))]
#[x_kube(validation = Rule::new("!has(self.value) || !has(self.valueFrom)").message("spec.podTemplate.env: a variable has value or valueFrom, not both"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"))]
    pub name: String,

    /// Its value; absent and without valueFrom it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,

    /// Where its value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a variable's value is: one key of a Secret or a ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("spec.podTemplate.env.valueFrom takes exactly one of secretKeyRef and configMapKeyRef"))]
pub struct EnvVarSource {
    /// One key of a Secret of the instance's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,

    /// One key of a ConfigMap of the instance's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// One key of an object in the instance's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct KeyRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Key of the value.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_reserved_alone_or_by_their_beginning() {
        for (reserved, taken, free) in [
            (RESERVED_LABELS, ["app", "app.kubernetes.io/name", "pod-template-hash"], ["apps", "team", "x.io/app"]),
            (
                RESERVED_ANNOTATIONS,
                [
                    "dbhub.tas.io/config-hash",
                    "kubectl.kubernetes.io/restartedAt",
                    "container.apparmor.security.beta.kubernetes.io/dbhub",
                ],
                ["app", "prometheus.io/scrape", "cluster-autoscaler.kubernetes.io/safe-to-evict"],
            ),
            (RESERVED_VARIABLES, ["NODE_OPTIONS", "DBHUB_AUTH_TOKEN", "ID"], ["TZ", "IDS", "HTTPS_PROXY"]),
        ] {
            assert_eq!(taken.map(|name| reserved.includes(name)), [true; 3], "{taken:?}");
            assert_eq!(free.map(|name| reserved.includes(name)), [false; 3], "{free:?}");
        }
    }

    #[test]
    fn the_rule_for_admission_names_them_all() {
        let reserved = Reserved { names: &["a", "b"], prefixes: &["c/"] };
        assert_eq!(
            reserved.keys_rule("labels"),
            "!has(self.labels) || self.labels.all(key, !(key == 'a' || key == 'b' || key.startsWith('c/')))"
        );
    }
}
