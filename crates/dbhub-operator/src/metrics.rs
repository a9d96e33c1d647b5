//! What can be scraped beside the runtime's own figures: the state of each instance, read from the watch's store at
//! scrape time, so that nothing stays behind of an instance that is gone.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use api_types::{DBHubInstance, DatabaseState};
use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use operator_runtime::metrics::SharedRegistry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::verifications::Verifications;

/// Makes the instances' figures part of `/metrics`.
pub fn register(registry: &SharedRegistry, instances: Store<DBHubInstance>, verifications: Arc<Verifications>) {
    registry.register(|registry| registry.register_collector(Box::new(Instances { instances, verifications })));
}

struct Instances {
    instances: Store<DBHubInstance>,
    verifications: Arc<Verifications>,
}

impl std::fmt::Debug for Instances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instances").finish_non_exhaustive()
    }
}

/// One figure of one instance, with the labels that tell it apart beside namespace and name.
type Figure = (Option<(&'static str, &'static str)>, i64);

/// Reads the figures of one kind off an instance.
type Read<'a> = dyn Fn(&DBHubInstance) -> Vec<Figure> + 'a;

impl Collector for Instances {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let instances = self.instances.state();
        let figures: [(&str, &str, &Read<'_>); 4] = [
            ("instance_replicas_wanted", "Pods wanted", &wanted),
            ("instance_replicas_available", "Pods available", &available),
            ("instance_databases", "Selected databases, by what the instance does with them", &databases),
            ("instance_last_handshake_timestamp_seconds", "When the last handshake ended", &|instance| {
                self.last_handshake(instance).into_iter().collect()
            }),
        ];
        for (name, help, read) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for instance in &instances {
                let (namespace, name) = (instance.namespace().unwrap_or_default(), instance.name_any());
                for (label, value) in read(instance) {
                    let mut labels = vec![("namespace", namespace.as_str()), ("instance", name.as_str())];
                    labels.extend(label);
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Instances {
    fn last_handshake(&self, instance: &DBHubInstance) -> Option<Figure> {
        let last = self.verifications.last(instance.metadata.uid.as_deref()?)?;
        let ended = SystemTime::now().checked_sub(Instant::now().duration_since(last.at))?;
        let seconds = ended.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some((None, i64::try_from(seconds).ok()?))
    }
}

fn wanted(instance: &DBHubInstance) -> Vec<Figure> {
    vec![(None, i64::from(instance.spec.replicas))]
}

fn available(instance: &DBHubInstance) -> Vec<Figure> {
    let available = instance.status.as_ref().and_then(|status| status.available_replicas);
    available.map(|count| (None, i64::from(count))).into_iter().collect()
}

fn databases(instance: &DBHubInstance) -> Vec<Figure> {
    let states = [DatabaseState::Served, DatabaseState::Down, DatabaseState::LeftOut];
    let entries = instance.status.as_ref().map(|status| status.databases.as_slice()).unwrap_or_default();
    let count = |state| i64::try_from(entries.iter().filter(|entry| entry.state == state).count()).unwrap_or(i64::MAX);
    states.into_iter().map(|state| (Some(("state", label(state))), count(state))).collect()
}

fn label(state: DatabaseState) -> &'static str {
    match state {
        DatabaseState::Served => "served",
        DatabaseState::Down => "down",
        DatabaseState::LeftOut => "left_out",
    }
}
