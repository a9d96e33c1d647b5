//! What a Lease object says and what that lets us do. Pure: time comes in as a value, nothing is read or written.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::LEASE_DURATION;

/// A Lease as last read, and since when its spec has been like that on our clock.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    since: Instant,
}

/// What the record lets this process do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nobody holds it, or its holder was silent for too long.
    Take,
    /// We hold it.
    Renew,
    /// The named other holds it.
    Wait(String),
}

impl Seen {
    /// The record just read, after `previous`. A change of metadata alone is no sign of life of the holder.
    pub(super) fn observe(previous: Option<&Self>, lease: Lease, now: Instant) -> Self {
        let since = previous.filter(|seen| seen.lease.spec == lease.spec).map_or(now, |seen| seen.since);
        Self { lease, since }
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.spec.as_ref()
    }

    fn holder(&self) -> Option<&str> {
        self.spec()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// How long its holder may be silent: what the holder wrote, in case it is of another version than we are.
    fn duration(&self) -> Duration {
        let written = self.spec().and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
        written.map_or(LEASE_DURATION, Duration::from_secs)
    }
}

/// Decides for `me`; `None` when no Lease object exists.
pub(super) fn decide(seen: Option<&Seen>, me: &str, now: Instant) -> Decision {
    let Some(seen) = seen else { return Decision::Take };
    match seen.holder() {
        None => Decision::Take,
        Some(holder) if holder == me => Decision::Renew,
        Some(_) if now.duration_since(seen.since) >= seen.duration() => Decision::Take,
        Some(holder) => Decision::Wait(holder.to_owned()),
    }
}

/// The object to write to take or renew the lease. Keeps the resourceVersion of what was seen, so that the write fails
/// if anybody wrote since.
pub(super) fn claimed(seen: Option<&Seen>, name: &str, me: &str, wall_clock: Timestamp) -> Lease {
    let old = seen.and_then(Seen::spec);
    let renews = seen.and_then(Seen::holder) == Some(me);
    let transitions = old.and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: old.filter(|_| renews).and_then(|spec| spec.acquire_time.clone()).or(Some(MicroTime(wall_clock))),
        renew_time: Some(MicroTime(wall_clock)),
        lease_transitions: Some(if renews || seen.is_none() { transitions } else { transitions.saturating_add(1) }),
        ..LeaseSpec::default()
    };
    let metadata = seen.map_or_else(
        || ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        |seen| seen.lease.metadata.clone(),
    );
    Lease { metadata, spec: Some(spec) }
}

/// The object to write to give the lease up; `None` when `me` does not hold it.
pub(super) fn released(seen: &Seen, me: &str) -> Option<Lease> {
    let held = seen.holder() == Some(me);
    held.then(|| {
        let spec = LeaseSpec {
            lease_transitions: seen.spec().and_then(|spec| spec.lease_transitions),
            ..LeaseSpec::default()
        };
        Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lease(holder: &str, second: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(Timestamp::from_second(second).unwrap())),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { resource_version: Some(second.to_string()), ..ObjectMeta::default() };
        Lease { metadata, spec: Some(spec) }
    }

    fn wait(holder: &str) -> Decision {
        Decision::Wait(holder.to_owned())
    }

    #[test]
    fn a_silent_holder_loses_the_lease_on_our_clock_only() {
        let start = Instant::now();
        // Its renewTime lies decades back: a wrong wall clock must not matter.
        let seen = Seen::observe(None, lease("a", 1), start);
        assert_eq!(decide(Some(&seen), "b", start + Duration::from_secs(14)), wait("a"));
        assert_eq!(decide(Some(&seen), "b", start + Duration::from_secs(15)), Decision::Take);
    }

    #[test]
    fn a_renewal_starts_the_count_again_and_a_metadata_change_does_not() {
        let start = Instant::now();
        let seen = Seen::observe(None, lease("a", 1), start);
        let at = start + Duration::from_secs(14);
        let later = at + Duration::from_secs(1);
        let mut touched = lease("a", 1);
        touched.metadata.resource_version = Some("99".into());
        assert_eq!(decide(Some(&Seen::observe(Some(&seen), touched, at)), "b", later), Decision::Take);
        assert_eq!(decide(Some(&Seen::observe(Some(&seen), lease("a", 2), at)), "b", later), wait("a"));
    }

    #[test]
    fn a_free_an_absent_and_an_own_lease_need_no_waiting() {
        let now = Instant::now();
        assert_eq!(decide(None, "b", now), Decision::Take);
        assert_eq!(decide(Some(&Seen::observe(None, lease("", 1), now)), "b", now), Decision::Take);
        assert_eq!(decide(Some(&Seen::observe(None, Lease::default(), now)), "b", now), Decision::Take);
        assert_eq!(decide(Some(&Seen::observe(None, lease("b", 1), now)), "b", now), Decision::Renew);
    }

    #[test]
    fn taking_counts_a_transition_renewing_does_not() {
        let seen = Seen::observe(None, lease("a", 1), Instant::now());
        let wall = Timestamp::from_second(50).unwrap();
        let taken = claimed(Some(&seen), "op", "b", wall);
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("1"));
        assert_eq!(taken.spec.as_ref().unwrap().lease_transitions, Some(5));
        let held = Seen::observe(None, taken, Instant::now());
        let renewed = claimed(Some(&held), "op", "b", Timestamp::from_second(52).unwrap()).spec.unwrap();
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(5), Some(MicroTime(wall))));
        assert_eq!(claimed(None, "op", "b", wall).metadata.name.as_deref(), Some("op"));
    }

    #[test]
    fn only_the_holder_releases_and_what_it_leaves_is_free() {
        let now = Instant::now();
        let seen = Seen::observe(None, lease("a", 1), now);
        assert_eq!(released(&seen, "b"), None);
        let free = Seen::observe(Some(&seen), released(&seen, "a").unwrap(), now);
        assert_eq!(decide(Some(&free), "b", now), Decision::Take);
    }

    proptest! {
        /// Whatever a candidate sees and when: it takes a held lease only after a full duration without a renewal.
        #[test]
        fn nobody_takes_a_lease_that_was_renewed_within_its_duration(looks in prop::collection::vec((1u64..20, any::<bool>()), 1..40)) {
            let (mut now, mut renewals) = (Instant::now(), 1);
            let mut last_renewal = now;
            let mut seen = Seen::observe(None, lease("a", renewals), now);
            for (pause, renewed) in looks {
                now += Duration::from_secs(pause);
                if renewed {
                    renewals += 1;
                    last_renewal = now;
                }
                seen = Seen::observe(Some(&seen), lease("a", renewals), now);
                let expired = now.duration_since(last_renewal) >= LEASE_DURATION;
                prop_assert_eq!(decide(Some(&seen), "b", now) == Decision::Take, expired);
            }
        }
    }
}
