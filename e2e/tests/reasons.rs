//! Every reason that a Database can give, by the real condition: the operator, real servers and a Database object for
//! each. A stub stands in where no server can be held in the state, and is called one. The list ends where the
//! definition's ends: a reason without a row here fails the test.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::Database;
use e2e::loopback::certificates::{Certificates, Shown};
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::postgres::Postgres;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::loopback::stub::{Step, Stub};
use e2e::loopback::{ADDRESS, is_possible};
use e2e::testing::bed::{Area, Login, ready_reason};
use e2e::testing::local_probe::LocalProbe;
use e2e::testing::manifests::{config_map, database, opaque_secret, secret};
use e2e::testing::process::free_port;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::{Value, json};

const PASSWORD: &str = "canary-reasons-7e35";
/// Where nothing may be dialled, although nothing listens there anyway.
const DENIED: &str = "127.66.0.0/16";
/// More than half of six seconds.
const SLOWNESS: Duration = Duration::from_millis(3500);

/// One condition: the reason it gives, the Database that meets it, what its message says.
struct Row {
    reason: &'static str,
    name: &'static str,
    spec: Value,
    says: [&'static str; 2],
}

/// Everything that a row needs to be there.
struct Place {
    postgres: Postgres,
    full: Postgres,
    recovering: Postgres,
    mariadb: MariaDb,
    slow: Proxy,
    flapping: Proxy,
    silent: Stub,
    resetting: Stub,
    mute: Stub,
    _held: Vec<tokio_postgres::Client>,
    _one: mysql_async::Conn,
}

fn rows(place: &Place, closed_port: u16) -> Vec<Row> {
    let row = |reason, name, spec, says| Row { reason, name, spec, says };
    let postgres = |secret: &str, more: Value| of("postgres", place.postgres.port, secret, &more);
    let mariadb = |secret: &str, more: Value| of("mariadb", place.mariadb.port, secret, &more);
    let at = |engine, port| of(engine, port, "app", &json!({}));
    let within = |engine, port| of(engine, port, "app", &json!({"connectionTimeout": 1, "queryTimeout": 1}));
    let through = |proxy: &Proxy| of("postgres", proxy.port, "app", &json!({"connectionTimeout": 6}));
    vec![
        row("Connected", "postgres", postgres("app", json!({})), ["Connection verified", ""]),
        row("Connected", "mariadb", mariadb("app", json!({})), ["Connection verified", ""]),
        row(
            "Slow",
            "slow",
            through(&place.slow),
            ["of the 6 s that spec.connectionTimeout allows", "check the server's load"],
        ),
        // Connected first, then reset once: see the_flapping_one().
        row(
            "Flapping",
            "flapping",
            through(&place.flapping),
            ["closed the connection", "1 more of these in a row and it counts as Failed"],
        ),
        row(
            "SecretNotFound",
            "no-secret",
            postgres("nowhere", json!({})),
            ["Secret nowhere not found in namespace default", "create it"],
        ),
        row(
            "SecretKeyMissing",
            "no-key",
            postgres("keyless", json!({})),
            ["has no value under the key password", "add it"],
        ),
        row(
            "CredentialsNotShared",
            "not-shared",
            postgres("", json!({"credentialsRef": {"name": "app", "namespace": "vault"}})),
            ["Secret vault/app is not shared with namespace default", "its owner must list default in the annotation"],
        ),
        row(
            "HostNotFound",
            "no-host",
            postgres("app", json!({"host": "nowhere.invalid"})),
            ["nowhere.invalid has no address", "check spec.host"],
        ),
        row(
            "HostNotAllowed",
            "denied",
            postgres("app", json!({"host": "127.66.0.1"})),
            ["127.66.0.1 is in a network that db-probe must not reach", "use another spec.host"],
        ),
        row(
            "HostNotAllowed",
            "denied-as-ipv6",
            postgres("app", json!({"host": "::ffff:127.66.0.1"})),
            ["must not reach", "use another spec.host"],
        ),
        row(
            "HostNotAllowed",
            "nowhere-at-all",
            postgres("app", json!({"host": "0.0.0.0"})),
            ["must not reach", "use another spec.host"],
        ),
        row(
            "ConnectionRefused",
            "closed-port",
            at("mysql", closed_port),
            ["nothing accepts connections at", "check spec.host, spec.port"],
        ),
        row(
            "ConnectionRefused",
            "stub-that-resets",
            at("mysql", place.resetting.port),
            ["closed the connection", "check the server's log"],
        ),
        row(
            "Timeout",
            "stub-that-is-silent",
            within("mysql", place.silent.port),
            ["did not complete the login within 1 s", "raise spec.connectionTimeout"],
        ),
        row(
            "Timeout",
            "stub-that-never-answers",
            within("postgres", place.mute.port),
            ["did not answer a query within 1 s", "raise spec.queryTimeout"],
        ),
        row(
            "Timeout",
            "mysql-at-postgres",
            within("mysql", place.postgres.port),
            ["did not complete the login within 1 s", "check spec.type"],
        ),
        row(
            "TlsFailed",
            "no-tls",
            mariadb("app", json!({"sslMode": "require"})),
            ["offers no TLS", "set sslMode disable"],
        ),
        row(
            "TlsFailed",
            "web-roots",
            postgres("app", json!({"sslMode": "verify-full"})),
            ["was issued by nobody that is trusted", "name its CA in spec.tls.caRef"],
        ),
        row(
            "TlsFailed",
            "no-ca",
            postgres(
                "app",
                json!({"sslMode": "verify-ca", "tls": {"caRef": {"kind": "ConfigMap", "name": "nowhere"}}}),
            ),
            ["ConfigMap default/nowhere with the CA certificates not found", "create it"],
        ),
        row(
            "TlsFailed",
            "unusable-ca",
            postgres("app", json!({"sslMode": "verify-ca", "tls": {"caRef": {"kind": "ConfigMap", "name": "no-ca"}}})),
            ["the key ca.crt of ConfigMap default/no-ca cannot be used", "holds no CERTIFICATE block"],
        ),
        row(
            "AuthenticationFailed",
            "postgres-wrong-password",
            postgres("wrong", json!({})),
            ["refused the login of Secret default/wrong", "check user and password"],
        ),
        row(
            "AuthenticationFailed",
            "mariadb-wrong-password",
            mariadb("wrong", json!({})),
            ["refused the login of Secret default/wrong", "check user and password"],
        ),
        row(
            "AuthenticationFailed",
            "in-clear",
            postgres("in-clear", json!({})),
            ["asks for the password in Secret default/in-clear unencrypted", "set sslMode verify-full"],
        ),
        row(
            "PasswordExpired",
            "expired",
            mariadb("expired", json!({})),
            ["the password in Secret default/expired has expired", "set a new one there and in the Secret"],
        ),
        row(
            "AccessDenied",
            "postgres-no-connect",
            postgres("outsider", json!({})),
            ["may not use database app", "grant it access"],
        ),
        row(
            "AccessDenied",
            "mariadb-no-grant",
            mariadb("outsider", json!({})),
            ["may not use database app", "grant it access"],
        ),
        row(
            "DatabaseNotFound",
            "postgres-no-database",
            postgres("app", json!({"database": "nowhere"})),
            ["there is no database nowhere", "correct spec.database"],
        ),
        row(
            "DatabaseNotFound",
            "mariadb-no-database",
            mariadb("app", json!({"database": "nowhere"})),
            ["there is no database nowhere", "correct spec.database"],
        ),
        row(
            "TooManyConnections",
            "postgres-full",
            at("postgres", place.full.port),
            ["has no connection left", "close some or raise the limit"],
        ),
        row(
            "TooManyConnections",
            "postgres-limited",
            postgres("limited", json!({})),
            ["has no connection left", "close some or raise the limit"],
        ),
        row(
            "TooManyConnections",
            "mariadb-limited",
            mariadb("limited", json!({})),
            ["has no connection left", "close some or raise the limit"],
        ),
        row(
            "ServerNotReady",
            "recovering",
            at("postgres", place.recovering.port),
            ["is starting, stopping, recovering", "wait, or check the server"],
        ),
        row(
            "InvalidSpec",
            "no-host-at-all",
            postgres("app", json!({"host": "a..b"})),
            ["spec.host cannot be used", "no valid DNS name"],
        ),
        row(
            "ProtocolError",
            "postgres-at-mariadb",
            at("postgres", place.mariadb.port),
            ["does not answer as a postgres server does", "check spec.type and spec.port"],
        ),
    ]
}

/// The spec of a Database in plaintext with the database `app`; members of `more` replace those.
fn of(engine: &str, port: u16, secret: &str, more: &Value) -> Value {
    let spec = json!({"type": engine, "host": ADDRESS, "port": port, "database": "app", "sslMode": "disable",
                      "credentialsRef": {"name": secret}, "connectionTimeout": 30, "queryTimeout": 30});
    database("x", &spec, more)["spec"].clone()
}

#[tokio::test]
async fn every_reason_is_given_for_what_it_says() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let denied = format!("--denied-cidrs={DENIED}");
    let flags = [denied.as_str()];
    let (place, probe) = tokio::try_join!(Place::prepare(), LocalProbe::start(&flags))?;
    let Some(probe) = probe else { return Ok(()) };
    let rows = rows(&place, free_port().await?);
    let given: BTreeSet<_> = rows.iter().map(|row| row.reason.to_owned()).collect();
    assert_eq!(given, reasons_of_the_definition()?, "the reasons of the definition, and those with a row here");

    let area = probe.area();
    write_references(&area, &probe.other_namespace("vault").await?).await?;
    for row in &rows {
        area.apply(&database(row.name, &row.spec, &json!({}))).await?;
    }
    the_flapping_one(&area, &place.flapping).await?;
    for row in &rows {
        assert_given(&area, row).await.with_context(|| row.name)?;
    }
    assert_counts_as_failed(&area).await?;
    ensure!(probe.finish(&[PASSWORD.to_owned()]).await?.success(), "SIGTERM did not end it well");
    Ok(())
}

/// The words behind "Its reason is one of" in the definition that was applied.
fn reasons_of_the_definition() -> Result<BTreeSet<String>> {
    let path = e2e::cache::workspace_root().join("crds/dbhub.tas.io_databases.yaml");
    let text = std::fs::read_to_string(path)?;
    let (_, list) = text.split_once("Its reason is one of ").context("the definition lists no reasons")?;
    let (list, _) = list.split_once('.').context("the list has no end")?;
    Ok(list.split(',').map(|reason| reason.trim().to_owned()).collect())
}

async fn assert_given(area: &Area, row: &Row) -> Result<()> {
    let is_it = |db: &Database| ready_reason(db).as_deref() == Some(row.reason);
    let found: Database = area.wait_for(row.name, row.reason, is_it).await?;
    let message = found.status.and_then(|status| status.message).unwrap_or_default();
    for words in row.says {
        ensure!(message.contains(words), "{words:?} is not in {message:?}");
    }
    area.expect_event(row.name, row.reason).await?;
    let noted = events(area, row.name).await?.into_iter().any(|(reason, note)| reason == row.reason && note == message);
    ensure!(noted, "no Event says {message:?}");
    Ok(())
}

/// Reason and message of every Event about a Database.
async fn events(area: &Area, name: &str) -> Result<Vec<(String, String)>> {
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = area.api::<Event>().list(&about).await?;
    let texts = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.items.into_iter().map(texts).collect())
}

/// Works, and is reset once.
async fn the_flapping_one(area: &Area, proxy: &Proxy) -> Result<()> {
    area.wait_for("flapping", "Connected", |db: &Database| ready_reason(db).as_deref() == Some("Connected")).await?;
    proxy.meddle(Meddling::Reset);
    area.kubectl(&["annotate", "database", "flapping", "reconcile=once"]).await.map(drop)
}

/// A second reset in a row is no flapping any more.
async fn assert_counts_as_failed(area: &Area) -> Result<()> {
    area.kubectl(&["annotate", "database", "flapping", "--overwrite", "reconcile=twice"]).await?;
    area.expect_event("flapping", "ConnectionRefused").await
}

fn login(user: &str) -> Login {
    Login { database: "app".to_owned(), user: user.to_owned(), password: PASSWORD.to_owned() }
}

/// The Secrets and ConfigMaps that the rows name.
async fn write_references(area: &Area, vault: &Area) -> Result<()> {
    for user in ["app", "expired", "outsider", "limited"] {
        area.apply(&secret(user, &login(user))).await?;
    }
    vault.apply(&secret("app", &login("app"))).await?;
    area.apply(&secret("in-clear", &login("in_clear"))).await?;
    area.apply(&secret("wrong", &Login { password: format!("{PASSWORD}-wrong"), ..login("app") })).await?;
    area.apply(&opaque_secret("keyless", &json!({"username": "app", "pass": PASSWORD}))).await?;
    area.apply(&config_map("no-ca", "ca.crt", "no certificate")).await
}

impl Place {
    async fn prepare() -> Result<Self> {
        let few = ["max_connections=4", "superuser_reserved_connections=1"];
        let (postgres, full, recovering, mariadb) =
            tokio::try_join!(postgres(), Postgres::start(&few), Postgres::start_in_recovery(), mariadb())?;
        full.login("app", PASSWORD).await?;
        let one = connection_of_limited(mariadb.port).await?;
        Ok(Self {
            _held: connections(full.port, 3).await?,
            _one: one,
            slow: Proxy::start(postgres.port, Meddling::Delay(SLOWNESS)).await?,
            flapping: Proxy::start(postgres.port, Meddling::None).await?,
            silent: Stub::start(vec![Step::Hang]).await?,
            resetting: Stub::start(vec![Step::Reset]).await?,
            // Lets everybody in and is ready for a query.
            mute: Stub::start(vec![
                Step::Read,
                Step::Send(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x23standard_conforming_strings\0on\0Z\0\0\0\x05I".to_vec()),
                Step::Hang,
            ])
            .await?,
            postgres,
            full,
            recovering,
            mariadb,
        })
    }
}

async fn postgres() -> Result<Postgres> {
    let server = Postgres::start(&[]).await?;
    server.present(Certificates::new()?.identity(Shown::Right)?.as_ref()).await?;
    server.admit(&["host all in_clear 127.0.0.0/8 password", "host all all 127.0.0.0/8 scram-sha-256"]).await?;
    server.login("app", PASSWORD).await?;
    server.run("REVOKE CONNECT ON DATABASE app FROM PUBLIC").await?;
    server
        .run(&format!(
            "CREATE ROLE in_clear LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE outsider LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
             GRANT CONNECT ON DATABASE app TO app, in_clear, limited"
        ))
        .await?;
    Ok(server)
}

async fn mariadb() -> Result<MariaDb> {
    let server = MariaDb::start(None).await?;
    server.login("app", PASSWORD).await?;
    server
        .run(&[
            "GRANT SELECT ON nowhere.* TO app",
            &format!("CREATE USER outsider IDENTIFIED BY '{PASSWORD}'"),
            &format!("CREATE USER expired IDENTIFIED BY '{PASSWORD}' PASSWORD EXPIRE"),
            &format!("CREATE USER limited IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS 1"),
            "GRANT SELECT ON app.* TO expired",
            "GRANT SELECT ON app.* TO limited",
        ])
        .await?;
    Ok(server)
}

/// All connections that are not kept for the superuser.
async fn connections(port: u16, count: usize) -> Result<Vec<tokio_postgres::Client>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut config = tokio_postgres::Config::new();
        config.host(ADDRESS).port(port).user("app").password(PASSWORD).dbname("app");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.context("the server is full already")?;
        tokio::spawn(connection);
        held.push(client);
    }
    Ok(held)
}

/// The only one that this user may have.
async fn connection_of_limited(port: u16) -> Result<mysql_async::Conn> {
    let options = mysql_async::OptsBuilder::default().ip_or_hostname(ADDRESS).tcp_port(port).prefer_socket(false);
    let options = options.user(Some("limited")).pass(Some(PASSWORD));
    mysql_async::Conn::new(options).await.context("the first connection is refused")
}

/// What anybody who may read a Database learns of it: its status, its Events and its metrics, without times, and with
/// one word for the two names in them.
async fn told(probe: &LocalProbe, name: &str, secret: &str) -> Result<Value> {
    let area = probe.area();
    let mut status = serde_json::to_value(area.get::<Database>(name).await?)?["status"].take();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"].take();
    }
    let metrics = probe.metrics().await?;
    let of_this: Vec<_> = metrics.lines().filter(|line| line.contains(&format!("name=\"{name}\""))).collect();
    let told = json!({"status": status, "events": events(&area, name).await?, "metrics": of_this});
    Ok(serde_json::from_str(&told.to_string().replace(name, "X").replace(secret, "X"))?)
}

#[tokio::test]
async fn nobody_learns_whether_a_foreign_secret_exists() -> Result<()> {
    let Some(probe) = LocalProbe::start(&[]).await? else { return Ok(()) };
    let (area, vault) = (probe.area(), probe.other_namespace("vault").await?);
    let mut of_others = secret("secret-of-others", &login("app"));
    of_others["metadata"]["annotations"] = json!({"dbhub.tas.io/allowed-namespaces": "somebody,else"});
    vault.apply(&secret("secret-there", &login("app"))).await?;
    vault.apply(&of_others).await?;
    let mut all_told = Vec::new();
    for (name, secret) in [("db-a", "secret-there"), ("db-b", "secret-of-others"), ("db-c", "secret-nowhere")] {
        let reference = json!({"credentialsRef": {"name": secret, "namespace": "vault"}});
        area.apply(&database(name, &of("postgres", 1, secret, &json!({})), &reference)).await?;
        area.expect_event(name, "CredentialsNotShared").await?;
        all_told.push(told(&probe, name, secret).await?);
    }
    let nowhere = all_told.last().context("nothing told")?;
    ensure!(nowhere["events"][0][0] == "CredentialsNotShared" && nowhere["metrics"][0] != Value::Null, "{nowhere}");
    assert!(all_told.iter().all(|told| told == nowhere), "{all_told:?}");

    // Nor does anybody learn that one comes, changes or goes: nothing is written.
    let versions = ["get", "databases", "--output=jsonpath={.items[*].metadata.resourceVersion}"];
    let before = area.kubectl(&versions).await?;
    vault.apply(&secret("secret-nowhere", &login("app"))).await?;
    vault.kubectl(&["label", "secret", "secret-of-others", "changed=yes"]).await?;
    vault.kubectl(&["delete", "secret", "secret-there"]).await?;
    let [a, b, c] = ["db-a", "db-b", "db-c"].map(|name| area.expect_quiet::<Database>(name));
    tokio::try_join!(a, b, c)?;
    assert_eq!(area.kubectl(&versions).await?, before);
    assert_eq!(&told(&probe, "db-c", "secret-nowhere").await?, nowhere);
    ensure!(probe.finish(&[PASSWORD.to_owned()]).await?.success(), "SIGTERM did not end it well");
    Ok(())
}
