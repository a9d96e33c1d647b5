//! Why one Database cannot be served. Each says so in one sentence, which stands in `status.databases[]`.

use api_types::Engine;

use super::ca::CaError;
use super::file::Volume;
use super::login::LoginError;

/// Why a Database is left out; the others are served all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// An older Database has the same id once DBHub has normalised it.
    #[error(
        "DBHub cannot tell it from the older Database {older}: both make tools that end in _{normalised}; rename one"
    )]
    IdCollision {
        /// The Database that is served.
        older: String,
        /// The id that both have.
        normalised: String,
    },
    /// The spec lacks what its type needs; admission refuses that, unless the object is older than the rule.
    #[error("spec.{field} is missing")]
    FieldMissing {
        /// Path below `spec`.
        field: &'static str,
    },
    /// The instance's policy and the Database's leave nothing.
    #[error(
        "spec.policy.allowedOperations and the instance's defaultPolicy have no operation in common; allow one in both"
    )]
    NoOperationAllowed,
    /// IPv6, or no host at all.
    #[error("DBHub takes a DNS name or an IPv4 address as host, nothing else")]
    HostUnsupported,
    /// DBHub would connect to another name.
    #[error("DBHub misreads this spec.database; letters, digits and -_.!~*'() are safe")]
    DatabaseNameUnsupported,
    /// DBHub refuses the mode for this engine.
    #[error("DBHub cannot check certificates of type {}; use sslMode require or disable", engine.as_str())]
    SslModeUnsupported {
        /// The Database's type.
        engine: Engine,
    },
    /// No such Secret in the Database's namespace.
    #[error("Secret {name} does not exist")]
    SecretNotFound {
        /// Name of the Secret.
        name: String,
    },
    /// The Secret lacks a key, or its value is empty or no text.
    #[error("Secret {name} has no usable value under key {key}: it must be text and not empty")]
    SecretKeyMissing {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// A login that would not arrive as it is.
    #[error("the value under key {key} of Secret {name} cannot be used: {error}")]
    CredentialsUnsupported {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        error: LoginError,
    },
    /// A Secret of another namespace that does not consent, or does not exist.
    #[error(
        "Secret {namespace}/{name} is not shared with this namespace; \
         its owner can annotate it with dbhub.tas.io/allowed-namespaces"
    )]
    CredentialsNotShared {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
    /// `tls.caRef` names nothing.
    #[error("the CA {name} of spec.tls.caRef does not exist or has no key {key}")]
    CaNotFound {
        /// Name of the Secret or ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
    /// `tls.caRef` names something else.
    #[error("the CA {name} of spec.tls.caRef cannot be used: {error}")]
    CaInvalid {
        /// Name of the Secret or ConfigMap.
        name: String,
        /// What is wrong with it.
        error: CaError,
    },
    /// What all databases of the instance bring along is larger than a ConfigMap or Secret.
    #[error("there is no room for its {part}: those of older databases take 1 MiB; serve it by another instance")]
    NoRoom {
        /// `CA` or `login`.
        part: &'static str,
    },
    /// A file of SQLite without a volume.
    #[error("DBHub's pods have no volume with this file: name it in spec.sqlite.volume")]
    NoVolume,
    /// Not exactly one kind of volume; admission refuses that.
    #[error("spec.sqlite.volume must name one of persistentVolumeClaim and configMap")]
    VolumeInvalid,
    /// `spec.sqlite.volume` names nothing; no pod would start with it.
    #[error("{volume} of spec.sqlite.volume does not exist")]
    VolumeNotFound {
        /// What was looked for.
        volume: Volume,
    },
    /// The ConfigMap has no such file.
    #[error("ConfigMap {name} of spec.sqlite.volume has no key {key}, which spec.database names")]
    FileNotFound {
        /// Name of the ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
    /// DBHub would open another file.
    #[error("DBHub misreads this spec.database: a path on the volume has no '..', '?', '\\' or '${{'")]
    PathUnsupported,
}

impl Rejection {
    /// The reason in one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::IdCollision { .. } => "IdCollision",
            Self::FieldMissing { .. } | Self::VolumeInvalid => "InvalidSpec",
            Self::NoOperationAllowed => "NoOperationAllowed",
            Self::HostUnsupported => "HostUnsupported",
            Self::DatabaseNameUnsupported => "DatabaseNameUnsupported",
            Self::SslModeUnsupported { .. } => "SslModeUnsupported",
            Self::SecretNotFound { .. } => "SecretNotFound",
            Self::SecretKeyMissing { .. } => "SecretKeyMissing",
            Self::CredentialsUnsupported { .. } => "CredentialsUnsupported",
            Self::CredentialsNotShared { .. } => "CredentialsNotShared",
            Self::CaNotFound { .. } => "CaNotFound",
            Self::CaInvalid { .. } => "CaInvalid",
            Self::NoRoom { .. } => "NoRoom",
            Self::NoVolume => "FileNotVisible",
            Self::VolumeNotFound { .. } => "VolumeNotFound",
            Self::FileNotFound { .. } => "FileNotFound",
            Self::PathUnsupported => "PathUnsupported",
        }
    }
}
