//! Why a reconcile failed. A database that cannot be served fails nothing; it is left out and the status says so.

use std::time::Duration;

use operator_runtime::{ApiError, PublicError, Retry};

use crate::validate::problem::Problem;

/// A foreign object is not watched, so we look whether it is still in the way.
const FOREIGN_OBJECT: Duration = Duration::from_secs(30);

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is wrong with the instance itself; nothing was changed.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// A call of the Kubernetes API failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers for a token")]
    Randomness(#[from] rand::rngs::SysError),
}

impl Error {
    /// Whether only a person can help, so that the status should say what is wrong. Beside our own findings that is
    /// an object for which a quota has no room, or that the API server refuses.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::Problem(_)
                | Self::Api(ApiError::QuotaExceeded { .. } | ApiError::Refused { code: 400 | 403 | 422, .. })
        )
    }
}

impl PublicError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.reason(),
            Self::Api(error) => error.reason(),
            Self::Randomness(_) => "NoRandomness",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Api(error) => error.message(),
            Self::Problem(_) | Self::Randomness(_) => self.to_string(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Problem(Problem::NameConflict { .. }) => Retry::After(FOREIGN_OBJECT),
            Self::Problem(_) => Retry::OnChange,
            Self::Api(error) => error.retry(),
            Self::Randomness(_) => Retry::Backoff,
        }
    }
}
