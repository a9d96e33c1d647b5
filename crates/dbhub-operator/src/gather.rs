//! Every read that a reconcile needs, and no decision: the instance, the Databases it selects with their Secrets, CAs
//! and volumes, the objects of our names, its pods. What is `None` was looked for and is not there; a failed look is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_types::{CaKind, DBHubInstance, Database, SqliteVolume, names};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt as _};
use operator_runtime::ApiError;
use operator_runtime::error::call;
use operator_runtime::owner::is_controlled_by;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::plan::names::Names;
use crate::plan::selection::selects;
use crate::validate::Request;

mod live;

pub use live::{Live, Owned};

/// Reads of one instance that run at the same time.
const PARALLEL_READS: usize = 8;

/// The values of a Secret or ConfigMap; a claim has none.
#[derive(Debug, Default)]
pub struct Keyed {
    values: BTreeMap<String, SecretSlice<u8>>,
    allowed_namespaces: Option<String>,
}

impl Keyed {
    /// What stands under a key.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(SecretSlice::expose_secret)
    }

    /// What stands under a key, if it is text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<SecretString> {
        std::str::from_utf8(self.bytes(key)?).ok().map(SecretString::from)
    }

    /// Whether the owner of the object lets that namespace use it.
    #[must_use]
    pub fn consents_to(&self, namespace: &str) -> bool {
        self.allowed_namespaces.as_deref().is_some_and(|list| names::lists_namespace(list, namespace))
    }
}

impl From<Secret> for Keyed {
    fn from(secret: Secret) -> Self {
        let allowed_namespaces = secret.annotations().get(names::DBHUB_ALLOWED_NAMESPACES).cloned();
        let values = secret.data.unwrap_or_default();
        Self { values: values.into_iter().map(|(key, value)| (key, value.0.into())).collect(), allowed_namespaces }
    }
}

impl From<ConfigMap> for Keyed {
    fn from(map: ConfigMap) -> Self {
        let texts = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        let values = texts.chain(bytes).map(|(key, value)| (key, value.into())).collect();
        Self { values, allowed_namespaces: None }
    }
}

/// A selected Database with what its spec refers to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Database, as the watch last showed it.
    pub database: Arc<Database>,
    /// The Secret of `credentialsRef`.
    pub credentials: Option<Arc<Keyed>>,
    /// The Secret or ConfigMap of `tls.caRef`.
    pub ca: Option<Arc<Keyed>>,
    /// The claim or ConfigMap of `sqlite.volume`.
    pub volume: Option<Arc<Keyed>>,
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Secret,
    ConfigMap,
    Claim,
}

/// One object to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    kind: Kind,
    namespace: String,
    name: String,
}

/// The instance as it is now; `None` when it is gone.
pub async fn instance(client: &Client, namespace: &str, name: &str) -> Result<Option<DBHubInstance>, ApiError> {
    let api: Api<DBHubInstance> = Api::namespaced(client.clone(), namespace);
    call(format!("read DBHubInstance {name}"), api.get_opt(name)).await
}

/// The Databases that the instance selects, each with its Secret, CA and volume. An object named by several is read once.
async fn candidates(
    client: &Client,
    databases: &Store<Database>,
    instance: &DBHubInstance,
) -> Result<Vec<Candidate>, ApiError> {
    let selector = instance.spec.database_selector.as_ref();
    let selected: Vec<_> = databases
        .state()
        .into_iter()
        .filter(|database| database.namespace() == instance.namespace())
        .filter(|database| selects(selector, &database.name_any(), database.labels()))
        .collect();
    let wanted: BTreeSet<_> = selected
        .iter()
        .flat_map(|database| [credentials_of(database), ca_of(database), volume_of(database)])
        .flatten()
        .collect();
    let found: BTreeMap<Wanted, Arc<Keyed>> = stream::iter(wanted)
        .map(|wanted| async { Ok::<_, ApiError>((read(client, &wanted).await?, wanted)) })
        .buffer_unordered(PARALLEL_READS)
        .try_filter_map(|(found, wanted)| async { Ok(found.map(|keyed| (wanted, Arc::new(keyed)))) })
        .try_collect()
        .await?;
    let look_up = |wanted: Option<Wanted>| wanted.and_then(|wanted| found.get(&wanted).cloned());
    Ok(selected
        .into_iter()
        .map(|database| Candidate {
            credentials: look_up(credentials_of(&database)),
            ca: look_up(ca_of(&database)),
            volume: look_up(volume_of(&database)),
            database,
        })
        .collect())
}

fn credentials_of(database: &Database) -> Option<Wanted> {
    let reference = database.spec.credentials_ref.as_ref()?;
    let namespace = reference.namespace.clone().or_else(|| database.namespace())?;
    Some(Wanted { kind: Kind::Secret, namespace, name: reference.name.clone() })
}

fn ca_of(database: &Database) -> Option<Wanted> {
    let reference = database.spec.tls.as_ref()?.ca_ref.as_ref()?;
    let kind = match reference.kind {
        CaKind::Secret => Kind::Secret,
        CaKind::ConfigMap => Kind::ConfigMap,
    };
    Some(Wanted { kind, namespace: database.namespace()?, name: reference.name.clone() })
}

fn volume_of(database: &Database) -> Option<Wanted> {
    let SqliteVolume { persistent_volume_claim, config_map } = &database.spec.sqlite.as_ref()?.volume;
    let claim = persistent_volume_claim.as_ref().map(|claim| (Kind::Claim, &claim.claim_name));
    let (kind, name) = claim.or_else(|| config_map.as_ref().map(|map| (Kind::ConfigMap, &map.name)))?;
    Some(Wanted { kind, namespace: database.namespace()?, name: name.clone() })
}

async fn read(client: &Client, wanted: &Wanted) -> Result<Option<Keyed>, ApiError> {
    let Wanted { kind, namespace, name } = wanted;
    match kind {
        Kind::Secret => secret(client, namespace, name).await,
        Kind::ConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let found = call(format!("read ConfigMap {namespace}/{name}"), api.get_opt(name)).await?;
            Ok(found.map(Keyed::from))
        }
        Kind::Claim => {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            let what = format!("read PersistentVolumeClaim {namespace}/{name}");
            Ok(call(what, api.get_metadata_opt(name)).await?.map(|_| Keyed::default()))
        }
    }
}

/// Everything that a pass reads before it decides.
pub struct Gathered {
    /// The objects of the instance's names.
    pub live: Live,
    /// The selected Databases.
    pub candidates: Vec<Candidate>,
    /// The Secret that holds the token.
    pub token: Option<Keyed>,
}

/// Reads it all.
pub async fn everything(
    client: &Client,
    databases: &Store<Database>,
    instance: &DBHubInstance,
    request: &Request,
) -> Result<Gathered, ApiError> {
    let token = async {
        match request.access.token() {
            Some(place) => secret(client, request.names.namespace(), &place.secret).await,
            None => Ok(None),
        }
    };
    let (live, candidates, token) =
        tokio::try_join!(Live::read(client, &request.names), candidates(client, databases, instance), token)?;
    Ok(Gathered { live, candidates, token })
}

/// The Deployment of an instance that could not be changed.
pub async fn deployment(client: &Client, instance: &DBHubInstance) -> Result<Option<Deployment>, ApiError> {
    let name = instance.name_any();
    let api: Api<Deployment> = Api::namespaced(client.clone(), &instance.namespace().unwrap_or_default());
    let found = call(format!("read Deployment {name}"), api.get_opt(&name)).await?;
    let uid = instance.metadata.uid.as_deref().unwrap_or_default();
    Ok(found.filter(|deployment| is_controlled_by(&deployment.metadata, uid)))
}

async fn secret(client: &Client, namespace: &str, name: &str) -> Result<Option<Keyed>, ApiError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = call(format!("read Secret {namespace}/{name}"), api.get_opt(name)).await?;
    Ok(found.map(Keyed::from))
}

/// The pods of an instance.
pub async fn pods(client: &Client, names: &Names) -> Result<Vec<Pod>, ApiError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), names.namespace());
    let params = ListParams::default().labels(&names.selector());
    Ok(call(format!("list the pods of {}", names.instance()), api.list(&params)).await?.items)
}
