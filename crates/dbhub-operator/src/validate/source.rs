//! A Database becomes a [`Source`] that DBHub reads exactly as meant, or a [`Rejection`]. Only selection, specs,
//! Secrets and CAs decide; a Database's status never does, so that a flapping database rolls no pod.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use api_types::{CaRef, Database, Engine, Policy, SslMode};
use kube::ResourceExt as _;

use super::ca::{CaBundle, CaError};
use super::file::{File, file};
use super::login::{Credentials, credentials};
use super::policy::{of_database, stricter};
use super::rejection::Rejection;
use super::room::Room;
use crate::gather::{Candidate, Keyed};
use crate::plan::ids::SourceId;

/// All CAs of an instance share one ConfigMap, which holds a megabyte: no Database may fill it.
const MOST_CA_BYTES: usize = 64 * 1024;

/// One database as DBHub will serve it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id, unique among the sources of an instance.
    pub id: SourceId,
    /// What it connects to.
    pub backend: Backend,
    /// What agents may do with it.
    pub policy: Policy,
}

impl Source {
    /// Whether a login of a database server is behind it.
    #[must_use]
    pub fn has_login(&self) -> bool {
        matches!(self.backend, Backend::Server(_))
    }

    /// The CA file that the pods need for it.
    #[must_use]
    pub fn ca(&self) -> Option<&CaBundle> {
        match &self.backend {
            Backend::Server(server) => server.tls.ca(),
            Backend::Memory | Backend::File(_) => None,
        }
    }
}

/// What a source connects to.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A database server.
    Server(Box<Server>),
    /// An SQLite database in memory, empty at each start.
    Memory,
    /// An SQLite database in a file.
    File(Box<File>),
}

/// One database on a server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Any engine but SQLite.
    pub engine: Engine,
    /// Where it listens.
    pub host: Host,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub database: DatabaseName,
    /// The login.
    pub credentials: Credentials,
    /// What is demanded of the connection.
    pub tls: Tls,
    /// Seconds for connecting.
    pub connection_timeout: u32,
    /// Seconds for one query.
    pub query_timeout: u32,
}

/// A DNS name or an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    fn parse(text: &str) -> Result<Self, Rejection> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() || !text.chars().all(known) {
            return Err(Rejection::HostUnsupported);
        }
        Ok(Self(text.to_owned()))
    }

    /// As written into the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A database name that `encodeURIComponent`, through which DBHub passes it once too often, leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseName(String);

impl DatabaseName {
    fn parse(text: &str) -> Result<Self, Rejection> {
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()".contains(c);
        if text.is_empty() || !text.chars().all(unreserved) {
            return Err(Rejection::DatabaseNameUnsupported);
        }
        Ok(Self(text.to_owned()))
    }

    /// As written into the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is demanded of a connection, and whom a checked certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plaintext.
    Disable,
    /// Encrypted, not checked.
    Require,
    /// Encrypted, chain checked.
    VerifyCa(Trust),
    /// Encrypted, chain and host name checked.
    VerifyFull(Trust),
}

impl Tls {
    /// The CA file that the pods need.
    #[must_use]
    pub fn ca(&self) -> Option<&CaBundle> {
        match self {
            Self::VerifyCa(Trust::Bundle(bundle)) | Self::VerifyFull(Trust::Bundle(bundle)) => Some(bundle),
            Self::VerifyCa(Trust::WebRoots) | Self::VerifyFull(Trust::WebRoots) | Self::Disable | Self::Require => None,
        }
    }
}

/// Whom a certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The public web roots that Node.js brings along.
    WebRoots,
    /// These authorities and no other.
    Bundle(CaBundle),
}

/// Whether one selected Database can be served.
#[derive(Debug)]
pub struct Verdict {
    /// The Database.
    pub database: Arc<Database>,
    /// What is served, or why not.
    pub result: Result<Source, Rejection>,
}

/// Judges every selected Database, in order of name; `policy` is the instance's. Of two whose ids collide the older is
/// served, whatever else is wrong with it: who comes later can never push it out. So it is with the room that CAs and logins take.
#[must_use]
pub fn judge(mut candidates: Vec<Candidate>, policy: &Policy, platform: Option<&CaBundle>) -> Vec<Verdict> {
    candidates.sort_by_key(|candidate| (candidate.database.creation_timestamp(), candidate.database.name_any()));
    let (mut taken, mut room) = (BTreeMap::new(), Room::default());
    let mut verdicts: Vec<_> = candidates
        .into_iter()
        .map(|candidate| {
            let id = claim_id(&mut taken, &candidate.database.name_any());
            let result =
                id.and_then(|id| source(id, &candidate, policy, platform)).and_then(|source| room.admit(source));
            Verdict { database: candidate.database, result }
        })
        .collect();
    verdicts.sort_by_key(|verdict| verdict.database.name_any());
    verdicts
}

fn source(
    id: SourceId,
    candidate: &Candidate,
    instance: &Policy,
    platform: Option<&CaBundle>,
) -> Result<Source, Rejection> {
    let policy = stricter(instance, &of_database(candidate.database.spec.policy.as_ref()));
    if policy.allowed_operations.is_empty() {
        return Err(Rejection::NoOperationAllowed);
    }
    Ok(Source { id, backend: backend(candidate, platform)?, policy })
}

fn claim_id(taken: &mut BTreeMap<String, String>, name: &str) -> Result<SourceId, Rejection> {
    let id = SourceId::new(name);
    match taken.entry(id.normalised()) {
        Entry::Occupied(older) => {
            Err(Rejection::IdCollision { older: older.get().clone(), normalised: older.key().clone() })
        }
        Entry::Vacant(free) => {
            free.insert(name.to_owned());
            Ok(id)
        }
    }
}

fn backend(candidate: &Candidate, platform: Option<&CaBundle>) -> Result<Backend, Rejection> {
    let spec = &candidate.database.spec;
    let Some(default_port) = spec.engine.default_port() else {
        return sqlite(candidate);
    };
    let missing = |field| Rejection::FieldMissing { field };
    let reference = spec.credentials_ref.as_ref().ok_or(missing("credentialsRef"))?;
    Ok(Backend::Server(Box::new(Server {
        engine: spec.engine,
        host: Host::parse(spec.host.as_deref().ok_or(missing("host"))?)?,
        port: spec.port.unwrap_or(default_port),
        database: DatabaseName::parse(spec.database.as_deref().ok_or(missing("database"))?)?,
        tls: tls(&candidate.database, candidate.ca.as_deref(), platform)?,
        credentials: credentials(&candidate.database, reference, candidate.credentials.as_deref())?,
        connection_timeout: spec.connection_timeout,
        query_timeout: spec.query_timeout,
    })))
}

fn sqlite(candidate: &Candidate) -> Result<Backend, Rejection> {
    match candidate.database.spec.database.as_deref() {
        Some(":memory:") => Ok(Backend::Memory),
        Some(path) => file(&candidate.database, path, candidate.volume.as_deref()).map(Box::new).map(Backend::File),
        None => Err(Rejection::FieldMissing { field: "database" }),
    }
}

/// DBHub checks certificates of PostgreSQL only (found by running 1.4.0).
fn tls(database: &Database, ca: Option<&Keyed>, platform: Option<&CaBundle>) -> Result<Tls, Rejection> {
    let (engine, mode) = (database.spec.engine, database.spec.ssl_mode);
    match mode {
        SslMode::Disable => return Ok(Tls::Disable),
        SslMode::Require => return Ok(Tls::Require),
        SslMode::VerifyCa | SslMode::VerifyFull if engine != Engine::Postgres => {
            return Err(Rejection::SslModeUnsupported { engine });
        }
        SslMode::VerifyCa | SslMode::VerifyFull => {}
    }
    let reference = database.spec.tls.as_ref().and_then(|tls| tls.ca_ref.as_ref());
    let trust = match (reference, platform) {
        (Some(reference), _) => Trust::Bundle(own_ca(reference, ca)?),
        (None, Some(bundle)) => Trust::Bundle(bundle.clone()),
        (None, None) => Trust::WebRoots,
    };
    Ok(if mode == SslMode::VerifyCa { Tls::VerifyCa(trust) } else { Tls::VerifyFull(trust) })
}

fn own_ca(reference: &CaRef, ca: Option<&Keyed>) -> Result<CaBundle, Rejection> {
    let CaRef { name, key, .. } = reference;
    let Some(text) = ca.and_then(|ca| ca.bytes(key)) else {
        return Err(Rejection::CaNotFound { name: name.clone(), key: key.clone() });
    };
    let bundle = if text.len() > MOST_CA_BYTES { Err(CaError::TooLarge) } else { CaBundle::parse(text) };
    bundle.map_err(|error| Rejection::CaInvalid { name: name.clone(), error })
}
