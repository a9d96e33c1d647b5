//! What is watched, and which instances an event concerns. Of Secrets and of owned objects only the metadata is
//! watched; what stands in them is read when it is needed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use api_types::{
    CaKind, CaRef, CredentialsRef, DBHubInstance, Database, DatabasePhase, Privileges, SqliteVolume, names,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use operator_runtime::{BoxError, OperatorContext, controller, stores};

use crate::changes::{Change, changes};
use crate::idle::Idle;
use crate::metrics::{Figures, REVISION};
use crate::options::Settings;
use crate::plan::names::OPERATOR;
use crate::plan::selection::selects;
use crate::reconcile::{Context, reconcile};
use crate::verifications::Verifications;

type Concerned = ObjectRef<DBHubInstance>;

/// Runs until the process is told to stop.
pub async fn run(operator: OperatorContext, settings: Settings) -> Result<(), BoxError> {
    let client = operator.client.clone();
    let (instances, own_events) =
        stores::reflect(Api::all(client.clone()), stores::watch_config(), stores::drop_managed_fields);
    let (databases, database_events) =
        stores::reflect(Api::all(client.clone()), stores::watch_config(), stores::drop_managed_fields);
    let (deployments, deployment_owners) = owned::<Deployment>(&client);
    let concerned = stream::select_all([
        by_database(instances.clone(), database_events).boxed(),
        by_secret(&client, &instances, &databases).boxed(),
        by_config_map(&client, &instances, &databases).boxed(),
        by_claim(&client, &instances, &databases).boxed(),
        deployment_owners.boxed(),
        owned::<Service>(&client).1.boxed(),
        owned::<ServiceAccount>(&client).1.boxed(),
        owned::<NetworkPolicy>(&client).1.boxed(),
        owned::<PodDisruptionBudget>(&client).1.boxed(),
    ]);
    let idle = Arc::new(Idle::default());
    let (by_own, by_others) = (idle.clone(), idle.clone());
    let own_events = asked_for(own_events).inspect_ok(move |instance| by_own.heard(&ObjectRef::from_obj(instance)));
    let concerned = concerned.inspect(move |instance| by_others.heard(instance));
    let controller = Controller::for_stream(own_events, instances.clone()).reconcile_on(concerned);
    let verifications = Arc::new(Verifications::default());
    Figures { instances, deployments, verifications: verifications.clone() }.register(&operator.registry);
    let synced = {
        let databases = databases.clone();
        async move { databases.wait_until_ready().await }
    };
    let context = Arc::new(Context { operator: operator.clone(), databases, verifications, idle, settings });
    controller::drive(&operator, controller, synced, move |instance| reconcile(instance, context.clone())).await;
    Ok(())
}

/// Instances that are new or were changed. Our own status writes concern nobody; the `reconcile` annotation asks for a
/// pass.
fn asked_for(
    events: impl Stream<Item = watcher::Result<watcher::Event<DBHubInstance>>>,
) -> impl Stream<Item = watcher::Result<DBHubInstance>> {
    let asked = predicates::generation.combine(predicates::annotations);
    events.applied_objects().predicate_filter(asked, PredicateConfig::default())
}

/// What of a Database matters to instances: not when it was last checked.
#[derive(Clone, Debug, PartialEq)]
struct DatabaseMark {
    uid: Option<String>,
    name: String,
    labels: BTreeMap<String, String>,
    generation: Option<i64>,
    phase: Option<DatabasePhase>,
    message: Option<String>,
    privileges: Option<Privileges>,
}

fn database_mark(database: &Database) -> DatabaseMark {
    let status = database.status.as_ref();
    let phase = status.and_then(|status| status.phase);
    DatabaseMark {
        uid: database.uid(),
        name: database.name_any(),
        labels: database.labels().clone(),
        generation: database.metadata.generation,
        phase,
        // The message of a healthy one may change with every look; ours repeats only a failed one's.
        message: status.filter(|_| phase == Some(DatabasePhase::Failed)).and_then(|status| status.message.clone()),
        privileges: status.and_then(|status| status.privileges),
    }
}

/// The instances that select a Database, or did before it changed.
fn by_database(
    instances: Store<DBHubInstance>,
    events: impl Stream<Item = watcher::Result<watcher::Event<Database>>>,
) -> impl Stream<Item = Concerned> {
    changes(events, database_mark).flat_map(move |change| stream::iter(selecting(&instances.state(), &change)))
}

fn selecting(instances: &[Arc<DBHubInstance>], change: &Change<DatabaseMark>) -> Vec<Concerned> {
    let sides = || [&change.before, &change.after].into_iter().flatten();
    instances
        .iter()
        .filter(|instance| instance.metadata.namespace.as_ref() == Some(&change.namespace))
        .filter(|instance| {
            let selector = instance.spec.database_selector.as_ref();
            sides().any(|mark| selects(selector, &mark.name, &mark.labels))
        })
        .map(|instance| ObjectRef::from_obj(&**instance))
        .collect()
}

/// What of an object's metadata matters: that it changed, what it is called, and whose it is.
#[derive(Clone, Debug, PartialEq)]
struct MetaMark {
    name: String,
    version: Option<String>,
    owner: Option<Concerned>,
}

fn meta_mark<K: Resource>(object: &K) -> MetaMark {
    let namespace = object.namespace().unwrap_or_default();
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    MetaMark {
        name: object.name_any(),
        version: object.resource_version(),
        owner: owner.and_then(|owner| ObjectRef::from_owner_ref(Some(&namespace), owner, ())),
    }
}

/// The instance that owns the object, or did.
fn owner(change: &Change<MetaMark>) -> impl Iterator<Item = Concerned> {
    [&change.before, &change.after].into_iter().flatten().find_map(|mark| mark.owner.clone()).into_iter()
}

/// The metadata of a kind, and its changes.
fn metadata<K>(
    client: &Client,
    config: watcher::Config,
) -> (Store<PartialObjectMeta<K>>, impl Stream<Item = Change<MetaMark>> + use<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let prune = |object: &mut PartialObjectMeta<K>| {
        stores::drop_managed_fields(object);
        object.annotations_mut().retain(|key, _| key == REVISION);
        object.metadata.labels = None;
    };
    let (store, events) = stores::reflect::<PartialObjectMeta<K>>(Api::all(client.clone()), config, prune);
    (store, changes(events, meta_mark))
}

/// Our objects of a kind, by metadata, and the instances that own those that change.
fn owned<K>(client: &Client) -> (Store<PartialObjectMeta<K>>, impl Stream<Item = Concerned> + use<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let ours = stores::watch_config().labels(&format!("{}={OPERATOR}", names::MANAGED_BY));
    let (store, changes) = metadata::<K>(client, ours);
    (store, changes.flat_map(|change| stream::iter(owner(&change).collect::<Vec<_>>())))
}

/// The instance that owns a Secret, and those that use it: as token, or through a Database.
fn by_secret(
    client: &Client,
    instances: &Store<DBHubInstance>,
    databases: &Store<Database>,
) -> impl Stream<Item = Concerned> + use<> {
    let (instances, databases) = (instances.clone(), databases.clone());
    metadata::<Secret>(client, stores::watch_config()).1.flat_map(move |change| {
        let name = name(&change);
        let mut concerned: Vec<_> = owner(&change).collect();
        let all = instances.state();
        let by_token = all.iter().filter(|instance| uses_token(instance, &change.namespace, &name));
        concerned.extend(by_token.map(|instance| ObjectRef::from_obj(&**instance)));
        concerned.extend(through_databases(&all, &databases, |database| {
            let ca = ca_of(database, CaKind::Secret).map(|ca| ca.name.as_str());
            let own = database.metadata.namespace.as_deref();
            credentials_of(database)
                .is_some_and(|(namespace, secret)| namespace == change.namespace && secret.name == name)
                || (own == Some(&change.namespace) && ca == Some(&name))
        }));
        stream::iter(concerned)
    })
}

/// The instance that owns a ConfigMap, and those that use it as CA or for a file through a Database.
fn by_config_map(
    client: &Client,
    instances: &Store<DBHubInstance>,
    databases: &Store<Database>,
) -> impl Stream<Item = Concerned> + use<> {
    let (instances, databases) = (instances.clone(), databases.clone());
    metadata::<ConfigMap>(client, stores::watch_config()).1.flat_map(move |change| {
        let name = name(&change);
        let mut concerned: Vec<_> = owner(&change).collect();
        concerned.extend(through_databases(&instances.state(), &databases, |database| {
            let ca = ca_of(database, CaKind::ConfigMap).map(|ca| ca.name.as_str());
            let volume = volume_of(database).and_then(|volume| Some(volume.config_map.as_ref()?.name.as_str()));
            database.metadata.namespace.as_deref() == Some(&change.namespace) && [ca, volume].contains(&Some(&name))
        }));
        stream::iter(concerned)
    })
}

/// The instances that serve a file on a claim.
fn by_claim(
    client: &Client,
    instances: &Store<DBHubInstance>,
    databases: &Store<Database>,
) -> impl Stream<Item = Concerned> + use<> {
    let (instances, databases) = (instances.clone(), databases.clone());
    metadata::<PersistentVolumeClaim>(client, stores::watch_config()).1.flat_map(move |change| {
        let name = name(&change);
        stream::iter(through_databases(&instances.state(), &databases, |database| {
            let claim = volume_of(database).and_then(|volume| volume.persistent_volume_claim.as_ref());
            database.metadata.namespace.as_deref() == Some(&change.namespace)
                && claim.is_some_and(|claim| claim.claim_name == name)
        }))
    })
}

fn name(change: &Change<MetaMark>) -> String {
    change.after.as_ref().or(change.before.as_ref()).map(|mark| mark.name.clone()).unwrap_or_default()
}

fn uses_token(instance: &DBHubInstance, namespace: &str, secret: &str) -> bool {
    let reference = instance.spec.auth.as_ref().and_then(|auth| auth.token_secret_ref.as_ref());
    instance.metadata.namespace.as_deref() == Some(namespace) && reference.is_some_and(|token| token.name == secret)
}

fn credentials_of(database: &Database) -> Option<(&str, &CredentialsRef)> {
    let reference = database.spec.credentials_ref.as_ref()?;
    let namespace = reference.namespace.as_deref().or(database.metadata.namespace.as_deref())?;
    Some((namespace, reference))
}

fn ca_of(database: &Database, kind: CaKind) -> Option<&CaRef> {
    database.spec.tls.as_ref()?.ca_ref.as_ref().filter(|ca| ca.kind == kind)
}

fn volume_of(database: &Database) -> Option<&SqliteVolume> {
    database.spec.sqlite.as_ref().map(|sqlite| &sqlite.volume)
}

/// The instances that select one of the Databases that use something.
fn through_databases(
    instances: &[Arc<DBHubInstance>],
    databases: &Store<Database>,
    uses: impl Fn(&Database) -> bool,
) -> Vec<Concerned> {
    databases
        .state()
        .into_iter()
        .filter(|database| uses(database))
        .flat_map(|database| {
            let namespace = database.namespace().unwrap_or_default();
            selecting(instances, &Change { namespace, before: None, after: Some(database_mark(&database)) })
        })
        .collect()
}

#[cfg(test)]
mod tests;
