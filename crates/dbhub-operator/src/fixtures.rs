//! What tests start from: objects out of short YAML.

use std::sync::{Arc, Mutex};

use api_types::{DBHubInstance, Database, DatabaseSpec, Policy};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::gather::{Candidate, Keyed};
use crate::validate::image::AllowedImages;
use crate::validate::problem::Problem;
use crate::validate::source::{Source, judge};
use crate::validate::{self, Request};
use crate::verify::Target;

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

/// What an instance asks for where any image may run.
pub fn request(instance: &DBHubInstance) -> Result<Request, Problem> {
    validate::request(instance, &AllowedImages::default())
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

/// Answers each connection with the next of these responses, in order, and keeps the requests.
pub async fn server(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                request.extend_from_slice(&chunk[..read]);
            }
            seen.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

/// An HTTP response.
pub fn http(status: &str, type_: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {type_}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A response with one event, which carries this result.
pub fn event(result: &str) -> String {
    http(
        "200 OK",
        "text/event-stream",
        &format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{result}}}\n\n"),
    )
}

/// A result of `initialize`.
pub const HELLO: &str = r#"{"protocolVersion":"2025-06-18","serverInfo":{"name":"DBHub MCP Server"}}"#;

/// A DBHub at this address that should have these tools.
pub fn target(address: String, tools: &[&str]) -> Target {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    Target { address, host: "acme.ns.svc:8080".into(), token: Some("s3cret".into()), tools }
}
