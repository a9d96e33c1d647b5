//! `DBHubInstance`: one DBHub, the MCP server for SQL, over the Databases that it selects.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pod_template::PodTemplate;

mod auth;
mod resources;
mod status;

pub use auth::{Auth, AuthMode, TokenSecretRef};
pub use resources::{ComputeResources, Resources};
pub use status::{DBHubInstanceStatus, DatabaseEntry, DatabaseState, InstancePhase};

/// A DBHub that gives AI agents SQL access to the selected Databases.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dbhub.tas.io",
    version = "v1alpha1",
    kind = "DBHubInstance",
    plural = "dbhubinstances",
    singular = "dbhubinstance",
    shortname = "dbhi",
    namespaced,
    status = "DBHubInstanceStatus",
    derive = "PartialEq",
    doc = "A DBHub, the SQL server for AI agents (MCP), over the Databases that it selects in its namespace. dbhub-operator renders its configuration, runs it and verifies it by a handshake.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.availableReplicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.availableReplicas"),
    printcolumn(name = "Databases", type_ = "string", json_path = ".status.connectedDatabases"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DBHubInstanceSpec {
    /// How many DBHub pods run.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1))]
    pub replicas: i32,

    /// Image of DBHub. It gets the databases' logins, so the platform may allow certain images only. Pin a version in
    /// production.
    #[serde(default = "default_image")]
    #[schemars(length(min = 1, max = 500))]
    pub image: String,

    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// How clients speak MCP. http: streamable HTTP through the Service. stdio: `kubectl attach -i`
    /// to a pod. sse: DBHub no longer has it; use http.
    #[serde(default)]
    pub transport: Transport,

    /// Port of the pods and of the Service.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// Which Databases of the namespace are served. Absent: all of them. What is given must all hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_selector: Option<DatabaseSelector>,

    /// What agents may do at most. A Database's own policy can only restrict it further. Absent: read only, 500 rows,
    /// both operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<Policy>,

    /// Compute resources of a DBHub pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Who may call. Absent: a bearer token, made once, in Secret <name>-token under key 'token'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// Host names beside the Service's own under which clients reach DBHub, such as an Ingress host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), pattern(r"^[A-Za-z0-9.-]+(:[0-9]+)?$")))]
    pub allowed_hosts: Vec<String>,

    /// Where and how DBHub's pods run. A change replaces the pods once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

fn default_replicas() -> i32 {
    1
}

fn default_image() -> String {
    "bytebase/dbhub:latest".to_owned()
}

fn default_port() -> u16 {
    8080
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the words of Kubernetes")]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    /// The value in a pod's spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How clients speak MCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Transport {
    /// Streamable HTTP through the Service.
    #[default]
    Http,
    /// Removed from DBHub: admitted, then explained in the status.
    Sse,
    /// Standard input and output of a pod, for `kubectl attach -i`.
    Stdio,
}

/// Chooses Databases of the instance's namespace; what is given must all hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSelector {
    /// Labels that a Database must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,

    /// Names, one of which a Database must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_names: Vec<String>,

    /// Conditions on a Database's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelExpression>,
}

/// One condition on labels.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)").message("values are required with In and NotIn, and not allowed with Exists and DoesNotExist"))]
pub struct LabelExpression {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// How the label's value relates to `values`.
    pub operator: LabelOperator,

    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label's value relates to a list of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the words of Kubernetes")]
pub enum LabelOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// What agents may do with a database.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Refuse statements that write. DBHub checks key words and runs in a read-only transaction;
    /// a login without the right to write is the real control.
    #[serde(default = "default_readonly")]
    pub readonly: bool,

    /// Rows that a SELECT returns at most.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = 1))]
    pub max_rows: i32,

    /// Tools that agents get. Absent or empty: both.
    #[serde(default = "Operation::all")]
    #[schemars(with = "Option<Vec<Operation>>")]
    pub allowed_operations: Vec<Operation>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { readonly: default_readonly(), max_rows: default_max_rows(), allowed_operations: Operation::all() }
    }
}

fn default_readonly() -> bool {
    true
}

fn default_max_rows() -> i32 {
    500
}

/// The tools of DBHub that a policy can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Operation {
    /// Run SQL.
    ExecuteSql,
    /// Look up schemas, tables, columns, indexes and procedures.
    SearchObjects,
}

impl Operation {
    /// Every operation, in DBHub's own order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![Self::ExecuteSql, Self::SearchObjects]
    }

    /// DBHub's name of the tool.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExecuteSql => "execute_sql",
            Self::SearchObjects => "search_objects",
        }
    }
}
