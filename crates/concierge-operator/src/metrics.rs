//! The operator's own metrics: how long passes take, statements by what they do, AppDatabases by phase, and what is known
//! about each server. Labels come from closed sets, servers from the admin Secrets; phases and servers are counted when
//! somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::{AppDatabase, AppDatabasePhase};
use kube::runtime::reflector::Store;
use operator_runtime::metrics::SharedRegistry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::engine::Engine;
use crate::pool::{Figures, Pools};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatementLabel {
    statement: &'static str,
}

/// How a full pass over an AppDatabase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassOutcome {
    /// The application's login works.
    Ready,
    /// Something outside is waited for, such as a server, or the next try.
    Waiting,
    /// A person must act.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    engine: &'static str,
    outcome: &'static str,
}

/// From a few statements on a server nearby up to a pass cut by its deadline, in seconds.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// What is counted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    statements: Family<StatementLabel, Counter>,
    passes: Family<PassLabels, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { statements: Family::default(), passes: Family::new_with_constructor(|| Histogram::new(BUCKETS)) }
    }
}

impl Metrics {
    /// Makes the metrics and registers them.
    #[must_use]
    pub fn register(registry: &SharedRegistry, apps: Store<AppDatabase>) -> Self {
        let metrics = Self::default();
        registry.register(|registry| {
            let help = "Statements sent to database servers, by what they do";
            registry.register("sql_statements", help, metrics.statements.clone());
            let help = "Time that full passes over AppDatabases took, by kind of server and outcome";
            registry.register_with_unit("provisioning", help, Unit::Seconds, metrics.passes.clone());
            registry.register_collector(Box::new(Phases(apps)));
        });
        metrics
    }

    /// Has the sessions on each server counted at scrape.
    pub fn register_servers(registry: &SharedRegistry, pools: Arc<Pools>) {
        registry.register(|registry| registry.register_collector(Box::new(Servers(pools))));
    }

    /// Records a pass that had to look at the server, or tried to.
    pub fn observe_pass(&self, engine: Engine, outcome: PassOutcome, took: Duration) {
        let outcome = match outcome {
            PassOutcome::Ready => "ready",
            PassOutcome::Waiting => "waiting",
            PassOutcome::Failed => "failed",
        };
        let engine = engine.scheme();
        self.passes.get_or_create(&PassLabels { engine, outcome }).observe(took.as_secs_f64());
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
        let mut family =
            encoder.encode_descriptor("appdatabases", "AppDatabases, by phase", None, MetricType::Gauge)?;
        for (phase, count) in phases {
            ConstGauge::new(count).encode(family.encode_family(&[("phase", phase)])?)?;
        }
        Ok(())
    }
}

/// Sessions on each server, who waits for one, and whether the server was given up.
struct Servers(Arc<Pools>);

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Servers")
    }
}

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let figures = self.0.figures();
        let help = "Sessions on each server, by whether they are at work";
        let mut sessions = encoder.encode_descriptor("server_sessions", help, None, MetricType::Gauge)?;
        for Figures { cluster, busy, idle, .. } in &figures {
            for (state, count) in [("busy", busy), ("idle", idle)] {
                let labels = [("server", cluster.as_str()), ("state", state)];
                gauge(*count).encode(sessions.encode_family(&labels)?)?;
            }
        }
        let help = "Passes that wait for a session on the server";
        let mut waiting = encoder.encode_descriptor("server_waiting", help, None, MetricType::Gauge)?;
        for found in &figures {
            gauge(found.waiting).encode(waiting.encode_family(&[("server", found.cluster.as_str())])?)?;
        }
        let help = "1 while the server is not asked, since it failed time and again";
        let mut given_up = encoder.encode_descriptor("server_given_up", help, None, MetricType::Gauge)?;
        for found in &figures {
            let labels = [("server", found.cluster.as_str())];
            gauge(usize::from(found.given_up)).encode(given_up.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn phase(app: &AppDatabase) -> &'static str {
    match app.status.as_ref().and_then(|status| status.phase) {
        None | Some(AppDatabasePhase::Pending) => "Pending",
        Some(AppDatabasePhase::Creating) => "Creating",
        Some(AppDatabasePhase::Ready) => "Ready",
        Some(AppDatabasePhase::Failed) => "Failed",
    }
}
