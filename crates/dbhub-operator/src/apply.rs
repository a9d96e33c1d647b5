//! The only writes to objects, in an order that a crash at any point survives: what pods read comes before the pods,
//! what they no longer read goes after. Nothing is written that stands already, and no object that is not ours.

use api_types::DBHubInstance;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client, Resource};
use operator_runtime::ApiError;
use operator_runtime::apply::{Applied, apply, create};
use operator_runtime::error::call;
use operator_runtime::owner::is_controlled_by;

use crate::gather::{Live, Owned};
use crate::plan::Workload;
use crate::plan::names::OPERATOR;
use crate::validate::problem::Problem;

/// Writes to the objects of one instance.
pub struct Writer<'a> {
    client: &'a Client,
    namespace: &'a str,
    owner_uid: &'a str,
}

/// What stands after the writes, as far as others go on with it.
pub struct Standing {
    /// The Deployment.
    pub deployment: Deployment,
    /// The Service, for an instance that has one.
    pub service: Option<Service>,
}

/// An object that has one of the names we need and is not ours.
#[must_use]
pub fn name_conflict(workload: &Workload, live: &Live, owner_uid: &str) -> Option<Problem> {
    let Workload { ca, token, service, budget, .. } = workload;
    [
        foreign(live.account.as_ref(), true, owner_uid),
        foreign(live.config.as_ref(), true, owner_uid),
        foreign(live.creds.as_ref(), true, owner_uid),
        foreign(live.ca.as_ref(), ca.is_some(), owner_uid),
        foreign(live.token.as_ref(), token.is_some(), owner_uid),
        foreign(live.network_policy.as_ref(), true, owner_uid),
        foreign(live.service.as_ref(), service.is_some(), owner_uid),
        foreign(live.budget.as_ref(), budget.is_some(), owner_uid),
        foreign(live.deployment.as_ref(), true, owner_uid),
    ]
    .into_iter()
    .flatten()
    .next()
}

fn foreign<K: Owned>(live: Option<&K>, needed: bool, owner_uid: &str) -> Option<Problem> {
    let meta = live.filter(|_| needed)?.meta();
    let name = meta.name.clone().unwrap_or_default();
    (!is_controlled_by(meta, owner_uid)).then_some(Problem::NameConflict { kind: K::KIND, name })
}

impl<'a> Writer<'a> {
    /// A writer for this instance's objects.
    #[must_use]
    pub fn new(client: &'a Client, instance: &'a DBHubInstance) -> Self {
        Self {
            client,
            namespace: instance.metadata.namespace.as_deref().unwrap_or_default(),
            owner_uid: instance.metadata.uid.as_deref().unwrap_or_default(),
        }
    }

    /// Makes everything stand as planned.
    pub async fn serve(&self, workload: Workload, live: Live) -> Result<Standing, ApiError> {
        self.stand(&workload.account, live.account).await?;
        self.stand(&workload.config, live.config).await?;
        self.stand(&workload.creds, live.creds).await?;
        if let Some(ca) = &workload.ca {
            self.stand(ca, live.ca.clone()).await?;
        }
        if let (Some(token), None) = (&workload.token, &live.token) {
            create::<Secret>(&self.api(), OPERATOR, token).await?;
        }
        self.stand(&workload.network_policy, live.network_policy).await?;
        let service = match &workload.service {
            Some(service) => Some(self.stand(service, live.service.clone()).await?),
            None => None,
        };
        if let Some(budget) = &workload.budget {
            self.stand(budget, live.budget.clone()).await?;
        }
        let deployment = self.stand(&workload.deployment, live.deployment).await?;
        self.remove(live.ca.filter(|_| workload.ca.is_none())).await?;
        self.remove(live.service.filter(|_| workload.service.is_none())).await?;
        self.remove(live.budget.filter(|_| workload.budget.is_none())).await?;
        Ok(Standing { deployment, service })
    }

    /// Removes everything but the token, which clients hold on to.
    pub async fn clear(&self, live: Live) -> Result<(), ApiError> {
        self.remove(live.deployment).await?;
        self.remove(live.budget).await?;
        self.remove(live.service).await?;
        self.remove(live.network_policy).await?;
        self.remove(live.config).await?;
        self.remove(live.creds).await?;
        self.remove(live.ca).await?;
        self.remove(live.account).await
    }

    async fn stand<K: Owned>(&self, desired: &K, live: Option<K>) -> Result<K, ApiError> {
        match (apply(&self.api(), OPERATOR, desired, live.as_ref()).await, live) {
            (Ok(Applied::Written(object)), _) => Ok(object),
            (Ok(Applied::Unchanged), Some(live)) => Ok(live),
            // Without a live object there is nothing that could be as desired already.
            (Ok(Applied::Unchanged), None) => Ok(desired.clone()),
            (Err(error @ ApiError::Refused { code: 422, .. }), Some(live)) => {
                self.overwrite(desired, &live).await.map_err(|_| error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Overwrites lists as a whole. Server-side apply leaves what others added, and that can contradict what we want:
    /// an `env` entry with a value by hand and our reference to a Secret is refused.
    async fn overwrite<K: Owned>(&self, desired: &K, live: &K) -> Result<K, ApiError> {
        let mut whole = desired.clone();
        whole.meta_mut().resource_version.clone_from(&live.meta().resource_version);
        let name = live.meta().name.clone().unwrap_or_default();
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        call(format!("overwrite {} {name}", K::KIND), self.api().patch(&name, &params, &Patch::Merge(&whole))).await
    }

    async fn remove<K: Owned>(&self, live: Option<K>) -> Result<(), ApiError> {
        let Some(meta) = live.as_ref().map(Resource::meta).filter(|meta| is_controlled_by(meta, self.owner_uid)) else {
            return Ok(());
        };
        let (name, uid) = (meta.name.clone().unwrap_or_default(), meta.uid.clone());
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let api: Api<K> = self.api();
        match call(format!("delete {} {name}", K::KIND), api.delete(&name, &params)).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api<K: Owned>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

#[cfg(test)]
mod tests;
