//! From a valid request and its sources to the objects that must exist. Pure: the same input gives the same objects,
//! byte for byte, and no Database's status is among the input.

pub mod data;
pub mod deployment;
pub mod files;
pub mod ids;
pub mod names;
pub mod network_policy;
pub mod pod;
pub mod quantity;
pub mod selection;
pub mod service;
pub mod target;
pub mod toml;
pub mod volumes;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use secrecy::SecretString;

use crate::validate::source::Source;
use crate::validate::token::Token;
use crate::validate::{Access, Request};

/// Every object of an instance that serves something; `None` is one that must not exist.
pub struct Workload {
    /// The pods' identity, without a token for the API server.
    pub account: ServiceAccount,
    /// `dbhub.toml`.
    pub config: ConfigMap,
    /// The databases' logins.
    pub creds: Secret,
    /// CA files.
    pub ca: Option<ConfigMap>,
    /// The generated token, when it is ours to make. Created once, never changed.
    pub token: Option<Secret>,
    /// What the pods may reach.
    pub network_policy: NetworkPolicy,
    /// What clients reach.
    pub service: Option<Service>,
    /// What a drain must leave.
    pub budget: Option<PodDisruptionBudget>,
    /// The pods.
    pub deployment: Deployment,
}

/// What is random, and must stay what it was.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The bearer token; `None` when the instance demands none.
    pub token: Option<Token>,
    /// Salt of the fingerprint.
    pub salt: SecretString,
}

/// Plans the objects; `sources` are in order of name and at least one.
#[must_use]
pub fn workload(request: &Request, sources: &[Source], kept: &Kept, cluster_domain: &str) -> Workload {
    let Request { names, owner, spec, .. } = request;
    let config = data::config(names, owner, &toml::render(sources));
    let ca = data::ca(names, owner, sources);
    let creds = data::creds(names, owner, sources, &kept.salt);
    let hosts = service::allowed_hosts(names, cluster_domain, &spec.allowed_hosts);
    let template = deployment::template(request, pod::pod(request, sources, &hosts));
    let fingerprint = data::fingerprint(&config, ca.as_ref(), &creds, kept.token.as_ref(), sources, &template);
    let generated = request.access.token().is_some_and(|place| place.generated);
    Workload {
        account: ServiceAccount {
            metadata: names.owned(names.account(), owner),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
        token: kept.token.as_ref().filter(|_| generated).map(|token| data::token(names, owner, token)),
        network_policy: network_policy::network_policy(names, owner, sources),
        service: matches!(request.access, Access::Http { .. }).then(|| service::service(names, owner, spec.port)),
        budget: deployment::budget(names, owner, spec.replicas),
        deployment: deployment::deployment(request, template, fingerprint),
        config,
        ca,
        creds,
    }
}

#[cfg(test)]
mod loader_tests;
#[cfg(test)]
mod tests;
