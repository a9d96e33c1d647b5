//! AppDatabases of people who do not trust each other: tenants beside tenants, and a GitOps controller that may do no
//! more than it needs.

use anyhow::{Result, ensure};
use api_types::names::{MANAGED_BY, OWNER};
use api_types::{AppDatabase, AppDatabasePhase};
use e2e::testing::app_databases::{credentials, phase, ready, stuck};
use e2e::testing::bed::{Area, Bed};
use e2e::testing::manifests::{app_database, config_map};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// Lets a person do what a Role or ClusterRole says, in one namespace.
async fn bind(area: &Area, name: &str, role: &str, who: &str) -> Result<()> {
    area.kubectl(&["create", "rolebinding", name, role, &format!("--user={who}")]).await.map(drop)
}

/// A tenant: administrator of one namespace, and of nothing else.
async fn tenant(area: &Area) -> Result<Area> {
    let who = format!("tenant-{}", area.name());
    bind(area, "admin", "--clusterrole=admin", &who).await?;
    bind(area, "databases", "--clusterrole=appdatabase-creator", &who).await?;
    Ok(area.acting_as(&who, &["tenants"]))
}

fn wanted(name: &str, database: &str, namespace: &str) -> Value {
    let spec = json!({"clusterRef": "cluster1-haproxy", "dbName": database, "appNamespace": namespace});
    app_database(name, &spec, &json!({"secretName": format!("{name}-creds")}))
}

fn is_settled(app: &AppDatabase) -> bool {
    matches!(phase(app), Some(AppDatabasePhase::Ready | AppDatabasePhase::Failed))
}

#[tokio::test]
async fn a_tenant_gets_nothing_of_another_tenants() -> Result<()> {
    let mut bed = Bed::new("tenant-a").await?;
    let other = bed.other_namespace("b").await?;
    let (owner, thief) = (tenant(&bed).await?, tenant(&other).await?);
    let name = bed.database_name();
    owner.apply(&wanted("app", &name, bed.name())).await?;
    ready(&bed, "app").await?;
    let before = credentials(&bed, "app-creds").await?;
    bed.guard(&before["password"]);

    // The other's database: refused, and its owner is not named.
    thief.apply(&wanted("mine", &name, other.name())).await?;
    let message = stuck(&other, "mine", "Conflict").await?;
    ensure!(!message.contains(bed.name()), "it tells whose it is: {message}");
    thief.kubectl(&["delete", "appdatabase", "mine"]).await?;

    // A Secret in the other's namespace, which did not consent, and whose annotations a tenant may not write.
    let push = bed.database_name();
    thief.apply(&wanted("push", &push, bed.name())).await?;
    stuck(&other, "push", "NamespaceNotShared").await?;
    let consent = ["annotate", "namespace", bed.name(), "db.stillwaters.io/allowed-namespaces=*"];
    let answer = thief.try_kubectl(&consent).await?;
    ensure!(!answer.success, "a tenant consented for another");

    // A server of its own making, where a tenant's Secrets are no admin Secrets.
    let server = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "server", "labels": {"db.stillwaters.io/cluster": "mine"}},
        "stringData": {"MYSQL_ADMIN_HOST": "cluster1-haproxy.default.svc.cluster.local",
                       "MYSQL_ADMIN_USER": "concierge_admin", "MYSQL_ADMIN_PASSWORD": "guessed"}});
    thief.apply(&server).await?;
    let own = bed.database_name();
    let mut own = wanted("own", &own, other.name());
    own["spec"]["clusterRef"] = json!("mine");
    thief.apply(&own).await?;
    stuck(&other, "own", "UnknownCluster").await?;

    // What the owner has is as it was.
    assert_eq!(credentials(&bed, "app-creds").await?, before);
    bed.login_works("app-creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn a_forged_label_makes_no_secret_the_concierges() -> Result<()> {
    let mut bed = Bed::new("tenant-forge").await?;
    let other = bed.other_namespace("b").await?;
    let (owner, thief) = (tenant(&bed).await?, tenant(&other).await?);
    let forged = |annotations: Value| {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "app-creds", "labels": {MANAGED_BY: "db-concierge-operator"},
                         "annotations": annotations},
            "stringData": {"password": "not-the-concierges", "host": "evil.example"}})
    };
    // Labelled, but nobody's; and another's, who would have it overwritten.
    for annotations in [json!({}), json!({OWNER: format!("{}/app", bed.name())})] {
        thief.apply(&forged(annotations.clone())).await?;
        let before = other.get::<Secret>("app-creds").await?;
        let name = bed.database_name();
        thief.apply(&wanted("app", &name, other.name())).await?;
        stuck(&other, "app", "SecretConflict").await?;
        assert_eq!(other.get::<Secret>("app-creds").await?, before, "{annotations}");
        thief.kubectl(&["delete", "appdatabase,secret", "app", "app-creds", "--ignore-not-found"]).await?;
    }
    // The owner named in the forgery is served from its own namespace, and host and user are never read back.
    let name = bed.database_name();
    owner.apply(&wanted("app", &name, bed.name())).await?;
    ready(&bed, "app").await?;
    bed.login_works("app-creds").await?;
    bed.finish().await
}

#[tokio::test]
async fn a_gitops_controller_needs_two_roles_and_may_create_everything_anew() -> Result<()> {
    let mut bed = Bed::new("gitops").await?;
    let (name, home, who) = (bed.database_name(), bed.home(), format!("system:serviceaccount:argocd:{}", bed.name()));
    let controller = home.acting_as(&who, &["system:serviceaccounts", "system:serviceaccounts:argocd"]);
    let app = wanted(bed.name(), &name, bed.name());
    let secret = format!("{}-creds", bed.name());
    bind(&home, bed.name(), "--clusterrole=appdatabase-creator", &who).await?;
    let refusal = controller.refused(&app).await?;
    assert!(refusal.contains("takes the right to create Secrets"), "{refusal}");
    let rule = ["create", "role", "gitops", "--verb=create,delete", "--resource=secrets"];
    bed.kubectl(&rule).await?;
    bind(&bed, "gitops", "--role=gitops", &who).await?;

    controller.apply(&app).await?;
    ready(&home, bed.name()).await?;
    let first = credentials(&bed, &secret).await?;
    bed.guard(&first["password"]);
    // What is applied again and again changes nothing.
    let version = home.get::<AppDatabase>(bed.name()).await?.metadata.resource_version;
    controller.apply(&app).await?;
    home.expect_quiet::<AppDatabase>(bed.name()).await?;
    assert_eq!(home.get::<AppDatabase>(bed.name()).await?.metadata.resource_version, version);
    // And made anew, with another UID, it is the same database with the same password.
    controller.kubectl(&["delete", "appdatabase", bed.name()]).await?;
    controller.apply(&app).await?;
    ready(&home, bed.name()).await?;
    assert_eq!(credentials(&bed, &secret).await?, first);
    bed.login_works(&secret).await?;
    controller.kubectl(&["delete", "appdatabase", bed.name()]).await?;
    home.kubectl(&["delete", "rolebinding", bed.name()]).await?;
    bed.finish().await
}

#[tokio::test]
async fn a_script_is_one_that_its_author_may_read() -> Result<()> {
    let mut bed = Bed::new("app-script").await?;
    let (name, who) = (bed.database_name(), format!("dev-{}", bed.name()));
    let dev = bed.acting_as(&who, &["developers"]);
    bind(&bed, "databases", "--clusterrole=appdatabase-creator", &who).await?;
    bed.apply(&config_map("script", "init.sql", "CREATE TABLE t (id INT PRIMARY KEY);")).await?;
    let mut app = wanted("app", &name, bed.name());
    app["spec"]["initSql"] = json!({"configMapRef": {"name": "script"}});
    let refusal = dev.refused(&app).await?;
    assert!(refusal.contains("you may not get ConfigMap script"), "{refusal}");
    let rule = ["create", "role", "read", "--verb=get", "--resource=configmaps", "--resource-name=script"];
    bed.kubectl(&rule).await?;
    bind(&bed, "read", "--role=read", &who).await?;
    dev.apply(&app).await?;
    ready(&bed, "app").await?;
    let tables = bed.application("app-creds").await?.mysql("SHOW TABLES").await?;
    assert_eq!(tables.stdout.trim(), "t");
    bed.finish().await
}

#[tokio::test]
async fn of_two_that_race_one_wins_always() -> Result<()> {
    const ROUNDS: usize = 12;
    let mut bed = Bed::new("race").await?;
    let other = bed.other_namespace("b").await?;
    let names: Vec<_> = (0..ROUNDS).map(|_| bed.database_name()).collect();
    let racers = names.iter().enumerate().flat_map(|(round, name)| {
        [&*bed, &other].map(|area| (area, format!("app{round}"), wanted(&format!("app{round}"), name, area.name())))
    });
    let racers: Vec<_> = racers.collect();
    try_join_all(racers.iter().map(|(area, _, app)| area.apply(app))).await?;
    let settled = racers.iter().map(|(area, app, _)| area.wait_for::<AppDatabase>(app, "settled", is_settled));
    let ends = try_join_all(settled).await?;
    for (pair, round) in ends.chunks(2).zip(0..) {
        let phases: Vec<_> = pair.iter().map(phase).collect();
        let winners = phases.iter().filter(|phase| **phase == Some(AppDatabasePhase::Ready)).count();
        assert_eq!(winners, 1, "round {round}: {phases:?}");
        let winner = if phases[0] == Some(AppDatabasePhase::Ready) { &*bed } else { &other };
        let loser = if winner.name() == other.name() { &*bed } else { &other };
        let message = stuck(loser, &format!("app{round}"), "Conflict").await?;
        ensure!(!message.contains(winner.name()), "it tells who won: {message}");
        ensure!(loser.get::<Secret>(&format!("app{round}-creds")).await.is_err(), "the loser got a Secret");
    }
    bed.finish().await
}

#[tokio::test]
async fn a_namespace_that_the_selector_leaves_out_gets_no_secret() -> Result<()> {
    let mut bed = Bed::new("app-left-out").await?;
    bed.kubectl(&["label", "namespace", bed.name(), "e2e-databases=none"]).await?;
    let name = bed.database_name();
    bed.apply(&wanted("app", &name, bed.name())).await?;
    let message = stuck(&bed, "app", "NamespaceNotAllowed").await?;
    assert!(message.contains("appNamespaceSelector"), "{message}");
    ensure!(bed.get::<Secret>("app-creds").await.is_err(), "a Secret was written");
    bed.kubectl(&["label", "namespace", bed.name(), "e2e-databases-"]).await?;
    ready(&bed, "app").await?;
    bed.login_works("app-creds").await?;
    bed.finish().await
}
