use clap::Parser;
use insta::assert_snapshot;
use secrecy::ExposeSecret as _;

use super::*;
use crate::probe::Rights;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    check: Check,
}

/// A check of this server with a password in a file.
fn check(password: &str, more: &[&str]) -> (Check, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), password).unwrap();
    let base = ["db-probe", "--type=postgres", "--user=ann", "--password-file", file.path().to_str().unwrap()];
    let check = Cli::try_parse_from(base.iter().chain(more)).unwrap().check;
    (check, file)
}

#[test]
fn the_defaults_are_those_of_a_database() {
    let (check, _file) = check("hunter2\n", &["--host=db.acme.internal"]);
    let options = check.server(Engine::Postgres).unwrap();
    assert_eq!(options.endpoint.to_string(), "db.acme.internal:5432");
    assert_eq!(options.tls, TlsMode::Require);
    assert_eq!((options.connect_timeout.as_secs(), options.query_timeout.as_secs()), (30, 15));
    assert_eq!(options.credentials.password.expose_secret(), "hunter2");
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    for wrong in ["--host=a,b", "--host=/run/postgresql", "--ssl-mode=prefer", "--port=0", "--query-timeout=0"] {
        let line = ["db-probe", "--type=mysql", "--user=ann", "--password-file=x", wrong];
        let error = Cli::try_parse_from(line).err().map(|error| error.exit_code());
        assert_eq!(error, Some(2), "{wrong}");
    }
    let (check, file) = check("", &["--host=db"]);
    drop(file);
    assert!(check.asked().unwrap_err().to_string().starts_with("cannot read the password file"));
}

#[test]
fn an_unusable_ca_file_is_said_to_be_one() {
    let (check, file) = check("no certificate", &["--host=db"]);
    let check = Check { ca_file: Some(file.path().to_owned()), ..check };
    assert!(check.asked().unwrap_err().to_string().starts_with("cannot use the CA file"));
}

#[test]
fn every_reason_in_the_help_has_the_exit_code_that_stands_there() {
    use Reason as R;
    for reason in [
        R::Connected,
        R::HostNotFound,
        R::HostNotAllowed,
        R::ConnectionRefused,
        R::Timeout,
        R::TlsFailed,
        R::AuthenticationFailed,
        R::PasswordExpired,
        R::AccessDenied,
        R::DatabaseNotFound,
        R::TooManyConnections,
        R::ServerNotReady,
        R::ProtocolError,
    ] {
        let line = EXIT_CODES.lines().find(|line| line.contains(reason.as_str())).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(exit_code(reason).to_string().as_str()), "{reason:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (check, _file) = check("hunter2", &["--host=127.0.0.1", &format!("--port={port}")]);
    let outcome = check.asked().unwrap().answer().await;
    assert_eq!(exit_code(reason(&outcome)), 4);
    let text = Report::of(&outcome).text().replace(&port.to_string(), "PORT");
    assert_snapshot!(text, @"ConnectionRefused: nothing accepts connections at 127.0.0.1:PORT: check host, port and firewall");
}

#[test]
fn a_file_takes_nothing_of_a_server_and_a_server_all_of_it() {
    let code = |line: &[&str]| {
        Cli::try_parse_from(std::iter::once(&"db-probe").chain(line)).err().map_or(0, |error| error.exit_code())
    };
    assert_eq!(code(&["--type=sqlite", "--file=app.db"]), 0);
    for wrong in [
        &["--type=sqlite"][..],
        &["--type=sqlite", "--file=app.db", "--host=db"],
        &["--type=sqlite", "--file=app.db", "--ssl-mode=disable"],
        &["--type=postgres", "--file=app.db"],
        &["--type=postgres", "--host=db"],
        &["--type=mariadb", "--host=db", "--user=ann"],
    ] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_file_is_told_like_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let told = async || {
        let line = ["db-probe", "--type=sqlite", "--file", file.to_str().unwrap()];
        let outcome = Cli::try_parse_from(line).unwrap().check.asked().unwrap().answer().await;
        (exit_code(reason(&outcome)), Report::of(&outcome).text())
    };
    assert_eq!(told().await.0, 8, "DatabaseNotFound");
    std::fs::write(&file, "no database at all, but long enough to be read as a header and some more of it").unwrap();
    assert_eq!(told().await.0, 10, "ProtocolError");
    std::fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (id)").unwrap();
    let (code, text) = told().await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("server:      SQLite 3.") && text.contains("privileges:  ReadWrite: "), "{text}");
}

#[test]
fn an_answer_is_told_as_text_or_json() {
    let report = Report::of(&Ok(Reached {
        version: "PostgreSQL 15.18".to_owned(),
        pool: Some(ConnectionPool { active: 1, idle: 4 }),
        rights: Rights::ReadOnly,
        login: Duration::from_millis(12),
        query: Duration::from_millis(1),
    }));
    assert_snapshot!(report.print(Format::Text).unwrap(), @r"
    Connected: Connection verified
    server:      PostgreSQL 15.18
    login:       12 ms
    query:       1 ms
    connections: 1 active, 4 idle, beside this one
    privileges:  ReadOnly: no right to write was found
    ");
    assert_snapshot!(report.print(Format::Json).unwrap(), @r#"
    {
      "reason": "Connected",
      "message": "Connection verified",
      "found": {
        "serverVersion": "PostgreSQL 15.18",
        "loginMilliseconds": 12,
        "queryMilliseconds": 1,
        "connectionPool": {
          "active": 1,
          "idle": 4
        },
        "privileges": "ReadOnly",
        "leastPrivilege": "no right to write was found"
      }
    }
    "#);
}
