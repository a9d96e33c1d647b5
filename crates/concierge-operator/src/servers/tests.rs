use super::*;
use crate::plan::fixtures::{TIMEOUTS, admin_secret, password, postgres_request, postgres_secret, request};

const CLUSTER: &str = "cluster1-haproxy";

fn found(secret: Arc<Secret>) -> Server {
    find(&[secret], CLUSTER, TIMEOUTS).unwrap()
}

fn problem(more: &str) -> String {
    find(&[admin_secret("{}", more)], CLUSTER, TIMEOUTS).unwrap_err().to_string()
}

#[test]
fn four_keys_are_enough() {
    let server = found(admin_secret("{}", ""));
    assert_eq!(server.admin.endpoint.to_string(), "cluster1-haproxy.default.svc.cluster.local:3306");
    assert_eq!(server.app, server.admin.endpoint);
    assert_eq!((server.admin.tls, server.admin.credentials.user.as_str()), (TlsMode::Disable, "root"));
    assert!(!format!("{server:?}").contains("canary"));
}

#[test]
fn applications_may_be_told_another_address() {
    let server = found(admin_secret("{}", "  MYSQL_APP_HOST: db.example\n  MYSQL_APP_PORT: '6033'\n"));
    let request = request("{}");
    let login = server.login(&request, &request.application, &password('k'));
    assert_eq!(login.endpoint.to_string(), "db.example:6033");
    assert_eq!((login.credentials.user.as_str(), login.database.as_deref()), ("myapp_app", Some("myapp")));
}

#[test]
fn tls_is_used_where_it_is_required_and_never_weakened() {
    let tls = |secret: &str, spec: &str| {
        let request = request(spec);
        found(admin_secret("{}", secret)).login(&request, &request.application, &password('k')).tls
    };
    assert_eq!(tls("", "{}"), TlsMode::Disable);
    assert_eq!(tls("", "{requireTls: true}"), TlsMode::Require);
    assert_eq!(tls("  MYSQL_ADMIN_SSLMODE: verify-full\n", "{requireTls: true}"), TlsMode::VerifyFull);
}

#[test]
fn a_newline_from_echo_does_no_harm_and_no_mode_falls_back() {
    assert_eq!(found(admin_secret("{}", "  MYSQL_ADMIN_SSLMODE: \"verify-full\\n\"\n")).admin.tls, TlsMode::VerifyFull);
    insta::assert_snapshot!(problem("  MYSQL_ADMIN_SSLMODE: prefer\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: MYSQL_ADMIN_SSLMODE: `prefer` is no TLS mode: use disable, require, verify-ca or verify-full");
}

#[test]
fn what_cannot_be_used_is_named() {
    insta::assert_snapshot!(problem("  MYSQL_APP_PORT: '0'\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: MYSQL_APP_PORT is no port from 1 to 65535");
    insta::assert_snapshot!(problem("  MYSQL_ADMIN_CA: nonsense\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: MYSQL_ADMIN_CA: the CA bundle holds no CERTIFICATE block");
    insta::assert_snapshot!(problem("  MYSQL_APP_HOST: a,b\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: MYSQL_APP_HOST: the host is a list: give one DNS name or one IP address");
    let mut secret = (*admin_secret("{}", "")).clone();
    secret.data.as_mut().unwrap().remove("MYSQL_ADMIN_PASSWORD");
    insta::assert_snapshot!(find(&[Arc::new(secret)], CLUSTER, TIMEOUTS).unwrap_err(), @"the admin Secret db-concierge-mysql-admin cannot be used: it has no key MYSQL_ADMIN_PASSWORD with a text");
}

#[test]
fn a_label_names_the_cluster() {
    let labelled = admin_secret("{name: staging, labels: {db.stillwaters.io/cluster: staging-pxc}}", "");
    let both = [admin_secret("{}", ""), labelled];
    assert_eq!(find(&both, "staging-pxc", TIMEOUTS).unwrap().secret, "staging");
    assert_eq!(find(&both, CLUSTER, TIMEOUTS).unwrap().secret, DEFAULT_SECRET);
}

#[test]
fn a_cluster_that_nobody_or_two_serve_is_no_cluster() {
    insta::assert_snapshot!(find(&[admin_secret("{name: unlabelled}", "")], CLUSTER, TIMEOUTS).unwrap_err(), @"no server is called cluster1-haproxy: check spec.clusterRef, or have an admin Secret labelled db.stillwaters.io/cluster=cluster1-haproxy created in the concierge's namespace");
    let two =
        [admin_secret("{}", ""), admin_secret("{name: b, labels: {db.stillwaters.io/cluster: cluster1-haproxy}}", "")];
    insta::assert_snapshot!(find(&two, CLUSTER, TIMEOUTS).unwrap_err(), @"the admin Secrets b, db-concierge-mysql-admin all claim to be server cluster1-haproxy: only one may, so that nobody's data lands on the wrong one");
}

#[test]
fn a_secret_that_we_wrote_is_no_admin_secret() {
    let labels =
        "labels: {app.kubernetes.io/managed-by: db-concierge-operator, db.stillwaters.io/cluster: cluster1-haproxy}";
    let result = find(&[admin_secret(labels, "")], CLUSTER, TIMEOUTS);
    assert_eq!(result.unwrap_err(), ServerError::Unknown { cluster: CLUSTER.into() });
}

#[test]
fn other_keys_make_a_postgresql_server() {
    let more = "{POSTGRES_APP_HOST: pooler.example, POSTGRES_APP_PORT: '6432', POSTGRES_ADMIN_SSLMODE: require}";
    let server = find(&[postgres_secret(more)], "postgres-main", TIMEOUTS).unwrap();
    assert_eq!((server.engine, server.admin.tls), (Engine::Postgres, TlsMode::Require));
    assert_eq!(server.admin.endpoint.to_string(), "postgres-main.default:5432");
    assert_eq!(server.admin.database.as_deref(), Some("db_concierge"), "the admin works in no other database");
    let request = postgres_request("{}");
    let login = server.login(&request, &request.application, &password('k'));
    assert_eq!(
        (login.endpoint.to_string().as_str(), login.database.as_deref()),
        ("pooler.example:6432", Some("myapp"))
    );
}

#[test]
fn a_mysql_server_may_ask_for_another_way_of_proving_passwords() {
    let plugin = |more: &str| found(admin_secret("{}", more)).auth_plugin;
    assert_eq!(plugin(""), None);
    assert_eq!(plugin("  MYSQL_APP_AUTH_PLUGIN: mysql_native_password\n"), Some(AuthPlugin::Native));
    assert_eq!(plugin("  MYSQL_APP_AUTH_PLUGIN: caching_sha2_password\n"), Some(AuthPlugin::CachingSha2));
    insta::assert_snapshot!(problem("  MYSQL_APP_AUTH_PLUGIN: \"x' BY '\"\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: MYSQL_APP_AUTH_PLUGIN is neither caching_sha2_password nor mysql_native_password");
}

#[test]
fn a_server_is_of_one_kind() {
    insta::assert_snapshot!(problem("  POSTGRES_ADMIN_HOST: pg\n"), @"the admin Secret db-concierge-mysql-admin cannot be used: it has keys MYSQL_ADMIN_* and POSTGRES_ADMIN_*, and a server is of one kind");
}

#[test]
fn the_owner_of_a_server_says_who_may_use_it_and_what_may_be_adopted() {
    let server = found(admin_secret("annotations: {db.stillwaters.io/allowed-namespaces: 'team-a, team-b'}", ""));
    assert!(server.clone().admit(CLUSTER, "team-b").is_ok());
    insta::assert_snapshot!(server.clone().admit(CLUSTER, "team-c").unwrap_err(), @"server cluster1-haproxy does not serve namespace team-c: its admin Secret lists others in annotation db.stillwaters.io/allowed-namespaces");
    assert!(found(admin_secret("{}", "")).admit(CLUSTER, "anyone").is_ok());
    assert!(!server.may_adopt("legacy"));
    let server = found(admin_secret("annotations: {db.stillwaters.io/adoptable: 'legacy'}", ""));
    assert!(server.may_adopt("legacy") && !server.may_adopt("legacy2"));
    assert!(found(admin_secret("annotations: {db.stillwaters.io/adoptable: '*'}", "")).may_adopt("any"));
}
