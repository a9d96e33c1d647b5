//! What an error tells the public and the scheduler. Every operator error has a reason, a message in our own words
//! and a retry class; [`ApiError`] gives the same to a failed call of the Kubernetes API, whose raw text may quote
//! the object and therefore stays in the source chain, for debug logs only.

use std::time::Duration;

use kube::core::Status;
use kube::runtime::controller::Action;

use crate::backoff::{Backoffs, requeue_after};
use crate::deadline::{DeadlineExceeded, deadline};

/// How long one call of the Kubernetes API may take, the client's own retries included.
pub const API_DEADLINE: Duration = Duration::from_secs(10);

/// How often an object is looked at although only a watch event is expected to help.
const RELOOK: Duration = Duration::from_mins(10);

/// An error that can be shown in a status, an Event and a metric label.
pub trait PublicError: std::error::Error {
    /// A CamelCase reason out of a closed set: condition reason, Event reason, metric label.
    fn reason(&self) -> &'static str;
    /// A sentence that is safe to publish: no secret, no server's raw text.
    fn message(&self) -> String;
    /// When another try makes sense.
    fn retry(&self) -> Retry;
}

/// When another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Only a watch event helps; the object is still looked at again every ten minutes or so.
    OnChange,
    /// After this time, give or take a tenth.
    After(Duration),
    /// After a delay that grows with each failure of the same object.
    Backoff,
}

/// The [`Action`] of a failed reconcile of the object with this UID.
#[must_use]
pub fn action_for(retry: Retry, uid: &str, backoffs: &Backoffs) -> Action {
    match retry {
        Retry::OnChange => requeue_after(RELOOK),
        Retry::After(delay) => requeue_after(delay),
        Retry::Backoff => Action::requeue(backoffs.next(uid)),
    }
}

/// A call of the Kubernetes API that failed. `call` names it, as in `apply Deployment acme-dbhub`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The object changed since it was read, or another owns the field. A fresh look settles it.
    #[error("{call}: the object changed meanwhile")]
    Conflict {
        /// What was attempted.
        call: String,
    },
    /// A create found an object of that name.
    #[error("{call}: an object of that name already exists")]
    AlreadyExists {
        /// What was attempted.
        call: String,
    },
    /// The object, its namespace or its kind is not there.
    #[error("{call}: not found")]
    NotFound {
        /// What was attempted.
        call: String,
    },
    /// The object's namespace is being deleted, so that nothing new may be made in it.
    #[error("{call}: its namespace is being deleted")]
    NamespaceTerminating {
        /// What was attempted.
        call: String,
    },
    /// A ResourceQuota of the object's namespace leaves no room for it.
    #[error("{call}: ResourceQuota {quota} of the namespace leaves no room for it; raise the quota, or free something")]
    QuotaExceeded {
        /// What was attempted.
        call: String,
        /// Name of the ResourceQuota.
        quota: String,
    },
    /// Any other refusal; code, reason and the names of fields are Kubernetes' own, its text, which can hold values, is
    /// not repeated.
    #[error("{call}: the Kubernetes API refused with {code} {reason}{}", list(fields))]
    Refused {
        /// What was attempted.
        call: String,
        /// HTTP status code.
        code: u16,
        /// Kubernetes' machine-readable reason, such as `Forbidden`.
        reason: String,
        /// Paths of the fields that are at fault, as far as Kubernetes names them.
        fields: Vec<String>,
    },
    /// No answer could be had.
    #[error("{call}: the Kubernetes API cannot be reached")]
    Unreachable {
        /// What was attempted.
        call: String,
        /// The transport's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer within [`API_DEADLINE`]; the call may still have taken effect.
    #[error("{call}: {source}")]
    Deadline {
        /// What was attempted.
        call: String,
        /// How long it was waited for.
        source: DeadlineExceeded,
    },
    /// The request or the answer is not what the types say.
    #[error("{call}: the object cannot be represented")]
    Malformed {
        /// What was attempted.
        call: String,
        /// Where the representation failed.
        #[source]
        source: serde_json::Error,
    },
}

impl ApiError {
    /// Sorts what the client returned for `call`.
    #[must_use]
    pub fn new(call: impl Into<String>, error: kube::Error) -> Self {
        let call = call.into();
        match error {
            kube::Error::Api(status) => match (status.code, status.reason.as_str()) {
                (409, "AlreadyExists") => Self::AlreadyExists { call },
                (409, _) => Self::Conflict { call },
                (404, _) => Self::NotFound { call },
                (403, _) if is_of_ending_namespace(&status) => Self::NamespaceTerminating { call },
                (code, _) => match exceeded_quota(&status) {
                    Some(quota) => Self::QuotaExceeded { call, quota },
                    None => Self::Refused { call, code, fields: fields(&status), reason: status.reason },
                },
            },
            kube::Error::SerdeError(source) => Self::Malformed { call, source },
            other => Self::Unreachable { call, source: Box::new(other) },
        }
    }
}

/// Kubernetes tells the cause beside the reason `Forbidden`.
fn is_of_ending_namespace(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The name of a ResourceQuota, which Kubernetes tells in its text alone. Nothing else of that text is used.
fn exceeded_quota(status: &Status) -> Option<String> {
    let (_, told) = status.message.split_once("is forbidden: exceeded quota: ")?;
    let (name, _) = told.split_once(',')?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    (status.code == 403 && is_name).then(|| name.to_owned())
}

/// So many fields at fault are named.
const NAMED_FIELDS: usize = 4;

fn fields(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut fields: Vec<_> = causes.map(|cause| cause.field.clone()).filter(|field| !field.is_empty()).collect();
    fields.dedup();
    fields.truncate(NAMED_FIELDS);
    fields
}

fn list(fields: &[String]) -> String {
    if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) }
}

impl PublicError for ApiError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } | Self::AlreadyExists { .. } => "ApiConflict",
            Self::NotFound { .. } => "ApiNotFound",
            Self::NamespaceTerminating { .. } => "NamespaceTerminating",
            Self::QuotaExceeded { .. } => "QuotaExceeded",
            Self::Refused { .. } => "ApiRefused",
            Self::Unreachable { .. } => "ApiUnreachable",
            Self::Deadline { .. } => "ApiTimeout",
            Self::Malformed { .. } => "ApiMalformed",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NamespaceTerminating { .. } => Retry::OnChange,
            _ => Retry::Backoff,
        }
    }
}

/// Awaits one call of the Kubernetes API with [`API_DEADLINE`] and sorts its error.
pub async fn call<T>(name: impl Into<String>, future: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match deadline(API_DEADLINE, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ApiError::new(name, error)),
        Err(source) => Err(ApiError::Deadline { call: name.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(code: u16, reason: &str) -> ApiError {
        let status = Status { code, reason: reason.into(), message: "S3CRET is invalid".into(), ..Status::default() };
        ApiError::new("apply Secret x", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn refusals_are_sorted_and_never_repeat_the_server() {
        let cases = [
            (refused(409, "Conflict"), "ApiConflict", "apply Secret x: the object changed meanwhile"),
            (refused(409, "AlreadyExists"), "ApiConflict", "apply Secret x: an object of that name already exists"),
            (refused(404, "NotFound"), "ApiNotFound", "apply Secret x: not found"),
            (refused(422, "Invalid"), "ApiRefused", "apply Secret x: the Kubernetes API refused with 422 Invalid"),
        ];
        for (error, reason, message) in cases {
            assert_eq!((error.reason(), error.message().as_str()), (reason, message));
            assert!(!format!("{error:?}").contains("S3CRET"));
        }
    }

    #[test]
    fn an_ending_namespace_is_no_common_refusal() {
        let status =
            json!({"code": 403, "reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        let status: Status = serde_json::from_value(status).unwrap();
        let error = ApiError::new("apply Secret x", kube::Error::Api(Box::new(status)));
        assert_eq!(error.message(), "apply Secret x: its namespace is being deleted");
        assert_eq!((error.reason(), error.retry()), ("NamespaceTerminating", Retry::OnChange));
    }

    #[test]
    fn a_quota_is_named_and_nothing_else_of_what_the_server_says() {
        let told = |message: &str| {
            let status = json!({"code": 403, "reason": "Forbidden", "message": message});
            let status: Status = serde_json::from_value(status).unwrap();
            ApiError::new("apply Deployment x", kube::Error::Api(Box::new(status))).message()
        };
        let exceeded = "is forbidden: exceeded quota: few, requested: count/deployments.apps=1, used: 0, limited: 0";
        assert_eq!(
            told(&format!("deployments.apps \"x\" {exceeded}")),
            "apply Deployment x: ResourceQuota few of the namespace leaves no room for it; raise the quota, or free \
             something"
        );
        let refused = "apply Deployment x: the Kubernetes API refused with 403 Forbidden";
        assert_eq!(told("deployments.apps \"x\" is forbidden: exceeded quota: S3CRET, requested: 1"), refused);
        assert_eq!(told("deployments.apps \"x\" is forbidden: no"), refused);
    }

    #[test]
    fn fields_at_fault_are_named_and_their_values_are_not() {
        let cause = |field: &str| json!({"message": "Invalid value: S3CRET", "field": field});
        let causes = ["spec.a", "spec.a", "", "spec.b[0].c"].map(cause);
        let status = json!({"code": 422, "reason": "Invalid", "details": {"causes": causes}});
        let status: Status = serde_json::from_value(status).unwrap();
        let error = ApiError::new("apply Deployment x", kube::Error::Api(Box::new(status)));
        let told = "apply Deployment x: the Kubernetes API refused with 422 Invalid: spec.a, spec.b[0].c";
        assert_eq!(error.message(), told);
        assert!(!format!("{error:?}").contains("S3CRET"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends_at_its_deadline() {
        let result = call::<()>("read Secret x", std::future::pending()).await;
        assert_eq!(result.unwrap_err().message(), "read Secret x: no result within 10s");
    }

    #[test]
    fn each_retry_class_has_its_delay() {
        let backoffs = Backoffs::default();
        let delay = |retry| format!("{:?}", action_for(retry, "uid", &backoffs));
        assert_ne!(delay(Retry::OnChange), format!("{:?}", Action::await_change()), "looked at again all the same");
        // Drawn from the step: at most 1 s, then at most 2 s, and at least half of it.
        let first = backoffs.next("fresh");
        let second = backoffs.next("fresh");
        assert!(
            first <= Duration::from_secs(1) && second >= Duration::from_secs(1) && second <= Duration::from_secs(2)
        );
    }
}
