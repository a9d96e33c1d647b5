//! `AppDatabase`: a database, a user and a Secret for one application on a shared server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database, a user and a Secret for one application on a shared server.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "db.stillwaters.io",
    version = "v1",
    kind = "AppDatabase",
    plural = "appdatabases",
    singular = "appdatabase",
    shortname = "appdb",
    namespaced,
    status = "AppDatabaseStatus",
    derive = "PartialEq",
    doc = "A database, a user that owns nothing else, and a Secret with the credentials, for one application on a shared database server. concierge-operator creates and verifies them.",
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.dbName"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.appNamespace"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self.clusterRef == oldSelf.clusterRef").message("spec.clusterRef cannot change: create another AppDatabase on the other server and move the data"))]
#[x_kube(validation = Rule::new("self.dbName == oldSelf.dbName").message("spec.dbName cannot change: create another AppDatabase and move the data"))]
#[x_kube(validation = Rule::new("self.appNamespace == oldSelf.appNamespace").message("spec.appNamespace cannot change"))]
#[x_kube(validation = Rule::new("has(self.userName) == has(oldSelf.userName) && (!has(self.userName) || self.userName == oldSelf.userName)").message("spec.userName cannot change"))]
#[x_kube(validation = Rule::new("has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)").message("spec.secretName cannot change"))]
#[x_kube(validation = Rule::new("!self.readOnlyUser || !has(self.userName) || self.userName.lowerAscii() != self.dbName.lowerAscii() + '_ro'").message("spec.userName is what the user of spec.readOnlyUser is called: choose another"))]
#[serde(rename_all = "camelCase")]
pub struct AppDatabaseSpec {
    /// The server: the first label of its host name, such as cluster1-haproxy, or the value of the
    /// label db.stillwaters.io/cluster of its admin Secret.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"))]
    pub cluster_ref: String,

    /// Name of the database: letters, digits and underscores.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['mysql', 'sys', 'information_schema', 'performance_schema', 'db_concierge', 'postgres', 'template0', 'template1', 'test'])").message("spec.dbName is a name that the server or the concierge uses itself; choose another"))]
    #[x_kube(validation = Rule::new("!self.lowerAscii().startsWith('pg_')").message("spec.dbName must not start with pg_, which PostgreSQL keeps for itself"))]
    pub db_name: String,

    /// Namespace of the application, where the Secret goes.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('kube-')").message("spec.appNamespace must not be a namespace of Kubernetes itself (kube-*)"))]
    pub app_namespace: String,

    /// Name of the Secret. Default: {dbName}-mysql-creds, or {dbName}-postgres-creds on PostgreSQL, in lower case, with
    /// '_' as '-'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,

    /// Name of the database user: letters, digits and underscores. Default: {dbName}_app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['root', 'mysql', 'mariadb', 'postgres', 'admin', 'monitor', 'operator', 'replication', 'replicator', 'repl', 'xtrabackup', 'clustercheck', 'proxyadmin', 'debian_sys_maint', 'public', 'none'])").message("spec.userName is a name that servers use themselves; choose another"))]
    #[x_kube(validation = Rule::new("!self.lowerAscii().startsWith('pg_')").message("spec.userName must not start with pg_, which PostgreSQL keeps for itself"))]
    pub user_name: Option<String>,

    /// Character set of the database. On PostgreSQL its encoding, such as UTF8 or LATIN1, where MySQL's names of UTF-8
    /// mean UTF8; it cannot change there.
    #[serde(default = "default_charset")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    pub charset: String,

    /// Collation of the database. On PostgreSQL its locale, such as C or en_US, where the default and MySQL's other
    /// collations of UTF-8 mean the server's own; it cannot change there.
    #[serde(default = "default_collation")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    pub collation: String,

    /// Retain: deleting this object keeps database and user. Delete: it drops them with all data.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The login is accepted over TLS alone, and the connection string says so. A MySQL server refuses plaintext from
    /// the user then. On PostgreSQL that is decided by pg_hba.conf: a server that takes the login in plaintext makes
    /// this fail with reason TlsNotEnforced.
    #[serde(default)]
    pub require_tls: bool,

    /// How many connections each user of the database may have at a time. Default: as many as the server takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connection_limit: Option<u32>,

    /// Also create a user {dbName}_ro that can read the database and nothing else, with its credentials in Secret
    /// {secretName}-ro. Taking this back drops that user and that Secret.
    #[serde(default)]
    pub read_only_user: bool,

    /// SQL to run once, when the database is ready. A script that changed is run again, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sql: Option<InitSql>,
}

/// A script: statements that each end with a semicolon, run one by one, in order, as the application's own user.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.inline) != has(self.configMapRef)").message("spec.initSql takes exactly one of inline and configMapRef"))]
pub struct InitSql {
    /// The script itself. No secrets: whoever may read this object may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub inline: Option<String>,

    /// The ConfigMap with the script. A changed one is read with the next full pass, which annotation reconcile asks
    /// for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ScriptRef>,
}

/// One key of a ConfigMap in the AppDatabase's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Key that holds the script, at most 256 KiB of it.
    #[serde(default = "default_script_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_script_key() -> String {
    "init.sql".to_owned()
}

fn default_charset() -> String {
    "utf8mb4".to_owned()
}

fn default_collation() -> String {
    "utf8mb4_unicode_ci".to_owned()
}

/// What deleting an AppDatabase does to its database and user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// They are kept, and no server is contacted.
    #[default]
    Retain,
    /// They are dropped, with all data.
    Delete,
}

/// What exists on the server and in the application's namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppDatabaseStatus {
    /// Summary of the conditions: Pending, Creating, Ready, Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<AppDatabasePhase>,

    /// What was done or is wrong, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// The database user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,

    /// The Secret with the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// Connection string with a placeholder for the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<String>,

    /// The user that can only read, with spec.readOnlyUser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_user_name: Option<String>,

    /// The Secret of the user that can only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_secret_name: Option<String>,

    /// SHA-256 of the script of spec.initSql that was run last. Condition InitSql says how that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sql_hash: Option<String>,

    /// The last pass that changed something or was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reconcile_time: Option<Time>,

    /// The value of annotation `reconcile` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile: Option<String>,

    /// The value of annotation `db.stillwaters.io/rotate` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate: Option<String>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready is True when the application's own login was tried and sees its database, and everything else that was
    /// asked for is there. DatabaseReady, UserReady and SecretReady are True when that part is as it should be, and
    /// False with the reason when something is in its way. Verified is True when the users' logins worked when they
    /// were last tried. Drift is True when the server differs from what was asked for in something that the concierge
    /// does not change back; reason Repaired tells what it did change back last. InitSql, with spec.initSql only, is
    /// True when the script has run to its end. ServerUnavailable is there, and True, only while the server cannot be
    /// used; the other conditions then tell what was found before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Summary of an AppDatabase's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum AppDatabasePhase {
    /// Waiting for something outside, such as a namespace or a server.
    Pending,
    /// Being created.
    Creating,
    /// Created and verified.
    Ready,
    /// A person must act; the message says how.
    Failed,
}
