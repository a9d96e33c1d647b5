//! What is watched, and which AppDatabases an event is about. The stores that the watches fill are what reconcile
//! reads; nothing is kept in them that it does not read.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use api_types::AppDatabase;
use api_types::names::{MANAGED_BY, OWNER};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{PredicateConfig, WatchStreamExt as _};
use kube::{Api, Resource as _, ResourceExt as _};
use operator_runtime::stores::{drop_managed_fields, reflect, watch_config};
use operator_runtime::{OperatorContext, controller};

use crate::context::{Context, Stores, Verified};
use crate::due::Due;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::pool::Pools;
use crate::reconcile::reconcile;
use crate::{OPERATOR, Settings, drift, recovery};

/// A pass reads and writes at the API server too, so there are more of them at a server than sessions on it.
const PLACES_PER_SESSION: usize = 2;

/// Runs the controller until the runtime says stop.
pub async fn run(runtime: OperatorContext, settings: Settings) {
    let client = runtime.client.clone();
    let ours = format!("{MANAGED_BY}={OPERATOR}");
    let not_ours = format!("{MANAGED_BY}!={OPERATOR}");
    // Helm keeps its releases in Secrets of up to a megabyte.
    let admin_config = watch_config().labels(&not_ours).fields("type!=helm.sh/release.v1");

    let (apps, app_events) = reflect(Api::<AppDatabase>::all(client.clone()), watch_config(), drop_managed_fields);
    let (admin_secrets, admin_events) =
        reflect(Api::<Secret>::namespaced(client.clone(), &settings.home), admin_config, drop_managed_fields);
    let (app_secrets, secret_events) = reflect(
        Api::<PartialObjectMeta<Secret>>::all(client.clone()),
        watch_config().labels(&ours),
        drop_managed_fields,
    );
    let (namespaces, namespace_events) =
        reflect(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), watch_config(), drop_managed_fields);

    let (of_admin, of_namespace) = (apps.clone(), apps.clone());
    let due = Arc::new(Due::default());
    let controller = Controller::for_stream(
        app_events
            .applied_objects()
            .predicate_filter(|app: &AppDatabase| Some(relevant(app)), PredicateConfig::default()),
        apps.clone(),
    )
    .watches_stream(secret_events.touched_objects(), |secret| owner(&secret))
    .watches_stream(admin_events.touched_objects(), move |_| all(&of_admin, |_| true))
    .watches_stream(namespace_events.touched_objects(), move |namespace| {
        let name = namespace.name_any();
        all(&of_namespace, |app| app.spec.app_namespace == name)
    })
    .reconcile_on(Arc::clone(&due).stream());

    let metrics = Metrics::register(&runtime.registry, apps.clone());
    let pools = Arc::new(Pools::new(settings.connections_per_server, metrics.clone()));
    Metrics::register_servers(&runtime.registry, Arc::clone(&pools));
    let stores = Stores { apps, admin_secrets, app_secrets, namespaces };
    let synced = synced(&stores);
    let ctx = Arc::new(Context {
        client,
        events: runtime.events.clone(),
        home: settings.home,
        installation: settings.installation,
        app_namespaces: settings.app_namespaces,
        stores,
        metrics,
        places: Places::new(settings.connections_per_server * PLACES_PER_SESSION, Arc::clone(&due)),
        pools,
        verified: Verified::default(),
        due,
        drift_interval: settings.drift_interval,
        timeouts: settings.timeouts,
    });
    let beside = futures::future::join(drift::run(Arc::clone(&ctx)), recovery::run(Arc::clone(&ctx)));
    let driven = controller::drive(&runtime, controller, synced, move |app| reconcile(app, Arc::clone(&ctx)));
    // Ends with the controller, which a stop ends.
    tokio::select! {
        () = driven => {}
        ((), ()) = beside => {}
    }
}

fn synced(
    stores: &Stores,
) -> impl Future<Output = Result<(), kube::runtime::reflector::store::WriterDropped>> + Send + 'static {
    let (admin, app, namespaces) =
        (stores.admin_secrets.clone(), stores.app_secrets.clone(), stores.namespaces.clone());
    async move {
        admin.wait_until_ready().await?;
        app.wait_until_ready().await?;
        namespaces.wait_until_ready().await
    }
}

/// Changes when something changes that a pass acts on. Our own status writes are not among it: a failed pass must not
/// bring about the next one.
fn relevant(app: &AppDatabase) -> u64 {
    let meta = app.meta();
    let mut hasher = DefaultHasher::new();
    (&meta.uid, meta.generation, &meta.annotations, &meta.finalizers).hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    hasher.finish()
}

/// The AppDatabase that a Secret of ours belongs to.
fn owner(secret: &PartialObjectMeta<Secret>) -> Option<ObjectRef<AppDatabase>> {
    let (namespace, name) = secret.annotations().get(OWNER)?.split_once('/')?;
    Some(ObjectRef::new(name).within(namespace))
}

/// Those that nothing happened to cost nothing, see [`reconcile`].
fn all(apps: &Store<AppDatabase>, which: impl Fn(&AppDatabase) -> bool) -> Vec<ObjectRef<AppDatabase>> {
    apps.state().iter().filter(|app| which(app)).map(|app| ObjectRef::from_obj(&**app)).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn app() -> AppDatabase {
        let yaml = "metadata: {name: a, namespace: ns, uid: u, generation: 1, resourceVersion: '1'}\n\
                    spec: {clusterRef: c, dbName: d, appNamespace: n}\n\
                    apiVersion: db.stillwaters.io/v1\nkind: AppDatabase";
        serde_norway::from_str(yaml).unwrap()
    }

    #[test]
    fn a_status_write_brings_no_pass_and_an_annotation_does() {
        let before = relevant(&app());
        let mut changed = app();
        changed.metadata.resource_version = Some("2".into());
        changed.status = Some(api_types::AppDatabaseStatus::default());
        assert_eq!(relevant(&changed), before);
        changed.annotations_mut().insert("reconcile".into(), "1".into());
        assert_ne!(relevant(&changed), before);
    }

    #[test]
    fn a_deletion_and_a_namesake_bring_a_pass() {
        let before = relevant(&app());
        let mut deleted = app();
        deleted.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert_ne!(relevant(&deleted), before);
        let mut namesake = app();
        namesake.metadata.uid = Some("v".into());
        assert_ne!(relevant(&namesake), before);
    }

    #[test]
    fn a_secret_leads_to_its_owner() {
        let secret = |annotation: Option<&str>| {
            let annotations = annotation.map(|value| [(OWNER.to_owned(), value.to_owned())].into());
            PartialObjectMeta::<Secret> {
                metadata: kube::api::ObjectMeta { annotations, ..Default::default() },
                ..Default::default()
            }
        };
        assert_eq!(owner(&secret(Some("ns/a"))), Some(ObjectRef::new("a").within("ns")));
        assert_eq!(owner(&secret(Some("a"))), None);
        assert_eq!(owner(&secret(None)), None);
    }
}
