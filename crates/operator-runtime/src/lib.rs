//! What every operator of this workspace needs and none owns.
//!
//! [`run()`] starts a process: logs, health and metrics server, client, CRDs, leader lease, orderly stop. It hands an
//! [`OperatorContext`] to the operator, which builds its watches with [`stores`] and gives them to
//! [`controller::drive`]; that one calls the operator's reconcile function with a deadline, metrics and backoff. Inside
//! a reconcile, [`apply`], [`conditions`], [`events`] and [`owner`] do the writing. Nothing here knows a kind of ours.

mod args;
mod health;
mod lease;
mod logging;
mod run;
mod startup;

pub mod apply;
pub mod backoff;
pub mod conditions;
pub mod controller;
pub mod deadline;
pub mod error;
pub mod events;
pub mod metrics;
pub mod owner;
pub mod stores;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use args::{LogFormat, RuntimeArgs};
pub use error::{ApiError, PublicError, Retry};
pub use health::Readiness;
pub use run::{BoxError, Operator, OperatorContext, RuntimeError, run};
