//! Turns the admin Secrets of the home namespace into servers: which of them a clusterRef means, how to log in there,
//! and what applications are told. Pure; [`crate::pool`] keeps the connections.
//!
//! A Secret labelled `db.stillwaters.io/cluster` serves the clusterRef in that label; without the label, the Secret
//! `db-concierge-mysql-admin` serves the first label of its host. `MYSQL_ADMIN_SSLMODE` defaults to `disable`, because
//! a Secret with the four basic keys must work on a server without TLS and no mode falls back to another; `require`
//! or better is what to set wherever the server offers TLS. POSTGRES_ADMIN_* instead of MYSQL_ADMIN_* makes it a
//! PostgreSQL server.

use std::sync::Arc;
use std::time::Duration;

use api_types::names::{ADOPTABLE, ALLOWED_NAMESPACES, CLUSTER, MANAGED_BY, lists_namespace};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::SecretString;
use sql_client::{
    ConnectOptions, Credentials, DeniedAddresses, Endpoint, Host, HostError, TlsMode, TlsModeError, TrustRoots,
    TrustRootsError,
};

use crate::OPERATOR;
use crate::engine::{AuthPlugin, Engine};
use crate::plan::Password;
use crate::validate::{Account, Request};

/// How long an answer of a server may be, in bytes: the bookkeeping table of a hundred thousand databases.
const MAX_ANSWER: usize = 64 << 20;

/// The one Secret that serves a cluster without naming it.
const DEFAULT_SECRET: &str = "db-concierge-mysql-admin";

/// The key for how applications prove their passwords to a MySQL server.
const AUTH_PLUGIN: &str = "MYSQL_APP_AUTH_PLUGIN";

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Resolving, dialling, TLS and login together.
    pub connect: Duration,
    /// One statement.
    pub statement: Duration,
}

/// A server that databases are made on.
#[derive(Clone, Debug)]
pub struct Server {
    /// The clusterRef that it serves.
    pub cluster: String,
    /// What it speaks.
    pub engine: Engine,
    /// Name of its admin Secret.
    pub secret: String,
    /// Which state of that Secret this was read from.
    pub version: String,
    /// How the concierge logs in.
    pub admin: ConnectOptions,
    /// Where applications find it.
    pub app: Endpoint,
    /// How applications prove their passwords; `None` is the server's default.
    pub auth_plugin: Option<AuthPlugin>,
    allowed: Option<String>,
    adoptable: Option<String>,
}

/// Why a clusterRef leads to no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No Secret serves it.
    #[error(
        "no server is called {cluster}: check spec.clusterRef, or have an admin Secret labelled db.stillwaters.io/cluster={cluster} created in the concierge's namespace"
    )]
    Unknown {
        /// The clusterRef.
        cluster: String,
    },
    /// More than one Secret serves it.
    #[error(
        "the admin Secrets {secrets} all claim to be server {cluster}: only one may, so that nobody's data lands on the wrong one"
    )]
    Ambiguous {
        /// The clusterRef.
        cluster: String,
        /// Their names.
        secrets: String,
    },
    /// The owner of the server does not admit this namespace.
    #[error(
        "server {cluster} does not serve namespace {namespace}: its admin Secret lists others in annotation db.stillwaters.io/allowed-namespaces"
    )]
    NotAllowed {
        /// The clusterRef.
        cluster: String,
        /// Where the AppDatabase is.
        namespace: String,
    },
    /// The Secret's contents cannot be used.
    #[error("the admin Secret {secret} cannot be used: {problem}")]
    SecretInvalid {
        /// Its name.
        secret: String,
        /// What is wrong in it.
        problem: Problem,
    },
}

/// What is wrong in an admin Secret. Values are not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A key is missing, or its value is no text.
    #[error("it has no key {0} with a text")]
    Missing(&'static str),
    /// No port.
    #[error("{0} is no port from 1 to 65535")]
    Port(&'static str),
    /// No host.
    #[error("{0}: {1}")]
    Host(&'static str, #[source] HostError),
    /// No TLS mode.
    #[error("{0}: {1}")]
    TlsMode(&'static str, #[source] TlsModeError),
    /// No CA.
    #[error("{0}: {1}")]
    Ca(&'static str, #[source] TrustRootsError),
    /// No way of proving a password that is spoken here.
    #[error("{AUTH_PLUGIN} is neither caching_sha2_password nor mysql_native_password")]
    AuthPlugin,
    /// Of two kinds.
    #[error("it has keys MYSQL_ADMIN_* and POSTGRES_ADMIN_*, and a server is of one kind")]
    TwoEngines,
}

/// The server that `cluster` names among the Secrets of the home namespace.
pub fn find(secrets: &[Arc<Secret>], cluster: &str, timeouts: Timeouts) -> Result<Server, ServerError> {
    let mut serving: Vec<_> =
        secrets.iter().filter(|secret| served_cluster(secret).as_deref() == Some(cluster)).collect();
    serving.sort_by_key(|secret| secret.name_any());
    match serving.as_slice() {
        [] => Err(ServerError::Unknown { cluster: cluster.to_owned() }),
        [secret] => server(secret, cluster, timeouts)
            .map_err(|problem| ServerError::SecretInvalid { secret: secret.name_any(), problem }),
        many => {
            let names: Vec<_> = many.iter().map(|secret| secret.name_any()).collect();
            Err(ServerError::Ambiguous { cluster: cluster.to_owned(), secrets: names.join(", ") })
        }
    }
}

/// A Secret that we wrote for an application is never an admin Secret.
fn served_cluster(secret: &Secret) -> Option<String> {
    let labels = secret.labels();
    if labels.get(MANAGED_BY).is_some_and(|manager| manager == OPERATOR) {
        return None;
    }
    match labels.get(CLUSTER) {
        Some(cluster) => Some(cluster.clone()),
        None if secret.name_any() == DEFAULT_SECRET => first_label(secret),
        None => None,
    }
}

fn first_label(secret: &Secret) -> Option<String> {
    match host(secret, Engine::Mysql.keys().host).ok()? {
        Host::Dns(name) => name.split('.').next().map(str::to_owned),
        Host::Ip(address) => Some(address.to_string()),
    }
}

/// By the keys that it has. Without any it is told to lack those of MySQL, which the documents start with.
fn engine(secret: &Secret) -> Result<Engine, Problem> {
    let has = |engine: Engine| secret.data.iter().flatten().any(|(key, _)| key.starts_with(engine.keys().prefix));
    match (has(Engine::Mysql), has(Engine::Postgres)) {
        (true, true) => Err(Problem::TwoEngines),
        (false, true) => Ok(Engine::Postgres),
        (_, false) => Ok(Engine::Mysql),
    }
}

fn server(secret: &Secret, cluster: &str, timeouts: Timeouts) -> Result<Server, Problem> {
    let engine = engine(secret)?;
    let keys = engine.keys();
    let admin_port = port(secret, keys.port)?.unwrap_or(engine.protocol().default_port());
    let admin = Endpoint { host: host(secret, keys.host)?, port: admin_port };
    let app_host = value(secret, keys.app_host).map(|_| host(secret, keys.app_host)).transpose()?;
    let app_port = port(secret, keys.app_port)?;
    let app = Endpoint { host: app_host.unwrap_or_else(|| admin.host.clone()), port: app_port.unwrap_or(admin.port) };
    let annotation = |key| secret.annotations().get(key).cloned();
    Ok(Server {
        cluster: cluster.to_owned(),
        engine,
        secret: secret.name_any(),
        version: version(secret),
        admin: admin_options(secret, engine, admin, timeouts)?,
        app,
        auth_plugin: auth_plugin(secret, engine)?,
        allowed: annotation(ALLOWED_NAMESPACES),
        adoptable: annotation(ADOPTABLE),
    })
}

/// MySQL alone has a choice, and MariaDB other words for it.
fn auth_plugin(secret: &Secret, engine: Engine) -> Result<Option<AuthPlugin>, Problem> {
    let name = value(secret, AUTH_PLUGIN).filter(|_| engine == Engine::Mysql);
    name.map(|name| AuthPlugin::parse(name).ok_or(Problem::AuthPlugin)).transpose()
}

/// Which state of an admin Secret this is.
#[must_use]
pub fn version(secret: &Secret) -> String {
    format!("{}/{}", secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default())
}

fn admin_options(
    secret: &Secret,
    engine: Engine,
    endpoint: Endpoint,
    timeouts: Timeouts,
) -> Result<ConnectOptions, Problem> {
    let keys = engine.keys();
    let tls = value(secret, keys.ssl_mode).map_or(Ok(TlsMode::Disable), str::parse);
    let ca = value(secret, keys.ca).map(|pem| TrustRoots::from_pem(pem.as_bytes())).transpose();
    let user = value(secret, keys.user).ok_or(Problem::Missing(keys.user))?;
    let password = raw(secret, keys.password).ok_or(Problem::Missing(keys.password))?;
    Ok(ConnectOptions {
        engine: engine.protocol(),
        endpoint,
        database: engine.admin_database().map(str::to_owned),
        tls: tls.map_err(|error| Problem::TlsMode(keys.ssl_mode, error))?,
        roots: ca.map_err(|error| Problem::Ca(keys.ca, error))?.unwrap_or_else(TrustRoots::web),
        credentials: Credentials { user: user.to_owned(), password: SecretString::from(password) },
        connect_timeout: timeouts.connect,
        query_timeout: timeouts.statement,
        max_answer: MAX_ANSWER,
        application_name: OPERATOR.to_owned(),
        denied: DeniedAddresses::default(),
    })
}

fn raw<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Everything but a password may end with the newline that `echo` adds.
fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    raw(secret, key).map(str::trim).filter(|text| !text.is_empty())
}

fn host(secret: &Secret, key: &'static str) -> Result<Host, Problem> {
    let text = value(secret, key).ok_or(Problem::Missing(key))?;
    Host::parse(text).map_err(|error| Problem::Host(key, error))
}

fn port(secret: &Secret, key: &'static str) -> Result<Option<u16>, Problem> {
    match value(secret, key).map(str::parse) {
        None => Ok(None),
        Some(Ok(port @ 1..)) => Ok(Some(port)),
        Some(_) => Err(Problem::Port(key)),
    }
}

impl Server {
    /// Whether AppDatabases of that namespace may use this server; all may unless its Secret lists some.
    pub fn admit(self, cluster: &str, namespace: &str) -> Result<Self, ServerError> {
        match &self.allowed {
            Some(list) if !lists_namespace(list, namespace) => {
                Err(ServerError::NotAllowed { cluster: cluster.to_owned(), namespace: namespace.to_owned() })
            }
            _ => Ok(self),
        }
    }

    /// Whether an existing database or user of that name may be taken over.
    #[must_use]
    pub fn may_adopt(&self, name: &str) -> bool {
        let list = self.adoptable.as_deref().unwrap_or_default();
        list.split(',').map(str::trim).any(|entry| entry == "*" || entry == name)
    }

    /// How the admin logs in to another database than its own.
    #[must_use]
    pub fn admin_in(&self, database: &str) -> ConnectOptions {
        ConnectOptions { database: Some(database.to_owned()), ..self.admin.clone() }
    }

    /// How a login of an application is used: as the admin's is, and over TLS where that is required.
    #[must_use]
    pub fn login(&self, request: &Request, account: &Account, password: &Password) -> ConnectOptions {
        let tls = match self.admin.tls {
            TlsMode::Disable if request.terms.tls => TlsMode::Require,
            mode => mode,
        };
        ConnectOptions {
            endpoint: self.app.clone(),
            database: Some(request.database.to_string()),
            tls,
            credentials: Credentials { user: account.user.to_string(), password: password.secret() },
            ..self.admin.clone()
        }
    }
}

#[cfg(test)]
mod tests;
