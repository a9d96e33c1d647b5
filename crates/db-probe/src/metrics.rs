//! What is counted about probes, beside the reconciles that the runtime counts. Labels are closed sets.

use std::time::Duration;

use api_types::Engine;
use operator_runtime::metrics::SharedRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::error::{Problem, Reason};
use crate::status::Outcome;

/// From 5 ms, a login next door, to 60 s, beyond the default timeouts.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    engine: &'static str,
    outcome: &'static str,
}

/// Probes by engine and outcome, and those running. Cheap to clone.
#[derive(Clone)]
pub struct ProbeMetrics {
    duration: Family<Labels, Histogram>,
    in_flight: Gauge,
}

impl ProbeMetrics {
    /// Makes the metrics and registers them.
    #[must_use]
    pub fn register(registry: &SharedRegistry) -> Self {
        let metrics =
            Self { duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)), in_flight: Gauge::default() };
        registry.register(|registry| {
            let help = "Time that probes took, by engine and outcome";
            registry.register_with_unit("probe_duration", help, Unit::Seconds, metrics.duration.clone());
            registry.register("probes_in_flight", "Probes running now", metrics.in_flight.clone());
        });
        metrics
    }

    /// Notes that a probe runs, until the guard is dropped.
    #[must_use = "the probe counts as running until this is dropped"]
    pub fn start(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Records a probe that ended.
    pub fn ended(&self, engine: Engine, outcome: &Outcome, took: Duration) {
        let outcome = outcome.as_ref().map_or_else(Problem::reason, |_| Reason::Connected).as_str();
        let labels = Labels { engine: engine.as_str(), outcome };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// A running probe.
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
