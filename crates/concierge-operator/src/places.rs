//! How many AppDatabases of one server are worked on together. The others of that server wait outside, where they take
//! nobody's place: the controller's own places are for all servers, and one that does not answer must not fill them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::AppDatabase;
use kube::runtime::reflector::ObjectRef;

use crate::due::{Due, Queue};

/// The places of all servers.
pub struct Places {
    at_each: usize,
    /// By clusterRef; those at which nobody is are not kept.
    servers: Mutex<HashMap<String, Server>>,
    due: Arc<Due>,
}

#[derive(Default)]
struct Server {
    taken: usize,
    waiting: Queue,
}

/// A place of one server, until it is dropped.
#[must_use = "the place is given back when this is dropped"]
pub struct Place<'a> {
    places: &'a Places,
    cluster: String,
}

impl Places {
    /// So many at each server. Whoever waits comes up for another pass by `due`.
    #[must_use]
    pub fn new(at_each: usize, due: Arc<Due>) -> Self {
        Self { at_each, servers: Mutex::default(), due }
    }

    /// A place at the server that the object names; `None` when all are taken. The object gets another pass then.
    pub fn enter(&self, app: &AppDatabase) -> Option<Place<'_>> {
        let cluster = app.spec.cluster_ref.clone();
        let mut servers = self.lock();
        let server = servers.entry(cluster.clone()).or_default();
        if server.taken >= self.at_each {
            server.waiting.push(ObjectRef::from_obj(app));
            return None;
        }
        server.taken += 1;
        Some(Place { places: self, cluster })
    }

    /// Calls as many as there are free places. Some of those called may be gone, so the last to leave calls all.
    fn leave(&self, cluster: &str) {
        let mut servers = self.lock();
        let Some(server) = servers.get_mut(cluster) else { return };
        server.taken -= 1;
        let calls = if server.taken == 0 { usize::MAX } else { self.at_each - server.taken };
        for object in std::iter::from_fn(|| server.waiting.pop()).take(calls) {
            self.due.add(object);
        }
        if server.taken == 0 {
            servers.remove(cluster);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        // Numbers and queues stay whole whatever a panicking thread did.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.leave(&self.cluster);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;
    use crate::plan::fixtures::spec;

    fn app(name: &str, cluster: &str) -> AppDatabase {
        let mut app = AppDatabase::new(name, spec(&format!("{{clusterRef: {cluster}}}")));
        app.metadata.namespace = Some("ns".into());
        app
    }

    fn called(due: &Arc<Due>) -> Vec<String> {
        let mut stream = Box::pin(Arc::clone(due).stream());
        std::iter::from_fn(|| stream.next().now_or_never().flatten()).map(|object| object.name).collect()
    }

    #[test]
    fn one_server_takes_no_place_of_another() {
        let places = Places::new(2, Arc::default());
        let _full = [places.enter(&app("a", "sick")), places.enter(&app("b", "sick"))];
        assert!(places.enter(&app("c", "sick")).is_none());
        assert!(places.enter(&app("d", "well")).is_some());
    }

    #[test]
    fn who_waits_is_called_in_order_when_a_place_is_free() {
        let due = Arc::new(Due::default());
        let places = Places::new(2, Arc::clone(&due));
        let (one, two) = (places.enter(&app("a", "c")), places.enter(&app("b", "c")));
        for name in ["d", "e", "d", "f"] {
            assert!(places.enter(&app(name, "c")).is_none());
        }
        assert!(called(&due).is_empty());
        drop(one);
        assert_eq!(called(&due), ["d"]);
        drop(two);
        assert_eq!(called(&due), ["e", "f"]);
    }

    #[test]
    fn one_that_was_called_and_is_gone_keeps_nobody_waiting() {
        let due = Arc::new(Due::default());
        let places = Places::new(1, Arc::clone(&due));
        let place = places.enter(&app("a", "c"));
        for name in ["gone", "b", "d"] {
            assert!(places.enter(&app(name, "c")).is_none());
        }
        drop(place);
        assert_eq!(called(&due), ["gone", "b", "d"]);
        assert!(places.lock().is_empty());
    }
}
