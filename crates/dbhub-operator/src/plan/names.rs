//! The names of an instance's objects, the labels of its pods, and the reference that makes an object its own. Pure.

use std::collections::BTreeMap;

use api_types::names::MANAGED_BY;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

/// Name of this operator: field manager, lease, value of the managed-by label.
pub const OPERATOR: &str = "dbhub-operator";

/// The label that the Deployment selects its pods by; the seed's, and it must never change.
const APP: &str = "app";

/// A namespace and an instance name that can name a Service and stand in a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names {
    namespace: String,
    instance: String,
}

impl Names {
    /// `None` when the instance's name is no DNS label, which the name of a Service must be: 63 letters, digits and
    /// dashes at most, a letter first.
    #[must_use]
    pub fn new(namespace: &str, instance: &str) -> Option<Self> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = instance.len() <= 63
            && instance.starts_with(|c: char| c.is_ascii_lowercase())
            && !instance.ends_with('-')
            && instance.chars().all(known);
        valid.then(|| Self { namespace: namespace.to_owned(), instance: instance.to_owned() })
    }

    /// Namespace of the instance and all that it owns.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the instance.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// ConfigMap with `dbhub.toml`.
    #[must_use]
    pub fn config(&self) -> String {
        format!("{}-config", self.instance)
    }

    /// Secret with the databases' credentials.
    #[must_use]
    pub fn creds(&self) -> String {
        format!("{}-creds", self.instance)
    }

    /// ConfigMap with the CA files.
    #[must_use]
    pub fn ca(&self) -> String {
        format!("{}-ca", self.instance)
    }

    /// Secret with the generated token.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}-token", self.instance)
    }

    /// `ServiceAccount` of the pods.
    #[must_use]
    pub fn account(&self) -> String {
        self.instance.clone()
    }

    /// Deployment of the pods.
    #[must_use]
    pub fn deployment(&self) -> String {
        self.instance.clone()
    }

    /// Service that clients use.
    #[must_use]
    pub fn service(&self) -> String {
        self.instance.clone()
    }

    /// NetworkPolicy of the pods.
    #[must_use]
    pub fn network_policy(&self) -> String {
        self.instance.clone()
    }

    /// `PodDisruptionBudget` of the pods.
    #[must_use]
    pub fn budget(&self) -> String {
        self.instance.clone()
    }

    /// Host name of the Service within the cluster, as the seed prints it.
    #[must_use]
    pub fn service_host(&self) -> String {
        format!("{}.{}.svc", self.instance, self.namespace)
    }

    /// Label selector of the pods as text.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{APP}={}", self.instance)
    }

    /// Label selector of the pods.
    #[must_use]
    pub fn label_selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(BTreeMap::from([(APP.to_owned(), self.instance.clone())])),
            ..LabelSelector::default()
        }
    }

    /// Labels of every owned object and of the pods.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                (APP, self.instance.as_str()),
                ("app.kubernetes.io/name", "dbhub"),
                ("app.kubernetes.io/instance", &self.instance),
                (MANAGED_BY, OPERATOR),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        )
    }

    /// Metadata of an owned object.
    #[must_use]
    pub fn owned(&self, name: String, owner: &OwnerReference) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_name_a_service_is_taken() {
        let longest = "a".repeat(63);
        for good in ["acme-dbhub", "a", "a1", &longest] {
            assert!(Names::new("ns", good).is_some(), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "1st", "a.b", "-a", "a-", "A", &too_long] {
            assert!(Names::new("ns", bad).is_none(), "{bad}");
        }
    }
}
