//! When each instance was last verified, and with what result. A cache: losing it costs one more handshake each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;

use crate::verify::HandshakeError;

/// What a handshake speaks of: one template and size of one Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    uid: Option<String>,
    generation: Option<i64>,
}

impl From<&Deployment> for Subject {
    fn from(deployment: &Deployment) -> Self {
        Self { uid: deployment.metadata.uid.clone(), generation: deployment.metadata.generation }
    }
}

/// The last handshake of an instance.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What it spoke of.
    pub subject: Subject,
    /// When it ended.
    pub at: Instant,
    /// What came out.
    pub result: Result<(), HandshakeError>,
    /// How long this result stands.
    pub stands_for: Duration,
}

impl Verification {
    /// How long it still stands for this subject; `None` when another is due.
    #[must_use]
    pub fn remaining(&self, subject: &Subject, now: Instant) -> Option<Duration> {
        let left = self.stands_for.checked_sub(now.duration_since(self.at))?;
        (self.subject == *subject && !left.is_zero()).then_some(left)
    }
}

/// The last handshakes by UID of the instance.
#[derive(Debug, Default)]
pub struct Verifications(Mutex<HashMap<String, Verification>>);

impl Verifications {
    /// The last one of an instance.
    #[must_use]
    pub fn last(&self, uid: &str) -> Option<Verification> {
        self.lock().get(uid).cloned()
    }

    /// Remembers one, and forgets those that nobody renewed in time: their instances are gone or serve nothing.
    pub fn remember(&self, uid: &str, verification: Verification) {
        let mut all = self.lock();
        all.retain(|_, old| verification.at.duration_since(old.at) < old.stands_for * 2);
        all.insert(uid.to_owned(), verification);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Verification>> {
        // Entries are replaced as a whole, so they stay valid whatever a panicking thread did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verification(generation: i64, at: Instant) -> Verification {
        let subject = Subject { uid: Some("d".into()), generation: Some(generation) };
        Verification { subject, at, result: Ok(()), stands_for: Duration::from_mins(1) }
    }

    #[test]
    fn it_stands_for_its_time_and_its_rollout_alone() {
        let now = Instant::now();
        let last = verification(1, now);
        assert_eq!(last.remaining(&last.subject, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(last.remaining(&last.subject, now + Duration::from_mins(1)), None);
        assert_eq!(last.remaining(&verification(2, now).subject, now), None);
    }

    #[test]
    fn what_nobody_renews_is_forgotten() {
        let (all, start) = (Verifications::default(), Instant::now());
        all.remember("gone", verification(1, start));
        all.remember("kept", verification(1, start + Duration::from_secs(100)));
        all.remember("new", verification(1, start + Duration::from_mins(2)));
        assert!(all.last("gone").is_none() && all.last("kept").is_some() && all.last("new").is_some());
    }
}
