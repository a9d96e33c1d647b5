//! How far a Deployment's pods are, and what keeps them from being ready. Pure: Deployment and pods in, facts out.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use crate::plan::deployment::FINGERPRINT;

mod crash;

/// How far the pods of a Deployment are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that are wanted.
    pub wanted: i32,
    /// Pods that are available, old ones included.
    pub available: i32,
    /// Every pod is of the newest template, and was available at least once.
    pub complete: bool,
    /// Pods that end and may still be asked, for those who looked.
    pub ending: usize,
    /// What the Deployment itself complains about.
    pub trouble: Option<Trouble>,
}

impl Rollout {
    /// Reads a Deployment.
    #[must_use]
    pub fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &deployment.status else { return Self { wanted, ..Self::default() } };
        let newest = status.observed_generation >= deployment.metadata.generation;
        let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
        let progressing = condition("Progressing").and_then(|condition| condition.reason.as_deref());
        let all_new = status.updated_replicas == Some(wanted) && status.replicas == Some(wanted);
        Self {
            wanted,
            available: status.available_replicas.unwrap_or(0),
            complete: newest && all_new && progressing == Some("NewReplicaSetAvailable"),
            ending: 0,
            trouble: refused(condition("ReplicaFailure"))
                .or_else(|| (progressing == Some("ProgressDeadlineExceeded")).then(Trouble::stalled)),
        }
    }

    /// Whether all wanted pods are of the newest template and available, and no other is asked any longer.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.complete && self.available >= self.wanted && self.ending == 0
    }
}

fn refused(condition: Option<&DeploymentCondition>) -> Option<Trouble> {
    let condition = condition.filter(|condition| condition.status == "True")?;
    let why = condition.message.as_deref().unwrap_or("no reason given");
    Some(Trouble { reason: "PodsRefused", message: format!("the cluster refuses to create pods: {why}") })
}

/// What keeps pods from being ready, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// CamelCase.
    pub reason: &'static str,
    /// What to do about it.
    pub message: String,
}

impl Trouble {
    fn stalled() -> Self {
        let message = "the pods do not become ready; `kubectl describe pod` and `kubectl logs` say more";
        Self { reason: "RolloutStalled", message: message.to_owned() }
    }
}

/// Pods that were told to end and may still get a call: no node forgets an endpoint at once. One that is overdue is not
/// counted, since its node is lost and no endpoint any longer.
#[must_use]
pub fn ending(pods: &[Pod], now: Timestamp) -> usize {
    let ends = |pod: &&Pod| pod.metadata.deletion_timestamp.as_ref().is_some_and(|deadline| deadline.0 > now);
    pods.iter().filter(ends).count()
}

/// The first trouble among the pods of the Deployment's newest template.
#[must_use]
pub fn diagnose(deployment: &Deployment, pods: &[Pod]) -> Option<Trouble> {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let newest = template.and_then(|meta| meta.annotations.as_ref()?.get(FINGERPRINT));
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter(|pod| pod.metadata.annotations.as_ref().and_then(|all| all.get(FINGERPRINT)) == newest)
        .find_map(trouble_of)
}

fn trouble_of(pod: &Pod) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let unschedulable =
        status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
        });
    if let Some(condition) = unschedulable {
        let why = condition.message.as_deref().unwrap_or("no reason given");
        let message = format!("pod {name} fits on no node: {why}; free or add one, or lower spec.resources.requests");
        return Some(Trouble { reason: "Unschedulable", message });
    }
    status.container_statuses.iter().flatten().find_map(|container| container_trouble(name, container))
}

fn container_trouble(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let trouble = |reason, message| Some(Trouble { reason, message });
    match waiting {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            let image = &container.image;
            trouble(
                "ImagePullFailed",
                format!("image {image} of pod {pod} cannot be pulled ({waiting}); check spec.image"),
            )
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => trouble(
            "ContainerNotStarted",
            format!("the container of pod {pod} cannot be started ({waiting}); `kubectl describe pod {pod}` says why"),
        ),
        _ => ended(container).map(|end| crash::crash(pod, end)),
    }
}

/// The last end of a container that is not ready now.
fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let states = [&container.state, &container.last_state];
    states.into_iter().find_map(|state| state.as_ref()?.terminated.as_ref()).filter(|_| !container.ready)
}

#[cfg(test)]
mod tests;
