use std::time::Duration;

use api_types::{DatabasePhase, DatabaseStatus};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use operator_runtime::events::EventSink;
use operator_runtime::metrics::SharedRegistry;
use operator_runtime::testing::{Call, Exchange, FakeApi};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::fixtures::{CANARY, database, login, settings};

const SECRET: &str = "/api/v1/namespaces/acme/secrets/creds";
const STATUS: &str = "/apis/dbhub.tas.io/v1alpha1/namespaces/acme/databases/orders/status";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/acme/events";

struct Probe {
    ctx: Arc<Context>,
    api: FakeApi,
    registry: SharedRegistry,
}

impl Probe {
    /// An operator that knows of this Database and reaches loopback.
    fn of(database: &Database, script: impl IntoIterator<Item = Exchange>) -> Self {
        Self::with_flags(database, script, &["--denied-cidrs", ""])
    }

    fn with_flags(database: &Database, script: impl IntoIterator<Item = Exchange>, flags: &[&str]) -> Self {
        let (client, api) = FakeApi::new(script);
        let events = EventSink::new(client.clone(), "db-probe", "pod-1");
        let registry = SharedRegistry::new("db-probe");
        let ctx = Arc::new(Context::new(client, events, &registry, settings(flags)));
        ctx.index().database_event(&Event::Apply(database.clone()));
        Self { ctx, api, registry }
    }

    async fn look(&self, database: &Database) -> Result<Action, ApiError> {
        reconcile(Arc::clone(&self.ctx), Arc::new(database.clone())).await
    }
}

fn status_of(calls: &[Call]) -> DatabaseStatus {
    let patch = calls.iter().find(|call| call.method == "PATCH").unwrap();
    serde_json::from_value(patch.body["status"].clone()).unwrap()
}

fn reason_of(calls: &[Call]) -> String {
    status_of(calls).conditions[0].reason.clone()
}

fn methods(api: &FakeApi) -> Vec<String> {
    api.calls().into_iter().map(|call| call.method).collect()
}

fn stored(database: &Database, status: &DatabaseStatus) -> Database {
    let mut stored = database.clone();
    stored.status = Some(status.clone());
    stored.metadata.resource_version = Some("2".to_owned());
    stored
}

fn found(secret: &Secret) -> Exchange {
    Exchange::new("GET", SECRET, 200, serde_json::to_value(secret).unwrap())
}

fn status_written(database: &Database) -> Exchange {
    Exchange::new("PATCH", STATUS, 200, serde_json::to_value(database).unwrap())
}

fn event_written() -> Exchange {
    Exchange::new("POST", EVENTS, 201, json!({"metadata": {"name": "e", "namespace": "acme"}}))
}

/// The calls of one look at a Database that is new to the operator.
fn one_look(database: &Database) -> [Exchange; 3] {
    [found(&login()), status_written(database), event_written()]
}

fn local(port: u16, more: &str) -> Database {
    database(&format!("{{host: 127.0.0.1, port: {port}, sslMode: disable{more}}}"))
}

/// A server on loopback that answers the first message of its first client with these bytes.
async fn server(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 1024];
        let length = stream.read(&mut received).await.unwrap();
        assert_ne!(length, 0, "the client speaks first");
        stream.write_all(&answer).await.unwrap();
        stream.read_to_end(&mut received).await.unwrap();
    });
    port
}

/// PostgreSQL's refusal, with a text as hostile as a server's can be.
fn postgres_error(sqlstate: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{sqlstate}\0Mpassword {CANARY} is wrong\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    [b"E".as_slice(), &length, fields.as_bytes()].concat()
}

#[tokio::test]
async fn a_missing_secret_is_published_once_and_then_left_alone() {
    let database = database("{}");
    let missing = || Exchange::failure("GET", SECRET, 404, "NotFound");
    let probe = Probe::of(&database, [missing(), status_written(&database), event_written(), missing()]);
    probe.look(&database).await.unwrap();
    let calls = probe.api.calls();
    assert_eq!(methods(&probe.api), ["GET", "PATCH", "POST"]);
    assert_eq!(
        (calls[2].body["reason"].as_str(), calls[2].body["type"].as_str()),
        (Some("SecretNotFound"), Some("Warning"))
    );
    let stored = stored(&database, &status_of(&calls));
    probe.ctx.index().database_event(&Event::Apply(stored.clone()));
    probe.look(&stored).await.unwrap();
    assert_eq!(methods(&probe.api), ["GET", "PATCH", "POST", "GET"]);
}

#[tokio::test]
async fn a_secret_that_could_not_be_read_is_not_taken_for_missing() {
    for status in [403, 500] {
        let database = database("{}");
        let probe = Probe::of(&database, [Exchange::failure("GET", SECRET, status, "Whatever")]);
        assert!(matches!(probe.look(&database).await, Err(ApiError::Refused { .. })));
        assert_eq!(methods(&probe.api), ["GET"]);
    }
}

#[tokio::test]
async fn a_reference_that_leaves_its_namespace_is_never_followed() {
    let database = database("credentialsRef: {name: ../../kube-system/secrets/admin}");
    let probe = Probe::of(&database, [status_written(&database), event_written()]);
    probe.look(&database).await.unwrap();
    assert_eq!(methods(&probe.api), ["PATCH", "POST"]);
    assert_eq!(reason_of(&probe.api.calls()), "InvalidSpec");
}

/// What becomes of an SQLite Database under these flags.
async fn look_at_file(path: &str, flags: &[&str]) -> (DatabaseStatus, String) {
    let mut database = database(&format!("{{type: sqlite, database: '{path}'}}"));
    (database.spec.host, database.spec.credentials_ref) = (None, None);
    let probe = Probe::with_flags(&database, [status_written(&database), event_written()], flags);
    probe.look(&database).await.unwrap();
    (status_of(&probe.api.calls()), reason_of(&probe.api.calls()))
}

#[tokio::test]
async fn a_file_is_probed_where_the_platform_shows_it() {
    let root = tempfile::tempdir().unwrap();
    let flag = format!("--sqlite-root={}", root.path().display());
    std::fs::create_dir(root.path().join("acme")).unwrap();
    let file = root.path().join("acme/app.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (id)").unwrap();
    let phase = |status: DatabaseStatus| status.phase.unwrap();
    for (path, flags, expected, reason) in [
        ("app.db", &[][..], DatabasePhase::Pending, "FileNotVisible"),
        ("app.db", &[flag.as_str()], DatabasePhase::Connected, "Connected"),
        (":memory:", &[], DatabasePhase::Connected, "Connected"),
        ("none.db", &[&flag], DatabasePhase::Failed, "DatabaseNotFound"),
        ("../acme/app.db", &[&flag], DatabasePhase::Failed, "InvalidSpec"),
    ] {
        let (status, found) = look_at_file(path, flags).await;
        assert_eq!((phase(status), found.as_str()), (expected, reason), "{path} {flags:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused_with_one_patch_and_one_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let database = local(listener.local_addr().unwrap().port(), "");
    drop(listener);
    let probe = Probe::of(&database, one_look(&database));
    probe.look(&database).await.unwrap();
    assert_eq!((methods(&probe.api).len(), probe.api.left()), (3, 0));
    let status = status_of(&probe.api.calls());
    assert_eq!(
        (status.phase, reason_of(&probe.api.calls()).as_str()),
        (Some(DatabasePhase::Failed), "ConnectionRefused")
    );
    assert!(status.last_checked.is_some());
    let metrics = probe.registry.encode().unwrap();
    let counted = r#"db_probe_probe_duration_seconds_count{engine="postgres",outcome="ConnectionRefused"} 1"#;
    assert!(metrics.contains(counted) && metrics.contains("db_probe_probes_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn a_denied_address_is_not_contacted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let database = local(listener.local_addr().unwrap().port(), "");
    let probe = Probe::with_flags(&database, one_look(&database), &[]);
    probe.look(&database).await.unwrap();
    assert_eq!(reason_of(&probe.api.calls()), "HostNotAllowed");
    let contact = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(contact.is_err(), "nobody called");
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let database = local(listener.local_addr().unwrap().port(), ", connectionTimeout: 1");
    let probe = Probe::of(&database, one_look(&database));
    probe.look(&database).await.unwrap();
    assert_eq!(reason_of(&probe.api.calls()), "Timeout");
}

#[tokio::test]
async fn neither_the_servers_text_nor_the_secrets_values_are_published() {
    let cases = [
        ("28P01", "AuthenticationFailed"),
        ("3D000", "DatabaseNotFound"),
        ("53300", "TooManyConnections"),
        ("57P03", "ServerNotReady"),
        ("42501", "AccessDenied"),
        ("XX999", "ProtocolError"),
    ];
    for (sqlstate, reason) in cases {
        let database = local(server(postgres_error(sqlstate)).await, "");
        let probe = Probe::of(&database, one_look(&database));
        probe.look(&database).await.unwrap();
        let calls = probe.api.calls();
        assert_eq!(reason_of(&calls), reason);
        let written = serde_json::to_string(&calls).unwrap() + &probe.registry.encode().unwrap();
        assert!(!written.contains(CANARY), "{written}");
        assert!(status_of(&calls).message.unwrap().contains(sqlstate));
    }
}

#[tokio::test]
async fn a_database_that_was_deleted_meanwhile_needs_no_status() {
    let database = database("{}");
    let missing = Exchange::failure("GET", SECRET, 404, "NotFound");
    let probe = Probe::of(&database, [missing, Exchange::failure("PATCH", STATUS, 404, "NotFound")]);
    probe.look(&database).await.unwrap();
    assert_eq!(methods(&probe.api), ["GET", "PATCH"]);
}

/// A Database that was found healthy a minute ago, and its Secret, both made long before.
fn healthy() -> (Database, Secret) {
    let past = |seconds: i64| Time(Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap());
    let (mut database, mut secret) = (local(1, ""), login());
    database.metadata.creation_timestamp = Some(past(3600));
    secret.metadata.creation_timestamp = Some(past(3600));
    secret.metadata.resource_version = Some("7".to_owned());
    database.status = Some(DatabaseStatus {
        phase: Some(DatabasePhase::Connected),
        last_checked: Some(past(60)),
        observed_generation: Some(1),
        ..DatabaseStatus::default()
    });
    (database, secret)
}

#[tokio::test]
async fn after_a_restart_a_healthy_database_keeps_its_turn_and_a_change_is_still_seen() {
    let (database, mut secret) = healthy();
    let probe = Probe::of(&database, [found(&secret), found(&secret), status_written(&database), event_written()]);
    probe.look(&database).await.unwrap();
    assert_eq!(methods(&probe.api), ["GET"], "neither a probe nor a write");
    let event = |secret: &Secret| Event::Apply(secret.clone());
    let known = probe.ctx.index().object_event(api_types::CaKind::Secret, &event(&secret));
    assert!(known.is_empty());
    secret.metadata.resource_version = Some("8".to_owned());
    let concerned = probe.ctx.index().object_event(api_types::CaKind::Secret, &event(&secret));
    assert_eq!(concerned, [ObjectRef::from_obj(&database)]);
    probe.look(&database).await.unwrap();
    assert_eq!(methods(&probe.api), ["GET", "GET", "PATCH", "POST"]);
}

#[tokio::test]
async fn after_a_restart_a_secret_that_changed_meanwhile_is_used_at_once() {
    let (database, mut secret) = healthy();
    secret.metadata.creation_timestamp = Some(Time(Timestamp::now()));
    let probe = Probe::of(&database, [found(&secret), status_written(&database), event_written()]);
    probe.look(&database).await.unwrap();
    assert_eq!(methods(&probe.api), ["GET", "PATCH", "POST"]);
    assert_eq!(probe.api.calls()[1].body["status"]["lastChecked"].as_str().map(str::len), Some(20));
    assert_eq!(probe.api.calls()[1].body["status"]["privileges"], "Unknown");
}

#[tokio::test]
async fn after_a_restart_a_secret_that_went_meanwhile_is_missed() {
    let (database, _) = healthy();
    let missing = Exchange::failure("GET", SECRET, 404, "NotFound");
    let probe = Probe::of(&database, [missing, status_written(&database), event_written()]);
    probe.look(&database).await.unwrap();
    assert_eq!(reason_of(&probe.api.calls()), "SecretNotFound");
}
