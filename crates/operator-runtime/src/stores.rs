//! Watches with sane settings: bookmarks, small pages, a capped and jittered backoff of their own, connections that
//! died silently noticed after about a minute. What reconcile does not read is dropped before it is stored.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use futures::Stream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::backoff::{BackoffPolicy, Pauses};

/// How long one watch request lasts, in seconds. The watcher gives up on a silent connection 5 s later, so this
/// bounds how long an event can go unseen behind a half-open connection.
const WATCH_SECONDS: u32 = 60;
/// Objects asked for at once. A page is held as text and as objects at the same time, and what that takes at the start
/// stays with the process.
const PAGE: u32 = 100;
const PAUSES: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// The settings of every watch; add selectors to it.
#[must_use]
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

/// A store and the stream that fills it. The store stays empty until somebody polls the stream: give
/// `events.applied_objects()` to `Controller::for_stream` (the kind that is reconciled) or `events.touched_objects()`
/// to `Controller::watches_stream` and `owns_stream` (kinds that matter to it; deletions included).
///
/// `prune` drops what nobody reads; [`drop_managed_fields`] is a good start. For kinds of which only the metadata
/// matters take `Api<PartialObjectMeta<K>>`: the API server then never sends the rest.
pub fn reflect<K>(
    api: Api<K>,
    config: watcher::Config,
    prune: impl FnMut(&mut K) + Send + 'static,
) -> (Store<K>, impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static)
where
    K: Resource
        + Lookup<DynamicType = <K as Resource>::DynamicType>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
    <K as Resource>::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, config).backoff(Pauses::new(PAUSES)).modify(prune).reflect(writer);
    (store, events)
}

/// Forgets who wrote which field: half of a small object's size, and of use only to [`crate::apply`].
pub fn drop_managed_fields<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}
