//! Waiting on a watch: as long as it takes and no longer, and with a message that shows what was there instead.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Waits until `condition` holds for the object `name` and gives the object. `what` says what is waited for; after
/// `deadline` the error shows the object's status.
pub async fn wait_for<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    condition: impl Condition<K>,
    deadline: Duration,
) -> Result<K>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    match tokio::time::timeout(deadline, await_condition(api.clone(), name, condition)).await {
        Ok(found) => found.context("the watch failed")?.with_context(|| format!("{name} is gone")),
        Err(_) => bail!("{name}: no {what} within {} s\n{}", deadline.as_secs(), describe(api, name).await),
    }
}

/// Waits until the object `name` does not exist.
pub async fn wait_until_gone<K>(api: &Api<K>, name: &str, deadline: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    let gone = |object: Option<&K>| object.is_none();
    match tokio::time::timeout(deadline, await_condition(api.clone(), name, gone)).await {
        Ok(found) => found.context("the watch failed").map(|_| ()),
        Err(_) => bail!("{name} is still there after {} s\n{}", deadline.as_secs(), describe(api, name).await),
    }
}

async fn describe<K>(api: &Api<K>, name: &str) -> String
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    let object = match api.get_opt(name).await {
        Ok(Some(object)) => object,
        Ok(None) => return format!("{name} does not exist"),
        Err(error) => return format!("{name} cannot be read: {error}"),
    };
    let marks = (object.meta().generation, object.finalizers(), &object.meta().deletion_timestamp);
    let (generation, finalizers, deleted) = marks;
    let value = serde_json::to_value(&object).unwrap_or_default();
    let status = serde_norway::to_string(&value["status"]).unwrap_or_default();
    format!("generation {generation:?}, deleted {deleted:?}, finalizers {finalizers:?}, last status:\n{status}")
}
