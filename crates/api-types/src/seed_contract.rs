//! What the seed documents promise of the CRDs: names, columns, subresources, enums and defaults.

use crate::crd_manifests;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

fn crd(file_name: &str) -> CustomResourceDefinition {
    crd_manifests().into_iter().find(|manifest| manifest.file_name == file_name).expect("a CRD of that name").crd
}

fn version(file_name: &str) -> Value {
    serde_json::to_value(&crd(file_name).spec.versions[0]).expect("serialisable")
}

fn columns(version: &Value) -> Vec<String> {
    let columns = version["additionalPrinterColumns"].as_array().expect("columns");
    columns
        .iter()
        .filter(|column| column["priority"].as_i64().unwrap_or(0) == 0)
        .map(|column| format!("{}: {}", column["name"].as_str().unwrap(), column["jsonPath"].as_str().unwrap()))
        .collect()
}

#[test]
fn files_are_named_by_group_and_plural() {
    let names: Vec<_> = crd_manifests().into_iter().map(|manifest| manifest.file_name).collect();
    assert_eq!(
        names,
        ["db.stillwaters.io_appdatabases.yaml", "dbhub.tas.io_databases.yaml", "dbhub.tas.io_dbhubinstances.yaml"]
    );
}

#[test]
fn short_names_are_the_seeds() {
    let short = |file| crd(file).spec.names.short_names.unwrap_or_default();
    assert_eq!(short("dbhub.tas.io_databases.yaml"), ["db"]);
    assert_eq!(short("dbhub.tas.io_dbhubinstances.yaml"), ["dbhi"]);
    assert_eq!(short("db.stillwaters.io_appdatabases.yaml"), ["appdb"]);
}

#[test]
fn kubectl_get_shows_the_seeds_columns() {
    assert_eq!(
        columns(&version("dbhub.tas.io_databases.yaml")),
        ["Type: .spec.type", "Host: .spec.host", "Status: .status.phase", "Age: .metadata.creationTimestamp"]
    );
    assert_eq!(
        columns(&version("dbhub.tas.io_dbhubinstances.yaml")),
        [
            "Replicas: .spec.replicas",
            "Available: .status.availableReplicas",
            "Databases: .status.connectedDatabases",
            "Status: .status.phase",
            "Endpoint: .status.endpoint"
        ]
    );
    assert_eq!(
        columns(&version("db.stillwaters.io_appdatabases.yaml")),
        [
            "Database: .spec.dbName",
            "Namespace: .spec.appNamespace",
            "Phase: .status.phase",
            "Age: .metadata.creationTimestamp"
        ]
    );
}

#[test]
fn an_instance_can_be_scaled() {
    assert_eq!(
        version("dbhub.tas.io_dbhubinstances.yaml")["subresources"],
        json!({
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.availableReplicas",
                "labelSelectorPath": ".status.selector",
            }
        })
    );
}

#[test]
fn defaults_are_the_seeds() {
    let database = version("dbhub.tas.io_databases.yaml")["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    let property = |name: &str| database["properties"][name]["default"].clone();
    assert_eq!(property("connectionTimeout"), json!(30));
    assert_eq!(property("queryTimeout"), json!(15));
    assert_eq!(property("sslMode"), json!("require"));
    let credentials = &database["properties"]["credentialsRef"]["properties"];
    assert_eq!(credentials["userKey"]["default"], json!("username"));
    assert_eq!(credentials["passwordKey"]["default"], json!("password"));

    let instance =
        version("dbhub.tas.io_dbhubinstances.yaml")["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    assert_eq!(instance["properties"]["replicas"]["default"], json!(1));
    assert_eq!(instance["properties"]["image"]["default"], json!("bytebase/dbhub:latest"));
    assert_eq!(instance["properties"]["transport"]["default"], json!("http"));
    assert_eq!(instance["properties"]["port"]["default"], json!(8080));
    let policy = &instance["properties"]["defaultPolicy"]["properties"];
    assert_eq!(policy["readonly"]["default"], json!(true));
    assert_eq!(policy["maxRows"]["default"], json!(500));

    let app = version("db.stillwaters.io_appdatabases.yaml")["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    assert_eq!(app["required"], json!(["appNamespace", "clusterRef", "dbName"]));
    assert_eq!(app["properties"]["charset"]["default"], json!("utf8mb4"));
    assert_eq!(app["properties"]["collation"]["default"], json!("utf8mb4_unicode_ci"));
    assert_eq!(app["properties"]["deletionPolicy"]["default"], json!("Retain"));
}

#[test]
fn no_format_is_one_that_the_api_server_warns_of() {
    for manifest in crd_manifests() {
        let yaml = serde_norway::to_string(&manifest.crd).expect("serialisable");
        assert!(!yaml.contains("format: uint"), "{}", manifest.file_name);
    }
}
