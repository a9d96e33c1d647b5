//! Turns a Database and what was gathered for it into a target that can be probed, or into the problem that keeps it
//! from being one. Pure; after it nothing checks a field again.

use std::time::Duration;

use api_types::{CredentialsRef, Database, DatabaseSpec, Engine, SslMode, names};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::SecretString;
use sql_client::{ConnectOptions, Credentials, DeniedAddresses, Endpoint, Host, TlsMode, TrustRoots};

use crate::error::{Attempt, FileClass, FileName, FileProblem, Problem};
use crate::gather::{Gathered, Trust};
use crate::probe::{DBHUB, MAX_ANSWER, Place, RelativePath, Root, SqliteOptions};
use crate::references::{Reference, References};
use crate::settings::Settings;

/// What can be tried.
#[derive(Clone, Debug)]
pub enum Target {
    /// A server and login.
    Server(Box<Server>),
    /// An SQLite file.
    File(SqliteOptions),
}

/// A server and login that can be tried.
#[derive(Clone, Debug)]
pub struct Server {
    /// All that the client needs.
    pub options: ConnectOptions,
    /// The same in words, for the status.
    pub attempt: Attempt,
}

/// Checks everything that can be checked without the server or the file.
pub fn validate(database: &Database, gathered: &Gathered, settings: &Settings) -> Result<Target, Problem> {
    Ok(match client_engine(database.spec.engine) {
        Some(engine) => Target::Server(Box::new(server(database, engine, gathered, &settings.denied)?)),
        None => Target::File(file(database, settings.sqlite_root.as_ref())?),
    })
}

fn server(
    database: &Database,
    engine: sql_client::Engine,
    gathered: &Gathered,
    denied: &DeniedAddresses,
) -> Result<Server, Problem> {
    let spec = &database.spec;
    let endpoint = endpoint(spec, engine)?;
    let references = References::of(database)?;
    let wanted = spec.credentials_ref.as_ref().ok_or(Problem::FieldMissing("spec.credentialsRef"))?;
    let source = references.credentials.ok_or(Problem::FieldMissing("spec.credentialsRef"))?;
    let secret = consented(database, &source, gathered.secret.as_ref())?;
    let options = ConnectOptions {
        engine,
        endpoint: endpoint.clone(),
        database: spec.database.clone(),
        tls: tls_mode(spec.ssl_mode),
        roots: roots(spec, references.ca.as_ref(), &gathered.trust)?,
        credentials: credentials(secret, &source, wanted)?,
        connect_timeout: Duration::from_secs(spec.connection_timeout.into()),
        query_timeout: Duration::from_secs(spec.query_timeout.into()),
        max_answer: MAX_ANSWER,
        application_name: env!("CARGO_PKG_NAME").to_owned(),
        denied: denied.clone(),
    };
    Ok(Server { options, attempt: attempt(spec, endpoint, source) })
}

fn file(database: &Database, root: Option<&Root>) -> Result<SqliteOptions, Problem> {
    let spec = &database.spec;
    let path = spec.database.as_deref().ok_or(Problem::FieldMissing("spec.database"))?;
    let volume = spec.sqlite.as_ref().map(|sqlite| &sqlite.volume);
    let namespace = database.namespace().unwrap_or_default();
    let below = RelativePath::parse(path).and_then(|path| path.within(&namespace));
    let name = FileName { path: path.to_owned(), namespace: Some(namespace), on_volume: volume.is_some() };
    let place = if path == ":memory:" {
        Place::Memory
    } else {
        let below = below.ok_or(Problem::FilePath)?;
        let root = root.ok_or_else(|| FileProblem::new(FileClass::NotVisible, &name))?;
        Place::File(root.clone(), below)
    };
    Ok(SqliteOptions {
        place,
        name,
        // What a ConfigMap holds is written by the API server alone.
        writer: volume.is_none_or(|volume| volume.config_map.is_none()).then_some(DBHUB),
        connect_timeout: Duration::from_secs(spec.connection_timeout.into()),
        query_timeout: Duration::from_secs(spec.query_timeout.into()),
    })
}

fn attempt(spec: &DatabaseSpec, endpoint: Endpoint, secret: Reference) -> Attempt {
    Attempt {
        engine: spec.engine,
        endpoint,
        database: spec.database.clone(),
        ssl_mode: spec.ssl_mode,
        secret,
        connection_timeout: spec.connection_timeout,
        query_timeout: spec.query_timeout,
    }
}

/// What speaks to the engine's servers; a file has none.
fn client_engine(engine: Engine) -> Option<sql_client::Engine> {
    match engine {
        Engine::Postgres => Some(sql_client::Engine::Postgres),
        Engine::Mysql | Engine::Mariadb => Some(sql_client::Engine::Mysql),
        Engine::Sqlserver => Some(sql_client::Engine::SqlServer),
        Engine::Sqlite => None,
    }
}

fn endpoint(spec: &DatabaseSpec, engine: sql_client::Engine) -> Result<Endpoint, Problem> {
    let host = spec.host.as_deref().ok_or(Problem::FieldMissing("spec.host"))?;
    let host = Host::parse(host).map_err(Problem::Host)?;
    let port = spec.port.or(spec.engine.default_port()).unwrap_or(engine.default_port());
    Ok(Endpoint { host, port })
}

/// The Secret, if the Database may use it. In another namespace its owner must say so, and a Secret that does not
/// exist gets the same answer, so that a Database is no way to find out.
fn consented<'a>(database: &Database, source: &Reference, secret: Option<&'a Secret>) -> Result<&'a Secret, Problem> {
    let namespace = database.namespace().unwrap_or_default();
    if source.namespace == namespace {
        return secret.ok_or_else(|| Problem::SecretNotFound(source.clone()));
    }
    let shared = |secret: &&Secret| {
        let list = secret.annotations().get(names::DBHUB_ALLOWED_NAMESPACES);
        list.is_some_and(|list| names::lists_namespace(list, &namespace))
    };
    secret
        .filter(shared)
        .ok_or_else(|| Problem::CredentialsNotShared { secret: source.clone(), namespace: namespace.clone() })
}

fn credentials(secret: &Secret, source: &Reference, wanted: &CredentialsRef) -> Result<Credentials, Problem> {
    let user = value(secret, source, &wanted.user_key)?;
    let password = value(secret, source, &wanted.password_key)?;
    Ok(Credentials { user: user.to_owned(), password: SecretString::from(password) })
}

fn value<'a>(secret: &'a Secret, source: &Reference, key: &str) -> Result<&'a str, Problem> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).filter(|value| !value.0.is_empty());
    let named = || (source.clone(), key.to_owned());
    let bytes = bytes.ok_or_else(named).map_err(|(secret, key)| Problem::SecretKeyMissing { secret, key })?;
    std::str::from_utf8(&bytes.0)
        .map_err(|_| named())
        .map_err(|(secret, key)| Problem::SecretKeyNotText { secret, key })
}

fn roots(spec: &DatabaseSpec, ca: Option<&Reference>, trust: &Trust) -> Result<TrustRoots, Problem> {
    let data = match trust {
        Trust::Unneeded => return Ok(TrustRoots::web()),
        Trust::Platform(roots) => return roots.clone(),
        Trust::Object(data) => data,
    };
    let wanted = spec.tls.as_ref().and_then(|tls| tls.ca_ref.as_ref());
    let (wanted, object) = wanted.zip(ca).ok_or(Problem::FieldMissing("spec.tls.caRef"))?;
    let data = data.as_ref().ok_or_else(|| Problem::CaNotFound(object.clone()))?;
    let (object, key) = (object.clone(), wanted.key.clone());
    match data.get(&key) {
        None => Err(Problem::CaKeyMissing { object, key }),
        Some(pem) => TrustRoots::from_pem(pem).map_err(|cause| Problem::CaUnusable { object, key, cause }),
    }
}

fn tls_mode(mode: SslMode) -> TlsMode {
    match mode {
        SslMode::Disable => TlsMode::Disable,
        SslMode::Require => TlsMode::Require,
        SslMode::VerifyCa => TlsMode::VerifyCa,
        SslMode::VerifyFull => TlsMode::VerifyFull,
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
