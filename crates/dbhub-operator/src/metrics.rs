//! What can be scraped beside the runtime's own figures: the state of each instance, read from the watches' stores at
//! scrape time, so that nothing stays behind of an instance that is gone.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use api_types::{DBHubInstance, DatabaseState};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_runtime::metrics::SharedRegistry;
use operator_runtime::owner::is_controlled_by;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::verifications::Verifications;

/// Where Kubernetes counts the templates that a Deployment had.
pub const REVISION: &str = "deployment.kubernetes.io/revision";

/// Their Deployments, by metadata.
pub type Deployments = Store<PartialObjectMeta<Deployment>>;

/// What the figures are read from.
pub struct Figures {
    /// The instances.
    pub instances: Store<DBHubInstance>,
    /// Their Deployments, with the annotation [`REVISION`].
    pub deployments: Deployments,
    /// Their last handshakes.
    pub verifications: Arc<Verifications>,
}

impl Figures {
    /// Makes the figures part of `/metrics`.
    pub fn register(self, registry: &SharedRegistry) {
        registry.register(|registry| registry.register_collector(Box::new(self)));
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

/// One figure of one instance, with the label that tells it apart beside namespace and name.
type Figure = (Option<(&'static str, &'static str)>, i64);

/// Reads the figures of one kind off an instance.
type Read<'a> = dyn Fn(&DBHubInstance) -> Vec<Figure> + 'a;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        use MetricType::{Counter, Gauge};
        let figures: [(MetricType, &str, &str, &Read<'_>); 5] = [
            (Gauge, "instance_replicas_wanted", "Pods wanted", &wanted),
            (Gauge, "instance_replicas_available", "Pods available", &available),
            (Gauge, "instance_databases", "Selected databases, by what the instance does with them", &databases),
            (
                Gauge,
                "instance_last_handshake_timestamp_seconds",
                "When the last handshake ended, well or not, as a Unix time",
                &|instance| self.last_handshake(instance).into_iter().collect(),
            ),
            (
                Counter,
                "instance_rollouts",
                "Pod templates that the Deployment has had, the first included",
                &|instance| self.rollouts(instance).into_iter().collect(),
            ),
        ];
        let instances = self.instances.state();
        for (type_, name, help, read) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, type_)?;
            for instance in &instances {
                let (namespace, name) = (instance.namespace().unwrap_or_default(), instance.name_any());
                for (label, value) in read(instance) {
                    let mut labels = vec![("namespace", namespace.as_str()), ("name", name.as_str())];
                    labels.extend(label);
                    let one = family.encode_family(&labels)?;
                    match type_ {
                        Counter => ConstCounter::new(value.unsigned_abs()).encode(one)?,
                        _ => ConstGauge::new(value).encode(one)?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl Figures {
    fn last_handshake(&self, instance: &DBHubInstance) -> Option<Figure> {
        let last = self.verifications.last(instance.metadata.uid.as_deref()?)?;
        let ended = SystemTime::now().checked_sub(Instant::now().duration_since(last.at))?;
        let seconds = ended.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some((None, i64::try_from(seconds).ok()?))
    }

    fn rollouts(&self, instance: &DBHubInstance) -> Option<Figure> {
        let place = ObjectRef::new(&instance.name_any()).within(instance.metadata.namespace.as_deref()?);
        let deployment = self.deployments.get(&place)?;
        let ours = is_controlled_by(&deployment.metadata, instance.metadata.uid.as_deref()?);
        let revision = deployment.annotations().get(REVISION).filter(|_| ours)?.parse().ok()?;
        Some((None, revision))
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

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::fixtures::instance;

    /// The instance of the fixtures with this status.
    fn with_status(status: &str) -> DBHubInstance {
        let mut instance = instance("{replicas: 2}");
        instance.status = serde_norway::from_str(status).unwrap();
        instance
    }

    fn deployment(owner: &str) -> PartialObjectMeta<Deployment> {
        serde_norway::from_str(&format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: acme-dbhub, namespace: tas-acme, \
             annotations: {{{REVISION}: '3'}}, ownerReferences: [{{apiVersion: dbhub.tas.io/v1alpha1, \
             kind: DBHubInstance, name: acme-dbhub, uid: {owner}, controller: true}}]}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn each_instance_has_its_figures_until_it_is_gone() {
        let ((instances, mut writer), (deployments, mut deployed)) = (reflector::store(), reflector::store());
        let registry = SharedRegistry::new("dbhub-operator");
        Figures { instances, deployments, verifications: Arc::default() }.register(&registry);
        let states = "[{name: a, state: Served}, {name: b, state: Served}, {name: c, state: LeftOut}]";
        let hub = with_status(&format!("{{availableReplicas: 1, databases: {states}}}"));
        writer.apply_watcher_event(&Event::Apply(hub.clone()));
        deployed.apply_watcher_event(&Event::Apply(deployment("u1")));
        let lines = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines.join("\n")
        };
        insta::assert_snapshot!(lines(registry.encode().unwrap()));
        deployed.apply_watcher_event(&Event::Apply(deployment("of-another")));
        assert!(!registry.encode().unwrap().contains("rollouts_total{"));
        writer.apply_watcher_event(&Event::Delete(hub));
        assert!(!registry.encode().unwrap().contains("name=\"acme-dbhub\""));
    }
}
