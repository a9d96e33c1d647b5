//! The Deployment: how pods are replaced and kept apart from others. Pure. What is in a pod is in [`super::pod`].

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::Names;
use crate::validate::Request;

/// Annotation of the pods: a hash over all that they read only at their start, and what they are made of.
pub const FINGERPRINT: &str = "dbhub.tas.io/config-hash";

/// The pods of an instance, all but their fingerprint: what is asked for, and then our own, which nobody can replace.
#[must_use]
pub fn template(request: &Request, pod: PodSpec) -> PodTemplateSpec {
    let (mut labels, annotations) = (request.pod.labels.clone(), request.pod.annotations.clone());
    labels.extend(request.names.labels());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(pod),
    }
}

/// The Deployment of an instance. A new pod is ready before an old one goes.
#[must_use]
pub fn deployment(request: &Request, mut template: PodTemplateSpec, fingerprint: String) -> Deployment {
    let names = &request.names;
    let annotations = &mut template.metadata.get_or_insert_default().annotations;
    annotations.get_or_insert_default().insert(FINGERPRINT.to_owned(), fingerprint);
    Deployment {
        metadata: names.owned(names.deployment(), &request.owner),
        spec: Some(DeploymentSpec {
            replicas: Some(request.spec.replicas),
            revision_history_limit: Some(3),
            selector: names.label_selector(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// The budget that lets a drain take one pod at a time; pointless for a single pod, which it would only pin.
#[must_use]
pub fn budget(names: &Names, owner: &OwnerReference, replicas: i32) -> Option<PodDisruptionBudget> {
    (replicas > 1).then(|| PodDisruptionBudget {
        metadata: names.owned(names.budget(), owner),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(names.label_selector()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
