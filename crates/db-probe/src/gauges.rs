//! What can be scraped about each Database: read from the watch's store at scrape time, so that nothing stays behind
//! of one that is gone.

use std::sync::Arc;

use api_types::{Database, READY};
use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use operator_runtime::conditions;
use operator_runtime::metrics::SharedRegistry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::controller::Context;

/// Makes the Databases' figures part of `/metrics`.
pub fn register(registry: &SharedRegistry, databases: Store<Database>, ctx: Arc<Context>) {
    let success = move |database: &Database| ctx.index().last_success(database);
    registry.register(|registry| registry.register_collector(Box::new(Gauges { databases, success })));
}

/// `success` gives the second of a Database's last success.
struct Gauges<F> {
    databases: Store<Database>,
    success: F,
}

impl<F> std::fmt::Debug for Gauges<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

/// One figure of one Database, with the label that tells it apart beside namespace and name.
type Figure = (Option<(&'static str, &'static str)>, i64);

/// Reads the figures of one kind off a Database.
type Read<'a> = dyn Fn(&Database) -> Vec<Figure> + 'a;

impl<F: Fn(&Database) -> Option<i64> + Send + Sync + 'static> Collector for Gauges<F> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let databases = self.databases.state();
        let figures: [(&str, &str, &Read<'_>); 3] = [
            ("database_up", "1 if the last login and query succeeded, else 0", &up),
            (
                "database_last_success_timestamp_seconds",
                "When the last login and query that succeeded ended, as a Unix time",
                &|database| (self.success)(database).map(|second| (None, second)).into_iter().collect(),
            ),
            ("database_connections", "Connections that the login holds on the server, without the probe's own", &pool),
        ];
        for (name, help, read) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for database in &databases {
                let (namespace, name) = (database.namespace().unwrap_or_default(), database.name_any());
                for (label, value) in read(database) {
                    let mut labels = vec![("namespace", namespace.as_str()), ("name", name.as_str())];
                    labels.extend(label);
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Nothing for a Database that was not looked at yet.
fn up(database: &Database) -> Vec<Figure> {
    let status = database.status.as_ref();
    let ready = status.and_then(|status| conditions::get(&status.conditions, READY));
    ready.map(|ready| (None, i64::from(ready.status == "True"))).into_iter().collect()
}

fn pool(database: &Database) -> Vec<Figure> {
    let pool = database.status.as_ref().and_then(|status| status.connection_pool);
    let states = pool.map(|pool| [("active", pool.active), ("idle", pool.idle)]).into_iter().flatten();
    states.map(|(state, count)| (Some(("state", state)), i64::from(count))).collect()
}

#[cfg(test)]
mod tests {
    use api_types::{ConnectionPool, DatabaseStatus};
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::fixtures::database;

    fn with_status(name: &str, ready: &str, pool: Option<ConnectionPool>) -> Database {
        let mut database = database("{}");
        database.metadata.name = Some(name.to_owned());
        let ready = crate::fixtures::ready(ready);
        database.status =
            Some(DatabaseStatus { conditions: vec![ready], connection_pool: pool, ..DatabaseStatus::default() });
        database
    }

    #[test]
    fn each_database_has_its_figures_until_it_is_gone() {
        let (databases, mut writer) = reflector::store();
        let registry = SharedRegistry::new("db-probe");
        let success = |database: &Database| (database.name_any() == "up").then_some(1_800_000_000);
        let gauges = Gauges { databases, success };
        registry.register(|registry| registry.register_collector(Box::new(gauges)));
        let up = with_status("up", "True", Some(ConnectionPool { active: 1, idle: 4 }));
        writer.apply_watcher_event(&Event::Apply(up.clone()));
        writer.apply_watcher_event(&Event::Apply(with_status("flapping", "Unknown", None)));
        writer.apply_watcher_event(&Event::Apply(database("{}")));
        let lines = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines.join("\n")
        };
        insta::assert_snapshot!(lines(registry.encode().unwrap()), @r##"
        # EOF
        # HELP db_probe_database_connections Connections that the login holds on the server, without the probe's own
        # HELP db_probe_database_last_success_timestamp_seconds When the last login and query that succeeded ended, as a Unix time
        # HELP db_probe_database_up 1 if the last login and query succeeded, else 0
        # TYPE db_probe_database_connections gauge
        # TYPE db_probe_database_last_success_timestamp_seconds gauge
        # TYPE db_probe_database_up gauge
        db_probe_database_connections{namespace="acme",name="up",state="active"} 1
        db_probe_database_connections{namespace="acme",name="up",state="idle"} 4
        db_probe_database_last_success_timestamp_seconds{namespace="acme",name="up"} 1800000000
        db_probe_database_up{namespace="acme",name="flapping"} 0
        db_probe_database_up{namespace="acme",name="up"} 1
        "##);
        writer.apply_watcher_event(&Event::Delete(up));
        assert!(!registry.encode().unwrap().contains("name=\"up\""));
    }
}
