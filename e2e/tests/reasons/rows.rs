//! The list itself: each reason, the Database that meets its condition, and what the message says of cause and remedy.

use e2e::loopback::ADDRESS;
use e2e::testing::manifests::database;
use serde_json::{Value, json};

use super::place::Place;

/// One condition.
pub struct Row {
    pub reason: &'static str,
    /// The Database's name.
    pub name: &'static str,
    pub spec: Value,
    /// What its message says: the cause, and what to do.
    pub says: [&'static str; 2],
}

const USE_ANOTHER: [&str; 2] = ["is in a network that db-probe must not reach", "use another spec.host"];
const REFUSED: [&str; 2] = ["refused the login of Secret default/wrong", "check user and password"];
const NO_ACCESS: [&str; 2] = ["the login of Secret default/outsider may not use database app", "grant it access"];
const NO_DATABASE: [&str; 2] = ["there is no database nowhere", "create it or correct spec.database"];
const FULL: [&str; 2] = ["has no connection left for this login", "close some or raise the limit"];

/// Every row; nothing listens on `closed_port`.
pub fn rows(place: &Place, closed_port: u16) -> Vec<Row> {
    let mut rows = that_work(place);
    rows.extend(of_the_spec(place));
    rows.extend(of_the_network(place, closed_port));
    rows.extend(of_tls(place));
    rows.extend(of_the_login(place));
    rows.extend(of_the_server(place));
    rows
}

/// The spec of a Database in plaintext with the database `app`; members of `more` replace those.
pub fn of(engine: &str, port: u16, secret: &str, more: &Value) -> Value {
    let spec = json!({"type": engine, "host": ADDRESS, "port": port, "database": "app", "sslMode": "disable",
                      "credentialsRef": {"name": secret}, "connectionTimeout": 30, "queryTimeout": 30});
    database("x", &spec, more)["spec"].clone()
}

fn postgres(place: &Place, secret: &str, more: &Value) -> Value {
    of("postgres", place.postgres.port, secret, more)
}

fn mariadb(place: &Place, secret: &str, more: &Value) -> Value {
    of("mariadb", place.mariadb.port, secret, more)
}

fn row(reason: &'static str, name: &'static str, spec: Value, says: [&'static str; 2]) -> Row {
    Row { reason, name, spec, says }
}

fn that_work(place: &Place) -> Vec<Row> {
    let patient = json!({"connectionTimeout": 6});
    let slow = of("postgres", place.slow.port, "app", &patient);
    let flapping = of("postgres", place.flapping.port, "app", &patient);
    let says_slow = ["of the 6 s that spec.connectionTimeout allows", "check the server's load"];
    let says_flapping = ["closed the connection", "it worked before, 1 more of these in a row and it counts as Failed"];
    vec![
        row("Connected", "postgres", postgres(place, "app", &json!({})), ["Connection verified", ""]),
        row("Connected", "mariadb", mariadb(place, "app", &json!({})), ["Connection verified", ""]),
        // Through a proxy that waits.
        row("Slow", "slow", slow, says_slow),
        // Through a proxy that lets it work first and resets it then, once.
        row("Flapping", "flapping", flapping, says_flapping),
    ]
}

fn of_the_spec(place: &Place) -> Vec<Row> {
    let no_secret = postgres(place, "nowhere", &json!({}));
    let no_key = postgres(place, "keyless", &json!({}));
    let foreign = postgres(place, "", &json!({"credentialsRef": {"name": "app", "namespace": "vault"}}));
    let no_host = postgres(place, "app", &json!({"host": "a..b"}));
    let no_file = json!({"type": "sqlite", "database": "orders.db"});
    let says_no_file = ["db-probe has no folder with SQLite files, so it cannot see orders.db", "name the volume in"];
    let says_foreign = ["Secret vault/app is not shared with namespace default", "its owner must list default in"];
    vec![
        row("SecretNotFound", "no-secret", no_secret, ["Secret nowhere not found in namespace default", "create it"]),
        row("SecretKeyMissing", "no-key", no_key, ["has no value under the key password", "add it"]),
        row("CredentialsNotShared", "not-shared", foreign, says_foreign),
        // Admitted, since no rule of a definition can tell all that DNS does not allow.
        row("InvalidSpec", "no-host-name", no_host, ["spec.host cannot be used", "no valid DNS name or IP address"]),
        row("FileNotVisible", "no-sqlite-root", no_file, says_no_file),
    ]
}

fn of_the_network(place: &Place, closed_port: u16) -> Vec<Row> {
    let at = |host: &str| postgres(place, "app", &json!({"host": host}));
    let no_patience = |engine, port, field: &str| of(engine, port, "app", &json!({field: 1}));
    let no_login = ["did not complete the login within 1 s", "check spec.type and spec.port, firewalls"];
    let no_answer = ["did not answer a query within 1 s", "raise spec.queryTimeout"];
    let closed = of("mysql", closed_port, "app", &json!({}));
    let resetting = of("mysql", place.resetting.port, "app", &json!({}));
    vec![
        row("HostNotFound", "no-address", at("nowhere.invalid"), ["nowhere.invalid has no address", "check spec.host"]),
        row("HostNotAllowed", "denied", at("127.66.0.1"), USE_ANOTHER),
        row("HostNotAllowed", "denied-as-ipv6", at("::ffff:127.66.0.1"), USE_ANOTHER),
        row("HostNotAllowed", "this-machine", at("0.0.0.0"), USE_ANOTHER),
        row(
            "ConnectionRefused",
            "closed-port",
            closed,
            ["nothing accepts connections at", "check spec.host, spec.port"],
        ),
        row("ConnectionRefused", "resetting-stub", resetting, ["closed the connection", "check the server's log"]),
        row("Timeout", "silent-stub", no_patience("mysql", place.silent.port, "connectionTimeout"), no_login),
        row("Timeout", "stub-without-answers", no_patience("postgres", place.mute.port, "queryTimeout"), no_answer),
        // Each of the two waits for the other to begin.
        row("Timeout", "mysql-at-postgres", no_patience("mysql", place.postgres.port, "connectionTimeout"), no_login),
    ]
}

fn of_tls(place: &Place) -> Vec<Row> {
    let ca = |name: &str| json!({"sslMode": "verify-ca", "tls": {"caRef": {"kind": "ConfigMap", "name": name}}});
    let no_tls = mariadb(place, "app", &json!({"sslMode": "require"}));
    let web_roots = postgres(place, "app", &json!({"sslMode": "verify-full"}));
    let (no_ca, bad_ca) = (postgres(place, "app", &ca("nowhere")), postgres(place, "app", &ca("no-ca")));
    let says_untrusted = ["was issued by nobody that is trusted", "name its CA in spec.tls.caRef"];
    let says_unusable = ["the key ca.crt of ConfigMap default/no-ca cannot be used", "holds no CERTIFICATE block"];
    vec![
        // The certificates themselves are the business of the tests of TLS.
        row("TlsFailed", "no-tls", no_tls, ["offers no TLS, and sslMode require demands it", "set sslMode disable"]),
        row("TlsFailed", "web-roots", web_roots, says_untrusted),
        row("TlsFailed", "no-ca", no_ca, ["ConfigMap default/nowhere with the CA certificates not found", "create it"]),
        row("TlsFailed", "bad-ca", bad_ca, says_unusable),
    ]
}

fn of_the_login(place: &Place) -> Vec<Row> {
    let postgres = |secret| postgres(place, secret, &json!({}));
    let mariadb = |secret| mariadb(place, secret, &json!({}));
    let in_clear = ["asks for the password in Secret default/in-clear unencrypted", "set sslMode verify-full"];
    let expired = ["the password in Secret default/expired has expired", "set a new one there and in the Secret"];
    vec![
        row("AuthenticationFailed", "postgres-password", postgres("wrong"), REFUSED),
        row("AuthenticationFailed", "mariadb-password", mariadb("wrong"), REFUSED),
        row("AuthenticationFailed", "in-clear", postgres("in-clear"), in_clear),
        row("PasswordExpired", "mariadb-expired", mariadb("expired"), expired),
        row("AccessDenied", "postgres-outsider", postgres("outsider"), NO_ACCESS),
        row("AccessDenied", "mariadb-outsider", mariadb("outsider"), NO_ACCESS),
        row("TooManyConnections", "postgres-limited", postgres("limited"), FULL),
        row("TooManyConnections", "mariadb-limited", mariadb("limited"), FULL),
    ]
}

fn of_the_server(place: &Place) -> Vec<Row> {
    let nowhere = json!({"database": "nowhere"});
    let at = |server: u16| of("postgres", server, "app", &json!({}));
    let not_ready = ["is starting, stopping, recovering or not part of its cluster", "wait, or check the server"];
    let another = ["does not answer as a postgres server does", "check spec.type and spec.port"];
    vec![
        row("DatabaseNotFound", "postgres-no-database", postgres(place, "app", &nowhere), NO_DATABASE),
        row("DatabaseNotFound", "mariadb-no-database", mariadb(place, "app", &nowhere), NO_DATABASE),
        row("TooManyConnections", "postgres-full", at(place.full.port), FULL),
        row("ServerNotReady", "recovering", at(place.recovering.port), not_ready),
        row("ProtocolError", "postgres-at-mariadb", at(place.mariadb.port), another),
    ]
}
