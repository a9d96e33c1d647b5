use secrecy::ExposeSecret as _;

use super::*;
use crate::error::{Reason, Recheck};
use crate::fixtures::{CANARY, attempt, database, login, secret, settings, shared_with};

fn gathered(secret: Option<Secret>) -> Gathered {
    Gathered { secret, trust: Trust::Unneeded, changed: None }
}

fn checked(database: &Database, gathered: &Gathered) -> Result<Server, Problem> {
    match validate(database, gathered, &settings(&[]))? {
        Target::Server(server) => Ok(*server),
        Target::File(options) => panic!("a server was meant: {options:?}"),
    }
}

fn target(yaml: &str, secret: Option<Secret>) -> Result<Server, Problem> {
    checked(&database(yaml), &gathered(secret))
}

fn problem(yaml: &str, secret: Option<Secret>) -> Problem {
    target(yaml, secret).map(|target| target.attempt).unwrap_err()
}

fn with_trust(yaml: &str, trust: Trust) -> Result<TrustRoots, Problem> {
    let gathered = Gathered { trust, ..gathered(Some(login())) };
    checked(&database(yaml), &gathered).map(|target| target.options.roots)
}

#[test]
fn a_complete_spec_becomes_connect_options() {
    let options = target("{port: 5433, sslMode: verify-full, connectionTimeout: 3}", Some(login())).unwrap().options;
    assert_eq!(options.endpoint.to_string(), "pg.acme.internal:5433");
    assert_eq!((options.engine, options.tls), (sql_client::Engine::Postgres, TlsMode::VerifyFull));
    assert_eq!((options.connect_timeout.as_secs(), options.query_timeout.as_secs()), (3, 15));
    assert_eq!(options.database.as_deref(), Some("orders"));
    assert_eq!(options.credentials.password.expose_secret(), CANARY);
}

#[test]
fn ports_default_by_type() {
    for (engine, port) in [("postgres", 5432), ("mysql", 3306), ("mariadb", 3306), ("sqlserver", 1433)] {
        assert_eq!(target(&format!("type: {engine}"), Some(login())).unwrap().options.endpoint.port, port);
    }
}

#[test]
fn every_ssl_mode_has_its_counterpart() {
    for mode in ["disable", "require", "verify-ca", "verify-full"] {
        let target = target(&format!("sslMode: {mode}"), Some(login())).unwrap();
        assert_eq!(target.options.tls.as_str(), mode);
    }
}

#[test]
fn keys_can_be_named_otherwise() {
    let other = secret(&[("u", b"reader"), ("p", b"word")]);
    let options = target("credentialsRef: {name: creds, userKey: u, passwordKey: p}", Some(other)).unwrap().options;
    assert_eq!((options.credentials.user.as_str(), options.credentials.password.expose_secret()), ("reader", "word"));
}

/// What becomes of an SQLite Database with this path, under these flags.
fn file(path: &str, more: &str, flags: &[&str]) -> Result<SqliteOptions, Problem> {
    let database = database(&format!("{{type: sqlite, database: '{path}'{more}}}"));
    match validate(&database, &gathered(None), &settings(flags))? {
        Target::File(options) => Ok(options),
        Target::Server(server) => panic!("a file was meant: {server:?}"),
    }
}

#[test]
fn a_file_is_below_the_folder_of_its_namespace() {
    let options = file("data/app.db", "", &["--sqlite-root=/files"]).unwrap();
    let path = RelativePath::parse("acme/data/app.db").unwrap();
    assert!(matches!(options.place, Place::File(_, below) if below == path));
    assert_eq!(options.writer, Some(DBHUB));
    let map = ", sqlite: {volume: {configMap: {name: m}}}";
    assert_eq!(file("app.db", map, &["--sqlite-root=/files"]).unwrap().writer, None);
    for bad in ["/etc/passwd", "../other/app.db", "a/../../b", "", "a//b", "./a"] {
        let problem = file(bad, "", &["--sqlite-root=/files"]).unwrap_err();
        assert_eq!((problem.clone(), problem.reason()), (Problem::FilePath, Reason::InvalidSpec), "{bad:?}");
    }
}

#[test]
fn without_a_folder_no_file_is_seen_and_memory_needs_none() {
    for volume in ["", ", sqlite: {volume: {persistentVolumeClaim: {claimName: c}}}"] {
        let problem = file("data/app.db", volume, &[]).unwrap_err();
        assert_eq!(problem.reason(), Reason::FileNotVisible);
        assert_eq!((problem.was_probed(), problem.recheck()), (false, Recheck::Healthy));
        assert_eq!(problem.to_string().contains("served all the same"), !volume.is_empty(), "{problem}");
    }
    assert!(matches!(file(":memory:", "", &[]).unwrap().place, Place::Memory));
}

#[test]
fn a_host_that_is_not_one_host_is_an_invalid_spec() {
    for host in ["", "a,b", "/var/run/postgresql", "db:5432", "user@db", "127.1"] {
        let problem = problem(&format!("host: '{host}'"), Some(login()));
        assert!(matches!(problem, Problem::Host(_)), "{host}");
        assert_eq!((problem.reason(), problem.was_probed()), (Reason::InvalidSpec, false));
    }
    let mut none = database("{}");
    none.spec.host = None;
    let found = checked(&none, &gathered(Some(login())));
    assert_eq!(found.map(|target| target.attempt), Err(Problem::FieldMissing("spec.host")));
}

#[test]
fn a_missing_secret_is_named() {
    let problem = problem("{}", None);
    assert_eq!((problem.reason(), problem.recheck()), (Reason::SecretNotFound, Recheck::MissingSecret));
    assert_eq!(
        problem.to_string(),
        "Secret creds not found in namespace acme: create it or correct spec.credentialsRef"
    );
}

#[test]
fn a_missing_empty_or_binary_key_is_named_and_no_value_is() {
    for data in [&[("username", CANARY.as_bytes())][..], &[("username", CANARY.as_bytes()), ("password", b"")]] {
        let problem = problem("{}", Some(secret(data)));
        assert_eq!((problem.reason(), problem.recheck()), (Reason::SecretKeyMissing, Recheck::MissingSecret));
        assert_eq!(
            problem.to_string(),
            "Secret acme/creds has no value under the key password: add it or correct spec.credentialsRef"
        );
    }
    let binary = problem("{}", Some(secret(&[("username", b"\xff\xfe"), ("password", CANARY.as_bytes())])));
    assert_eq!(binary.reason(), Reason::SecretKeyMissing);
    assert_eq!(binary.to_string(), "Secret acme/creds holds no text under the key username: store it as UTF-8");
}

const FOREIGN: &str = "credentialsRef: {name: creds, namespace: vault}";

#[test]
fn a_foreign_secret_works_only_with_its_owners_consent() {
    for consent in ["acme", "other, acme", "*"] {
        assert!(target(FOREIGN, Some(shared_with(consent))).is_ok(), "{consent}");
    }
    for refusal in ["", "other", "acme-2", "ac*"] {
        assert_eq!(problem(FOREIGN, Some(shared_with(refusal))).reason(), Reason::CredentialsNotShared, "{refusal}");
    }
}

#[test]
fn a_foreign_secret_that_does_not_exist_gets_the_same_answer_in_every_detail() {
    let mut unusable = secret(&[]);
    unusable.data = None;
    let answers = [None, Some(login()), Some(unusable)].map(|secret| problem(FOREIGN, secret));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(
        answers[0].to_string(),
        "Secret vault/creds is not shared with namespace acme: its owner must list acme in the annotation \
         dbhub.tas.io/allowed-namespaces"
    );
}

#[test]
fn the_own_namespace_needs_no_consent_even_when_named() {
    assert!(target("credentialsRef: {name: creds, namespace: acme}", Some(login())).is_ok());
}

const CA: &str = "{sslMode: verify-ca, tls: {caRef: {kind: ConfigMap, name: ca}}}";

fn object(key: &str, text: &str) -> Trust {
    Trust::Object(Some([(key.to_owned(), text.as_bytes().to_vec())].into()))
}

#[test]
fn a_ca_is_read_from_its_key() {
    let pem = rcgen::generate_simple_self_signed(["pg.acme.internal".to_owned()]).unwrap().cert.pem();
    assert_eq!(format!("{:?}", with_trust(CA, object("ca.crt", &pem)).unwrap()), "TrustRoots(1 authorities)");
    let platform = TrustRoots::from_pem(pem.as_bytes()).unwrap();
    let roots = with_trust("sslMode: verify-full", Trust::Platform(Ok(platform))).unwrap();
    assert_eq!(format!("{roots:?}"), "TrustRoots(1 authorities)");
}

#[test]
fn an_unusable_ca_is_named() {
    let message = |trust| {
        let problem = with_trust(CA, trust).unwrap_err();
        assert_eq!((problem.reason(), problem.recheck()), (Reason::TlsFailed, Recheck::MissingSecret));
        problem.to_string()
    };
    insta::assert_yaml_snapshot!([
        message(Trust::Object(None)),
        message(object("other", "")),
        message(object("ca.crt", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
        message(object("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        message(Trust::Platform(Err(Problem::TrustBundle))),
    ], @r#"
    - "ConfigMap acme/ca with the CA certificates not found: create it or correct spec.tls.caRef"
    - "ConfigMap acme/ca has no value under the key ca.crt: add the CA certificates or correct spec.tls.caRef"
    - "the key ca.crt of ConfigMap acme/ca cannot be used: the CA bundle holds no CERTIFICATE block"
    - "the key ca.crt of ConfigMap acme/ca cannot be used: CERTIFICATE block 1 of the CA bundle cannot be read"
    - "the platform's CA bundle cannot be used: ask who runs db-probe to correct it, or name a CA in spec.tls.caRef"
    "#);
}

#[test]
fn nothing_printable_holds_a_value_of_the_secret() {
    let target = target("{}", Some(secret(&[("username", b"reader"), ("password", CANARY.as_bytes())]))).unwrap();
    assert!(!format!("{target:?}").contains(CANARY));
    assert_eq!(target.attempt.secret, attempt().secret);
}
