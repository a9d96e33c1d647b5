//! What is watched, and how an event maps to a Database: Databases themselves, by generation and `reconcile`
//! annotation, so that our own status writes cause nothing; Secrets and ConfigMaps by their metadata, through the index.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::{CaKind, Database, Engine, names};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates};
use kube::{Api, Client, Resource, ResourceExt as _};
use operator_runtime::controller::drive;
use operator_runtime::events::EventSink;
use operator_runtime::metrics::SharedRegistry;
use operator_runtime::{ApiError, OperatorContext, stores};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::gather::prune;
use crate::gauges;
use crate::index::{DatabaseRef, Index};
use crate::metrics::ProbeMetrics;
use crate::reconcile::reconcile;
use crate::settings::Settings;
use crate::status::standing;
use crate::trust::PlatformTrust;
use crate::turns::Turns;

/// What every look at a Database shares.
pub struct Context {
    /// The client.
    pub client: Client,
    /// The Events.
    pub events: EventSink,
    /// The field manager.
    pub manager: &'static str,
    /// The flags.
    pub settings: Settings,
    /// Whom to trust where a Database names no CA.
    pub trust: PlatformTrust,
    /// What is counted about probes.
    pub metrics: ProbeMetrics,
    index: Mutex<Index>,
}

impl Context {
    /// A context without any Database yet.
    #[must_use]
    pub fn new(client: Client, events: EventSink, registry: &SharedRegistry, settings: Settings) -> Self {
        Self {
            client,
            events,
            manager: env!("CARGO_PKG_NAME"),
            trust: PlatformTrust::new(settings.trust_bundle.clone()),
            metrics: ProbeMetrics::register(registry),
            index: Mutex::default(),
            settings,
        }
    }

    /// What is known of all Databases. Never held across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches and reconciles until the runtime says stop.
pub async fn run(runtime: OperatorContext, settings: Settings) {
    let turns = Arc::new(Turns::new(runtime.concurrency.into(), settings.concurrency_per_host));
    // Those waiting for a turn must not count, so the controller itself holds nothing back.
    let runtime = OperatorContext { concurrency: 0, ..runtime };
    let ctx = Arc::new(Context::new(runtime.client.clone(), runtime.events.clone(), &runtime.registry, settings));
    let (store, events) = stores::reflect(Api::all(ctx.client.clone()), stores::watch_config(), prune);
    gauges::register(&runtime.registry, store.clone(), Arc::clone(&ctx));
    let indexed = Arc::clone(&ctx);
    let databases = events
        .inspect_ok(move |event| indexed.index().database_event(event))
        .applied_objects()
        // A deletion needs no look: there is nothing to clean up.
        .predicate_filter(predicates::generation.combine(request), PredicateConfig::default());
    let (secrets_listed, secrets) = concerned::<Secret>(&ctx, CaKind::Secret);
    let (config_maps_listed, config_maps) = concerned::<ConfigMap>(&ctx, CaKind::ConfigMap);
    let controller = Controller::for_stream(databases, store.clone()).reconcile_on(secrets).reconcile_on(config_maps);
    let synced = async move {
        secrets_listed.await;
        config_maps_listed.await;
        Ok::<(), WriterDropped>(())
    };
    let looks = Looks { ctx, turns, store, shutdown: runtime.shutdown.clone() };
    drive(&runtime, controller, synced, move |database| looks.clone().look(database)).await;
}

/// What a look needs to wait for its turn.
#[derive(Clone)]
struct Looks {
    ctx: Arc<Context>,
    turns: Arc<Turns>,
    store: Store<Database>,
    shutdown: CancellationToken,
}

impl Looks {
    /// Waits for a turn, then looks at the Database as it is by then. A stop ends the waiting.
    async fn look(self, database: Arc<Database>) -> Result<Action, ApiError> {
        let host = host(&database);
        let turn = self.turns.take(host.as_deref(), standing(&database));
        let turn = self.shutdown.run_until_cancelled(turn).await;
        match (turn, self.store.get(&ObjectRef::from_obj(&database))) {
            // Boxed, so that the thousands that may wait above are small.
            (Some(turn), Some(current)) => turn.run(Box::pin(reconcile(self.ctx, current))).await,
            _ => Ok(Action::await_change()),
        }
    }
}

/// What may keep a look waiting, as the turns know it: a server's host, or the SQLite files of a namespace.
fn host(database: &Database) -> Option<String> {
    match database.spec.engine {
        Engine::Sqlite => database.namespace().map(|namespace| format!("{namespace}/")),
        _ => database.spec.host.clone(),
    }
}

/// The value of the annotation that asks for a look.
fn request(database: &Database) -> Option<u64> {
    let value = database.annotations().get(names::RECONCILE)?;
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Some(hasher.finish())
}

/// The Databases that a change of a Secret or ConfigMap concerns, and when the first listing is done. Only metadata is
/// asked for, and none of it is kept.
fn concerned<K>(
    ctx: &Arc<Context>,
    kind: CaKind,
) -> (impl Future<Output = ()> + Send + use<K>, impl Stream<Item = DatabaseRef> + Send + use<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(ctx.client.clone());
    let (done, listed) = oneshot::channel();
    let (mut done, ctx) = (Some(done), Arc::clone(ctx));
    let databases = watcher(api, stores::watch_config()).default_backoff().flat_map(move |event| {
        let concerned = on_event(&ctx, kind, &event);
        if matches!(event, Ok(Event::InitDone)) {
            done.take().map(|done| done.send(()));
        }
        stream::iter(concerned)
    });
    // An error means that the stream was dropped: the process stops.
    let listed = async move { listed.await.unwrap_or_default() };
    (listed, databases)
}

fn on_event<K: Resource>(ctx: &Context, kind: CaKind, event: &watcher::Result<Event<K>>) -> Vec<DatabaseRef> {
    match event {
        Ok(event) => ctx.index().object_event(kind, event),
        Err(error) => {
            warn!(?kind, %error, "a watch failed, it is tried again");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, database};

    fn hash(database: &Database) -> Option<u64> {
        predicates::generation.combine(request).hash_property(database)
    }

    #[test]
    fn spec_and_request_cause_a_look_and_our_own_status_does_not() {
        let mut seen = database("{}");
        let before = hash(&seen);
        seen.status = Some(api_types::DatabaseStatus {
            last_checked: Some(at(0).into()),
            ..api_types::DatabaseStatus::default()
        });
        seen.metadata.resource_version = Some("2".to_owned());
        seen.labels_mut().insert("team".to_owned(), "data".to_owned());
        assert_eq!(hash(&seen), before);
        seen.annotations_mut().insert(names::RECONCILE.to_owned(), "now".to_owned());
        let asked = hash(&seen);
        assert_ne!(asked, before);
        seen.annotations_mut().insert(names::RECONCILE.to_owned(), "again".to_owned());
        assert_ne!(hash(&seen), asked);
        seen.metadata.generation = Some(2);
        assert_ne!(hash(&seen), before);
    }

    #[test]
    fn the_files_of_a_namespace_wait_for_each_other_and_for_no_server() {
        let file = database("{type: sqlite, database: app.db}");
        assert_eq!(host(&file).as_deref(), Some("acme/"));
        assert_eq!(host(&database("{}")).as_deref(), Some("pg.acme.internal"));
    }
}
