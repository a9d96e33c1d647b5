//! The objects that tests apply, as JSON: only what a test is about stands in the test.

use serde_json::{Value, json};

use super::bed::Login;

/// A Secret with a login under the default keys.
#[must_use]
pub fn secret(name: &str, login: &Login) -> Value {
    opaque_secret(name, &json!({"username": login.user, "password": login.password}))
}

/// A Secret with these texts.
#[must_use]
pub fn opaque_secret(name: &str, texts: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "stringData": texts})
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A ConfigMap with one text.
#[must_use]
pub fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})
}

/// A Database labelled `app: <name>`; members of `more` replace those of `spec`.
#[must_use]
pub fn database(name: &str, spec: &Value, more: &Value) -> Value {
    json!({"apiVersion": "dbhub.tas.io/v1alpha1", "kind": "Database",
           "metadata": {"name": name, "labels": {"app": name}}, "spec": merged(spec, more)})
}

/// A DBHubInstance.
#[must_use]
pub fn instance(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "dbhub.tas.io/v1alpha1", "kind": "DBHubInstance", "metadata": {"name": name}, "spec": spec})
}

/// An AppDatabase; members of `more` replace those of `spec`.
#[must_use]
pub fn app_database(name: &str, spec: &Value, more: &Value) -> Value {
    json!({"apiVersion": "db.stillwaters.io/v1", "kind": "AppDatabase", "metadata": {"name": name},
           "spec": merged(spec, more)})
}

/// An admin Secret that makes the test's MariaDB known under another clusterRef.
#[must_use]
pub fn admin_secret(name: &str, cluster: &str, password: &str) -> Value {
    let mut secret = opaque_secret(
        name,
        &json!({
            "MYSQL_ADMIN_HOST": "cluster1-haproxy.default.svc.cluster.local",
            "MYSQL_ADMIN_PORT": "3306",
            "MYSQL_ADMIN_USER": "concierge_admin",
            "MYSQL_ADMIN_PASSWORD": password,
        }),
    );
    secret["metadata"]["labels"] = json!({"db.stillwaters.io/cluster": cluster});
    secret
}

fn merged(spec: &Value, more: &Value) -> Value {
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    members(spec).into_iter().chain(members(more)).collect()
}
