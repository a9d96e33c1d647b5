//! The operator's own metrics: statements by what they do, and AppDatabases by phase. Labels come from closed sets; the
//! phases are counted from the watch's store when somebody asks.

use std::collections::BTreeMap;

use api_types::{AppDatabase, AppDatabasePhase};
use kube::runtime::reflector::Store;
use operator_runtime::metrics::SharedRegistry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatementLabel {
    statement: &'static str,
}

/// What is counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    statements: Family<StatementLabel, Counter>,
}

impl Metrics {
    /// Makes the metrics and registers them.
    #[must_use]
    pub fn register(registry: &SharedRegistry, apps: Store<AppDatabase>) -> Self {
        let metrics = Self::default();
        registry.register(|registry| {
            let help = "Statements sent to database servers, by what they do";
            registry.register("sql_statements", help, metrics.statements.clone());
            registry.register_collector(Box::new(Phases(apps)));
        });
        metrics
    }

    /// Counts a statement by its description.
    pub fn count_statement(&self, statement: &'static str) {
        self.statements.get_or_create(&StatementLabel { statement }).inc();
    }
}

/// AppDatabases by phase.
struct Phases(Store<AppDatabase>);

impl std::fmt::Debug for Phases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phases")
    }
}

impl Collector for Phases {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let phases = self.0.state().iter().map(|app| phase(app)).fold(BTreeMap::new(), |mut counts, phase| {
            *counts.entry(phase).or_insert(0_i64) += 1;
            counts
        });
        let mut family = encoder.encode_descriptor(
            "appdatabases",
            "AppDatabases, by phase",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (phase, count) in phases {
            ConstGauge::new(count).encode(family.encode_family(&[("phase", phase)])?)?;
        }
        Ok(())
    }
}

fn phase(app: &AppDatabase) -> &'static str {
    match app.status.as_ref().and_then(|status| status.phase) {
        None | Some(AppDatabasePhase::Pending) => "Pending",
        Some(AppDatabasePhase::Creating) => "Creating",
        Some(AppDatabasePhase::Ready) => "Ready",
        Some(AppDatabasePhase::Failed) => "Failed",
    }
}
