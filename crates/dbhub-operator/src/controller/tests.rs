use super::*;
use crate::fixtures::{database, instance};

fn named(name: &str, spec: &str) -> Arc<DBHubInstance> {
    let mut instance = instance(spec);
    instance.metadata.name = Some(name.into());
    Arc::new(instance)
}

fn mark(yaml: &str) -> DatabaseMark {
    database_mark(&database(yaml))
}

fn concerned(before: &str, after: &str) -> Vec<String> {
    let [before, after] = [before, after].map(|yaml| (!yaml.is_empty()).then(|| mark(yaml)));
    let mut elsewhere = instance("{}");
    elsewhere.metadata.namespace = Some("other".into());
    let instances = [
        named("all", "{}"),
        named("prod", "{databaseSelector: {matchLabels: {env: prod}}}"),
        named("dev", "{databaseSelector: {matchLabels: {env: dev}}}"),
        Arc::new(elsewhere),
    ];
    let change = Change { namespace: "tas-acme".into(), before, after };
    selecting(&instances, &change).into_iter().map(|instance| instance.name).collect()
}

const PROD: &str = "{name: one, type: mysql, labels: {env: prod}}";

#[test]
fn a_database_reaches_those_who_select_it_or_did() {
    assert_eq!(concerned("", PROD), ["all", "prod"]);
    assert_eq!(concerned(PROD, ""), ["all", "prod"]);
    assert_eq!(concerned(PROD, "{name: one, type: mysql, labels: {env: dev}}"), ["all", "prod", "dev"]);
    assert_eq!(concerned(PROD, "{name: one, type: mysql}"), ["all", "prod"]);
}

#[test]
fn a_recheck_concerns_nobody_and_a_failure_does() {
    let mut rechecked = database(PROD);
    let status = rechecked.status.as_mut().unwrap();
    status.last_checked = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    status.message = Some("Connection verified in 3 ms".into());
    rechecked.metadata.resource_version = Some("2".into());
    assert_eq!(database_mark(&rechecked), mark(PROD));
    rechecked.status.as_mut().unwrap().phase = Some(DatabasePhase::Failed);
    assert_ne!(database_mark(&rechecked), mark(PROD));
}

#[test]
fn a_secret_is_known_by_what_refers_to_it() {
    let brought = "{auth: {tokenSecretRef: {name: mine}}}";
    assert!(uses_token(&instance(brought), "tas-acme", "mine"));
    assert!(!uses_token(&instance(brought), "other", "mine"));
    assert!(!uses_token(&instance("{}"), "tas-acme", "mine"));
    let shared = database("{name: one, type: mysql, credentialsRef: {name: s, namespace: vault}}");
    assert_eq!(credentials_of(&shared).map(|(namespace, _)| namespace), Some("vault"));
    let own = database("{name: one, type: postgres, ca: true}");
    assert_eq!(credentials_of(&own).map(|(namespace, _)| namespace), Some("tas-acme"));
    assert!(ca_of(&own, CaKind::ConfigMap).is_some() && ca_of(&own, CaKind::Secret).is_none());
}

#[test]
fn a_volume_is_known_by_what_refers_to_it() {
    let file = database("{name: f, type: sqlite, database: a.db, sqlite: {volume: {configMap: {name: m}}}}");
    let volume = volume_of(&file).unwrap();
    assert_eq!(volume.config_map.as_ref().map(|map| map.name.as_str()), Some("m"));
    assert!(volume.persistent_volume_claim.is_none() && volume_of(&database(PROD)).is_none());
}

#[test]
fn an_owned_object_reaches_its_owner_even_when_it_lost_the_reference() {
    let owned: ConfigMap = serde_norway::from_str(
        "metadata: {name: x, namespace: ns, ownerReferences: [{apiVersion: dbhub.tas.io/v1alpha1, \
         kind: DBHubInstance, name: acme, uid: u, controller: true}]}",
    )
    .unwrap();
    let orphaned: ConfigMap =
        serde_norway::from_str("metadata: {name: x, namespace: ns, resourceVersion: '2'}").unwrap();
    let change = Change { namespace: "ns".into(), before: Some(meta_mark(&owned)), after: Some(meta_mark(&orphaned)) };
    assert_eq!(owner(&change).map(|instance| instance.name).collect::<Vec<_>>(), ["acme"]);
}
