//! What is asked of the API server and written there when no database server has to be contacted; what happens on one
//! is tried against real ones in e2e.

use api_types::names::FINALIZER;
use api_types::{AppDatabaseStatus, DeletionPolicy};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::PartialObjectMeta;
use operator_runtime::PublicError as _;
use operator_runtime::testing::{Exchange, FakeApi};
use serde_json::json;

use super::*;
use crate::context::fixtures::{Seen, context};
use crate::plan::fixtures::{admin_secret, spec};

const OBJECT: &str = "/apis/db.stillwaters.io/v1/namespaces/team-a/appdatabases/shop";
const STATUS: &str = "/apis/db.stillwaters.io/v1/namespaces/team-a/appdatabases/shop/status";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/team-a/events";

fn app(policy: DeletionPolicy) -> AppDatabase {
    let mut app = AppDatabase::new("shop", spec("{dbName: shop, appNamespace: team-a}"));
    app.spec.deletion_policy = policy;
    app.metadata.namespace = Some("team-a".into());
    app.metadata.uid = Some("u-1".into());
    app.metadata.resource_version = Some("5".into());
    app.metadata.generation = Some(1);
    app
}

/// Deleted by somebody, and still held by our finalizer.
fn deleted(policy: DeletionPolicy) -> AppDatabase {
    let mut app = app(policy);
    app.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    app.metadata.finalizers = Some(vec!["other/finalizer".into(), FINALIZER.into()]);
    app
}

struct Scene {
    admin_secrets: Vec<Secret>,
    namespaces: Vec<PartialObjectMeta<Namespace>>,
    script: Vec<Exchange>,
}

/// Reconciles and gives the outcome with every call as `METHOD path body`.
async fn play(scene: Scene, app: AppDatabase) -> (Result<Action, Error>, Vec<String>) {
    let (client, api) = FakeApi::new(scene.script);
    let seen = Seen { admin_secrets: scene.admin_secrets, namespaces: scene.namespaces, ..Seen::default() };
    let ctx = context(client, seen);
    let result = reconcile(Arc::new(app), Arc::new(ctx)).await;
    let calls = api.calls().into_iter().map(|call| match call.path.as_str() {
        EVENTS => format!("event {} {}", call.body["type"], call.body["reason"]),
        STATUS => format!("status {} {}", call.body["status"]["phase"], call.body["status"]["message"]),
        path => format!("{} {path} {}", call.method, call.body),
    });
    (result, calls.collect())
}

fn written() -> Vec<Exchange> {
    let object = serde_json::to_value(app(DeletionPolicy::Retain)).unwrap();
    vec![Exchange::new("PATCH", STATUS, 200, object), Exchange::new("POST", EVENTS, 201, json!({"metadata": {}}))]
}

fn namespace(name: &str, annotations: &str) -> PartialObjectMeta<Namespace> {
    serde_norway::from_str(&format!("metadata: {{name: {name}, annotations: {annotations}}}")).unwrap()
}

#[tokio::test]
async fn an_unknown_cluster_is_reported_once() {
    let scene = || Scene { admin_secrets: vec![], namespaces: vec![], script: written() };
    let (result, calls) = play(scene(), app(DeletionPolicy::Delete)).await;
    assert_eq!(result.unwrap_err().reason(), "UnknownCluster");
    insta::assert_snapshot!(calls.join("\n"), @r#"
    status "Failed" "no server is called cluster1-haproxy: check spec.clusterRef, or have an admin Secret labelled db.stillwaters.io/cluster=cluster1-haproxy created in the concierge's namespace"
    event "Warning" "UnknownCluster"
    "#);

    let mut reported = app(DeletionPolicy::Delete);
    let error = Error::from(crate::servers::ServerError::Unknown { cluster: "cluster1-haproxy".into() });
    reported.status = Some(crate::status::after(&reported, Outcome::Failed(&error)));
    let (_, calls) = play(scene(), reported).await;
    assert_eq!(calls, Vec::<String>::new(), "nothing is written twice");
}

#[tokio::test]
async fn a_namespace_that_the_watch_has_not_seen_is_asked_for() {
    let path = "/api/v1/namespaces/team-a";
    let mut script = vec![Exchange::failure("GET", path, 404, "NotFound")];
    script.extend(written());
    let scene = Scene { admin_secrets: vec![(*admin_secret("{}", "")).clone()], namespaces: vec![], script };
    let (result, calls) = play(scene, app(DeletionPolicy::Retain)).await;
    assert_eq!(result.unwrap_err().reason(), "NamespaceNotFound");
    insta::assert_snapshot!(calls.join("\n"), @r#"
    GET /api/v1/namespaces/team-a null
    status "Pending" "namespace team-a does not exist: create it, and this goes on by itself"
    event "Warning" "NamespaceNotFound"
    "#);
}

#[tokio::test]
async fn a_failed_look_at_a_namespace_is_not_an_absent_one() {
    let script = vec![Exchange::failure("GET", "/api/v1/namespaces/team-a", 500, "InternalError")];
    let scene = Scene { admin_secrets: vec![(*admin_secret("{}", "")).clone()], namespaces: vec![], script };
    let (result, _) = play(scene, app(DeletionPolicy::Retain)).await;
    assert_eq!(result.unwrap_err().reason(), "ApiRefused");
}

#[tokio::test]
async fn a_namespace_decides_who_puts_secrets_into_it() {
    for (annotations, reason) in [
        ("{}", "NamespaceNotShared"),
        ("{db.stillwaters.io/allowed-namespaces: team-c}", "NamespaceNotShared"),
        // The next obstacle: no server answers in this test.
        ("{db.stillwaters.io/allowed-namespaces: 'team-c, team-a'}", "ServerUnavailable"),
    ] {
        let mut app = app(DeletionPolicy::Retain);
        app.spec.app_namespace = "team-b".into();
        let admin = admin_secret("{labels: {db.stillwaters.io/cluster: cluster1-haproxy}}", CLOSED_PORT);
        let scene = Scene {
            admin_secrets: vec![(*admin).clone()],
            namespaces: vec![namespace("team-b", annotations)],
            script: written(),
        };
        assert_eq!(play(scene, app).await.0.unwrap_err().reason(), reason, "{annotations}");
    }
}

#[tokio::test]
async fn a_namespace_that_the_selector_leaves_out_gets_nothing() {
    let mut left_out = namespace("team-a", "{}");
    left_out.labels_mut().insert("databases".into(), "none".into());
    let admin = admin_secret("{labels: {db.stillwaters.io/cluster: cluster1-haproxy}}", CLOSED_PORT);
    let scene = Scene { admin_secrets: vec![(*admin).clone()], namespaces: vec![left_out], script: written() };
    let (result, calls) = play(scene, app(DeletionPolicy::Retain)).await;
    assert_eq!(result.unwrap_err().reason(), "NamespaceNotAllowed");
    assert!(
        calls[0].starts_with(r#"status "Failed" "the concierge puts no Secrets into namespace team-a"#),
        "{calls:?}"
    );
}

/// Port 1 of this machine, where nothing listens.
const CLOSED_PORT: &str = "data: {MYSQL_ADMIN_HOST: MTI3LjAuMC4x, MYSQL_ADMIN_PORT: MQ==}\n";

#[tokio::test]
async fn retain_and_orphan_contact_no_server() {
    let mut orphan = deleted(DeletionPolicy::Delete);
    orphan.annotations_mut().insert("db.stillwaters.io/orphan".into(), "true".into());
    for app in [deleted(DeletionPolicy::Retain), orphan] {
        let object = serde_json::to_value(&app).unwrap();
        let script = vec![Exchange::new("PATCH", OBJECT, 200, object)];
        let (result, calls) = play(Scene { admin_secrets: vec![], namespaces: vec![], script }, app).await;
        assert!(result.is_ok());
        insta::allow_duplicates! {
            insta::assert_snapshot!(calls.join("\n"), @r#"PATCH /apis/db.stillwaters.io/v1/namespaces/team-a/appdatabases/shop {"metadata":{"finalizers":["other/finalizer"],"resourceVersion":"5"}}"#);
        }
    }
}

#[tokio::test]
async fn a_deletion_without_its_server_waits_and_says_how_to_go_on() {
    let scene = Scene { admin_secrets: vec![], namespaces: vec![], script: written() };
    let (result, calls) = play(scene, deleted(DeletionPolicy::Delete)).await;
    assert_eq!(result.unwrap_err().reason(), "UnknownCluster");
    insta::assert_snapshot!(calls.join("\n"), @r#"
    status "Pending" "waiting to drop database and user: no server is called cluster1-haproxy: check spec.clusterRef, or have an admin Secret labelled db.stillwaters.io/cluster=cluster1-haproxy created in the concierge's namespace; to give up on them, annotate with db.stillwaters.io/orphan=true"
    event "Warning" "UnknownCluster"
    "#);
}

#[tokio::test]
async fn a_policy_that_no_longer_deletes_takes_the_finalizer_away_though_the_server_is_gone() {
    let mut app = app(DeletionPolicy::Retain);
    app.metadata.finalizers = Some(vec![FINALIZER.into()]);
    app.status =
        Some(AppDatabaseStatus { connection_string: Some("mysql://…".into()), ..AppDatabaseStatus::default() });
    let object = serde_json::to_value(&app).unwrap();
    let mut script = vec![Exchange::new("PATCH", OBJECT, 200, object)];
    script.extend(written());
    let admin = admin_secret("{labels: {db.stillwaters.io/cluster: cluster1-haproxy}}", CLOSED_PORT);
    let namespaces = vec![namespace("team-a", "{}")];
    let (result, calls) = play(Scene { admin_secrets: vec![(*admin).clone()], namespaces, script }, app).await;
    assert_eq!(result.unwrap_err().reason(), "ServerUnavailable");
    insta::assert_snapshot!(calls.join("\n"), @r#"
    PATCH /apis/db.stillwaters.io/v1/namespaces/team-a/appdatabases/shop {"metadata":{"finalizers":[],"resourceVersion":"5"}}
    status "Pending" "server cluster1-haproxy cannot be used now: nothing accepts connections at 127.0.0.1:1: check host, port and firewall"
    event "Warning" "ServerUnavailable"
    "#);
}
