//! Reads what a Database refers to: its Secret, its CA, the platform's trust. Decides nothing about them; an object
//! that is not there is `None`, an answer that could not be had is an error and never taken for absence.

use std::collections::BTreeMap;
use std::fmt::Debug;

use api_types::{CaKind, Database, names};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt as _};
use operator_runtime::ApiError;
use operator_runtime::error::call;
use serde::de::DeserializeOwned;
use sql_client::TrustRoots;

use crate::controller::Context;
use crate::error::Problem;
use crate::references::{Reference, References, checks_certificates};

/// What one look at a Database starts from.
#[derive(Debug)]
pub struct Gathered {
    /// The Secret of `spec.credentialsRef`.
    pub secret: Option<Secret>,
    /// Where the trusted authorities come from.
    pub trust: Trust,
    /// The newest known change that the Database's generation does not tell of: of what it refers to, or a request for
    /// a look. By the API server's clock.
    pub changed: Option<Timestamp>,
}

/// Where the trusted authorities come from.
#[derive(Debug)]
pub enum Trust {
    /// The sslMode checks no certificate.
    Unneeded,
    /// The data of the object that `spec.tls.caRef` names, if it is there.
    Object(Option<BTreeMap<String, Vec<u8>>>),
    /// The trust bundle or the web roots.
    Platform(Result<TrustRoots, Problem>),
}

/// Reads everything, and notes in the index at which revision.
pub async fn gather(ctx: &Context, database: &Database) -> Result<Gathered, ApiError> {
    let mut changed = database.annotations().get(names::RECONCILE).and_then(|_| last_change(&database.metadata));
    let references = References::of(database).unwrap_or_default();
    let secret: Option<Secret> = match &references.credentials {
        Some(reference) => read(ctx, database, reference, &mut changed).await?,
        None => None,
    };
    let trust = match &references.ca {
        _ if !checks_certificates(database.spec.ssl_mode) => Trust::Unneeded,
        None => Trust::Platform(ctx.trust.roots().await),
        Some(reference) => Trust::Object(read_ca(ctx, database, reference, &mut changed).await?),
    };
    Ok(Gathered { secret, trust, changed })
}

async fn read_ca(
    ctx: &Context,
    database: &Database,
    reference: &Reference,
    changed: &mut Option<Timestamp>,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, ApiError> {
    Ok(match reference.kind {
        CaKind::Secret => {
            let secret: Option<Secret> = read(ctx, database, reference, changed).await?;
            secret.map(|secret| secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
        }
        CaKind::ConfigMap => {
            let map: Option<ConfigMap> = read(ctx, database, reference, changed).await?;
            map.map(|map| map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes())).collect())
        }
    })
}

async fn read<K>(
    ctx: &Context,
    database: &Database,
    reference: &Reference,
    changed: &mut Option<Timestamp>,
) -> Result<Option<K>, ApiError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let object: Option<K> = get(ctx.client.clone(), reference).await?;
    let version = object.as_ref().and_then(K::resource_version);
    ctx.index().used(&ObjectRef::from_obj(database), reference, version);
    // When an object went that is not there is told nowhere.
    let last = object.as_ref().map_or_else(|| Some(Timestamp::now()), |object| last_change(object.meta()));
    *changed = (*changed).max(last);
    Ok(object)
}

async fn get<K>(client: Client, reference: &Reference) -> Result<Option<K>, ApiError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client, &reference.namespace);
    call(format!("get {reference}"), api.get_opt(&reference.name)).await
}

/// When somebody last changed more than the status.
fn last_change(meta: &ObjectMeta) -> Option<Timestamp> {
    let writes = meta.managed_fields.iter().flatten().filter(|entry| entry.subresource.as_deref() != Some("status"));
    let times = writes.filter_map(|entry| entry.time.as_ref());
    times.chain(&meta.creation_timestamp).map(|time| time.0).max()
}

/// Drops of a Database's metadata what [`gather`] does not read: which field is whose.
pub fn prune(database: &mut Database) {
    for entry in database.metadata.managed_fields.iter_mut().flatten() {
        entry.fields_v1 = None;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};

    use super::*;
    use crate::fixtures::{at, database};

    fn entry(subresource: Option<&str>, second: i64) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            subresource: subresource.map(str::to_owned),
            time: Some(Time(at(second))),
            fields_v1: Some(FieldsV1(serde_json::json!({"f:spec": {}}))),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn our_own_status_writes_are_no_change() {
        let mut database = database("{}");
        assert_eq!(last_change(&database.metadata), None);
        database.metadata.creation_timestamp = Some(Time(at(1)));
        assert_eq!(last_change(&database.metadata), Some(at(1)));
        database.metadata.managed_fields = Some(vec![entry(None, 5), entry(Some("status"), 9), entry(None, 3)]);
        prune(&mut database);
        assert_eq!(last_change(&database.metadata), Some(at(5)));
        assert!(database.metadata.managed_fields.unwrap().iter().all(|entry| entry.fields_v1.is_none()));
    }
}
