//! What `sslMode` promises, on real servers with real certificates: what each mode takes and refuses, and that no man in
//! the middle gets it to send a login where it should not.

use anyhow::{Context, Result, ensure};
use api_types::Database;
use e2e::loopback::certificates::{Certificates, NAME, Shown};
use e2e::loopback::check::Check;
use e2e::loopback::is_possible;
use e2e::loopback::mariadb::MariaDb;
use e2e::loopback::postgres::Postgres;
use e2e::loopback::proxy::{Meddling, Proxy};
use e2e::testing::bed::{Area, Login, ready_reason};
use e2e::testing::local_probe::LocalProbe;
use e2e::testing::manifests::{database, opaque_secret, secret};
use serde_json::json;
use tempfile::NamedTempFile;

/// What each mode says to what a server shows. Who checks no certificate takes any, and a bad date is found before a bad
/// name.
const TABLE: &str = "
             disable  require  verify-ca  verify-full
NoTls        ok       plain    plain      plain
SelfSigned   ok       ok       issuer     issuer
WrongName    ok       ok       ok         name
Right        ok       ok       ok         ok
Expired      ok       ok       date       date
";

/// The words of the answer that a cell of the table stands for.
fn words(cell: &str) -> &'static str {
    match cell {
        "ok" => OK,
        "plain" => "offers no TLS",
        "issuer" => ISSUER,
        "name" => "does not name localhost",
        "date" => "has expired or is not valid yet",
        other => panic!("no cell of the table: {other}"),
    }
}

const OK: &str = "Connection verified";
const ISSUER: &str = "was not issued by a trusted authority";

const PASSWORD: &str = "canary-tls-4f1c";
const USER: &str = "canary_user";

fn check(engine: &'static str, port: u16, login: &Login, certificates: &Certificates) -> Check {
    let ca_file = Some(certificates.ca_file().to_owned());
    Check { host: NAME.to_owned(), ca_file, ..Check::new(engine, port, login) }
}

/// Makes the checks of the row for what the server shows now.
async fn assert_row(check: &Check, shown: Shown) -> Result<()> {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty()).map(str::split_whitespace);
    let modes: Vec<_> = lines.next().into_iter().flatten().collect();
    let row = lines.find_map(|mut row| (row.next() == Some(&format!("{shown:?}"))).then_some(row));
    let cells: Vec<_> = modes.into_iter().zip(row.into_iter().flatten().map(words)).collect();
    assert_eq!(cells.len(), 4, "{shown:?}");
    for (ssl_mode, words) in cells {
        let answer = Check { ssl_mode, ..check.clone() }.run().await?;
        let expected = if words == OK { "Connected" } else { "TlsFailed" };
        let cell = format!("{} {ssl_mode} {shown:?}: {}", check.engine, answer.printed);
        assert_eq!(answer.reason, expected, "{cell}");
        assert!(answer.message.contains(words), "{cell}");
        assert!(!answer.printed.contains(PASSWORD), "{cell}");
    }
    Ok(())
}

#[tokio::test]
async fn every_mode_meets_every_certificate_of_postgres() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let server = Postgres::start(&[]).await?;
    let login = server.login(USER, PASSWORD).await?;
    let check = check("postgres", server.port, &login, &certificates);
    for shown in [Shown::NoTls, Shown::SelfSigned, Shown::WrongName, Shown::Expired, Shown::Right] {
        server.present(certificates.identity(shown)?.as_ref()).await?;
        assert_row(&check, shown).await?;
    }
    assert_web_roots_count(&check).await?;

    server.admit(&["hostssl all all 127.0.0.0/8 scram-sha-256"]).await?;
    let refused = check.run().await?;
    assert_eq!(refused.reason, "AuthenticationFailed", "plaintext to a server that demands TLS");
    assert!(refused.message.contains("sslMode"), "{}", refused.message);
    Ok(())
}

#[tokio::test]
async fn every_mode_meets_every_certificate_of_mariadb() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let bare = MariaDb::start(None).await?;
    let login = bare.login(USER, PASSWORD).await?;
    assert_row(&check("mariadb", bare.port, &login, &certificates), Shown::NoTls).await?;
    drop(bare);

    let server = MariaDb::start(certificates.identity(Shown::Right)?.as_ref()).await?;
    let login = server.login(USER, PASSWORD).await?;
    let check = check("mariadb", server.port, &login, &certificates);
    for shown in [Shown::SelfSigned, Shown::WrongName, Shown::Expired, Shown::Right] {
        server.present(&certificates.identity(shown)?.context("no certificate")?).await?;
        assert_row(&check, shown).await?;
    }
    assert_web_roots_count(&check).await?;

    server.run(&["SET GLOBAL require_secure_transport = ON"]).await?;
    let refused = check.run().await?;
    assert_eq!(refused.reason, "AuthenticationFailed", "plaintext to a server that demands TLS");
    assert!(refused.message.contains("sslMode"), "{}", refused.message);
    Ok(())
}

/// Without a CA of one's own the web's count, which did not issue this certificate.
async fn assert_web_roots_count(check: &Check) -> Result<()> {
    let answer = Check { ca_file: None, ssl_mode: "verify-full", ..check.clone() }.run().await?;
    assert_eq!(answer.reason, "TlsFailed");
    assert!(answer.message.contains(ISSUER), "{}", answer.message);
    Ok(())
}

/// The platform's bundle, and whose word counts where a Database names a CA as well.
#[tokio::test]
async fn a_database_trusts_the_ca_that_it_names_and_else_the_platforms() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let (ours, theirs) = (Certificates::new()?, Certificates::new()?);
    let bundle = NamedTempFile::new()?;
    std::fs::write(bundle.path(), theirs.ca())?;
    let flag = format!("--trust-bundle={}", bundle.path().display());
    let flags = ["--denied-cidrs=", &flag];
    let (server, probe) = tokio::try_join!(Postgres::start(&[]), LocalProbe::start(&flags))?;
    let Some(probe) = probe else { return Ok(()) };
    server.present(ours.identity(Shown::Right)?.as_ref()).await?;
    let area = probe.area();
    area.apply(&secret("creds", &server.login(USER, PASSWORD).await?)).await?;
    area.apply(&opaque_secret("ours", &json!({"bundle.pem": ours.ca()}))).await?;
    let spec = json!({"type": "postgres", "host": NAME, "port": server.port, "database": USER,
                      "sslMode": "verify-full", "credentialsRef": {"name": "creds"}});
    let named = json!({"tls": {"caRef": {"kind": "Secret", "name": "ours", "key": "bundle.pem"}}});
    area.apply(&database("named", &spec, &named)).await?;
    area.apply(&database("platform", &spec, &json!({}))).await?;
    wait_for_reason(area, "named", "Connected").await?;
    wait_for_reason(area, "platform", "TlsFailed").await?;

    std::fs::write(bundle.path(), theirs.ca() + &ours.ca())?;
    area.kubectl(&["annotate", "database", "platform", "reconcile=now"]).await?;
    wait_for_reason(area, "platform", "Connected").await?;
    ensure!(probe.finish(&[PASSWORD.to_owned()]).await?.success(), "SIGTERM did not end it well");
    Ok(())
}

async fn wait_for_reason(area: &Area, name: &str, reason: &str) -> Result<()> {
    area.wait_for(name, reason, |db: &Database| ready_reason(db).as_deref() == Some(reason)).await.map(drop)
}

#[tokio::test]
async fn a_man_in_the_middle_gets_no_login() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let right = certificates.identity(Shown::Right)?;
    let (postgres, mariadb) = tokio::try_join!(Postgres::start(&[]), MariaDb::start(right.as_ref()))?;
    postgres.present(right.as_ref()).await?;
    // A login's answer, and an answer that lets anybody in: what an attacker would send before TLS begins.
    let let_in = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec();
    let ok_packet = b"\x07\0\0\x02\0\0\0\x02\0\0\0".to_vec();
    for (engine, port, login, tricks) in [
        (
            "postgres",
            postgres.port,
            postgres.login(USER, PASSWORD).await?,
            [Meddling::StripPostgres, Meddling::InjectPostgres(let_in)],
        ),
        (
            "mysql",
            mariadb.port,
            mariadb.login(USER, PASSWORD).await?,
            [Meddling::StripMysql, Meddling::InjectMysql(ok_packet)],
        ),
    ] {
        for trick in tricks {
            let proxy = Proxy::start(port, trick.clone()).await?;
            let check = check(engine, proxy.port, &login, &certificates);
            for ssl_mode in ["require", "verify-ca", "verify-full"] {
                let answer = Check { ssl_mode, ..check.clone() }.run().await?;
                assert_eq!(answer.reason, "TlsFailed", "{engine} {ssl_mode} {trick:?}: {}", answer.printed);
            }
            assert!(!proxy.heard().is_empty() || trick == Meddling::StripMysql, "{engine} {trick:?}: nobody came");
            assert!(!heard_login(&proxy), "{engine} {trick:?}: the login was told");
        }
        assert_proxy_hears(&check(engine, port, &login, &certificates)).await?;
    }
    Ok(())
}

/// That a login in plaintext would have been heard, and that one under TLS works through the proxy.
async fn assert_proxy_hears(check: &Check) -> Result<()> {
    for (ssl_mode, is_heard) in [("verify-full", false), ("disable", true)] {
        let proxy = Proxy::start(check.port, Meddling::None).await?;
        let answer = Check { port: proxy.port, ssl_mode, ..check.clone() }.run().await?;
        assert_eq!(answer.reason, "Connected", "{}", answer.printed);
        assert_eq!(heard_login(&proxy), is_heard, "{} {ssl_mode}", check.engine);
    }
    Ok(())
}

fn heard_login(proxy: &Proxy) -> bool {
    let heard = proxy.heard();
    let holds = |word: &str| heard.windows(word.len()).any(|window| window == word.as_bytes());
    holds(USER) || holds(PASSWORD)
}
