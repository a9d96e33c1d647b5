use api_types::{Operation, Policy};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::source::{Backend, Source, Tls, Trust, judge};
use super::*;
use crate::fixtures::{ca_pem, candidate, candidates, instance, request, secret};
use crate::validate::ca::CaBundle;

/// `name: reason` of every database, `served` where there is none.
fn judged(yaml: &str) -> Vec<String> {
    let verdicts = judge(candidates(yaml), &Policy::default(), None);
    let reason = |verdict: &source::Verdict| verdict.result.as_ref().err().map_or("served", |error| error.reason());
    verdicts.iter().map(|verdict| format!("{}: {}", verdict.database.name_any(), reason(verdict))).collect()
}

#[test]
fn what_dbhub_would_misread_is_left_out_and_the_rest_is_served() {
    let judged = judged(
        "
        - {name: a-good, type: postgres, host: pg.internal, database: app}
        - {name: b-v6, type: postgres, host: 'fd00::1', database: app}
        - {name: c-expands, type: postgres, host: pg.internal, database: '${HOME}'}
        - {name: d-space, type: mysql, host: my.internal, database: 'a b'}
        - {name: e-none, type: mysql, host: my.internal}
        - {name: f-hostless, type: mysql, database: app}
        - {name: g-verify, type: mysql, host: my.internal, database: app, sslMode: verify-ca}
        - {name: h-verify, type: sqlserver, host: ms.internal, database: app, sslMode: verify-full}
        - {name: i-file, type: sqlite, database: data/app.db}
        - {name: j-memory, type: sqlite, database: ':memory:'}
        - {name: k-claim, type: sqlite, database: data/app.db, sqlite: {volume: {persistentVolumeClaim: {claimName: c}}}}
        - {name: l-map, type: sqlite, database: app.db, sqlite: {volume: {configMap: {name: m}}}}
        - {name: m-key, type: sqlite, database: other.db, sqlite: {volume: {configMap: {name: m}}}}
        - {name: n-query, type: sqlite, database: 'app.db?x', sqlite: {volume: {configMap: {name: m}}}}
        - {name: o-none, type: sqlite, database: app.db, sqlite: {volume: {}}}
        ",
    );
    insta::assert_snapshot!(judged.join("\n"), @"
    a-good: served
    b-v6: HostUnsupported
    c-expands: DatabaseNameUnsupported
    d-space: DatabaseNameUnsupported
    e-none: InvalidSpec
    f-hostless: InvalidSpec
    g-verify: SslModeUnsupported
    h-verify: SslModeUnsupported
    i-file: FileNotVisible
    j-memory: served
    k-claim: served
    l-map: served
    m-key: FileNotFound
    n-query: PathUnsupported
    o-none: InvalidSpec
    ");
}

#[test]
fn of_colliding_names_the_oldest_stays_even_when_it_cannot_be_served() {
    let judged = judged(
        "
        - {name: a-b, type: mysql, host: my.internal, database: app, created: 2}
        - {name: a.b, type: mysql, host: my.internal, database: 'no good', created: 1}
        - {name: other, type: mysql, host: my.internal, database: app, created: 3}
        ",
    );
    assert_eq!(judged, ["a-b: IdCollision", "a.b: DatabaseNameUnsupported", "other: served"]);
}

#[test]
fn the_stricter_policy_wins_and_one_that_leaves_nothing_leaves_the_database_out() {
    let databases = candidates(
        "
        - {name: a-none, type: mysql, host: my.internal, database: app}
        - {name: b-rows, type: mysql, host: my.internal, database: app, policy: {maxRows: 10}}
        - {name: c-writes, type: mysql, host: my.internal, database: app, policy: {readonly: false, maxRows: 5000}}
        - {name: d-reads, type: mysql, host: my.internal, database: app, policy: {readonly: true}}
        - {name: e-search, type: mysql, host: my.internal, database: app, policy: {allowedOperations: [search_objects]}}
        - {name: f-empty, type: mysql, host: my.internal, database: app, policy: {allowedOperations: []}}
        ",
    );
    let told = |policy: &Policy| {
        let verdicts = judge(databases.clone(), policy, None);
        let told = verdicts.iter().map(|verdict| match &verdict.result {
            Ok(Source { id, policy: Policy { readonly, max_rows, allowed_operations }, .. }) => {
                format!("{}: {readonly} {max_rows} {allowed_operations:?}", id.as_str())
            }
            Err(rejection) => format!("{}: {}", verdict.database.name_any(), rejection.reason()),
        });
        told.collect::<Vec<_>>().join("\n")
    };
    let writes = Policy { readonly: false, max_rows: 1000, ..Policy::default() };
    insta::assert_snapshot!(told(&writes), @r"
    a-none: false 1000 [ExecuteSql, SearchObjects]
    b-rows: false 10 [ExecuteSql, SearchObjects]
    c-writes: false 1000 [ExecuteSql, SearchObjects]
    d-reads: true 1000 [ExecuteSql, SearchObjects]
    e-search: false 1000 [SearchObjects]
    f-empty: NoOperationAllowed
    ");
    let executes = Policy { allowed_operations: vec![Operation::ExecuteSql], ..Policy::default() };
    insta::assert_snapshot!(told(&executes), @r"
    a-none: true 500 [ExecuteSql]
    b-rows: true 10 [ExecuteSql]
    c-writes: true 500 [ExecuteSql]
    d-reads: true 500 [ExecuteSql]
    e-search: NoOperationAllowed
    f-empty: NoOperationAllowed
    ");
}

const ONE: &str = "{name: one, type: mysql, host: my.internal, database: app}";

/// The reason for a Database whose Secret is this one, taken from another namespace if `namespace` is given.
fn with_secret(yaml: Option<&str>, namespace: Option<&str>) -> &'static str {
    let mut one = candidate(ONE, |spec| {
        spec.credentials_ref.as_mut().unwrap().namespace = namespace.map(str::to_owned);
    });
    one.credentials = yaml.map(|yaml| secret(yaml).into());
    judge(vec![one], &Policy::default(), None).remove(0).result.err().map_or("served", |error| error.reason())
}

#[test]
fn credentials_must_be_there_complete_and_shared() {
    let good = "stringData: {username: u, password: p}";
    assert_eq!(with_secret(Some(good), None), "served");
    assert_eq!(with_secret(Some(good), Some("tas-acme")), "served");
    assert_eq!(with_secret(None, None), "SecretNotFound");
    assert_eq!(with_secret(Some("stringData: {username: u}"), None), "SecretKeyMissing");
    assert_eq!(with_secret(Some("stringData: {username: u, password: ''}"), None), "SecretKeyMissing");
    assert_eq!(with_secret(Some("stringData: {username: u, password: \"a\\0b\"}"), None), "SecretKeyMissing");
    let password = |text: &str| with_secret(Some(&format!("stringData: {{username: u, password: '{text}'}}")), None);
    assert_eq!(password(&"x".repeat(8192)), "served");
    assert_eq!(password(&"x".repeat(8193)), "CredentialsUnsupported");
    assert_eq!(password("host/?X-Amz-Credential=a"), "CredentialsUnsupported");
    assert_eq!(with_secret(Some(good), Some("vault")), "CredentialsNotShared");
    assert_eq!(with_secret(None, Some("vault")), "CredentialsNotShared");
    let annotated =
        |list: &str| format!("{{metadata: {{annotations: {{dbhub.tas.io/allowed-namespaces: '{list}'}}}}, {good}}}");
    assert_eq!(with_secret(Some(&annotated("x, tas-acme")), Some("vault")), "served");
    assert_eq!(with_secret(Some(&annotated("x")), Some("vault")), "CredentialsNotShared");
}

fn tls_of(yaml: &str, platform: Option<&CaBundle>) -> Tls {
    let verdict = judge(vec![candidate(yaml, |_| {})], &Policy::default(), platform).remove(0);
    match verdict.result.unwrap().backend {
        Backend::Server(server) => server.tls,
        Backend::Memory | Backend::File(_) => panic!("a server was meant"),
    }
}

#[test]
fn an_own_ca_comes_before_the_platforms_and_that_before_the_web_roots() {
    let platform = CaBundle::parse(ca_pem().as_bytes()).unwrap();
    let plain = "{name: pg, type: postgres, host: pg.internal, database: app, sslMode: verify-full}";
    let own = "{name: pg, type: postgres, host: pg.internal, database: app, sslMode: verify-full, ca: true}";
    assert_eq!(tls_of(plain, None), Tls::VerifyFull(Trust::WebRoots));
    assert_eq!(tls_of(plain, Some(&platform)), Tls::VerifyFull(Trust::Bundle(platform.clone())));
    let trust = tls_of(own, Some(&platform));
    assert!(trust.ca().is_some_and(|ca| *ca != platform));
}

#[test]
fn a_ca_that_is_missing_or_no_ca_leaves_the_database_out() {
    let yaml = "{name: pg, type: postgres, host: pg.internal, database: app, sslMode: verify-ca, ca: true}";
    let reason = |ca: Option<&str>| {
        let mut pg = candidate(yaml, |_| {});
        pg.ca = ca.map(|ca| secret(ca).into());
        judge(vec![pg], &Policy::default(), None).remove(0).result.unwrap_err().reason()
    };
    assert_eq!(reason(None), "CaNotFound");
    assert_eq!(reason(Some("stringData: {other: x}")), "CaNotFound");
    assert_eq!(reason(Some("stringData: {ca.crt: x}")), "CaInvalid");
    let large = ca_pem().repeat(200);
    assert_eq!(reason(Some(&json!({"stringData": {"ca.crt": large}}).to_string())), "CaInvalid");
}

#[test]
fn a_volume_that_does_not_exist_leaves_the_database_out() {
    for volume in ["{persistentVolumeClaim: {claimName: c}}", "{configMap: {name: c}}"] {
        let yaml = format!("{{name: file, type: sqlite, database: app.db, sqlite: {{volume: {volume}}}}}");
        let mut file = candidate(&yaml, |_| {});
        file.volume = None;
        let rejection = judge(vec![file], &Policy::default(), None).remove(0).result.unwrap_err();
        assert_eq!(rejection.reason(), "VolumeNotFound");
        assert!(rejection.to_string().ends_with(" c of spec.sqlite.volume does not exist"), "{rejection}");
    }
}

fn problem(spec: &str) -> Option<&'static str> {
    request(&instance(spec)).err().map(|problem| problem.reason())
}

#[test]
fn an_image_that_the_platform_does_not_allow_is_told_with_those_that_it_does() {
    let allowed = AllowedImages::from(vec!["bytebase/dbhub".to_owned()]);
    assert!(super::request(&instance("{}"), &allowed).is_ok());
    let problem = super::request(&instance("{image: 'evil/dbhub:1'}"), &allowed).unwrap_err();
    assert_eq!(problem.reason(), "ImageNotAllowed");
    assert!(problem.to_string().ends_with("allowed: bytebase/dbhub"), "{problem}");
}

#[test]
fn an_instance_is_checked_before_anything_else() {
    assert_eq!(problem("{}"), None);
    assert_eq!(problem("{transport: stdio}"), None);
    assert_eq!(problem("{transport: sse}"), Some("UnsupportedTransport"));
    assert_eq!(problem("{podTemplate: {labels: {app: other}}}"), Some("InvalidSpec"));
    let resources = |request: &str| format!("{{resources: {{requests: {{cpu: {request}}}, limits: {{cpu: '0.5'}}}}}}");
    assert_eq!(problem(&resources("500m")), None);
    assert_eq!(problem(&resources("501m")), Some("InvalidResources"));
    let mut dotted = instance("{}");
    dotted.metadata.name = Some("a.b".into());
    assert_eq!(request(&dotted).unwrap_err().reason(), "InvalidName");
}

#[test]
fn absent_and_empty_policies_are_the_default() {
    for spec in ["{}", "{defaultPolicy: {}}", "{defaultPolicy: {allowedOperations: []}}"] {
        assert_eq!(request(&instance(spec)).unwrap().policy, Policy::default(), "{spec}");
    }
    let twice = "{defaultPolicy: {allowedOperations: [search_objects, execute_sql, search_objects]}}";
    assert_eq!(request(&instance(twice)).unwrap().policy.allowed_operations, Operation::all());
}

/// The token that an instance with this `auth` keeps when the Secret it names holds this.
fn token(auth: &str, secret_yaml: Option<&str>) -> Result<Option<String>, &'static str> {
    let request = request(&instance(&format!("{{auth: {auth}}}"))).unwrap();
    let found = secret_yaml.map(secret);
    match kept(&request, &Live::default(), found.as_ref()) {
        Ok(kept) => Ok(kept.token.map(|token| token.whole().expose_secret().to_owned())),
        Err(error) => Err(operator_runtime::PublicError::reason(&error)),
    }
}

#[test]
fn a_token_is_found_made_or_refused() {
    assert_eq!(token("{mode: none}", None), Ok(None));
    assert_eq!(token("{}", None).unwrap().unwrap().len(), 64, "generated");
    assert_eq!(token("{}", Some("stringData: {token: abc}")), Ok(Some("abc".into())));
    assert_eq!(token("{}", Some("stringData: {token: ''}")), Err("TokenInvalid"));
    let own = "{tokenSecretRef: {name: mine, key: t}}";
    assert_eq!(token(own, Some("stringData: {t: 'old,new'}")), Ok(Some("old,new".into())));
    assert_eq!(token(own, None), Err("SecretNotFound"));
    assert_eq!(token(own, Some("stringData: {token: x}")), Err("SecretKeyMissing"));
}

#[test]
fn a_foreign_secret_of_the_tokens_name_is_not_taken_over() {
    let request = request(&instance("{}")).unwrap();
    let foreign: Secret = serde_norway::from_str("metadata: {name: acme-dbhub-token}").unwrap();
    let live = Live { token: Some(foreign), ..Live::default() };
    let error = kept(&request, &live, Some(&secret("stringData: {token: abc}"))).unwrap_err();
    assert_eq!(operator_runtime::PublicError::reason(&error), "NameConflict");
}
