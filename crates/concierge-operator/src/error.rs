//! Everything that can keep an AppDatabase from being Ready: each error with its public reason, its phase, when it is
//! tried again, and whether it is the server's trouble rather than the object's.

use std::time::Duration;

use api_types::AppDatabasePhase;
use operator_runtime::{ApiError, PublicError, Retry};
use sql_client::{ConnectClass, ConnectError, SqlClass, SqlError};

use crate::metrics::PassOutcome;
use crate::plan::{NoRandomness, Refusal};
use crate::pool::PoolError;
use crate::script::ScriptError;
use crate::servers::ServerError;
use crate::validate::Invalid;

/// Nothing announces the end of these, so they are looked at again; a look is one statement.
const RELOOK: Duration = Duration::from_secs(30);
/// A server that failed over is back within seconds.
const SERVER_RELOOK: Duration = Duration::from_secs(10);

/// Why a reconcile did not end with a verified database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The clusterRef.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The namespace of the application does not exist.
    #[error("namespace {namespace} does not exist: create it, and this goes on by itself")]
    NamespaceNotFound {
        /// Its name.
        namespace: String,
    },
    /// The namespace of the application is being deleted.
    #[error("namespace {namespace} is being deleted: create it again, and this goes on by itself")]
    NamespaceTerminating {
        /// Its name.
        namespace: String,
    },
    /// The concierge serves no such namespace.
    #[error(
        "the concierge puts no Secrets into namespace {namespace}, whose labels its appNamespaceSelector leaves out: whoever runs the concierge says which it takes"
    )]
    NamespaceLeftOut {
        /// Its name.
        namespace: String,
    },
    /// The namespace of the application did not consent.
    #[error(
        "namespace {namespace} takes no Secret from AppDatabases of other namespaces: create the AppDatabase there, or annotate that namespace with db.stillwaters.io/allowed-namespaces={from}"
    )]
    NamespaceNotShared {
        /// Where the Secret should go.
        namespace: String,
        /// Where the AppDatabase is.
        from: String,
    },
    /// The rules of ownership.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The admin's login.
    #[error(
        "server {cluster} does not accept the login in its admin Secret: whoever runs the concierge must correct it"
    )]
    AdminLogin {
        /// The clusterRef.
        cluster: String,
        /// What the server said.
        source: PoolError,
    },
    /// No session with the server.
    #[error("server {cluster} cannot be used now: {source}")]
    Unavailable {
        /// The clusterRef.
        cluster: String,
        /// Why.
        source: PoolError,
    },
    /// A statement failed.
    #[error("{source}; server {cluster}")]
    Sql {
        /// The clusterRef.
        cluster: String,
        /// Which and why.
        source: SqlError,
    },
    /// The charset or collation is unknown to the server, or they do not fit.
    #[error("server {cluster} knows no such character set and collation: correct spec.charset and spec.collation")]
    Charset {
        /// The clusterRef.
        cluster: String,
    },
    /// A role has something left in a database that was not made for it.
    #[error(
        "the user owns something, or was granted something, in other databases of server {cluster}: whoever runs the server must drop that, by DROP OWNED in those databases"
    )]
    RoleInUse {
        /// The clusterRef.
        cluster: String,
    },
    /// The name was taken between look and claim or creation. The next look says by whom.
    #[error("the name was taken at the same moment; it is looked at again")]
    Raced,
    /// The application's own login.
    #[error("the application's own login was tried and failed: {0}")]
    Verification(#[source] ConnectError),
    /// The login works without TLS, too.
    #[error(
        "spec.requireTls is set, and the server takes the login of user {user} without TLS too: PostgreSQL decides that by pg_hba.conf, so have whoever runs the server write hostssl in place of host there, or drop spec.requireTls"
    )]
    TlsNotEnforced {
        /// The user.
        user: String,
    },
    /// The login that should only read can write.
    #[error(
        "the user of spec.readOnlyUser can write in the database, by rights that somebody granted to it or to PUBLIC: revoke them, and on PostgreSQL up to version 14 have a superuser run REVOKE CREATE ON SCHEMA public FROM PUBLIC in this database"
    )]
    ReaderWrites,
    /// The ConfigMap of the script is not there.
    #[error(
        "there is no ConfigMap {name} with a key {key} in the AppDatabase's namespace: create it, and this goes on by itself"
    )]
    ScriptMissing {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The script cannot be read.
    #[error("spec.initSql cannot be run: {0}")]
    Script(#[from] ScriptError),
    /// No password could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The Kubernetes API.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Error {
    /// What a failed login of the admin means.
    #[must_use]
    pub fn session(cluster: &str, source: PoolError) -> Self {
        let cluster = cluster.to_owned();
        let first = match &source {
            PoolError::Suspended(first) => first,
            own => own,
        };
        match first {
            PoolError::Connect(error) if is_login(error.class()) => Self::AdminLogin { cluster, source },
            PoolError::Setup(error) if !source.is_suspended() => Self::statement(&cluster, error.clone()),
            _ => Self::Unavailable { cluster, source },
        }
    }

    /// What a failed statement means.
    #[must_use]
    pub fn statement(cluster: &str, source: SqlError) -> Self {
        let cluster = cluster.to_owned();
        match source.code() {
            // 1115 unknown character set, 1253 collation of another character set, 1273 unknown collation; 42809 is what
            // PostgreSQL says to an unknown locale, 22023 to an encoding that does not fit it.
            Some("1115" | "1253" | "1273" | "42809" | "22023") => Self::Charset { cluster },
            Some("2BP01") => Self::RoleInUse { cluster },
            _ => Self::Sql { cluster, source },
        }
    }

    /// Whether this says something about the server and nothing about what an object has on it.
    #[must_use]
    pub fn is_server_trouble(&self) -> bool {
        match self {
            Self::AdminLogin { .. } | Self::Unavailable { .. } => true,
            // It says nothing about the login.
            Self::Verification(error) => {
                matches!(error.class(), ConnectClass::TooManyConnections | ConnectClass::ServerNotReady)
            }
            Self::Sql { source, .. } => is_server_trouble(source.class()),
            _ => false,
        }
    }

    /// Whether it belongs into the status: what the next try most likely settles does not.
    #[must_use]
    pub fn is_news(&self) -> bool {
        match self {
            Self::Api(error) => matches!(error, ApiError::QuotaExceeded { .. } | ApiError::Refused { .. }),
            Self::Raced | Self::NoRandomness(_) => false,
            Self::Sql { source, .. } => source.class() != SqlClass::Retryable,
            _ => true,
        }
    }

    /// How a pass that ended with it is counted.
    #[must_use]
    pub fn outcome(&self) -> PassOutcome {
        if self.is_news() && self.phase() == AppDatabasePhase::Failed {
            PassOutcome::Failed
        } else {
            PassOutcome::Waiting
        }
    }

    /// Pending waits for something outside, Failed for a person.
    #[must_use]
    pub fn phase(&self) -> AppDatabasePhase {
        match self {
            Self::NamespaceNotFound { .. } | Self::NamespaceTerminating { .. } | Self::Unavailable { .. } => {
                AppDatabasePhase::Pending
            }
            Self::ScriptMissing { .. } => AppDatabasePhase::Pending,
            Self::Sql { source, .. } if is_server_trouble(source.class()) => AppDatabasePhase::Pending,
            Self::Verification(error) if !is_login(error.class()) => AppDatabasePhase::Pending,
            _ => AppDatabasePhase::Failed,
        }
    }
}

fn is_login(class: ConnectClass) -> bool {
    use ConnectClass::{
        AccessDenied, AccountLocked, AuthMethodUnsupported, AuthenticationFailed, DatabaseNotFound, PasswordExpired,
        PasswordInClear,
    };
    match class {
        AuthenticationFailed | AccountLocked | AuthMethodUnsupported | PasswordInClear | PasswordExpired => true,
        class => matches!(class, AccessDenied | DatabaseNotFound),
    }
}

fn is_server_trouble(class: SqlClass) -> bool {
    use SqlClass::{ConnectionLost, NotReady, Protocol, ReadOnly, Retryable, Timeout};
    matches!(class, ConnectionLost | Protocol | Timeout | NotReady | Retryable | ReadOnly)
}

impl PublicError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(Invalid::Reserved { .. }) => "ReservedName",
            Self::Invalid(Invalid::NamespaceForbidden) | Self::NamespaceLeftOut { .. } => "NamespaceNotAllowed",
            Self::Invalid(_) => "InvalidSpec",
            Self::Server(error) => server_reason(error),
            Self::NamespaceNotFound { .. } | Self::NamespaceTerminating { .. } => "NamespaceNotFound",
            Self::NamespaceNotShared { .. } => "NamespaceNotShared",
            Self::Refused(refusal) => refusal_reason(refusal),
            Self::AdminLogin { .. } => "AdminLoginFailed",
            Self::Unavailable { .. } => "ServerUnavailable",
            Self::Sql { source, .. } if is_server_trouble(source.class()) => "ServerUnavailable",
            Self::Sql { source, .. } if source.class() == SqlClass::AccessDenied => "AdminRightsMissing",
            Self::Sql { .. } => "StatementFailed",
            Self::Charset { .. } => "InvalidCharset",
            Self::RoleInUse { .. } => "UserInUse",
            Self::Raced => "Raced",
            Self::Verification(_) => "VerificationFailed",
            Self::TlsNotEnforced { .. } => "TlsNotEnforced",
            Self::ReaderWrites => "ReadOnlyUserCanWrite",
            Self::ScriptMissing { .. } => "InitSqlNotFound",
            Self::Script(_) => "InitSqlInvalid",
            Self::NoRandomness(_) => "NoRandomness",
            Self::Api(error) => error.reason(),
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Invalid(_)
            | Self::Server(_)
            | Self::Charset { .. }
            | Self::Script(_)
            | Self::NamespaceNotFound { .. }
            | Self::NamespaceTerminating { .. }
            | Self::NamespaceLeftOut { .. }
            | Self::NamespaceNotShared { .. } => Retry::OnChange,
            // Whoever finds that the server answers again has everybody go on.
            Self::AdminLogin { source, .. } | Self::Unavailable { source, .. } if source.is_suspended() => {
                Retry::OnChange
            }
            // The application is told another address than the admin, perhaps; and a failover ends within seconds.
            Self::Verification(error) if !is_login(error.class()) => Retry::After(SERVER_RELOOK),
            // A corrected admin Secret is seen at once; a server may lock an account that is tried too often.
            Self::Refused(_) | Self::RoleInUse { .. } | Self::Verification(_) | Self::AdminLogin { .. } => {
                Retry::After(RELOOK)
            }
            Self::Sql { source, .. } if source.class() == SqlClass::Retryable => Retry::Backoff,
            Self::TlsNotEnforced { .. } | Self::ReaderWrites | Self::ScriptMissing { .. } => Retry::After(RELOOK),
            error if error.is_server_trouble() => Retry::After(SERVER_RELOOK),
            Self::Api(error) => error.retry(),
            _ => Retry::Backoff,
        }
    }
}

fn server_reason(error: &ServerError) -> &'static str {
    match error {
        ServerError::Unknown { .. } => "UnknownCluster",
        ServerError::Ambiguous { .. } => "AmbiguousCluster",
        ServerError::NotAllowed { .. } => "ClusterNotAllowed",
        ServerError::SecretInvalid { .. } => "AdminSecretInvalid",
    }
}

fn refusal_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Conflict { .. } => "Conflict",
        Refusal::AdoptionNotAllowed { .. } => "AdoptionNotAllowed",
        Refusal::SecretConflict { .. } => "SecretConflict",
        Refusal::DatabaseMissing { .. } => "DatabaseMissing",
        Refusal::CharsetFixed { .. } => "InvalidCharset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(class: SqlClass) -> Error {
        Error::statement("main", SqlError::new(class, None, "creating the user"))
    }

    fn given_up(first: PoolError) -> Error {
        Error::session("main", PoolError::Suspended(Box::new(first)))
    }

    #[test]
    fn what_was_only_in_the_way_is_tried_again_soon_and_told_nobody() {
        let error = sql(SqlClass::Retryable);
        assert_eq!((error.retry(), error.is_news()), (Retry::Backoff, false));
    }

    #[test]
    fn a_cluster_without_majority_is_told_and_waited_for() {
        let error = sql(SqlClass::NotReady);
        assert!(error.is_news() && error.is_server_trouble());
        assert_eq!((error.reason(), error.phase()), ("ServerUnavailable", AppDatabasePhase::Pending));
        assert_eq!(
            error.to_string(),
            "creating the user failed: the server is no working part of its cluster now; server main"
        );
    }

    #[test]
    fn a_server_that_was_given_up_is_not_asked_by_everybody() {
        let lost = SqlError::new(SqlClass::ConnectionLost, None, "looking at the server");
        let error = given_up(PoolError::Setup(lost.clone()));
        assert_eq!((error.reason(), error.retry()), ("ServerUnavailable", Retry::OnChange));
        assert!(error.is_server_trouble());
        assert_eq!(
            error.to_string(),
            "server main cannot be used now: looking at the server failed: the connection to the server was lost"
        );
        let first = Error::session("main", PoolError::Setup(lost));
        assert_eq!((first.reason(), first.retry()), ("ServerUnavailable", Retry::After(SERVER_RELOOK)));
    }
}
