//! The custom resources of db-operators and nothing else: specs, statuses and the
//! admission rules that travel inside the CRDs. No client, no I/O.
//!
//! Field documentation is written for `kubectl explain`; defaults live in the schema,
//! so that an object read back from the API server shows what applies to it.

pub mod app_database;
pub mod database;
pub mod dbhub_instance;
mod manifest;
pub mod names;
pub mod pod_template;
#[cfg(test)]
mod seed_contract;

pub use app_database::{
    AppDatabase, AppDatabasePhase, AppDatabaseSpec, AppDatabaseStatus, DeletionPolicy, InitSql, ScriptRef,
};
pub use database::{
    CaKind, CaRef, ConnectionPool, CredentialsRef, Database, DatabasePhase, DatabasePolicy, DatabaseSpec,
    DatabaseSqlite, DatabaseStatus, DatabaseTls, Engine, Privileges, SqliteClaim, SqliteConfigMap, SqliteVolume,
    SslMode,
};
pub use dbhub_instance::{
    Auth, AuthMode, ComputeResources, DBHubInstance, DBHubInstanceSpec, DBHubInstanceStatus, DatabaseEntry,
    DatabaseSelector, DatabaseState, ImagePullPolicy, InstancePhase, LabelExpression, LabelOperator, Operation, Policy,
    Resources, TokenSecretRef, Transport,
};
pub use manifest::{CrdManifest, crd_manifests};
pub use pod_template::{EnvVar, EnvVarSource, KeyRef, PodTemplate, SecretName};

/// The condition type that every kind carries: is the object what its spec asks for?
pub const READY: &str = "Ready";
