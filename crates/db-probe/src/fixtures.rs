//! What the tests of this crate start from: yaml in, object out. The password below must show up nowhere.

use std::collections::BTreeMap;

use api_types::{CaKind, Database, DatabaseSpec, Engine, READY, SslMode};
use clap::Parser;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::error::Attempt;
use crate::references::Reference;
use crate::settings::{Flags, Settings};

/// A password, a user and a server's text that no output may contain.
pub const CANARY: &str = "canary-7f3a";

/// A postgres Database `acme/orders` at generation 1; `yaml` adds to its spec or overrides it.
pub fn database(yaml: &str) -> Database {
    let mut spec = json!({
        "type": "postgres", "host": "pg.acme.internal", "database": "orders", "credentialsRef": {"name": "creds"},
    });
    let more: Value = serde_norway::from_str(yaml).expect("yaml");
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let spec: DatabaseSpec = serde_json::from_value(spec).expect("a spec");
    let mut database = Database::new("orders", spec);
    database.metadata.namespace = Some("acme".to_owned());
    database.metadata.uid = Some("uid-1".to_owned());
    database.metadata.generation = Some(1);
    database
}

/// A Secret `acme/creds` with these keys.
pub fn secret(data: &[(&str, &[u8])]) -> Secret {
    let data: BTreeMap<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
    let mut secret = Secret { data: Some(data), ..Secret::default() };
    secret.metadata.name = Some("creds".to_owned());
    secret.metadata.namespace = Some("acme".to_owned());
    secret
}

/// A login whose values are all canaries.
pub fn login() -> Secret {
    secret(&[("username", CANARY.as_bytes()), ("password", CANARY.as_bytes())])
}

/// That Secret with the annotation that shares it.
pub fn shared_with(namespaces: &str) -> Secret {
    let mut secret = login();
    secret.annotations_mut().insert(api_types::names::DBHUB_ALLOWED_NAMESPACES.to_owned(), namespaces.to_owned());
    secret
}

/// An attempt at `pg.acme.internal`.
pub fn attempt() -> Attempt {
    Attempt {
        engine: Engine::Postgres,
        endpoint: sql_client::Endpoint {
            host: sql_client::Host::parse("pg.acme.internal").expect("a host"),
            port: 5432,
        },
        database: Some("orders".to_owned()),
        ssl_mode: SslMode::VerifyFull,
        secret: Reference { kind: CaKind::Secret, namespace: "acme".to_owned(), name: "creds".to_owned() },
        connection_timeout: 30,
        query_timeout: 15,
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

/// The settings that these flags make.
pub fn settings(flags: &[&str]) -> Settings {
    let cli = Cli::try_parse_from(std::iter::once(&"db-probe").chain(flags)).expect("flags");
    cli.flags.try_into().expect("settings")
}

/// A moment, in seconds after an arbitrary one.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

/// A Ready condition with this status, and nothing else told.
pub fn ready(status: &str) -> Condition {
    Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: String::new(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(at(0)),
    }
}
