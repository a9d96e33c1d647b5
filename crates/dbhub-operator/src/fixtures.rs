//! What tests start from: objects out of short YAML.

use std::sync::Arc;

use api_types::{DBHubInstance, Database, DatabaseSpec, Policy};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};

use crate::gather::{Candidate, Keyed};
use crate::validate::source::{Source, judge};

/// A CA certificate as PEM.
pub fn ca_pem() -> String {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

/// An instance `acme-dbhub` in `tas-acme`, as the API server would give it back, with this spec.
pub fn instance(spec: &str) -> DBHubInstance {
    let spec: Value = serde_norway::from_str(spec).unwrap();
    serde_json::from_value(json!({
        "apiVersion": "dbhub.tas.io/v1alpha1",
        "kind": "DBHubInstance",
        "metadata": {"name": "acme-dbhub", "namespace": "tas-acme", "uid": "u1", "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

/// A Database in `tas-acme`. Members of the YAML that no spec has: `name`, `labels`, `created` (seconds), `ca` (true:
/// a caRef), `phase`, `privileges`.
pub fn database(yaml: &str) -> Database {
    let mut spec: Value = serde_norway::from_str(yaml).unwrap();
    let fields = spec.as_object_mut().unwrap();
    let mut take = |key: &str| fields.remove(key);
    let (name, labels, phase, privileges) = (take("name"), take("labels"), take("phase"), take("privileges"));
    let created = take("created").and_then(|seconds| seconds.as_i64()).unwrap_or(0);
    if take("ca").is_some() {
        fields.insert("tls".into(), json!({"caRef": {"kind": "ConfigMap", "name": "the-ca"}}));
    }
    if fields.get("type") != Some(&json!("sqlite")) {
        fields.entry("credentialsRef").or_insert(json!({"name": "creds"}));
    }
    let created = jiff::Timestamp::from_second(1_700_000_000 + created).unwrap();
    serde_json::from_value(json!({
        "apiVersion": "dbhub.tas.io/v1alpha1",
        "kind": "Database",
        "metadata": {"name": name, "namespace": "tas-acme", "labels": labels, "creationTimestamp": created.to_string()},
        "spec": spec,
        "status": {"phase": phase, "privileges": privileges},
    }))
    .unwrap()
}

/// A Secret's values.
pub fn secret(yaml: &str) -> Keyed {
    let secret: Secret = serde_norway::from_str(yaml).unwrap();
    let text = secret.string_data.clone().unwrap_or_default();
    let data = text.into_iter().map(|(key, value)| (key, k8s_openapi::ByteString(value.into_bytes()))).collect();
    Keyed::from(Secret { data: Some(data), ..secret })
}

/// A Database whose Secret, CA and volume (with the file `app.db`) exist, changed further by `change`.
pub fn candidate(yaml: &str, change: impl FnOnce(&mut DatabaseSpec)) -> Candidate {
    let mut database = database(yaml);
    change(&mut database.spec);
    let ca = database.spec.tls.is_some().then(|| {
        let data = [("ca.crt".to_owned(), ca_pem())].into();
        Arc::new(Keyed::from(ConfigMap { data: Some(data), ..ConfigMap::default() }))
    });
    let creds = secret("stringData: {username: reader, password: 'p$w{x}${HOME}'}");
    let volume = database.spec.sqlite.is_some().then(|| {
        let data = [("app.db".to_owned(), k8s_openapi::ByteString(b"SQLite format 3".to_vec()))].into();
        Arc::new(Keyed::from(ConfigMap { binary_data: Some(data), ..ConfigMap::default() }))
    });
    Candidate { database: Arc::new(database), credentials: Some(Arc::new(creds)), ca, volume }
}

/// Candidates out of a YAML list.
pub fn candidates(yaml: &str) -> Vec<Candidate> {
    let list: Vec<Value> = serde_norway::from_str(yaml).unwrap();
    list.iter().map(|one| candidate(&one.to_string(), |_| {})).collect()
}

/// The sources of Databases that can all be served.
pub fn sources(yaml: &str) -> Vec<Source> {
    let verdicts = judge(candidates(yaml), &Policy::default(), None);
    verdicts.into_iter().map(|verdict| verdict.result.unwrap()).collect()
}
