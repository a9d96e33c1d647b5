//! `Database`: one connection to one database, and what db-probe found behind it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dbhub_instance::Operation;

/// A database that applications and AI agents connect to, and how to reach it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dbhub.tas.io",
    version = "v1alpha1",
    kind = "Database",
    plural = "databases",
    singular = "database",
    shortname = "db",
    namespaced,
    status = "DatabaseStatus",
    derive = "PartialEq",
    doc = "A database that applications and AI agents connect to. db-probe logs in with its credentials and reports in the status whether it is reachable and what the login may do.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self.type == 'sqlite' || has(self.host)").message("spec.host is required for this type"))]
#[x_kube(validation = Rule::new("self.type == 'sqlite' || has(self.credentialsRef)").message("spec.credentialsRef is required for this type"))]
#[x_kube(validation = Rule::new("self.type != 'sqlite' || has(self.database)").message("spec.database is required for sqlite: ':memory:' or a relative path"))]
#[x_kube(validation = Rule::new("self.type != 'sqlite' || !has(self.database) || self.database == ':memory:' || !self.database.split('/').exists(part, part in ['', '.', '..'])").message("spec.database of type sqlite must be ':memory:' or a relative path without '..'"))]
#[x_kube(validation = Rule::new("!has(self.sqlite) || self.type == 'sqlite'").message("spec.sqlite needs type sqlite"))]
#[x_kube(validation = Rule::new("!has(self.sqlite) || !has(self.database) || self.database != ':memory:'").message("spec.sqlite.volume holds a file: spec.database cannot be ':memory:'"))]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The engine that listens there.
    #[serde(rename = "type")]
    pub engine: Engine,

    /// One DNS name or IP address. No list, no socket path. Required except for sqlite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_.:-]+$')").message("spec.host must be one DNS name or IP address, without port, list or path"))]
    pub host: Option<String>,

    /// Port of the server. Defaults by type: postgres 5432, mysql and mariadb 3306, sqlserver 1433.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// Name of the database on the server; for sqlite a relative path or ':memory:'. The path begins on the volume of
    /// spec.sqlite.volume, and for db-probe in the folder of the Database's namespace below its --sqlite-root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub database: Option<String>,

    /// The Secret that holds user and password. Required except for sqlite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<CredentialsRef>,

    /// Seconds that connecting, TLS and login may take together.
    #[serde(default = "default_connection_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub connection_timeout: u32,

    /// Seconds that one query may take.
    #[serde(default = "default_query_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub query_timeout: u32,

    /// What is demanded of the connection. disable: plaintext. require: encrypted, certificate not
    /// checked. verify-ca: certificate chain checked. verify-full: chain and host name checked.
    /// There is never a fallback to plaintext.
    #[serde(default)]
    pub ssl_mode: SslMode,

    /// Which certificate authorities are trusted by verify-ca and verify-full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DatabaseTls>,

    /// Where the file of an SQLite database is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<DatabaseSqlite>,

    /// What agents may do with this database at most. The stricter of this and the defaultPolicy of a DBHubInstance
    /// applies, field by field. Absent fields restrict nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DatabasePolicy>,
}

fn default_connection_timeout() -> u32 {
    30
}

fn default_query_timeout() -> u32 {
    15
}

/// The database engines that a Database can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of products")]
pub enum Engine {
    Postgres,
    Mysql,
    Mariadb,
    Sqlserver,
    Sqlite,
}

impl Engine {
    /// The value of `spec.type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Sqlserver => "sqlserver",
            Self::Sqlite => "sqlite",
        }
    }

    /// The port that applies when the spec names none; none for a file.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Postgres => Some(5432),
            Self::Mysql | Self::Mariadb => Some(3306),
            Self::Sqlserver => Some(1433),
            Self::Sqlite => None,
        }
    }
}

/// What is demanded of a connection; the words are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum SslMode {
    /// Plaintext.
    Disable,
    /// Encrypted; the certificate is not checked.
    #[default]
    Require,
    /// Encrypted; the certificate chain is checked, the host name is not.
    VerifyCa,
    /// Encrypted; certificate chain and host name are checked.
    VerifyFull,
}

/// Where user and password are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Namespace of the Secret, if not the Database's own. Its owner must consent: the Secret needs
    /// the annotation dbhub.tas.io/allowed-namespaces with the Database's namespace (or '*').
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,

    /// Key of the user name in the Secret.
    #[serde(default = "default_user_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub user_key: String,

    /// Key of the password in the Secret.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub password_key: String,
}

fn default_user_key() -> String {
    "username".to_owned()
}

fn default_password_key() -> String {
    "password".to_owned()
}

/// Trust for the server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTls {
    /// CA certificates (PEM) in a Secret or ConfigMap of the Database's namespace. Without it the
    /// platform's trust bundle applies, and without that the public web roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
}

/// One key of a Secret or ConfigMap with CA certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// Secret or ConfigMap.
    pub kind: CaKind,

    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Key that holds the PEM text.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// Kinds of object that can hold CA certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the names of kinds")]
pub enum CaKind {
    Secret,
    ConfigMap,
}

/// Where the file of an SQLite database is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSqlite {
    /// The volume with the file, of the Database's namespace. The pods of a DBHubInstance mount it, read only; without
    /// it they cannot serve the file. db-probe does not mount it: it sees the file only below its own --sqlite-root.
    pub volume: SqliteVolume,
}

/// A volume with SQLite files: a claim or a ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.persistentVolumeClaim) != has(self.configMap)").message("spec.sqlite.volume takes exactly one of persistentVolumeClaim and configMap"))]
pub struct SqliteVolume {
    /// A PersistentVolumeClaim. A file in WAL mode cannot be read on it, since the mount is read only: set it to
    /// journal_mode DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<SqliteClaim>,

    /// A ConfigMap, for small files that change seldom: each key is a file, most of them in binaryData.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<SqliteConfigMap>,
}

/// The PersistentVolumeClaim with the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqliteClaim {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub claim_name: String,
}

/// The ConfigMap with the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqliteConfigMap {
    /// Name of the ConfigMap; spec.database is one of its keys.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// The limits that a Database sets, whatever the instance that serves it allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabasePolicy {
    /// true: refuse statements that write, even where the instance allows them. false changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readonly: Option<bool>,

    /// Rows that a SELECT returns at most; the smaller number applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_rows: Option<i32>,

    /// Tools that agents may get; those apply that the instance allows too. When none is left, the instance leaves
    /// this database out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub allowed_operations: Option<Vec<Operation>>,
}

/// What db-probe found at its last look.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Summary of the conditions: Pending (not probed yet, or a file that db-probe cannot see), Connected, Degraded,
    /// Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DatabasePhase>,

    /// When the database was last probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<Time>,

    /// What was found, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// Connections that this login holds on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,

    /// What the login may do, by the server's own catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Privileges>,

    /// Product and version that the server names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready is True when the last login and query succeeded. Its reason is one of Connected, Slow, Flapping,
    /// SecretNotFound, SecretKeyMissing, CredentialsNotShared, HostNotFound, HostNotAllowed, ConnectionRefused, Timeout,
    /// TlsFailed, AuthenticationFailed, PasswordExpired, AccessDenied, DatabaseNotFound, TooManyConnections,
    /// ServerNotReady, InvalidSpec, FileNotVisible, ProtocolError.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Summary of a Database's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum DatabasePhase {
    /// Not probed yet, or an SQLite file that db-probe cannot see.
    Pending,
    /// The last login and query succeeded.
    Connected,
    /// The last probe failed, or the probe cannot be made.
    Failed,
    /// Connected, but slow or flapping.
    Degraded,
}

impl DatabasePhase {
    /// The value of `status.phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Connected => "Connected",
            Self::Failed => "Failed",
            Self::Degraded => "Degraded",
        }
    }
}

/// Connections that one login holds on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ConnectionPool {
    /// Connections that run a statement.
    pub active: i32,
    /// Connections that wait for one.
    pub idle: i32,
}

/// The strongest right found for a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Privileges {
    /// No right to write was found.
    ReadOnly,
    /// The login can change data or objects.
    ReadWrite,
    /// The login can change the server itself, read its files or run programs.
    Admin,
    /// The catalogue could not be read.
    Unknown,
}
