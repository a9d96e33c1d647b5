//! Which instances are at rest: the last whole pass found everything in place, and no watch named them since. Such an
//! instance gets its handshake in time, and nothing is read for it. A cache: losing it costs one whole pass each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api_types::DBHubInstance;
use kube::runtime::reflector::ObjectRef;
use operator_runtime::backoff::jittered;

use crate::verifications::Subject;
use crate::verify::Target;

/// After this, give or take a tenth, everything is looked at again whatever the watches said.
const WHOLE_PASS: Duration = Duration::from_hours(6);

/// What is still done for an instance at rest.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The handshake; `None` where there is nothing to shake hands with.
    pub handshake: Option<(Subject, Target)>,
}

struct Entry {
    ends: Instant,
    /// `None` while the pass is under way.
    rest: Option<Rest>,
}

/// The instances at rest. A pass begins, and rests if nothing was heard in between: what a watch says while it reads
/// may be newer than what it has read.
#[derive(Default)]
pub struct Idle(Mutex<HashMap<ObjectRef<DBHubInstance>, Entry>>);

impl Idle {
    /// A watch named this instance, so that it needs a whole pass.
    pub fn heard(&self, instance: &ObjectRef<DBHubInstance>) {
        self.lock().remove(instance);
    }

    /// A whole pass begins. Forgets what rested too long: it is gone, or is about to be looked at again.
    pub fn begin(&self, instance: ObjectRef<DBHubInstance>, now: Instant) {
        let mut all = self.lock();
        all.retain(|_, entry| entry.ends > now);
        all.insert(instance, Entry { ends: now + jittered(WHOLE_PASS), rest: None });
    }

    /// The pass found nothing left to do but this.
    pub fn settle(&self, instance: &ObjectRef<DBHubInstance>, rest: Rest) {
        if let Some(entry) = self.lock().get_mut(instance) {
            entry.rest = Some(rest);
        }
    }

    /// What is left to do; `None` when a whole pass is due.
    #[must_use]
    pub fn rest(&self, instance: &ObjectRef<DBHubInstance>, now: Instant) -> Option<Rest> {
        self.lock().get(instance).filter(|entry| entry.ends > now)?.rest.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<DBHubInstance>, Entry>> {
        // Entries are replaced as a whole, so they stay valid whatever a panicking thread did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(name: &str) -> ObjectRef<DBHubInstance> {
        ObjectRef::new(name).within("ns")
    }

    fn settle(idle: &Idle, name: &str) {
        idle.settle(&hub(name), Rest { handshake: None });
    }

    #[test]
    fn only_an_undisturbed_pass_leads_to_rest() {
        let (idle, now) = (Idle::default(), Instant::now());
        let rests = |name| idle.rest(&hub(name), now).is_some();
        settle(&idle, "never-begun");
        idle.begin(hub("settled"), now);
        assert!(!rests("settled"), "the pass is still under way");
        settle(&idle, "settled");
        idle.begin(hub("disturbed"), now);
        idle.heard(&hub("disturbed"));
        settle(&idle, "disturbed");
        assert_eq!(["never-begun", "settled", "disturbed"].map(rests), [false, true, false]);
        idle.heard(&hub("settled"));
        assert!(!rests("settled"));
    }

    #[test]
    fn a_rest_ends_and_is_forgotten() {
        let (idle, now) = (Idle::default(), Instant::now());
        idle.begin(hub("old"), now);
        settle(&idle, "old");
        assert!(idle.rest(&hub("old"), now + WHOLE_PASS / 2).is_some());
        let later = now + WHOLE_PASS * 2;
        assert!(idle.rest(&hub("old"), later).is_none());
        idle.begin(hub("new"), later);
        assert_eq!(idle.lock().keys().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["new"]);
    }
}
