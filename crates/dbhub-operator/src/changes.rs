//! What changed, out of a watch: for each object a small mark of what matters here, before and after. It leaves out
//! changes that do not matter (a Database's `lastChecked`) and finds deletions that a watch that broke never tells.
//! Pure, apart from the stream that [`changes`] wraps.

use std::collections::HashMap;
use std::future::ready;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt as _};
use tracing::warn;

/// One object's mark before and after; at least one is there, and they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<M> {
    /// Namespace of the object.
    pub namespace: String,
    /// What it was; `None` when it is new.
    pub before: Option<M>,
    /// What it is; `None` when it is gone.
    pub after: Option<M>,
}

type Key = (String, String);

/// The marks of all objects that exist.
struct Marks<M> {
    known: HashMap<Key, M>,
    /// What a list in progress named so far. It counts when the list is whole, as the store does.
    listed: HashMap<Key, M>,
}

impl<M: Clone + PartialEq> Marks<M> {
    fn observe<K: Resource>(&mut self, event: Event<K>, mark: impl Fn(&K) -> M) -> Vec<Change<M>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(key(&object), mark(&object));
                Vec::new()
            }
            Event::InitDone => self.replace(),
            Event::Apply(object) => {
                let after = mark(&object);
                let before = self.known.insert(key(&object), after.clone());
                change(key(&object), before, Some(after)).into_iter().collect()
            }
            Event::Delete(object) => {
                let before = self.known.remove(&key(&object)).or_else(|| Some(mark(&object)));
                change(key(&object), before, None).into_iter().collect()
            }
        }
    }

    fn replace(&mut self) -> Vec<Change<M>> {
        let listed = std::mem::take(&mut self.listed);
        let mut old = std::mem::replace(&mut self.known, listed);
        let new: Vec<_> =
            self.known.iter().map(|(key, after)| (key.clone(), old.remove(key), Some(after.clone()))).collect();
        let gone = old.into_iter().map(|(key, before)| (key, Some(before), None));
        new.into_iter().chain(gone).filter_map(|(key, before, after)| change(key, before, after)).collect()
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn change<M: PartialEq>((namespace, _): Key, before: Option<M>, after: Option<M>) -> Option<Change<M>> {
    (before != after).then_some(Change { namespace, before, after })
}

/// The changes of a watched kind. A watch that fails is logged and goes on; it has a backoff of its own.
pub fn changes<K, M>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    mark: impl Fn(&K) -> M + Copy,
) -> impl Stream<Item = Change<M>>
where
    K: Resource<DynamicType = ()>,
    M: Clone + PartialEq,
{
    events
        .filter_map(|event| {
            ready(
                event
                    .inspect_err(|error| warn!(%error, kind = %K::kind(&()), "a watch failed, it is tried again"))
                    .ok(),
            )
        })
        .scan(Marks { known: HashMap::new(), listed: HashMap::new() }, move |marks, event| {
            ready(Some(stream::iter(marks.observe(event, mark))))
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, mark: &str) -> ConfigMap {
        serde_norway::from_str(&format!("{{metadata: {{name: {name}, namespace: ns, labels: {{mark: '{mark}'}}}}}}"))
            .unwrap()
    }

    fn mark(object: &ConfigMap) -> String {
        object.labels()["mark"].clone()
    }

    fn observe(events: Vec<Event<ConfigMap>>) -> Vec<(Option<String>, Option<String>)> {
        let mut marks = Marks { known: HashMap::new(), listed: HashMap::new() };
        let changes = events.into_iter().flat_map(|event| marks.observe(event, mark)).map(|c| (c.before, c.after));
        changes.collect()
    }

    fn pair(before: &str, after: &str) -> (Option<String>, Option<String>) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (some(before), some(after))
    }

    #[test]
    fn only_a_changed_mark_is_a_change_and_both_sides_are_told() {
        let told = observe(vec![
            Event::Apply(object("a", "1")),
            Event::Apply(object("a", "1")),
            Event::Apply(object("a", "2")),
            Event::Delete(object("a", "2")),
        ]);
        assert_eq!(told, [pair("", "1"), pair("1", "2"), pair("2", "")]);
    }

    #[test]
    fn a_new_list_tells_what_was_missed_while_the_watch_was_away() {
        let told = observe(vec![
            Event::Apply(object("same", "1")),
            Event::Apply(object("gone", "1")),
            Event::Init,
            Event::InitApply(object("same", "1")),
            Event::InitDone,
        ]);
        assert_eq!(told, [pair("", "1"), pair("", "1"), pair("1", "")]);
    }

    #[test]
    fn a_list_that_broke_off_tells_nothing() {
        let told = observe(vec![
            Event::Apply(object("kept", "1")),
            Event::Init,
            Event::Init,
            Event::InitApply(object("kept", "1")),
            Event::InitDone,
        ]);
        assert_eq!(told, [pair("", "1")]);
    }
}
