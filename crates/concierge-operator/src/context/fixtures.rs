//! A context for tests whose stores hold what a test puts there.

use std::time::Duration;

use kube::Resource;
use kube::core::Expression;
use kube::runtime::reflector::{self, Lookup};
use kube::runtime::watcher::Event;

use super::*;
use crate::metrics::Metrics;
use crate::plan::fixtures::TIMEOUTS;

/// What watches have seen.
#[derive(Default)]
pub struct Seen {
    pub apps: Vec<AppDatabase>,
    pub admin_secrets: Vec<Secret>,
    pub app_secrets: Vec<PartialObjectMeta<Secret>>,
    pub namespaces: Vec<PartialObjectMeta<Namespace>>,
}

pub fn context(client: Client, seen: Seen) -> Context {
    let due: Arc<Due> = Arc::default();
    Context {
        events: EventSink::new(client.clone(), crate::OPERATOR, "test"),
        client,
        home: "db-concierge".into(),
        installation: "installation".into(),
        app_namespaces: Expression::NotIn("databases".into(), ["none".into()].into()).into(),
        stores: Stores {
            apps: stored(seen.apps),
            admin_secrets: stored(seen.admin_secrets),
            app_secrets: stored(seen.app_secrets),
            namespaces: stored(seen.namespaces),
        },
        metrics: Metrics::default(),
        pools: Arc::new(Pools::new(1, Metrics::default())),
        verified: Verified::default(),
        places: Places::new(1, Arc::clone(&due)),
        due,
        drift_interval: Duration::from_mins(10),
        timeouts: TIMEOUTS,
    }
}

fn stored<K>(objects: Vec<K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    for object in objects {
        writer.apply_watcher_event(&Event::Apply(object));
    }
    store
}
