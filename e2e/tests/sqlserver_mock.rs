//! db-probe and SQL Server, by its real program against a MOCK of the server: none can be had here. The answers are
//! those of Microsoft's documentation; the crate `sqlserver-mock` says what it is.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::Database;
use e2e::cluster::pki::Authority;
use e2e::command::{self, Captured};
use e2e::images;
use e2e::testing::bare_api::BareApi;
use e2e::testing::bed::ready_reason;
use e2e::testing::manifests::{config_map, database, opaque_secret};
use e2e::testing::process::OperatorProcess;
use e2e::testing::wait_for;
use kube::Api;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use sqlserver_mock::{Encryption, Login, Mock, Reply, Script, Value, accepted, error, redirect, table};
use tempfile::TempDir;
use tokio::process::Command;

const CANARY: &str = "canary-7f31";
const DEADLINE: Duration = Duration::from_mins(1);

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Rows of the lists of rights: source and right.
fn listed(rights: &[(&str, &str)]) -> Vec<Vec<Value>> {
    let row = |(source, right): &(&str, &str)| {
        vec![text(source), text(right), text(""), text(""), text(""), Value::Number(1)]
    };
    rights.iter().map(row).collect()
}

/// What the server knows of its logins.
fn rights_on_server(user: &str) -> Vec<Vec<Value>> {
    let more: &[_] = match user {
        "sysadmin" => &[("server role", "sysadmin"), ("server", "CONTROL SERVER")],
        "watcher" => &[("server", "VIEW SERVER STATE")],
        _ => &[],
    };
    listed(&[more, &[("server", "CONNECT SQL"), ("server", "VIEW ANY DATABASE")]].concat())
}

fn rights_in_database(user: &str) -> Vec<Vec<Value>> {
    let more: &[_] = match user {
        "writer" => &[("role", "db_datawriter"), ("database", "INSERT")],
        "owner" => &[("role", "db_owner"), ("database", "CONTROL")],
        _ => &[],
    };
    listed(&[more, &[("database", "CONNECT"), ("database", "SELECT")]].concat())
}

/// The errors that a login of this name meets, each with its severity.
fn errors(user: &str) -> Option<&'static [(i32, u8)]> {
    Some(match user {
        "stranger" => &[(18456, 14)],
        "homeless" => &[(4060, 11), (18456, 14)],
        "expired" => &[(18488, 14), (18456, 14)],
        "crowd" => &[(17809, 20)],
        "early" => &[(18401, 14)],
        _ => return None,
    })
}

fn answer_login(login: &Login) -> Reply {
    let tokens = match errors(&login.user) {
        _ if login.user == "moved" => redirect("elsewhere.acme.internal", 1433),
        Some(errors) => error(errors, &login.password),
        None => accepted(),
    };
    Reply::Tokens(tokens)
}

fn answer_batch(login: &Login, batch: &str) -> Reply {
    let rows = match batch {
        _ if batch.contains("ProductVersion") => vec![vec![text("16.0.4135.4")]],
        // No row without the right to look.
        _ if batch.contains("dm_exec_sessions") && login.user == "watcher" => {
            vec![vec![Value::Number(1), Value::Number(2)]]
        }
        _ if batch.contains("dm_exec_sessions") => vec![],
        _ if batch.contains("N'SERVER'") => rights_on_server(&login.user),
        _ if batch.contains("N'DATABASE'") => rights_in_database(&login.user),
        _ => return Reply::Tokens(error(&[(102, 15)], &login.password)),
    };
    Reply::Tokens(table(&rows))
}

/// A mock whose certificate is for 127.0.0.1, a file with its CA's, and one with the password.
struct Server {
    mock: Mock,
    folder: TempDir,
    ca: String,
}

impl Server {
    async fn start(encryption: Encryption) -> Result<Self> {
        let authority = Authority::new("sqlserver-mock")?;
        let identity = authority.issue("sqlserver-mock", None, &["127.0.0.1"])?;
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let script = Script {
            encryption,
            tls: Some(Arc::new(config)),
            login: Box::new(answer_login),
            batch: Box::new(answer_batch),
        };
        let server = Self { mock: Mock::start(script).await?, folder: TempDir::new()?, ca: authority.certificate() };
        fs::write(server.file("password"), CANARY)?;
        fs::write(server.file("ca.crt"), &server.ca)?;
        Ok(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes one check with the program as it is in the image.
    async fn check(&self, user: &str, more: &[&str]) -> Result<Captured> {
        let mut command = Command::new(images::program("db-probe").await?);
        command.args(["check", "--type=sqlserver", "--host=127.0.0.1", "--database=orders", "--query-timeout=5"]);
        command.args([format!("--port={}", self.mock.port()), format!("--user={user}")]);
        command.arg("--password-file").arg(self.file("password")).args(more);
        let answer = command::capture(&mut command, DEADLINE).await?;
        ensure!(!answer.stdout.contains(CANARY) && !answer.stderr.contains(CANARY), "a password is in the answer");
        ensure!(!answer.stdout.contains("Login failed for user"), "the server's own text is in the answer");
        Ok(answer)
    }

    /// Nothing that came was against the protocol, and every login had the right password.
    fn assert_content(&self) {
        let seen = self.mock.seen();
        assert_eq!(seen.complaints, [""; 0]);
        assert!(seen.logins.iter().all(|login| login.password == CANARY && login.application == "db-probe"));
    }
}

#[tokio::test]
async fn a_check_tells_what_the_mock_of_a_server_says() -> Result<()> {
    let server = Server::start(Encryption::Optional).await?;
    for (user, code, words) in [
        ("reader", 0, "privileges:  ReadOnly: no right to write was found"),
        ("writer", 0, "privileges:  ReadWrite: the login can write, by membership in db_datawriter"),
        ("owner", 0, "privileges:  Admin: the login can administer, by membership in db_owner"),
        ("sysadmin", 0, "privileges:  Admin: the login can administer, by membership in server role sysadmin"),
        ("reader", 0, "server:      SQL Server 16.0.4135.4\n"),
        ("reader", 0, "connections: not told\n"),
        ("watcher", 0, "connections: 1 active, 2 idle, beside this one\n"),
        ("stranger", 7, "AuthenticationFailed: "),
        ("expired", 7, "PasswordExpired: "),
        ("homeless", 8, "DatabaseNotFound: "),
        ("crowd", 9, "TooManyConnections: "),
        ("early", 9, "ServerNotReady: "),
        ("moved", 10, "sends us to another server, which is not followed"),
    ] {
        let answer = server.check(user, &[]).await?;
        assert_eq!(answer.code, Some(code), "{user}: {}", answer.stdout);
        assert!(answer.stdout.contains(words), "{user}: {}", answer.stdout);
    }
    server.assert_content();
    Ok(())
}

#[tokio::test]
async fn a_check_encrypts_as_it_is_told_to() -> Result<()> {
    let server = Server::start(Encryption::Demanded).await?;
    let ca = format!("--ca-file={}", server.file("ca.crt").display());
    for (more, code, words) in [
        (&["--ssl-mode=verify-full", &ca][..], 0, "Connected: "),
        (&["--ssl-mode=verify-full"], 6, "was not issued by a trusted authority"),
        (&["--ssl-mode=require"], 0, "Connected: "),
        (&["--ssl-mode=disable"], 6, "demands TLS, and the chosen sslMode is plaintext"),
    ] {
        let answer = server.check("reader", more).await?;
        assert_eq!(answer.code, Some(code), "{more:?}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stdout.contains(words), "{more:?}: {}", answer.stdout);
    }
    assert!(server.mock.seen().logins.iter().all(|login| login.encrypted));
    let stripped = Server::start(Encryption::Says(2)).await?;
    let answer = stripped.check("reader", &["--ssl-mode=require"]).await?;
    assert_eq!(answer.code, Some(6), "{}", answer.stdout);
    assert_eq!(stripped.mock.seen().logins, []);
    Ok(())
}

/// The operator as a process of this machine: the mock listens here too, and on an address that a pod must not reach.
#[tokio::test]
async fn a_database_object_tells_what_the_mock_of_a_server_says() -> Result<()> {
    let Some(api) = BareApi::of_cluster().await? else { return Ok(()) };
    let server = Server::start(Encryption::Demanded).await?;
    api.define_databases().await?;
    apply(&api, &config_map("ca", "ca.crt", &server.ca).to_string()).await?;
    let spec = json!({"type": "sqlserver", "host": "127.0.0.1", "port": server.mock.port(), "database": "orders",
                      "sslMode": "verify-full", "tls": {"caRef": {"kind": "ConfigMap", "name": "ca"}}});
    let cases = [("reader", "Connected"), ("owner", "Connected"), ("homeless", "DatabaseNotFound")];
    for (user, _) in cases {
        apply(&api, &opaque_secret(user, &json!({"username": user, "password": CANARY})).to_string()).await?;
        let more = json!({"credentialsRef": {"name": user}});
        apply(&api, &database(user, &spec, &more).to_string()).await?;
    }
    let arguments = ["--lease-namespace=default", "--denied-cidrs=169.254.0.0/16"];
    let operator = OperatorProcess::start("db-probe", &api.kubeconfig(), &arguments).await?;
    let databases: Api<Database> = Api::default_namespaced(api.client().await?);
    for (user, reason) in cases {
        let judged = |db: Option<&Database>| db.and_then(ready_reason).as_deref() == Some(reason);
        let found = wait_for(&databases, user, reason, judged, DEADLINE).await?;
        let status = serde_json::to_value(found.status.context("no status")?)?;
        assert!(!status.to_string().contains(CANARY));
        let (version, privileges) = (status["serverVersion"].as_str(), status["privileges"].as_str());
        let expected = match user {
            "reader" => (Some("SQL Server 16.0.4135.4"), Some("ReadOnly")),
            "owner" => (Some("SQL Server 16.0.4135.4"), Some("Admin")),
            _ => continue,
        };
        assert_eq!((version, privileges), expected, "{status}");
    }
    let (_, metrics) = operator.get("/metrics").await?;
    assert!(metrics.contains("engine=\"sqlserver\"") && !metrics.contains(CANARY), "{metrics}");
    ensure!(operator.terminate().await?.success(), "SIGTERM did not end it well");
    server.assert_content();
    Ok(())
}

async fn apply(api: &BareApi, manifest: &str) -> Result<()> {
    api.kubectl().apply(Some("default"), manifest).await.map(drop)
}
