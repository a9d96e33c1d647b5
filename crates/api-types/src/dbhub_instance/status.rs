//! What an instance reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What runs, and which databases it serves.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DBHubInstanceStatus {
    /// Summary of the conditions: Pending, Running, Failed, Degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<InstancePhase>,

    /// Pods that are ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,

    /// Names of the databases that are served and not known to be down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connected_databases: Vec<String>,

    /// Host and port of the Service inside the cluster; MCP is at path /mcp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,

    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Every selected Database: is it served, why not, and the names of its tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub databases: Vec<DatabaseEntry>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready is True when DBHub runs as asked; Verified when its handshake succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Summary of an instance's conditions. It stays Running while pods that serve are replaced; condition Ready tells when
/// the new ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum InstancePhase {
    /// Nothing to serve yet, or the first pods are starting.
    Pending,
    /// Every selected database is served and the handshake succeeded. It stays so while pods that serve are replaced;
    /// condition Ready is False until the new ones are verified.
    Running,
    /// Nothing is served; the message says why.
    Failed,
    /// It serves, but a database is left out or down, or a pod is missing.
    Degraded,
}

/// One selected Database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DatabaseEntry {
    /// Name of the Database.
    pub name: String,

    /// Is it served?
    pub state: DatabaseState,

    /// Why it is left out or down, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Why it is left out or down, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// Names of its MCP tools. With one database DBHub names them without the database's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// What an instance does with a selected Database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum DatabaseState {
    /// Served, and not known to be down.
    Served,
    /// Served when it comes back: its Database is Failed.
    Down,
    /// Not rendered: the reason says why.
    LeftOut,
}
