//! `AppDatabase` on a real MariaDB: a database, a user that reaches nothing else, and a Secret; and what happens to
//! each when things go wrong.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use api_types::{AppDatabase, AppDatabasePhase};
use e2e::testing::app_databases::{credentials, phase, ready, stuck};
use e2e::testing::bed::{Area, Bed, HOME};
use e2e::testing::manifests::{admin_secret, app_database, opaque_secret};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// An AppDatabase in the test's namespace, for that namespace.
fn plain(bed: &Area, database: &str, more: &Value) -> Value {
    app_database(
        "app",
        &json!({"clusterRef": "cluster1-haproxy", "dbName": database, "appNamespace": bed.name()}),
        more,
    )
}

#[tokio::test]
async fn an_application_gets_database_user_and_secret() -> Result<()> {
    let mut bed = Bed::new("app-new").await?;
    let name = bed.database_name();
    bed.apply(&plain(&bed, &name, &json!({}))).await?;
    let status = ready(&bed, "app").await?.status.unwrap_or_default();
    let secret_name = format!("{}-mysql-creds", name.replace('_', "-"));
    assert_eq!(status.user_name, Some(format!("{name}_app")));
    assert_eq!(status.secret_name.as_ref(), Some(&secret_name));

    let creds = credentials(&bed, &secret_name).await?;
    bed.guard(&creds["password"]);
    let keys: Vec<_> = creds.keys().map(String::as_str).collect();
    assert_eq!(keys, ["connection-string", "database", "host", "password", "port", "username"]);
    assert_eq!(creds["host"], "cluster1-haproxy.default.svc.cluster.local");
    assert_eq!((creds["port"].as_str(), creds["database"].as_str()), ("3306", name.as_str()));
    assert!(creds["connection-string"].starts_with(&format!("mysql://{name}_app:")));
    assert!(!status.connection_string.unwrap_or_default().contains(&creds["password"]));

    let application = bed.application(&secret_name).await?;
    for allowed in ["CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)"] {
        ensure!(application.mysql(allowed).await?.success, "the application may not: {allowed}");
    }
    let collation = application.mysql("SELECT @@character_set_database, @@collation_database").await?;
    assert_eq!(collation.stdout.trim(), "utf8mb4\tutf8mb4_unicode_ci");
    bed.finish().await
}

#[tokio::test]
async fn an_underscore_in_a_name_is_no_wildcard() -> Result<()> {
    let mut bed = Bed::new("app-wild").await?;
    let name = bed.database_name();
    let similar = name.replace('_', "x");
    bed.server_database(&similar).await?;
    bed.apply(&plain(&bed, &name, &json!({}))).await?;
    ready(&bed, "app").await?;
    let secret = format!("{}-mysql-creds", name.replace('_', "-"));
    let creds = credentials(&bed, &secret).await?;
    bed.guard(&creds["password"]);
    let application = bed.application(&secret).await?;
    for forbidden in [
        format!("CREATE TABLE {similar}.t (id INT)"),
        "SELECT * FROM mysql.user".to_owned(),
        "CREATE DATABASE another".to_owned(),
        "CREATE USER another".to_owned(),
        "SELECT * FROM db_concierge.ownership".to_owned(),
    ] {
        ensure!(!application.mysql(&forbidden).await?.success, "the application may: {forbidden}");
    }
    bed.finish().await
}

#[tokio::test]
async fn a_ready_one_is_left_alone_and_a_forced_pass_keeps_the_password() -> Result<()> {
    let mut bed = Bed::new("app-quiet").await?;
    let name = bed.database_name();
    bed.apply(&plain(&bed, &name, &json!({"secretName": "creds"}))).await?;
    let first = ready(&bed, "app").await?.status.and_then(|status| status.last_reconcile_time);
    let before = credentials(&bed, "creds").await?;
    bed.expect_quiet::<AppDatabase>("app").await?;
    bed.expect_quiet::<Secret>("creds").await?;

    bed.kubectl(&["annotate", "appdatabase", "app", "reconcile=again"]).await?;
    let handled = |app: &AppDatabase| {
        app.status.as_ref().and_then(|status| status.last_handled_reconcile.as_deref()) == Some("again")
    };
    let again: AppDatabase = bed.wait_for("app", "the forced pass", handled).await?;
    assert_ne!(again.status.and_then(|status| status.last_reconcile_time), first);
    assert_eq!(credentials(&bed, "creds").await?, before);
    bed.finish().await
}

#[tokio::test]
async fn a_foreign_secret_is_never_touched() -> Result<()> {
    let mut bed = Bed::new("app-secret").await?;
    let name = bed.database_name();
    let canary = bed.canary();
    bed.apply(&opaque_secret("creds", &json!({"password": canary}))).await?;
    bed.apply(&plain(&bed, &name, &json!({"secretName": "creds"}))).await?;
    let message = stuck(&bed, "app", "SecretConflict").await?;
    assert!(message.contains("creds"), "{message}");
    assert_eq!(credentials(&bed, "creds").await?, BTreeMap::from([("password".to_owned(), canary)]));
    ensure!(!bed.server_has_database(&name).await?, "a database was created although the Secret is not ours");

    bed.kubectl(&["delete", "secret", "creds"]).await?;
    ready(&bed, "app").await?;
    bed.finish().await
}

#[tokio::test]
async fn a_deleted_or_spoiled_secret_is_healed_with_a_password_that_works() -> Result<()> {
    let mut bed = Bed::new("app-heal").await?;
    let name = bed.database_name();
    bed.apply(&plain(&bed, &name, &json!({"secretName": "creds"}))).await?;
    ready(&bed, "app").await?;
    let before = credentials(&bed, "creds").await?["password"].clone();
    bed.kubectl(&["delete", "secret", "creds"]).await?;
    let healed: Secret = bed.wait_for("creds", "a new Secret", |secret: &Secret| secret.data.is_some()).await?;
    ensure!(healed.metadata.deletion_timestamp.is_none());
    ready(&bed, "app").await?;
    bed.login_works("creds").await?;
    let after = credentials(&bed, "creds").await?["password"].clone();
    assert_ne!(before, after);
    bed.guard(&after);

    bed.kubectl(&["patch", "secret", "creds", "-p", r#"{"stringData":{"password":"short"}}"#]).await?;
    let whole = |secret: &Secret| {
        let password = secret.data.as_ref().and_then(|data| data.get("password"));
        password.is_some_and(|password| password.0.len() == 32)
    };
    bed.wait_for::<Secret>("creds", "a whole password", whole).await?;
    bed.login_works("creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn of_two_for_one_database_the_first_wins() -> Result<()> {
    let mut bed = Bed::new("app-two").await?;
    let name = bed.database_name();
    bed.apply(&plain(&bed, &name, &json!({"secretName": "creds"}))).await?;
    ready(&bed, "app").await?;

    let rival = bed.other_namespace("rival").await?;
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": name, "appNamespace": rival.name(),
                      "deletionPolicy": "Delete"});
    rival.apply(&app_database("thief", &spec, &json!({}))).await?;
    let message = stuck(&rival, "thief", "Conflict").await?;
    assert!(message.contains(&name) && !message.contains(bed.name()), "{message}");

    rival.delete::<AppDatabase>("thief").await?;
    ensure!(bed.server_has_database(&name).await?, "deleting the loser dropped the winner's database");
    bed.login_works("creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn an_existing_database_with_content_is_not_taken() -> Result<()> {
    let mut bed = Bed::new("app-adopt").await?;
    let name = bed.database_name();
    bed.server_database(&name).await?;
    bed.mariadb_admin(&format!("CREATE TABLE {name}.precious (id INT)")).await?;
    bed.apply(&plain(&bed, &name, &json!({"secretName": "creds", "deletionPolicy": "Delete"}))).await?;
    stuck(&bed, "app", "AdoptionNotAllowed").await?;
    bed.mariadb_admin(&format!("DROP TABLE {name}.precious")).await?;
    bed.kubectl(&["annotate", "appdatabase", "app", "reconcile=again"]).await?;
    ready(&bed, "app").await?;
    bed.delete::<AppDatabase>("app").await?;
    ensure!(bed.server_has_database(&name).await?, "what was adopted was dropped");
    bed.finish().await
}

#[tokio::test]
async fn an_unknown_cluster_is_waited_for() -> Result<()> {
    let mut bed = Bed::new("app-cluster").await?;
    let (name, cluster) = (bed.database_name(), bed.name().to_owned());
    bed.apply(&app_database(
        "app",
        &json!({"clusterRef": cluster, "dbName": name, "appNamespace": bed.name()}),
        &json!({}),
    ))
    .await?;
    let message = stuck(&bed, "app", "UnknownCluster").await?;
    assert!(message.contains(&cluster), "{message}");

    let canary = bed.canary();
    let mut admin = admin_secret(&cluster, &cluster, &canary);
    bed.home().apply(&admin).await?;
    let message = stuck(&bed, "app", "AdminLoginFailed").await?;
    assert!(message.contains(&cluster), "{message}");
    admin["stringData"]["MYSQL_ADMIN_PASSWORD"] = json!(bed.concierge_password()?);
    bed.home().apply(&admin).await?;
    ready(&bed, "app").await?;
    bed.home().kubectl(&["delete", "secret", &cluster]).await?;
    bed.finish().await
}

#[tokio::test]
async fn retain_keeps_and_delete_drops() -> Result<()> {
    let mut bed = Bed::new("app-delete").await?;
    let (kept, dropped) = (bed.database_name(), bed.database_name());
    bed.apply(&plain(&bed, &kept, &json!({"secretName": "kept"}))).await?;
    ready(&bed, "app").await?;
    bed.delete::<AppDatabase>("app").await?;
    ensure!(bed.server_has_database(&kept).await?, "Retain dropped the database");
    bed.login_works("kept").await?;

    bed.apply(&plain(&bed, &kept, &json!({"secretName": "kept"}))).await?;
    ready(&bed, "app").await?;
    bed.delete::<AppDatabase>("app").await?;

    bed.apply(&plain(&bed, &dropped, &json!({"secretName": "dropped", "deletionPolicy": "Delete"}))).await?;
    ready(&bed, "app").await?;
    bed.delete::<AppDatabase>("app").await?;
    ensure!(!bed.server_has_database(&dropped).await?, "Delete kept the database");
    ensure!(!bed.server_has_user(&format!("{dropped}_app")).await?, "Delete kept the user");
    bed.get::<Secret>("dropped").await.context("the Secret of a deleted AppDatabase stays")?;
    bed.finish().await
}

#[tokio::test]
async fn a_missing_namespace_is_waited_for() -> Result<()> {
    let mut bed = Bed::new("app-ns").await?;
    let name = bed.database_name();
    let later = format!("{}-later", bed.name());
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": name, "appNamespace": later});
    let home = bed.home();
    home.apply(&app_database(&later, &spec, &json!({}))).await?;
    let message = stuck(&home, &later, "NamespaceNotFound").await?;
    assert!(message.contains(&later), "{message}");
    let app: AppDatabase = home.get(&later).await?;
    assert_eq!(phase(&app), Some(AppDatabasePhase::Pending));

    let target = bed.other_namespace("later").await?;
    assert_eq!(target.name(), later);
    ready(&home, &later).await?;
    target.login_works(&format!("{}-mysql-creds", name.replace('_', "-"))).await?;
    home.delete::<AppDatabase>(&later).await?;
    bed.finish().await
}

#[tokio::test]
async fn another_namespace_must_consent() -> Result<()> {
    let mut bed = Bed::new("app-consent").await?;
    let name = bed.database_name();
    let target = bed.other_namespace("target").await?;
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": name, "appNamespace": target.name()});
    bed.apply(&app_database("app", &spec, &json!({"secretName": "creds"}))).await?;
    stuck(&bed, "app", "NamespaceNotShared").await?;
    ensure!(target.get::<Secret>("creds").await.is_err(), "a Secret was written without consent");
    let consent = format!("db.stillwaters.io/allowed-namespaces={}", bed.name());
    bed.kubectl(&["annotate", "namespace", target.name(), &consent]).await?;
    ready(&bed, "app").await?;
    target.login_works("creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_admission() -> Result<()> {
    let mut bed = Bed::new("app-admission").await?;
    for (more, field) in [
        (json!({"dbName": "mysql"}), "spec.dbName"),
        (json!({"dbName": "Information_Schema"}), "spec.dbName"),
        (json!({"dbName": "my-app"}), "spec.dbName"),
        (json!({"userName": "root"}), "spec.userName"),
        (json!({"appNamespace": "kube-system"}), "spec.appNamespace"),
        (json!({"appNamespace": HOME}), "spec.appNamespace"),
        (json!({"deletionPolicy": "Maybe"}), "spec.deletionPolicy"),
        (json!({"charset": "utf8; DROP"}), "spec.charset"),
        (json!({"connectionLimit": 0}), "spec.connectionLimit"),
        (json!({"readOnlyUser": true, "userName": "Fine_RO"}), "spec.userName"),
        (json!({"initSql": {}}), "spec.initSql"),
        (json!({"initSql": {"inline": "SELECT 1", "configMapRef": {"name": "scripts"}}}), "spec.initSql"),
        (json!({"initSql": {"inline": ""}}), "spec.initSql.inline"),
    ] {
        let refusal = bed.refused(&plain(&bed, "fine", &more)).await?;
        assert!(refusal.contains(field), "{more}: {refusal}");
    }
    let (one, two) = (bed.database_name(), bed.database_name());
    bed.apply(&plain(&bed, &one, &json!({}))).await?;
    let refusal = bed.refused(&plain(&bed, &two, &json!({}))).await?;
    assert!(refusal.contains("spec.dbName cannot change"), "{refusal}");
    bed.finish().await
}

#[tokio::test]
async fn the_example_with_everything_works_as_it_stands() -> Result<()> {
    let bed = Bed::new("app-example").await?;
    let example = "examples/appdatabase-additions.yaml";
    bed.harness().apply_file(None, example).await?;
    let made = ready(&bed.home(), "shop").await;
    let reader = bed.harness().kubectl.run(&["get", "secret", "shop-mysql-creds-ro", "--namespace=shop"]).await;
    bed.home().delete::<AppDatabase>("shop").await?;
    bed.home().kubectl(&["delete", "configmap", "shop-schema"]).await?;
    bed.harness().kubectl.run(&["delete", "namespace", "shop", "--wait=false"]).await?;
    assert_eq!(made?.status.and_then(|status| status.read_only_user_name).as_deref(), Some("shop_ro"));
    reader?;
    bed.finish().await
}
