//! What can be wrong with a Database, each with a reason out of a closed set and a sentence that is safe to publish.
//! A [`Problem`] becomes the status; a failed call of the Kubernetes API never does, since it says nothing about the
//! database. No sentence holds a value from a Secret: a mistyped `userKey` would otherwise publish the password.

mod file;
mod login;

use api_types::CaKind;
use sql_client::{HostError, TrustRootsError};

pub use file::{FileClass, FileName, FileProblem};
pub use login::{Attempt, LoginProblem};

use crate::references::Reference;

/// Why a Database is in its phase: the condition's and the Event's reason, and a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(clap::ValueEnum, serde::Serialize))]
#[allow(missing_docs, reason = "the words are defined in the API documentation")]
pub enum Reason {
    Connected,
    Slow,
    Flapping,
    SecretNotFound,
    SecretKeyMissing,
    CredentialsNotShared,
    HostNotFound,
    HostNotAllowed,
    ConnectionRefused,
    Timeout,
    TlsFailed,
    AuthenticationFailed,
    PasswordExpired,
    AccessDenied,
    DatabaseNotFound,
    TooManyConnections,
    ServerNotReady,
    InvalidSpec,
    FileNotVisible,
    ProtocolError,
}

impl Reason {
    /// The word as Kubernetes shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::Slow => "Slow",
            Self::Flapping => "Flapping",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyMissing => "SecretKeyMissing",
            Self::CredentialsNotShared => "CredentialsNotShared",
            Self::HostNotFound => "HostNotFound",
            Self::HostNotAllowed => "HostNotAllowed",
            Self::ConnectionRefused => "ConnectionRefused",
            Self::Timeout => "Timeout",
            Self::TlsFailed => "TlsFailed",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::PasswordExpired => "PasswordExpired",
            Self::AccessDenied => "AccessDenied",
            Self::DatabaseNotFound => "DatabaseNotFound",
            Self::TooManyConnections => "TooManyConnections",
            Self::ServerNotReady => "ServerNotReady",
            Self::InvalidSpec => "InvalidSpec",
            Self::FileNotVisible => "FileNotVisible",
            Self::ProtocolError => "ProtocolError",
        }
    }
}

/// When a Database is looked at again although nothing was seen to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Recheck {
    /// It answered, or only a change of its spec can help.
    Healthy,
    /// An attempt failed.
    Failed,
    /// An object that it refers to is missing or unusable.
    MissingSecret,
}

/// Why a Database does not answer, or cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The spec lacks a field that its type needs.
    #[error("{0} is missing: a Database of this type needs it")]
    FieldMissing(&'static str),
    /// `spec.host` is not one host.
    #[error("spec.host cannot be used: {0}")]
    Host(HostError),
    /// `spec.database` of type sqlite is no path that leads down.
    #[error("spec.database cannot be used: a file of SQLite needs a relative path without '..', or ':memory:'")]
    FilePath,
    /// A reference is no name that Kubernetes allows; it would end up in a request path.
    #[error("{0} is no valid name of a Kubernetes object: correct it")]
    ReferenceName(&'static str),
    /// There is no such Secret in the Database's own namespace.
    #[error("Secret {} not found in namespace {}: create it or correct spec.credentialsRef", .0.name, .0.namespace)]
    SecretNotFound(Reference),
    /// The Secret lacks a key, or holds nothing there.
    #[error("{secret} has no value under the key {key}: add it or correct spec.credentialsRef")]
    SecretKeyMissing {
        /// The Secret.
        secret: Reference,
        /// The key that was looked for.
        key: String,
    },
    /// A value is not UTF-8, which no login can be.
    #[error("{secret} holds no text under the key {key}: store it as UTF-8")]
    SecretKeyNotText {
        /// The Secret.
        secret: Reference,
        /// The key that was looked for.
        key: String,
    },
    /// The other namespace does not consent. Said also where there is no such Secret, so that nobody can find out.
    #[error(
        "{secret} is not shared with namespace {namespace}: its owner must list {namespace} in the annotation {}",
        api_types::names::DBHUB_ALLOWED_NAMESPACES
    )]
    CredentialsNotShared {
        /// The Secret as it was referred to.
        secret: Reference,
        /// The Database's namespace.
        namespace: String,
    },
    /// There is no object with CA certificates.
    #[error("{0} with the CA certificates not found: create it or correct spec.tls.caRef")]
    CaNotFound(Reference),
    /// The object with CA certificates lacks the key.
    #[error("{object} has no value under the key {key}: add the CA certificates or correct spec.tls.caRef")]
    CaKeyMissing {
        /// The object.
        object: Reference,
        /// The key that was looked for.
        key: String,
    },
    /// The CA certificates cannot be read.
    #[error("the key {key} of {object} cannot be used: {cause}")]
    CaUnusable {
        /// The object.
        object: Reference,
        /// The key.
        key: String,
        /// What is wrong with the text.
        cause: TrustRootsError,
    },
    /// The file of `--trust-bundle` is not there or holds no certificates.
    #[error(
        "the platform's CA bundle cannot be used: ask who runs db-probe to correct it, or name a CA in spec.tls.caRef"
    )]
    TrustBundle,
    /// The server could not be reached, or did not let the login in.
    #[error(transparent)]
    Login(#[from] LoginProblem),
    /// The file could not be seen, opened or read.
    #[error(transparent)]
    File(#[from] FileProblem),
}

impl Problem {
    /// The reason to publish.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::FieldMissing(_) | Self::Host(_) | Self::FilePath | Self::ReferenceName(_) => Reason::InvalidSpec,
            Self::SecretNotFound(_) => Reason::SecretNotFound,
            Self::SecretKeyMissing { .. } | Self::SecretKeyNotText { .. } => Reason::SecretKeyMissing,
            Self::CredentialsNotShared { .. } => Reason::CredentialsNotShared,
            Self::CaNotFound(_) | Self::CaKeyMissing { .. } | Self::CaUnusable { .. } | Self::TrustBundle => {
                Reason::TlsFailed
            }
            Self::Login(problem) => problem.reason(),
            Self::File(problem) => problem.reason(),
        }
    }

    /// When to look again.
    #[must_use]
    pub fn recheck(&self) -> Recheck {
        match self {
            Self::FieldMissing(_) | Self::Host(_) | Self::FilePath | Self::ReferenceName(_) => Recheck::Healthy,
            Self::File(problem) if problem.class == FileClass::NotVisible => Recheck::Healthy,
            Self::Login(_) | Self::File(_) => Recheck::Failed,
            _ => Recheck::MissingSecret,
        }
    }

    /// Whether the server was asked, or the file touched, so that the status may say when.
    #[must_use]
    pub fn was_probed(&self) -> bool {
        match self {
            Self::Login(_) => true,
            Self::File(problem) => problem.class != FileClass::NotVisible,
            _ => false,
        }
    }

    /// Whether the next attempt may well succeed: a timeout, a refusal, a reset.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.reason(), Reason::Timeout | Reason::ConnectionRefused)
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            CaKind::Secret => "Secret",
            CaKind::ConfigMap => "ConfigMap",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use api_types::Database;
    use clap::ValueEnum as _;
    use kube::CustomResourceExt as _;

    use super::Reason;

    /// What `kubectl explain` says is what the end-to-end tests go through, one by one.
    #[test]
    fn every_reason_stands_in_the_definition_and_no_other() {
        let definition = serde_json::to_string(&Database::crd()).unwrap().replace("\\n", " ");
        let (_, list) = definition.split_once("Its reason is one of ").unwrap();
        let listed: Vec<_> = list.split_once('.').unwrap().0.split(", ").collect();
        let reasons: Vec<_> = Reason::value_variants().iter().map(|reason| reason.as_str()).collect();
        assert_eq!(listed, reasons);
    }
}
