//! What a person may ask of the operators: no more than they may do themselves.

use anyhow::{Result, ensure};
use api_types::{AppDatabase, AppDatabasePhase, Database, DatabasePhase};
use e2e::testing::bed::{Area, Bed, HOME};
use e2e::testing::manifests::{app_database, database, secret};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// A developer of the test, who has no rights at first.
fn developer(bed: &Bed) -> String {
    format!("dev-{}", bed.name())
}

/// Binds the chart's role for people who request databases.
async fn let_create_app_databases(area: &Area, who: &str) -> Result<()> {
    let (user, role) = (format!("--user={who}"), "--clusterrole=appdatabase-creator");
    area.kubectl(&["create", "rolebinding", who, role, &user]).await.map(drop)
}

fn for_namespace(name: &str, database: &str, namespace: &str) -> Value {
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": database, "appNamespace": namespace});
    app_database(name, &spec, &json!({"secretName": "creds"}))
}

fn is_ready(app: &AppDatabase) -> bool {
    app.status.as_ref().and_then(|status| status.phase) == Some(AppDatabasePhase::Ready)
}

#[tokio::test]
async fn a_database_names_no_secret_that_its_author_may_not_read() -> Result<()> {
    let mut bed = Bed::new("adm-secret").await?;
    let who = developer(&bed);
    let dev = bed.acting_as(&who, &["developers"]);
    let login = bed.postgres_login().await?;
    bed.apply(&secret("creds", &login)).await?;
    bed.allow(&who, "databases", &["--verb=get,create,patch", "--resource=databases.dbhub.tas.io"]).await?;
    let spec = json!({"type": "postgres", "host": "analytics-pg.acme.internal", "database": login.database,
                      "credentialsRef": {"name": "creds"}});
    let db = database("db", &spec, &json!({}));
    let refusal = dev.refused(&db).await?;
    assert!(refusal.contains("spec.credentialsRef.name: you may not get Secret creds"), "{refusal}");

    let one_secret = ["--verb=get", "--resource=secrets", "--resource-name=creds"];
    bed.allow(&who, "one-secret", &one_secret).await?;
    dev.apply(&db).await?;
    let connected =
        |db: &Database| db.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Connected);
    bed.wait_for("db", "Connected", connected).await?;
    let refusal = dev.refused(&database("db", &spec, &json!({"credentialsRef": {"name": "other"}}))).await?;
    assert!(refusal.contains("you may not get Secret other"), "{refusal}");
    bed.finish().await
}

#[tokio::test]
async fn a_database_names_no_volume_that_its_author_may_not_read() -> Result<()> {
    let bed = Bed::new("adm-volume").await?;
    let who = developer(&bed);
    let dev = bed.acting_as(&who, &["developers"]);
    bed.allow(&who, "databases", &["--verb=get,create,patch", "--resource=databases.dbhub.tas.io"]).await?;
    for (kind, resource, volume) in [
        ("ConfigMap", "configmaps", json!({"configMap": {"name": "files"}})),
        ("PersistentVolumeClaim", "persistentvolumeclaims", json!({"persistentVolumeClaim": {"claimName": "files"}})),
    ] {
        let spec = json!({"type": "sqlite", "database": "a.db", "sqlite": {"volume": volume}});
        let db = database(resource, &spec, &json!({}));
        let refusal = dev.refused(&db).await?;
        assert!(refusal.contains(&format!("you may not get {kind} files")), "{refusal}");
        let rule = ["--verb=get", &format!("--resource={resource}"), "--resource-name=files"];
        bed.allow(&who, resource, &rule).await?;
        dev.apply(&db).await?;
    }
    bed.finish().await
}

#[tokio::test]
async fn a_developer_gets_a_database_for_the_own_namespace_and_no_other() -> Result<()> {
    let mut bed = Bed::new("adm-own").await?;
    let who = developer(&bed);
    let dev = bed.acting_as(&who, &["developers"]);
    let name = bed.database_name();
    let wanted = for_namespace("app", &name, bed.name());
    let refusal = dev.refused(&wanted).await?;
    assert!(refusal.contains("appdatabases.db.stillwaters.io"), "{refusal}");
    let_create_app_databases(&bed, &who).await?;
    dev.apply(&wanted).await?;
    bed.wait_for("app", "Ready", is_ready).await?;
    let refusal = dev.refused(&for_namespace("home", &name, HOME)).await?;
    assert!(refusal.contains("spec.appNamespace"), "{refusal}");

    let forged = r#"{"status": {"phase": "Ready", "databaseCreated": true}}"#;
    let patch = ["patch", "appdatabase", "app", "--subresource=status", "--type=merge", "-p", forged];
    let answer = dev.try_kubectl(&patch).await?;
    ensure!(!answer.success && answer.stderr.contains("appdatabases/status"), "status was written: {answer:?}");
    let answer = dev.try_kubectl(&["get", "secret", "creds"]).await?;
    ensure!(!answer.success, "the role discloses Secrets");
    bed.login_works("creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn from_the_home_namespace_it_takes_the_right_to_create_secrets() -> Result<()> {
    let mut bed = Bed::new("adm-home").await?;
    let (who, home) = (developer(&bed), bed.home());
    let dev_at_home = home.acting_as(&who, &["developers"]);
    let name = bed.database_name();
    let_create_app_databases(&home, &who).await?;
    let wanted = for_namespace(bed.name(), &name, bed.name());
    let refusal = dev_at_home.refused(&wanted).await?;
    let reason = format!("takes the right to create Secrets in namespace {}", bed.name());
    assert!(refusal.contains(&reason), "{refusal}");
    let refusal = dev_at_home.refused(&for_namespace(bed.name(), &name, HOME)).await?;
    assert!(refusal.contains("spec.appNamespace"), "{refusal}");

    bed.allow(&who, "secrets", &["--verb=create", "--resource=secrets"]).await?;
    dev_at_home.apply(&wanted).await?;
    home.wait_for(bed.name(), "Ready", is_ready).await?;
    bed.get::<Secret>("creds").await?;
    let delete = ["delete", "appdatabase", bed.name()];
    let answer = dev_at_home.try_kubectl(&delete).await?;
    ensure!(!answer.success && answer.stderr.contains("to delete Secrets"), "it was deleted: {answer:?}");
    bed.allow(&who, "delete-secrets", &["--verb=delete", "--resource=secrets"]).await?;
    dev_at_home.kubectl(&delete).await?;
    home.kubectl(&["delete", "rolebinding", &who]).await?;
    bed.finish().await
}
