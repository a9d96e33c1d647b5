//! From nothing to a client whose API server answers and serves our kinds. Waits as long as it takes and says what
//! for; only a missing configuration ends the process.

use std::time::Duration;

use kube::core::ApiResource;
use kube::{Client, Config};

use crate::backoff::{BackoffPolicy, Pauses};
use crate::deadline::deadline;
use crate::error::ApiError;
use crate::logging::Trouble;
use crate::run::RuntimeError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
const PAUSES: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// The client, from a kubeconfig or the pod's service account. Contacts nobody yet.
pub(crate) async fn client() -> Result<Client, RuntimeError> {
    let mut config = Config::infer().await.map_err(|source| RuntimeError::NoCluster(Box::new(source)))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|source| RuntimeError::Client(Box::new(source)))
}

/// Returns when the API server answers.
pub(crate) async fn wait_for_api(client: &Client) {
    wait(async || match look("ask the API server for its version", client.apiserver_version()).await {
        Ok(_) => None,
        Err(error) => Some(format!("waiting for the Kubernetes API: {error}")),
    })
    .await;
}

/// Returns when all the kinds are served, which the API server does once their definitions are established.
/// Discovery is open to every service account, so this needs no permission to read definitions.
pub(crate) async fn wait_for_crds(client: &Client, required: &[ApiResource]) {
    wait(async || {
        let mut missing = Vec::new();
        for crd in required {
            match is_served(client, crd).await {
                Ok(true) => {}
                Ok(false) => missing.push(format!("{}.{} ({})", crd.plural, crd.group, crd.version)),
                Err(error) => return Some(format!("waiting for custom resource definitions: {error}")),
            }
        }
        (!missing.is_empty()).then(|| {
            let names = missing.join(", ");
            format!("waiting for custom resource definitions: {names}; install them with the chart or from crds/")
        })
    })
    .await;
}

async fn is_served(client: &Client, crd: &ApiResource) -> Result<bool, ApiError> {
    match look("list the served kinds", client.list_api_group_resources(&crd.api_version)).await {
        Ok(list) => Ok(list.resources.iter().any(|resource| resource.name == crd.plural)),
        Err(ApiError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn look<T>(name: &str, future: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match deadline(LOOK_DEADLINE, future).await {
        Ok(result) => result.map_err(|error| ApiError::new(name, error)),
        Err(source) => Err(ApiError::Deadline { call: name.to_owned(), source }),
    }
}

/// Looks until nothing is in the way.
async fn wait(mut look: impl AsyncFnMut() -> Option<String>) {
    let mut trouble = Trouble::default();
    for pause in Pauses::new(PAUSES) {
        match look().await {
            None => return trouble.is_over(),
            Some(message) => trouble.is(message),
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Exchange, FakeApi};

    fn databases() -> ApiResource {
        ApiResource {
            group: "dbhub.tas.io".into(),
            version: "v1alpha1".into(),
            api_version: "dbhub.tas.io/v1alpha1".into(),
            kind: "Database".into(),
            plural: "databases".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_through_refusals_until_the_kind_is_served() {
        let path = "/apis/dbhub.tas.io/v1alpha1";
        let list = |names: &[&str]| {
            let resources: Vec<_> = names
                .iter()
                .map(|name| json!({"name": name, "kind": "X", "namespaced": true, "singularName": "", "verbs": []}))
                .collect();
            json!({"kind": "APIResourceList", "groupVersion": "dbhub.tas.io/v1alpha1", "resources": resources})
        };
        let (client, api) = FakeApi::new([
            Exchange::failure("GET", path, 404, "NotFound"),
            Exchange::failure("GET", path, 500, "InternalError"),
            Exchange::new("GET", path, 200, list(&["dbhubinstances"])),
            Exchange::new("GET", path, 200, list(&["dbhubinstances", "databases"])),
        ]);
        wait_for_crds(&client, &[databases()]).await;
        assert_eq!((api.calls().len(), api.left()), (4, 0));
    }
}
