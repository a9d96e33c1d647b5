//! Delays between tries. The delay of an object doubles with each failure up to a cap, with jitter so that objects
//! that failed together do not come back together; the table of failures is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::runtime::utils::Backoff;
use rand::RngExt as _;

/// First delay, cap and jitter of an exponential backoff. A delay is drawn between half and all of the step.
#[derive(Debug, Clone, Copy)]
pub struct BackoffPolicy {
    /// The step after the first failure.
    pub first: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), cap: Duration::from_mins(5) }
    }
}

impl BackoffPolicy {
    /// The delay after `failures` failures in a row (1 = the first); `roll` in 0..1 chooses within the jitter.
    #[must_use]
    pub fn delay(&self, failures: u32, roll: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.cap);
        step.mul_f64(0.5 + 0.5 * roll.clamp(0.0, 1.0))
    }
}

/// The pauses of one thing that is tried again and again, such as a watch.
#[derive(Debug)]
pub(crate) struct Pauses {
    policy: BackoffPolicy,
    failures: u32,
}

impl Pauses {
    pub(crate) const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, failures: 0 }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(self.policy.delay(self.failures, rand::rng().random()))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures in a row by object UID. At most [`Backoffs::CAPACITY`] objects are remembered; when the table is full of
/// recent failures a further object waits the cap.
#[derive(Debug, Default)]
pub struct Backoffs {
    policy: BackoffPolicy,
    table: Mutex<HashMap<String, Failures>>,
}

impl Backoffs {
    /// Most objects remembered at once.
    pub const CAPACITY: usize = 20_000;

    /// An empty table.
    #[must_use]
    pub fn new(policy: BackoffPolicy) -> Self {
        Self { policy, table: Mutex::default() }
    }

    /// Counts a failure of the object and gives the delay before its next try.
    #[must_use]
    pub fn next(&self, uid: &str) -> Duration {
        let count = self.count(uid, Instant::now());
        self.policy.delay(count, rand::rng().random())
    }

    /// Forgets the failures of an object: it succeeded, or it is gone.
    pub fn reset(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn count(&self, uid: &str, now: Instant) -> u32 {
        let mut table = self.lock();
        if let Some(entry) = table.get_mut(uid) {
            *entry = Failures { count: entry.count.saturating_add(1), last: now };
            return entry.count;
        }
        if table.len() >= Self::CAPACITY {
            // An object that did not come back within twice the cap was deleted or succeeded elsewhere.
            let stale = self.policy.cap * 2;
            table.retain(|_, entry| now.duration_since(entry.last) < stale);
        }
        if table.len() >= Self::CAPACITY {
            return u32::MAX;
        }
        table.insert(uid.to_owned(), Failures { count: 1, last: now });
        1
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        // Counters stay valid whatever a panicking thread did.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the object again after `delay`, give or take a tenth.
#[must_use]
pub fn requeue_after(delay: Duration) -> Action {
    Action::requeue(jittered(delay))
}

/// The duration, give or take a tenth.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_grows_with_failures_and_stays_within_its_bounds(
            failures in 1..u32::MAX, roll in 0.0..1.0, first in 1u64..10_000, cap in 10_000u64..1_000_000,
        ) {
            let policy = BackoffPolicy { first: Duration::from_millis(first), cap: Duration::from_millis(cap) };
            let delay = policy.delay(failures, roll);
            prop_assert!(delay <= policy.cap);
            prop_assert!(delay >= policy.first / 2);
            prop_assert!(policy.delay(failures.saturating_add(1), roll) >= delay);
        }

        #[test]
        fn jitter_stays_within_a_tenth(millis in 1u64..10_000_000) {
            let duration = Duration::from_millis(millis);
            let jittered = jittered(duration);
            prop_assert!(jittered >= duration.mul_f64(0.9) && jittered <= duration.mul_f64(1.1));
        }
    }

    #[test]
    fn objects_are_counted_apart_and_a_reset_starts_over() {
        let backoffs = Backoffs::default();
        let now = Instant::now();
        assert_eq!([backoffs.count("a", now), backoffs.count("a", now), backoffs.count("b", now)], [1, 2, 1]);
        backoffs.reset("a");
        assert_eq!(backoffs.count("a", now), 1);
    }

    #[test]
    fn a_full_table_takes_nothing_more_until_old_entries_are_stale() {
        let backoffs = Backoffs::default();
        let start = Instant::now();
        for i in 0..Backoffs::CAPACITY {
            backoffs.count(&i.to_string(), start);
        }
        assert_eq!(backoffs.count("one more", start), u32::MAX);
        assert_eq!(backoffs.lock().len(), Backoffs::CAPACITY);
        let later = start + backoffs.policy.cap * 2;
        assert_eq!(backoffs.count("one more", later), 1);
        assert_eq!(backoffs.lock().len(), 1);
    }
}
