//! Why there is no database to show, each with an exit code of its own kind.

use std::process::ExitCode;

/// Why there is no database to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused the AppDatabase. Its message names the field, or the missing permission.
    #[error("{action}: {message}")]
    Refused {
        /// What was attempted.
        action: String,
        /// The API server's words about what was sent.
        message: String,
    },
    /// The API server cannot be reached.
    #[error("{action}: the Kubernetes API cannot be reached")]
    Unreachable {
        /// What was attempted.
        action: String,
        /// The transport's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is one already, for something else.
    #[error("AppDatabase {object} exists already with another spec: {differences}")]
    Different {
        /// `namespace/name`
        object: String,
        /// Field by field.
        differences: String,
    },
    /// It was deleted, before or while we waited.
    #[error("AppDatabase {object} is being deleted: try again when it is gone")]
    Deleted {
        /// `namespace/name`
        object: String,
    },
    /// The concierge says that a person must act.
    #[error("AppDatabase {object} failed: {message}")]
    Failed {
        /// `namespace/name`
        object: String,
        /// The AppDatabase's own message.
        message: String,
    },
    /// It takes longer than we were told to wait.
    #[error("AppDatabase {object} is not ready after {seconds} s: {message}; the concierge keeps trying")]
    Timeout {
        /// `namespace/name`
        object: String,
        /// How long we waited.
        seconds: u64,
        /// The AppDatabase's own message.
        message: String,
    },
    /// The AppDatabase is Ready and something of it is missing.
    #[error("AppDatabase {object} is ready, but {what} is missing")]
    Incomplete {
        /// `namespace/name`
        object: String,
        /// What is missing.
        what: String,
    },
    /// The command line makes no AppDatabase.
    #[error("the AppDatabase cannot be represented")]
    Malformed(#[from] serde_json::Error),
    /// Nobody reads what we print.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// 3 when it may still succeed, 1 otherwise; clap exits with 2 when the command line is wrong.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Timeout { .. } => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }

    /// Sorts what the client returned for an action such as `create AppDatabase myapp`.
    #[must_use]
    pub fn api(action: impl Into<String>, error: kube::Error) -> Self {
        let action = action.into();
        match error {
            kube::Error::Api(status) => Self::Refused { action, message: status.message.clone() },
            other => Self::Unreachable { action, source: Box::new(other) },
        }
    }
}
