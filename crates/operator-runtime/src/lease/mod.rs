//! The leader lease: at most one process acts. [`record`] decides, [`Elector`] reads and writes.
//!
//! A holder counts its right from the moment it *sent* its last successful renewal and stops after
//! [`RENEW_DEADLINE`]; a candidate counts from the moment it *saw* the last change and takes over after
//! [`LEASE_DURATION`]. Both use their own monotonic clock, so a wrong wall clock cannot make two leaders, and every
//! write carries the resourceVersion it is based on, so of two candidates one wins.

mod elect;
mod record;

use std::time::Duration;

pub(crate) use elect::{Elector, LeaseLost};

/// A candidate takes a lease that did not change for so long.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long stops acting.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between renewals and between looks of a candidate, jittered.
const RETRY: Duration = Duration::from_secs(2);
/// Limit of one call, so that a dead connection leaves time for another try before the deadline.
const CALL_LIMIT: Duration = Duration::from_secs(3);
