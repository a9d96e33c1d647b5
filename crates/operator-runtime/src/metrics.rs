//! Metrics that every operator has: reconciles by outcome and duration, errors by reason, work in flight, leadership.
//! All names carry the operator's prefix (`db_probe_reconcile_duration_seconds`); labels are closed sets, never a
//! name or an error's text.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::PublicError;

/// From 1 ms to 60 s: a look at a healthy object up to a reconcile cut by its deadline.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0];

/// The process's metrics, shared between `/metrics` and those who register. Cheap to clone.
#[derive(Clone)]
pub struct SharedRegistry(Arc<RwLock<Registry>>);

impl SharedRegistry {
    /// An empty registry for the operator; every metric's name starts with the operator's.
    #[must_use]
    pub fn new(operator: &str) -> Self {
        Self(Arc::new(RwLock::new(Registry::with_prefix(operator.replace('-', "_")))))
    }

    /// Registers metrics or collectors.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The OpenMetrics text of everything registered.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.read().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    success,
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    error,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What is counted about reconciles. Cheap to clone.
#[derive(Clone)]
pub struct ReconcileMetrics {
    duration: Family<OutcomeLabel, Histogram>,
    errors: Family<ReasonLabel, Counter>,
    in_flight: Gauge,
    leader: Gauge,
}

impl ReconcileMetrics {
    /// Makes the metrics and registers them.
    #[must_use]
    pub fn register(registry: &SharedRegistry) -> Self {
        let metrics = Self {
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            errors: Family::default(),
            in_flight: Gauge::default(),
            leader: Gauge::default(),
        };
        registry.register(|registry| {
            let help = "Time that reconciles took, by outcome";
            registry.register_with_unit("reconcile_duration", help, Unit::Seconds, metrics.duration.clone());
            registry.register("reconcile_errors", "Failed reconciles, by reason", metrics.errors.clone());
            registry.register("reconcile_in_flight", "Reconciles running now", metrics.in_flight.clone());
            registry.register("leader", "1 while this process holds the lease", metrics.leader.clone());
        });
        metrics
    }

    /// Runs one reconcile and records its duration, outcome and reason. A reconcile that is dropped counts as neither.
    pub async fn observe<T, E: PublicError>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let _running = InFlight::enter(&self.in_flight);
        let start = Instant::now();
        let result = work.await;
        let outcome = match &result {
            Ok(_) => Outcome::success,
            Err(error) => {
                self.errors.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
                Outcome::error
            }
        };
        self.duration.get_or_create(&OutcomeLabel { outcome }).observe(start.elapsed().as_secs_f64());
        result
    }

    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}

struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    async fn observed() -> String {
        let registry = SharedRegistry::new("db-probe");
        let metrics = ReconcileMetrics::register(&registry);
        let running = registry.clone();
        let ok: Result<_, ApiError> = metrics.observe(async { Ok(running.encode().unwrap()) }).await;
        assert!(ok.unwrap().contains("db_probe_reconcile_in_flight 1\n"));
        let failed: Result<(), _> = metrics.observe(async { Err(ApiError::NotFound { call: "x".into() }) }).await;
        assert!(failed.is_err());
        registry.encode().unwrap()
    }

    #[tokio::test]
    async fn names_carry_the_operator_and_labels_the_outcome_and_reason() {
        let text = observed().await;
        for line in [
            "db_probe_reconcile_duration_seconds_count{outcome=\"success\"} 1",
            "db_probe_reconcile_duration_seconds_count{outcome=\"error\"} 1",
            "db_probe_reconcile_errors_total{reason=\"ApiNotFound\"} 1",
            "db_probe_reconcile_in_flight 0",
            "db_probe_leader 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
