//! Logins and batches against a mock of SQL Server, since no real one can be had here; see its crate for what it is.

mod encryption;
mod hostile;

use sqlserver_mock::{Mock, Reply, Script, Value, accepted, done, error, redirect, table};

use super::codes;
use crate::testing::options;
use crate::{ConnectClass, ConnectError, ConnectOptions, Engine, Flavor, SqlClass, Statement, TlsProblem, connect};

/// A mock that does as it is told, and options that reach it in plaintext.
async fn mock(script: Script) -> (Mock, ConnectOptions) {
    let mock = Mock::start(script).await.unwrap();
    let options = options(Engine::SqlServer, mock.port());
    (mock, options)
}

fn says_to_login(reply: Reply) -> Script {
    Script { login: Box::new(move |_| reply.clone()), ..Script::open() }
}

fn says_to_batch(reply: Reply) -> Script {
    Script { batch: Box::new(move |_, _| reply.clone()), ..Script::open() }
}

/// The error a login ends with, which never holds what the server says.
async fn refusal(options: &ConnectOptions) -> ConnectError {
    let error = connect(options).await.unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("with password"), "{printed}");
    error
}

#[tokio::test]
async fn a_login_is_sent_as_the_protocol_wants_it() {
    let (mock, mut options) = mock(Script::open()).await;
    options.credentials.user = "änn 😀".to_owned();
    options.credentials.password = "hünter2 😀".to_owned().into();
    connect(&options).await.unwrap().close().await;
    options.database = None;
    connect(&options).await.unwrap().close().await;
    let seen = mock.seen();
    assert_eq!(seen.complaints, [""; 0]);
    let expected = sqlserver_mock::Login {
        user: "änn 😀".to_owned(),
        password: "hünter2 😀".to_owned(),
        application: "tests".to_owned(),
        server: "127.0.0.1".to_owned(),
        database: "orders".to_owned(),
        encrypted: false,
    };
    let without_database = sqlserver_mock::Login { database: String::new(), ..expected.clone() };
    assert_eq!(seen.logins, [expected, without_database]);
}

#[tokio::test]
async fn names_that_no_server_can_hold_are_not_sent() {
    let (mock, good) = mock(Script::open()).await;
    let long = || "x".repeat(129);
    let mut options = good.clone();
    options.credentials.user = long();
    assert_eq!(refusal(&options).await.class(), ConnectClass::AuthenticationFailed);
    options = good.clone();
    options.credentials.password = long().into();
    assert_eq!(refusal(&options).await.class(), ConnectClass::AuthenticationFailed);
    options = good;
    options.database = Some(long());
    assert_eq!(refusal(&options).await.class(), ConnectClass::DatabaseNotFound);
    assert_eq!(mock.seen().logins, []);
}

#[tokio::test]
async fn the_servers_numbers_become_classes() {
    for (number, expected) in [
        (18456, ConnectClass::AuthenticationFailed),
        (18470, ConnectClass::AuthenticationFailed),
        (18486, ConnectClass::AuthenticationFailed),
        (40615, ConnectClass::AuthenticationFailed),
        (18487, ConnectClass::PasswordExpired),
        (18488, ConnectClass::PasswordExpired),
        (916, ConnectClass::AccessDenied),
        (911, ConnectClass::DatabaseNotFound),
        (4060, ConnectClass::DatabaseNotOpened),
        (4064, ConnectClass::DatabaseNotOpened),
        (17809, ConnectClass::TooManyConnections),
        (10928, ConnectClass::TooManyConnections),
        (10929, ConnectClass::TooManyConnections),
        (17142, ConnectClass::ServerNotReady),
        (18401, ConnectClass::ServerNotReady),
        (40197, ConnectClass::ServerNotReady),
        (40501, ConnectClass::ServerNotReady),
        (40613, ConnectClass::ServerNotReady),
        (17835, ConnectClass::TlsFailed(TlsProblem::Demanded)),
        (50000, ConnectClass::Protocol),
        (-1, ConnectClass::Protocol),
    ] {
        let (_mock, options) = mock(says_to_login(Reply::Tokens(error(&[(number, 14)], "hunter2")))).await;
        let error = refusal(&options).await;
        assert_eq!((error.class(), error.code()), (expected, Some(number.to_string().as_str())));
    }
}

#[tokio::test]
async fn the_error_that_tells_most_counts() {
    for order in [[(4060, 11), (18456, 14)], [(18456, 14), (4060, 11)]] {
        let (_mock, options) = mock(says_to_login(Reply::Tokens(error(&order, "hunter2")))).await;
        assert_eq!(
            refusal(&options).await.to_string(),
            format!(
                "database \"orders\" on {} cannot be opened: it does not exist, is offline, or user \"ann\" has no \
                 access to it (server code 4060)",
                options.endpoint
            )
        );
    }
}

#[tokio::test]
async fn a_redirect_is_refused() {
    let elsewhere = Mock::start(Script::open()).await.unwrap();
    let (_mock, options) = mock(says_to_login(Reply::Tokens(redirect("127.0.0.1", elsewhere.port())))).await;
    let error = refusal(&options).await;
    assert_eq!(error.class(), ConnectClass::Redirected);
    assert!(
        error.to_string().ends_with("sends us to another server, which is not followed: name that one as the host")
    );
    assert_eq!(elsewhere.seen().logins, []);
}

#[tokio::test]
async fn answers_become_counts_rows_and_errors() {
    let long = "ä😀x".repeat(5000);
    let rows = vec![
        vec![Value::Number(-42), Value::Text("tést".to_owned()), Value::Long(long.clone())],
        vec![Value::Null, Value::Text(String::new()), Value::Null],
    ];
    let (mock, options) = mock(Script {
        batch: Box::new(move |_, text| {
            Reply::Tokens(match text {
                "rows" => table(&rows),
                "write" => done(7),
                "denied" => error(&[(229, 14), (230, 14)], "hunter2"),
                "fatal" => error(&[(229, 20)], "hunter2"),
                _ => table(&[vec![Value::Text("16.0.4135.4".to_owned())]]),
            })
        }),
        ..Script::open()
    })
    .await;
    let mut session = connect(&options).await.unwrap();
    let statement = |text: &str| Statement::new("asking", text);
    let version = session.server_version().await.unwrap();
    assert_eq!((version.flavor, version.text.as_str()), (Flavor::SqlServer, "16.0.4135.4"));
    let rows = session.query(&statement("rows")).await.unwrap();
    assert_eq!((rows[0].integer(0), rows[0].text(1), rows[0].text(2)), (Some(-42), Some("tést"), Some(&*long)));
    assert_eq!((rows[1].text(0), rows[1].text(1), rows[1].text(2)), (None, Some(""), None));
    assert_eq!(session.execute(&statement("write")).await, Ok(7));
    let refused = session.execute(&statement("denied")).await.unwrap_err();
    assert_eq!(refused.to_string(), "asking failed: the login lacks the right to do this (server code 229)");
    assert_eq!(session.ping().await, Ok(()));
    // Longer than a packet.
    assert_eq!(session.query(&statement(&"-".repeat(9000))).await.unwrap().len(), 1);
    assert_eq!(session.execute(&statement("fatal")).await.unwrap_err().class(), SqlClass::ConnectionLost);
    assert!(session.ping().await.unwrap_err().session_is_lost());
    assert_eq!(mock.seen().complaints, [""; 0]);
}

#[tokio::test]
async fn every_type_that_a_statement_may_give_is_read() {
    // tinyint, bit, smallint, int, bigint, bit that may be NULL, int that may be NULL, varchar, nchar.
    let columns: [&[u8]; 9] = [
        &[0x30],
        &[0x32],
        &[0x34],
        &[0x38],
        &[0x7f],
        &[0x68, 1],
        &[0x26, 4],
        &[0xa7, 10, 0, 9, 4, 0xd0, 0, 0x34],
        &[0xef, 4, 0, 9, 4, 0xd0, 0, 0x34],
    ];
    let described = columns.iter().flat_map(|kind| [&[0, 0, 0, 0, 9, 0], *kind, &[1, b'c', 0]].concat());
    let row = [
        &[0xd1, 255, 1][..],
        &(-2_i16).to_le_bytes(),
        &(-3_i32).to_le_bytes(),
        &(-4_i64).to_le_bytes(),
        &[1, 1, 4, 5, 0, 0, 0, 2, 0, b'a', b'b', 4, 0, b'c', 0, b' ', 0],
    ]
    .concat();
    let answer = [0x81, 9, 0].into_iter().chain(described).chain(row).chain(done(1)).collect();
    let (_mock, options) = mock(says_to_batch(Reply::Tokens(answer))).await;
    let rows = connect(&options).await.unwrap().query(&Statement::new("asking", "SELECT")).await.unwrap();
    let texts: Vec<_> = (0..9).filter_map(|column| rows[0].text(column)).collect();
    assert_eq!(texts, ["255", "1", "-2", "-3", "-4", "1", "5", "ab", "c "]);
}

#[test]
fn the_numbers_of_statements_become_classes() {
    for (number, expected) in [
        (229, SqlClass::AccessDenied),
        (300, SqlClass::AccessDenied),
        (1205, SqlClass::Retryable),
        (3906, SqlClass::ReadOnly),
        (2714, SqlClass::AlreadyExists),
        (208, SqlClass::NotFound),
        (18488, SqlClass::PasswordExpired),
        (596, SqlClass::ConnectionLost),
        (3701, SqlClass::Other),
    ] {
        assert_eq!(codes::sql_failure(codes::ServerError { number, severity: 14 }).class, expected, "{number}");
    }
}

#[tokio::test]
async fn a_login_that_is_only_accepted_is_enough() {
    let (mock, options) = mock(says_to_login(Reply::Tokens(accepted()))).await;
    connect(&options).await.unwrap().close().await;
    assert_eq!(mock.seen().batches, [""; 0]);
}
