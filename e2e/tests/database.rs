//! `Database` on real servers: what it says is what an application would find, and it recovers by itself.

use anyhow::Result;
use api_types::{Database, DatabasePhase};
use e2e::testing::bed::{Bed, Login};
use e2e::testing::databases::{connected, failed, phase};
use e2e::testing::manifests::{config_map, database, opaque_secret, secret};
use serde_json::{Value, json};

const POSTGRES: &str = "analytics-pg.acme.internal";
const MARIADB: &str = "users-mysql.acme.internal";

fn of_postgres(login: &Login, more: &Value) -> Value {
    let spec = json!({"type": "postgres", "host": POSTGRES, "database": login.database,
                      "credentialsRef": {"name": "creds"}, "connectionTimeout": 5, "queryTimeout": 5});
    database("db", &spec, more)
}

fn of_mariadb(login: &Login, engine: &str, more: &Value) -> Value {
    let spec = json!({"type": engine, "host": MARIADB, "database": login.database,
                      "credentialsRef": {"name": "creds"}, "connectionTimeout": 5, "queryTimeout": 5});
    database("db", &spec, more)
}

#[tokio::test]
async fn postgres_connects_under_every_ssl_mode() -> Result<()> {
    let mut bed = Bed::new("db-pg").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    for mode in ["disable", "require", "verify-ca", "verify-full"] {
        bed.apply(&of_postgres(&login, &json!({"sslMode": mode}))).await?;
        let generation = bed.get::<Database>("db").await?.metadata.generation;
        let of_this_mode = |db: &Database| {
            let status = db.status.as_ref();
            status.is_some_and(|status| status.observed_generation == generation)
        };
        let database: Database = bed.wait_for("db", "a look at this sslMode", of_this_mode).await?;
        assert_eq!(phase(&database), Some(DatabasePhase::Connected), "{mode}: {:?}", database.status);
    }
    let status = connected(&bed).await?.status.unwrap_or_default();
    assert!(status.server_version.as_deref().is_some_and(|version| version.starts_with("PostgreSQL 15")));
    assert_eq!(status.message.as_deref(), Some("Connection verified"));
    assert!(status.last_checked.is_some() && status.connection_pool.is_some());
    bed.finish().await
}

#[tokio::test]
async fn mysql_and_mariadb_connect() -> Result<()> {
    let mut bed = Bed::new("db-my").await?;
    let login = bed.mariadb_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    for (engine, mode) in [("mysql", "require"), ("mariadb", "verify-full"), ("mariadb", "disable")] {
        bed.delete::<Database>("db").await?;
        bed.apply(&of_mariadb(&login, engine, &json!({"sslMode": mode}))).await?;
        let status = connected(&bed).await?.status.unwrap_or_default();
        assert!(status.server_version.as_deref().is_some_and(|version| version.starts_with("MariaDB 10.11")));
    }
    bed.finish().await
}

#[tokio::test]
async fn a_missing_secret_is_named_and_its_arrival_is_seen() -> Result<()> {
    let mut bed = Bed::new("db-nosecret").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&of_postgres(&login, &json!({}))).await?;
    let message = failed(&bed, "SecretNotFound").await?;
    assert!(message.contains("creds"), "{message}");
    bed.apply(&secret("creds", &login)).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_missing_key_is_named() -> Result<()> {
    let mut bed = Bed::new("db-nokey").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    let references = json!({"credentialsRef": {"name": "creds", "passwordKey": "pass"}});
    bed.apply(&of_postgres(&login, &references)).await?;
    let message = failed(&bed, "SecretKeyMissing").await?;
    assert!(message.contains("pass"), "{message}");
    bed.apply(&of_postgres(&login, &json!({}))).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_wrong_password_fails_until_the_secret_has_the_right_one() -> Result<()> {
    let mut bed = Bed::new("db-badpw").await?;
    let login = bed.mariadb_login().await?;
    let wrong = bed.canary();
    bed.apply(&secret("creds", &Login { password: wrong, ..login.clone() })).await?;
    bed.apply(&of_mariadb(&login, "mysql", &json!({}))).await?;
    failed(&bed, "AuthenticationFailed").await?;
    bed.apply(&secret("creds", &login)).await?;
    connected(&bed).await?;
    bed.finish().await
}

/// MariaDB lets the login in and refuses its queries, where MySQL refuses the login.
#[tokio::test]
async fn a_password_that_has_expired_on_mariadb_is_told_until_it_is_renewed() -> Result<()> {
    let mut bed = Bed::new("db-expired").await?;
    let login = bed.mariadb_login().await?;
    bed.mariadb_admin(&format!("ALTER USER '{}'@'%' PASSWORD EXPIRE", login.user)).await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.apply(&of_mariadb(&login, "mariadb", &json!({}))).await?;
    let message = failed(&bed, "PasswordExpired").await?;
    assert!(message.contains("set a new one") && message.contains("1820"), "{message}");
    let renewed = Login { password: bed.canary(), ..login };
    let renew = format!("ALTER USER '{}'@'%' IDENTIFIED BY '{}'", renewed.user, renewed.password);
    bed.mariadb_admin(&renew).await?;
    bed.apply(&secret("creds", &renewed)).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_closed_port_is_refused_until_the_spec_is_right() -> Result<()> {
    let mut bed = Bed::new("db-port").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.apply(&of_postgres(&login, &json!({"port": 1}))).await?;
    let message = failed(&bed, "ConnectionRefused").await?;
    assert!(message.contains(POSTGRES) && message.contains('1'), "{message}");
    bed.apply(&of_postgres(&login, &json!({"port": 5432}))).await?;
    connected(&bed).await?;
    bed.finish().await
}

#[tokio::test]
async fn an_unknown_host_and_an_unknown_database_are_told_apart() -> Result<()> {
    let mut bed = Bed::new("db-host").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.apply(&of_postgres(&login, &json!({"host": "nowhere.acme.internal"}))).await?;
    failed(&bed, "HostNotFound").await?;
    bed.apply(&of_postgres(&login, &json!({"database": "no_such_database"}))).await?;
    failed(&bed, "DatabaseNotFound").await?;
    // A name is no way around what may not be dialled: this one leads to the API server.
    for denied in ["127.0.0.1", "kubernetes.default.svc.cluster.local"] {
        bed.apply(&of_postgres(&login, &json!({"host": denied}))).await?;
        let message = failed(&bed, "HostNotAllowed").await?;
        assert!(message.contains(denied), "{message}");
        bed.apply(&of_postgres(&login, &json!({}))).await?;
        connected(&bed).await?;
    }
    bed.finish().await
}

#[tokio::test]
async fn a_wrong_ca_fails_under_verify_ca_until_it_is_the_right_one() -> Result<()> {
    let mut bed = Bed::new("db-ca").await?;
    let login = bed.postgres_login().await?;
    let (wrong, right) = (bed.other_ca_pem()?, bed.servers_ca_pem()?);
    bed.apply(&secret("creds", &login)).await?;
    let of_kind = |kind, pem: &str| match kind {
        "Secret" => opaque_secret("ca", &json!({"ca.crt": pem})),
        _ => config_map("ca", "ca.crt", pem),
    };
    for kind in ["ConfigMap", "Secret"] {
        let tls = json!({"sslMode": "verify-ca", "tls": {"caRef": {"kind": kind, "name": "ca"}}});
        bed.apply(&of_kind(kind, &right)).await?;
        bed.apply(&of_postgres(&login, &tls)).await?;
        connected(&bed).await?;
        bed.apply(&of_kind(kind, &wrong)).await?;
        failed(&bed, "TlsFailed").await?;
        bed.apply(&of_kind(kind, &right)).await?;
        connected(&bed).await?;
        bed.apply(&of_kind(kind, &wrong)).await?;
        failed(&bed, "TlsFailed").await?;
    }
    bed.finish().await
}

#[tokio::test]
async fn a_secret_of_another_namespace_takes_its_owners_consent() -> Result<()> {
    let mut bed = Bed::new("db-shared").await?;
    let login = bed.postgres_login().await?;
    let vault = bed.other_namespace("vault").await?;
    vault.apply(&secret("creds", &login)).await?;
    let shared = json!({"credentialsRef": {"name": "creds", "namespace": vault.name()}});
    bed.apply(&of_postgres(&login, &shared)).await?;
    let without_consent = failed(&bed, "CredentialsNotShared").await?;

    let consent = format!("dbhub.tas.io/allowed-namespaces={}", bed.name());
    vault.kubectl(&["annotate", "secret", "creds", &consent]).await?;
    connected(&bed).await?;
    vault.kubectl(&["annotate", "secret", "creds", "dbhub.tas.io/allowed-namespaces-"]).await?;
    failed(&bed, "CredentialsNotShared").await?;

    vault.kubectl(&["delete", "secret", "creds"]).await?;
    bed.kubectl(&["annotate", "database", "db", "reconcile=again"]).await?;
    let without_secret = failed(&bed, "CredentialsNotShared").await?;
    assert_eq!(without_consent, without_secret, "the message tells whether a foreign Secret exists");
    bed.finish().await
}

#[tokio::test]
async fn a_healthy_database_is_left_alone() -> Result<()> {
    let mut bed = Bed::new("db-quiet").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.apply(&of_postgres(&login, &json!({}))).await?;
    connected(&bed).await?;
    bed.expect_quiet::<Database>("db").await?;
    bed.finish().await
}

#[tokio::test]
async fn the_metrics_tell_of_each_database() -> Result<()> {
    let mut bed = Bed::new("db-metrics").await?;
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.apply(&of_postgres(&login, &json!({}))).await?;
    connected(&bed).await?;
    bed.apply(&of_postgres(&login, &json!({"database": "no_such_database"}))).await?;
    failed(&bed, "DatabaseNotFound").await?;
    let labels = ["--selector=app.kubernetes.io/name=db-probe", "--output=jsonpath={.items[0].metadata.name}"];
    let pod = bed.home().kubectl(&["get", "pods", labels[0], labels[1]]).await?;
    let path = format!("/api/v1/namespaces/{}/pods/{}:8080/proxy/metrics", bed.home().name(), pod.trim());
    let metrics = bed.kubectl(&["get", "--raw", &path]).await?;
    let of_this = format!("{{namespace=\"{}\",name=\"db\"}} ", bed.name());
    let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(&format!("{name}{of_this}")));
    assert_eq!(value("db_probe_database_up"), Some("0"));
    // It worked before its spec was changed.
    assert!(value("db_probe_database_last_success_timestamp_seconds").is_some(), "{metrics}");
    bed.finish().await
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_admission() -> Result<()> {
    let bed = Bed::new("db-admission").await?;
    let creds = json!({"name": "creds"});
    let map = json!({"configMap": {"name": "m"}});
    let both = json!({"configMap": {"name": "m"}, "persistentVolumeClaim": {"claimName": "c"}});
    for (spec, field) in [
        (json!({"type": "postgres", "credentialsRef": creds}), "spec.host"),
        (json!({"type": "postgres", "host": "a,b", "credentialsRef": creds}), "spec.host"),
        (json!({"type": "postgres", "host": "/run/postgresql", "credentialsRef": creds}), "spec.host"),
        (json!({"type": "mysql", "host": "a"}), "spec.credentialsRef"),
        (json!({"type": "mysql", "host": "a", "port": 0, "credentialsRef": creds}), "spec.port"),
        (json!({"type": "oracle", "host": "a", "credentialsRef": creds}), "spec.type"),
        (json!({"type": "sqlite"}), "spec.database"),
        (json!({"type": "sqlite", "database": "../etc/shadow"}), "spec.database"),
        (json!({"type": "sqlite", "database": "/etc/shadow"}), "spec.database"),
        (json!({"type": "sqlite", "database": "a//b"}), "spec.database"),
        (json!({"type": "sqlite", "database": "a.db", "sqlite": {"volume": {}}}), "spec.sqlite.volume"),
        (json!({"type": "sqlite", "database": "a.db", "sqlite": {"volume": both}}), "spec.sqlite.volume"),
        (json!({"type": "sqlite", "database": "a.db", "sqlite": {"volume": {"configMap": {"name": "../x"}}}}), "name"),
        (json!({"type": "sqlite", "database": ":memory:", "sqlite": {"volume": map}}), "spec.sqlite.volume"),
        (json!({"type": "mysql", "host": "a", "credentialsRef": creds, "sqlite": {"volume": map}}), "spec.sqlite"),
        (json!({"type": "mysql", "host": "a", "sslMode": "maybe", "credentialsRef": creds}), "spec.sslMode"),
        (json!({"type": "mysql", "host": "a", "credentialsRef": {"name": "../x"}}), "spec.credentialsRef.name"),
    ] {
        let refusal = bed.refused(&database("db", &spec, &json!({}))).await?;
        assert!(refusal.contains(field), "{spec}: {refusal}");
    }
    bed.finish().await
}
