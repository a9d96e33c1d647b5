use operator_runtime::testing::{Exchange, FakeApi};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{instance, request, sources};
use crate::gather::Keyed;
use crate::plan::{Kept, workload};
use crate::validate::token::{Token, TokenPlace};

const DATABASES: &str = "
    - {name: pg, type: postgres, host: pg.internal, database: app, sslMode: verify-ca, ca: true}
    - {name: my, type: mysql, host: my.internal, database: app}
";

fn planned(spec: &str) -> Workload {
    let request = request(&instance(spec)).unwrap();
    let place = TokenPlace { secret: "s".into(), key: "token".into(), generated: false };
    let found: Keyed = crate::fixtures::secret("stringData: {token: abc}");
    let token = Token::find(&place, Some(&found)).unwrap();
    workload(&request, &sources(DATABASES), &Kept { token, salt: SecretString::from("salt") }, "cluster.local")
}

/// `METHOD path` of a namespaced object, below its API group.
fn exchange(call: &str) -> Exchange {
    let (method, path) = match call.split_once(' ').unwrap() {
        ("PATCH", path) => ("PATCH", path),
        ("POST", path) => ("POST", path),
        ("DELETE", path) => ("DELETE", path),
        other => panic!("{other:?}"),
    };
    let name = path.rsplit('/').next().unwrap();
    Exchange::new(
        method,
        path,
        200,
        json!({"metadata": {"name": name, "namespace": "tas-acme"}, "spec": spec_of(path)}),
    )
}

fn spec_of(path: &str) -> Value {
    if path.contains("/deployments/") { json!({"selector": {}, "template": {}}) } else { json!({}) }
}

async fn calls(script: &[&str], work: impl AsyncFnOnce(Writer<'_>)) -> Vec<String> {
    let (client, api) = FakeApi::new(script.iter().map(|call| exchange(call)));
    let instance = instance("{}");
    work(Writer::new(&client, &instance)).await;
    api.calls().into_iter().map(|call| format!("{} {}", call.method, call.path)).collect()
}

#[tokio::test]
async fn what_pods_read_stands_before_the_pods() {
    let script = [
        "PATCH /api/v1/namespaces/tas-acme/serviceaccounts/acme-dbhub",
        "PATCH /api/v1/namespaces/tas-acme/configmaps/acme-dbhub-config",
        "PATCH /api/v1/namespaces/tas-acme/secrets/acme-dbhub-creds",
        "PATCH /api/v1/namespaces/tas-acme/configmaps/acme-dbhub-ca",
        "POST /api/v1/namespaces/tas-acme/secrets",
        "PATCH /apis/networking.k8s.io/v1/namespaces/tas-acme/networkpolicies/acme-dbhub",
        "PATCH /api/v1/namespaces/tas-acme/services/acme-dbhub",
        "PATCH /apis/policy/v1/namespaces/tas-acme/poddisruptionbudgets/acme-dbhub",
        "PATCH /apis/apps/v1/namespaces/tas-acme/deployments/acme-dbhub",
    ];
    let made = calls(&script, async |writer| {
        writer.serve(planned("{replicas: 2}"), Live::default()).await.unwrap();
    })
    .await;
    assert_eq!(made, script);
}

fn owned<K: Owned>(name: &str, owner: &str) -> K {
    let reference =
        json!({"apiVersion": "x/v1", "kind": "DBHubInstance", "name": "x", "uid": owner, "controller": true});
    serde_json::from_value(json!({
        "apiVersion": K::API_VERSION, "kind": K::KIND,
        "metadata": {"name": name, "namespace": "tas-acme", "uid": "o", "ownerReferences": [reference]},
    }))
    .unwrap()
}

#[tokio::test]
async fn clearing_leaves_the_token_and_what_belongs_to_others() {
    let live = Live {
        deployment: Some(owned("acme-dbhub", "u1")),
        service: Some(owned("acme-dbhub", "another")),
        creds: Some(owned("acme-dbhub-creds", "u1")),
        token: Some(owned("acme-dbhub-token", "u1")),
        ..Live::default()
    };
    let script = [
        "DELETE /apis/apps/v1/namespaces/tas-acme/deployments/acme-dbhub",
        "DELETE /api/v1/namespaces/tas-acme/secrets/acme-dbhub-creds",
    ];
    assert_eq!(calls(&script, async |writer| writer.clear(live).await.unwrap()).await, script);
}

#[test]
fn only_names_that_are_needed_can_conflict() {
    let conflict =
        |spec: &str, live: &Live| name_conflict(&planned(spec), live, "u1").map(|problem| problem.to_string());
    let ours = Live { deployment: Some(owned("acme-dbhub", "u1")), ..Live::default() };
    assert_eq!(conflict("{}", &ours), None);
    let foreign = Live { service: Some(owned("acme-dbhub", "another")), ..Live::default() };
    assert!(conflict("{}", &foreign).unwrap().starts_with("Service acme-dbhub exists"));
    assert_eq!(conflict("{transport: stdio}", &foreign), None);
}
