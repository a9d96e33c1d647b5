//! AppDatabases that need a pass though no watch says so: drift was found, or their server is back. A set, so that it
//! never holds more than there are objects, whoever adds to it and however often.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::AppDatabase;
use futures::stream::{self, Stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

/// Objects in the order in which they came, each once.
#[derive(Default)]
pub struct Queue {
    order: VecDeque<ObjectRef<AppDatabase>>,
    known: HashSet<ObjectRef<AppDatabase>>,
}

impl Queue {
    /// Puts an object at the end, unless it waits already.
    pub fn push(&mut self, object: ObjectRef<AppDatabase>) {
        if self.known.insert(object.clone()) {
            self.order.push_back(object);
        }
    }

    /// The first.
    pub fn pop(&mut self) -> Option<ObjectRef<AppDatabase>> {
        let object = self.order.pop_front()?;
        self.known.remove(&object);
        Some(object)
    }
}

/// What waits to be taken up by the controller.
#[derive(Default)]
pub struct Due {
    waiting: Mutex<Queue>,
    added: Notify,
}

impl Due {
    /// Asks for a pass of an object; once is enough.
    pub fn add(&self, object: ObjectRef<AppDatabase>) {
        self.lock().push(object);
        self.added.notify_one();
    }

    /// The objects in the order in which they were added; for one taker. It never ends.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = ObjectRef<AppDatabase>> + Send + 'static {
        stream::unfold(self, |due| async move {
            loop {
                let object = due.lock().pop();
                if let Some(object) = object {
                    return Some((object, due));
                }
                due.added.notified().await;
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Both parts hold the same after each call; a thread that panicked between them leaves at worst one pass more.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn object(name: &str) -> ObjectRef<AppDatabase> {
        ObjectRef::new(name).within("ns")
    }

    #[tokio::test]
    async fn each_object_comes_out_once_and_in_order() {
        let due = Arc::new(Due::default());
        for name in ["a", "b", "a", "c", "b"] {
            due.add(object(name));
        }
        let mut taken = Box::pin(Arc::clone(&due).stream());
        let three: Vec<_> = taken.by_ref().take(3).collect().await;
        assert_eq!(three, ["a", "b", "c"].map(object));
        assert!(taken.next().now_or_never().is_none());
        due.add(object("a"));
        assert_eq!(taken.next().await, Some(object("a")));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let due = Arc::new(Due::default());
        let mut taken = Box::pin(Arc::clone(&due).stream());
        let (next, ()) = tokio::join!(taken.next(), async { due.add(object("a")) });
        assert_eq!(next, Some(object("a")));
    }
}
