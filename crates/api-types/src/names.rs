//! Labels and annotations that people or other tools read or write: the names here are API.

/// Any new value forces a full pass over the object that carries it.
pub const RECONCILE: &str = "reconcile";

/// Label of every object that an operator made, with the operator's name as value.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// On a Secret: the namespaces (comma separated, or `*`) whose Databases may use it.
pub const DBHUB_ALLOWED_NAMESPACES: &str = "dbhub.tas.io/allowed-namespaces";

/// On an admin Secret or a target namespace: the namespaces (comma separated, or `*`)
/// whose AppDatabases may use it.
pub const ALLOWED_NAMESPACES: &str = "db.stillwaters.io/allowed-namespaces";

/// Label of an admin Secret: the clusterRef that it serves.
pub const CLUSTER: &str = "db.stillwaters.io/cluster";

/// On an admin Secret: existing databases and users that may be adopted (comma separated, or `*`).
pub const ADOPTABLE: &str = "db.stillwaters.io/adoptable";

/// On a Secret that the concierge wrote: `<namespace>/<name>` of the AppDatabase it belongs to.
pub const OWNER: &str = "db.stillwaters.io/owner";

/// Any new value on an AppDatabase makes a new password.
pub const ROTATE: &str = "db.stillwaters.io/rotate";

/// `true` on an AppDatabase releases it although its server is gone: nothing is dropped.
pub const ORPHAN: &str = "db.stillwaters.io/orphan";

/// Holds an AppDatabase with `deletionPolicy: Delete` until its database and user are dropped.
pub const FINALIZER: &str = "db.stillwaters.io/cleanup";

/// Is `namespace` in a comma separated list of namespaces, or is the list `*`?
///
/// ```
/// assert!(api_types::names::lists_namespace("team-a, team-b", "team-b"));
/// assert!(!api_types::names::lists_namespace("", "team-b"));
/// ```
#[must_use]
pub fn lists_namespace(list: &str, namespace: &str) -> bool {
    list.split(',').map(str::trim).any(|entry| entry == "*" || entry == namespace)
}
