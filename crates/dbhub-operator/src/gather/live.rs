//! The objects of our names as they are now, ours or not. Whoever uses them looks at the owner first.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, Client, Resource};
use operator_runtime::ApiError;
use operator_runtime::error::call;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::plan::names::Names;

/// What stands under each name that an instance uses.
#[derive(Default)]
pub struct Live {
    /// The pods' identity.
    pub account: Option<ServiceAccount>,
    /// `dbhub.toml`.
    pub config: Option<ConfigMap>,
    /// Copies of the databases' credentials.
    pub creds: Option<Secret>,
    /// CA files.
    pub ca: Option<ConfigMap>,
    /// The generated token.
    pub token: Option<Secret>,
    /// What the pods may reach.
    pub network_policy: Option<NetworkPolicy>,
    /// What clients reach.
    pub service: Option<Service>,
    /// What a drain must leave.
    pub budget: Option<PodDisruptionBudget>,
    /// The pods.
    pub deployment: Option<Deployment>,
}

impl Live {
    /// Reads them all at once.
    pub async fn read(client: &Client, names: &Names) -> Result<Self, ApiError> {
        let (account, config, creds, ca, token, network_policy, service, budget, deployment) = tokio::try_join!(
            get(client, names, names.account()),
            get(client, names, names.config()),
            get(client, names, names.creds()),
            get(client, names, names.ca()),
            get(client, names, names.token()),
            get(client, names, names.network_policy()),
            get(client, names, names.service()),
            get(client, names, names.budget()),
            get(client, names, names.deployment()),
        )?;
        Ok(Self { account, config, creds, ca, token, network_policy, service, budget, deployment })
    }
}

/// A kind that an instance can own: what `kube` demands of one, in one word.
pub trait Owned:
    k8s_openapi::Resource
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
{
}

impl Owned for ServiceAccount {}
impl Owned for ConfigMap {}
impl Owned for Secret {}
impl Owned for NetworkPolicy {}
impl Owned for Service {}
impl Owned for PodDisruptionBudget {}
impl Owned for Deployment {}

async fn get<K: Owned>(client: &Client, names: &Names, name: String) -> Result<Option<K>, ApiError> {
    let api: Api<K> = Api::namespaced(client.clone(), names.namespace());
    call(format!("read {} {name}", K::KIND), api.get_opt(&name)).await
}
