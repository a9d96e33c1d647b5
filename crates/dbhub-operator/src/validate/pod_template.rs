//! `spec.podTemplate` becomes the parts of a pod that it speaks of. Admission checked most of it; here nothing gets
//! through that would replace something of ours, and nothing that Kubernetes would quietly leave out. Pure.

use std::collections::BTreeMap;

use api_types::pod_template::{RESERVED_ANNOTATIONS, RESERVED_LABELS, RESERVED_VARIABLES, Reserved};
use api_types::{EnvVar, KeyRef, PodTemplate};
use k8s_openapi::api::core::v1 as k8s;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What an instance asks of its pods.
#[derive(Clone, Debug, Default)]
pub struct PodExtras {
    /// Labels, none of them ours.
    pub labels: BTreeMap<String, String>,
    /// Annotations, none of them ours.
    pub annotations: BTreeMap<String, String>,
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of the nodes.
    pub tolerations: Vec<k8s::Toleration>,
    /// Nodes and pods to be near to or far from.
    pub affinity: Option<k8s::Affinity>,
    /// How evenly to spread.
    pub spread: Vec<k8s::TopologySpreadConstraint>,
    /// Logins of image registries.
    pub pull_secrets: Vec<k8s::LocalObjectReference>,
    /// The `PriorityClass`.
    pub priority_class: Option<String>,
    /// Environment variables, none of them one that DBHub reads.
    pub env: Vec<k8s::EnvVar>,
}

/// What is wrong with a podTemplate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodTemplateError {
    /// A label, annotation or variable that is the operator's or DBHub's.
    #[error(
        "spec.podTemplate.{field}: {name} is not yours to set; the operator, DBHub or the pods' security depends on it"
    )]
    Reserved {
        /// Below `spec.podTemplate`.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A variable with two values, or a source without or with two places.
    #[error(
        "spec.podTemplate.env: {name} must have one of value, valueFrom.secretKeyRef and valueFrom.configMapKeyRef"
    )]
    Ambiguous {
        /// Name of the variable.
        name: String,
    },
    /// A class that Kubernetes keeps for the cluster itself.
    #[error("spec.podTemplate.priorityClassName: the classes that begin with system- are for the cluster itself")]
    SystemPriority,
    /// A field that no pod has; the API server would leave it out.
    #[error("spec.podTemplate.{path}: a pod has no such field")]
    UnknownField {
        /// Below `spec.podTemplate`.
        path: String,
    },
    /// A number where a text should be, and the like.
    #[error("spec.podTemplate.{field} is not what a pod takes there: {error}")]
    WrongType {
        /// Below `spec.podTemplate`.
        field: &'static str,
        /// What was expected.
        error: String,
    },
}

/// Checks the whole.
pub fn pod_extras(template: Option<&PodTemplate>) -> Result<PodExtras, PodTemplateError> {
    let Some(template) = template else { return Ok(PodExtras::default()) };
    free("labels", RESERVED_LABELS, template.labels.keys())?;
    free("annotations", RESERVED_ANNOTATIONS, template.annotations.keys())?;
    free("env", RESERVED_VARIABLES, template.env.iter().map(|variable| &variable.name))?;
    let priority_class = template.priority_class_name.clone();
    if priority_class.as_ref().is_some_and(|name| name.starts_with("system-")) {
        return Err(PodTemplateError::SystemPriority);
    }
    let secrets = template.image_pull_secrets.iter();
    Ok(PodExtras {
        labels: template.labels.clone(),
        annotations: template.annotations.clone(),
        node_selector: template.node_selector.clone(),
        tolerations: template.tolerations.iter().map(|one| as_stored("tolerations", one)).collect::<Result<_, _>>()?,
        affinity: template.affinity.as_ref().map(|one| as_stored("affinity", one)).transpose()?,
        spread: template
            .topology_spread_constraints
            .iter()
            .map(|one| as_stored("topologySpreadConstraints", one))
            .collect::<Result<_, _>>()?,
        pull_secrets: secrets.map(|secret| k8s::LocalObjectReference { name: secret.name.clone() }).collect(),
        env: template.env.iter().map(variable).collect::<Result<_, _>>()?,
        priority_class,
    })
}

fn free<'a>(
    field: &'static str,
    reserved: Reserved,
    mut names: impl Iterator<Item = &'a String>,
) -> Result<(), PodTemplateError> {
    match names.find(|name| reserved.includes(name)) {
        Some(name) => Err(PodTemplateError::Reserved { field, name: name.clone() }),
        None => Ok(()),
    }
}

/// An empty value is stored as none.
fn variable(variable: &EnvVar) -> Result<k8s::EnvVar, PodTemplateError> {
    let EnvVar { name, value, value_from } = variable.clone();
    let source = value_from.as_ref().map(|from| (from.secret_key_ref.clone(), from.config_map_key_ref.clone()));
    let value_from = match (&value, source) {
        (_, None) => None,
        (None, Some((Some(KeyRef { name, key }), None))) => Some(k8s::EnvVarSource {
            secret_key_ref: Some(k8s::SecretKeySelector { key, name, optional: None }),
            ..k8s::EnvVarSource::default()
        }),
        (None, Some((None, Some(KeyRef { name, key })))) => Some(k8s::EnvVarSource {
            config_map_key_ref: Some(k8s::ConfigMapKeySelector { key, name, optional: None }),
            ..k8s::EnvVarSource::default()
        }),
        (_, Some(_)) => return Err(PodTemplateError::Ambiguous { name }),
    };
    Ok(k8s::EnvVar { name, value: value.filter(|value| !value.is_empty()), value_from })
}

/// A part of a pod in the form in which the API server stores it.
fn as_stored<T: Serialize + DeserializeOwned>(
    field: &'static str,
    given: &impl Serialize,
) -> Result<T, PodTemplateError> {
    let wrong = |error: serde_json::Error| PodTemplateError::WrongType { field, error: error.to_string() };
    let given = without_empty(serde_json::to_value(given).map_err(wrong)?);
    let part: T = serde_json::from_value(given.clone()).map_err(wrong)?;
    let known = serde_json::to_value(&part).map_err(wrong)?;
    match unknown(&given, &known) {
        Some(path) => Err(PodTemplateError::UnknownField { path: format!("{field}{path}") }),
        None => Ok(part),
    }
}

/// Nulls, empty texts and empty lists are not stored. An empty object is: an empty selector selects everything.
fn without_empty(value: Value) -> Value {
    let is_stored = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    };
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (name, without_empty(member)));
            Value::Object(members.filter(|(_, member)| is_stored(member)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

/// The first member of `given` that is not in `known`.
fn unknown(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let below = match known.get(name) {
                Some(known) => unknown(value, known)?,
                None => String::new(),
            };
            Some(format!(".{name}{below}"))
        }),
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (given, known))| unknown(given, known).map(|below| format!("[{index}]{below}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(yaml: &str) -> String {
        let template: PodTemplate = serde_norway::from_str(yaml).unwrap();
        pod_extras(Some(&template)).err().map_or("accepted".into(), |error| error.to_string())
    }

    #[test]
    fn what_is_ours_or_no_part_of_a_pod_is_refused() {
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let cases = [
            "{labels: {team: data, app.kubernetes.io/name: other}}".to_owned(),
            "{labels: {app: other}}".to_owned(),
            "{annotations: {dbhub.tas.io/config-hash: x}}".to_owned(),
            "{annotations: {container.apparmor.security.beta.kubernetes.io/dbhub: unconfined}}".to_owned(),
            "{env: [{name: TZ, value: UTC}, {name: NODE_TLS_REJECT_UNAUTHORIZED, value: '0'}]}".to_owned(),
            "{env: [{name: X, value: a, valueFrom: {secretKeyRef: {name: s, key: k}}}]}".to_owned(),
            "{env: [{name: X, valueFrom: {}}]}".to_owned(),
            "{priorityClassName: system-node-critical}".to_owned(),
            "{affinity: {nodeAfinity: {}}}".to_owned(),
            format!("{{affinity: {{podAntiAffinity: {{{required}: [{{topologyKey: a}}, {{topology: b}}]}}}}}}"),
            "{affinity: {nodeAffinity: 5}}".to_owned(),
            "{topologySpreadConstraints: [{maxSkew: one}]}".to_owned(),
            "{topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}"
                .to_owned(),
            "{tolerations: [{operator: Exists, key: '', value: ''}], env: [{name: TZ, value: ''}]}".to_owned(),
        ];
        insta::assert_snapshot!(cases.map(|case| told(&case)).join("\n"));
    }

    #[test]
    fn parts_take_the_form_in_which_they_are_stored() {
        let template = "
            tolerations: [{key: '', operator: Exists, effect: ''}]
            affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [], requiredDuringSchedulingIgnoredDuringExecution: [
              {topologyKey: zone, labelSelector: {}, namespaces: []}]}}
            env: [{name: EMPTY, value: ''}]
        ";
        let extras = pod_extras(Some(&serde_norway::from_str(template).unwrap())).unwrap();
        insta::assert_yaml_snapshot!((extras.tolerations, extras.affinity, extras.env));
    }
}
