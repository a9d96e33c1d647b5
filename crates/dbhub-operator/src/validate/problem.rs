//! Why nothing is changed for an instance at all. What ran before keeps running until the cause goes away.

use super::pod_template::PodTemplateError;

/// What is wrong with the whole instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Admission does not know the rules for Service names.
    #[error("metadata.name cannot name a Service: at most 63 lower-case letters, digits and dashes, a letter first")]
    InvalidName,
    /// An object without a UID cannot own anything.
    #[error("the API server gave this object no UID")]
    NeverStored,
    /// `transport: sse`.
    #[error("DBHub no longer has the sse transport; set spec.transport to http")]
    UnsupportedTransport,
    /// The platform allows other images.
    #[error("spec.image: {image} may not run here, since it would get the databases' logins; allowed: {allowed}")]
    ImageNotAllowed {
        /// The image.
        image: String,
        /// What may run.
        allowed: String,
    },
    /// Kubernetes would refuse every pod.
    #[error("spec.resources requests more {resource} than its limit allows")]
    RequestAboveLimit {
        /// `memory` or `cpu`.
        resource: &'static str,
    },
    /// `podTemplate` says what it must not, or what no pod understands.
    #[error(transparent)]
    PodTemplate(#[from] PodTemplateError),
    /// An object of our name that is not ours.
    #[error("{kind} {name} exists and does not belong to this instance; rename one of them, or delete it")]
    NameConflict {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// `auth.tokenSecretRef` names nothing.
    #[error("Secret {name} of spec.auth.tokenSecretRef does not exist")]
    TokenSecretNotFound {
        /// Name of the Secret.
        name: String,
    },
    /// The Secret has no such key.
    #[error("Secret {name} has no key {key}, where the token should be")]
    TokenKeyMissing {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// DBHub would switch authentication off, or no client could send it.
    #[error(
        "the token in Secret {name}, key {key}, is unusable: it must be printable ASCII without spaces; \
         several are separated by commas, none of them empty"
    )]
    TokenInvalid {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
}

impl Problem {
    /// The reason in one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName => "InvalidName",
            Self::NeverStored => "NeverStored",
            Self::UnsupportedTransport => "UnsupportedTransport",
            Self::ImageNotAllowed { .. } => "ImageNotAllowed",
            Self::RequestAboveLimit { .. } => "InvalidResources",
            Self::PodTemplate(_) => "InvalidSpec",
            Self::NameConflict { .. } => "NameConflict",
            Self::TokenSecretNotFound { .. } => "SecretNotFound",
            Self::TokenKeyMissing { .. } => "SecretKeyMissing",
            Self::TokenInvalid { .. } => "TokenInvalid",
        }
    }
}
