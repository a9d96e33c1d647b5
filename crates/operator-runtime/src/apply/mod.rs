//! Writes to the API server, none of them needless. [`apply()`] makes an owned object look as desired, [`apply_status`]
//! does so with a status; both compare with the live object first and write nothing when nothing differs.

mod compare;
mod status;

use std::fmt::Debug;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{ApiError, call};

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a write is worth an Event or a count"]
pub enum Applied<K> {
    /// The live object was as desired; nothing was sent.
    Unchanged,
    /// The object as the API server stored it.
    Written(K),
}

impl<K> Applied<K> {
    /// Whether something was written.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }
}

/// Makes an object look as desired by server-side apply, with one field manager per operator.
///
/// `desired` holds every field that we care about and no other: what an earlier `desired` had and this one lacks is
/// removed, what others set beside ours stays, what others changed in ours is repaired. Nulls and an own `status` are
/// dropped. Values must be written as the API server stores them (a CPU of `1`, not `1000m`; `data`, not
/// `stringData`), or each call writes.
///
/// `live` is the object as read from the API server, with its `managedFields`. Check first that it is ours
/// ([`crate::owner`]): with `Some`, the call takes fields over by force, but only of the object with the same UID. With
/// `None` it does not force, so an object that somebody else made meanwhile is a [`ApiError::Conflict`] wherever the
/// two differ; use [`create`] where even sharing one is too much.
pub async fn apply<K>(
    api: &Api<K>,
    manager: &str,
    desired: &(impl Serialize + Sync),
    live: Option<&K>,
) -> Result<Applied<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let (name, mut desired) = prepared::<K>(desired)?;
    let described = describe::<K>("apply", &name);
    let mut params = PatchParams::apply(manager);
    if let Some(live) = live {
        let fields = live.meta().managed_fields.as_deref().unwrap_or_default();
        let current = serde_json::to_value(live).map_err(|source| malformed(&described, source))?;
        if compare::is_current(&desired, &current, fields, manager) {
            return Ok(Applied::Unchanged);
        }
        desired["metadata"]["uid"] = json!(live.meta().uid);
        params = params.force();
    }
    call(described, api.patch(&name, &params, &Patch::Apply(&desired))).await.map(Applied::Written)
}

/// Creates an object and fails with [`ApiError::AlreadyExists`] when there is one of that name, whoever made it.
/// [`apply()`] keeps it afterwards, but never removes a field that only this call set; so this is for objects that
/// must not be shared and whose set of fields does not shrink, such as a Secret with fixed keys.
pub async fn create<K>(api: &Api<K>, manager: &str, desired: &(impl Serialize + Sync)) -> Result<K, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let (name, desired) = prepared::<K>(desired)?;
    let described = describe::<K>("create", &name);
    let object: K = serde_json::from_value(desired).map_err(|source| malformed(&described, source))?;
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    call(described, api.create(&params, &object)).await
}

/// Makes the status look as desired by a merge patch of the `status` subresource. What the live status has and the
/// desired one lacks is removed; lists, conditions included, are replaced as a whole, so a status has one writer.
///
/// A `live` that lags behind costs at most a needless write: the event of the newer object brings the next look.
pub async fn apply_status<K, S>(
    api: &Api<K>,
    manager: &str,
    name: &str,
    desired: &S,
    live: Option<&S>,
) -> Result<Applied<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + Sync,
{
    let described = describe::<K>("write the status of", name);
    let to_value = |status: &S| serde_json::to_value(status).map_err(|source| malformed(&described, source));
    let live = live.map(to_value).transpose()?.unwrap_or(Value::Null);
    let Some(patch) = status::merge_patch(&live, to_value(desired)?) else { return Ok(Applied::Unchanged) };
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let body = Patch::Merge(json!({ "status": patch }));
    call(described, api.patch_status(name, &params, &body)).await.map(Applied::Written)
}

/// The object as it is sent: named and typed, without nulls and without what only the server writes.
fn prepared<K: Resource<DynamicType = ()>>(desired: &impl Serialize) -> Result<(String, Value), ApiError> {
    let described = describe::<K>("prepare", "");
    let mut value = serde_json::to_value(desired).map_err(|source| malformed(&described, source))?;
    status::drop_nulls(&mut value);
    let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned) else {
        let source = serde::ser::Error::custom("metadata.name is missing");
        return Err(malformed(&described, source));
    };
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        object.insert("apiVersion".to_owned(), json!(K::api_version(&())));
        object.insert("kind".to_owned(), json!(K::kind(&())));
    }
    Ok((name, value))
}

fn describe<K: Resource<DynamicType = ()>>(verb: &str, name: &str) -> String {
    format!("{verb} {} {name}", K::kind(&())).trim_end().to_owned()
}

fn malformed(call: &str, source: serde_json::Error) -> ApiError {
    ApiError::Malformed { call: call.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::testing::{Call, Exchange, FakeApi};

    const PATH: &str = "/api/v1/namespaces/default/configmaps/x";

    fn desired() -> Value {
        json!({"metadata": {"name": "x", "labels": null}, "data": {"k": "v"}, "status": {}})
    }

    fn live(value: &str) -> ConfigMap {
        let fields = json!({"f:data": {"f:k": {}}});
        serde_json::from_value(json!({
            "metadata": {"name": "x", "uid": "u1", "managedFields": [
                {"manager": "op", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields}]},
            "data": {"k": value},
        }))
        .unwrap()
    }

    async fn run(script: Vec<Exchange>, live: Option<&ConfigMap>) -> (Result<Applied<ConfigMap>, ApiError>, Vec<Call>) {
        let (client, api) = FakeApi::new(script);
        let configs = Api::<ConfigMap>::default_namespaced(client);
        (apply(&configs, "op", &desired(), live).await, api.calls())
    }

    fn stored() -> Vec<Exchange> {
        vec![Exchange::new("PATCH", PATH, 200, json!({"metadata": {"name": "x"}}))]
    }

    #[tokio::test]
    async fn an_object_that_is_as_desired_costs_no_call() {
        let (result, calls) = run(vec![], Some(&live("v"))).await;
        assert_eq!((result.unwrap(), calls), (Applied::Unchanged, vec![]));
    }

    #[tokio::test]
    async fn a_known_object_is_repaired_by_force_but_only_that_very_object() {
        let (result, calls) = run(stored(), Some(&live("drifted"))).await;
        assert!(result.unwrap().is_written());
        insta::assert_yaml_snapshot!(calls, @r#"
        - method: PATCH
          path: /api/v1/namespaces/default/configmaps/x
          query: "&force=true&fieldManager=op"
          body:
            apiVersion: v1
            data:
              k: v
            kind: ConfigMap
            metadata:
              name: x
              uid: u1
        "#);
    }

    #[tokio::test]
    async fn an_unknown_object_is_not_taken_over() {
        let (result, calls) = run(vec![Exchange::failure("PATCH", PATH, 409, "Conflict")], None).await;
        assert!(matches!(result, Err(ApiError::Conflict { .. })));
        assert!(!calls[0].query.contains("force"));
        assert_eq!(calls[0].body["metadata"], json!({"name": "x"}));
    }

    #[tokio::test]
    async fn a_create_reports_an_object_that_exists() {
        let path = "/api/v1/namespaces/default/configmaps";
        let (client, api) = FakeApi::new([Exchange::failure("POST", path, 409, "AlreadyExists")]);
        let configs = Api::<ConfigMap>::default_namespaced(client);
        let result = create(&configs, "op", &desired()).await;
        assert!(matches!(result, Err(ApiError::AlreadyExists { .. })));
        assert_eq!(api.calls()[0].query, "&fieldManager=op");
    }

    #[tokio::test]
    async fn a_status_is_patched_only_when_it_differs() {
        use k8s_openapi::api::core::v1::{Pod, PodStatus};
        let status = |phase: &str| PodStatus { phase: Some(phase.into()), ..PodStatus::default() };
        let path = "/api/v1/namespaces/default/pods/x/status";
        let (client, api) = FakeApi::new([Exchange::new("PATCH", path, 200, json!({"metadata": {}}))]);
        let pods = Api::<Pod>::default_namespaced(client);
        let same = apply_status(&pods, "op", "x", &status("Ready"), Some(&status("Ready"))).await.unwrap();
        assert_eq!((same, api.calls().len()), (Applied::Unchanged, 0));
        let other = apply_status(&pods, "op", "x", &status("Ready"), None).await.unwrap();
        assert!(other.is_written());
        assert_eq!(api.calls()[0].body, json!({"status": {"phase": "Ready"}}));
    }
}
