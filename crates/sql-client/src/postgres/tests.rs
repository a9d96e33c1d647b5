//! Logins against servers that follow a script: what the driver makes of them must stay what we take it
//! for.

use crate::testing::{options, serve};
use crate::{ConnectClass, Engine, SqlClass, SqlError, Statement, TlsMode, TlsProblem, connect};

/// A message: its kind, its length, its content.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], content].concat()
}

fn error(state: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{state}\0Mpassword hunter2 is wrong\0\0");
    message(b'E', fields.as_bytes())
}

/// The class a login ends with, and all that the client sent.
async fn login(replies: Vec<Vec<u8>>, tls: TlsMode) -> (Option<ConnectClass>, Vec<u8>) {
    let (port, server) = serve(false, replies).await;
    let options = crate::ConnectOptions { tls, ..options(Engine::Postgres, port) };
    let outcome = connect(&options).await.map(drop);
    if let Err(error) = &outcome {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    (outcome.err().map(|error| error.class()), server.await.unwrap())
}

#[tokio::test]
async fn without_tls_on_offer_only_the_question_is_sent() {
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let (class, sent) = login(vec![b"N".to_vec()], mode).await;
        assert_eq!(class, Some(ConnectClass::TlsFailed(TlsProblem::NotOffered)));
        assert_eq!(sent, 80_877_103_u64.wrapping_add(8 << 32).to_be_bytes(), "{mode}");
    }
}

#[tokio::test]
async fn an_offer_of_tls_that_is_none_fails() {
    let (class, _) = login(vec![b"S".to_vec(), b"hello, this is no TLS".to_vec()], TlsMode::Require).await;
    assert_eq!(class, Some(ConnectClass::TlsFailed(TlsProblem::Other)));
}

#[tokio::test]
async fn the_servers_states_become_classes() {
    for (state, expected) in [
        ("28P01", ConnectClass::AuthenticationFailed),
        ("28000", ConnectClass::AuthenticationFailed),
        ("3D000", ConnectClass::DatabaseNotFound),
        ("42501", ConnectClass::AccessDenied),
        ("53300", ConnectClass::TooManyConnections),
        ("57P03", ConnectClass::ServerNotReady),
        ("57P01", ConnectClass::ServerNotReady),
        ("XX000", ConnectClass::Protocol),
    ] {
        let (class, _) = login(vec![error(state)], TlsMode::Disable).await;
        assert_eq!(class, Some(expected), "{state}");
    }
}

#[tokio::test]
async fn a_hostile_or_foreign_server_gets_a_class() {
    let kerberos = message(b'R', &2_u32.to_be_bytes());
    let sasl = message(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0");
    let in_clear = message(b'R', &3_u32.to_be_bytes());
    let notices = [message(b'R', &[0; 4]), message(b'N', b"SNOTICE\0C00000\0Mhunter2\0\0").repeat(10_000)].concat();
    let cases = [
        (vec![], ConnectClass::ConnectionReset),
        (vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], ConnectClass::Protocol),
        (vec![kerberos], ConnectClass::AuthMethodUnsupported),
        (vec![sasl], ConnectClass::AuthMethodUnsupported),
        (vec![in_clear], ConnectClass::PasswordInClear),
        (vec![notices], ConnectClass::Protocol),
        (vec![b"E\x7f\xff\xff\xffSFATAL".to_vec()], ConnectClass::Protocol),
        (vec![message(b'E', b"no fields")], ConnectClass::Protocol),
    ];
    for (replies, expected) in cases {
        let (class, sent) = login(replies.clone(), TlsMode::Disable).await;
        assert_eq!(class, Some(expected), "{:?}", replies.first().map(|first| &first[..first.len().min(40)]));
        assert!(!sent.windows(7).any(|window| window == b"hunter2"));
    }
}

#[tokio::test]
async fn no_text_stands_where_a_state_belongs() {
    let (port, _server) = serve(false, vec![error("hunter2\n")]).await;
    let error = connect(&options(Engine::Postgres, port)).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ConnectClass::Protocol, None));
}

/// What a query ends with when a server that has let us in answers it so.
async fn asked(answer: Vec<u8>) -> Option<SqlError> {
    let conforming = message(b'S', b"standard_conforming_strings\0on\0");
    let ready = [message(b'R', &[0; 4]), conforming, message(b'Z', b"I")].concat();
    let (port, _server) = serve(false, vec![ready, answer]).await;
    let options = crate::ConnectOptions { max_answer: 10_000, ..options(Engine::Postgres, port) };
    let mut session = connect(&options).await.unwrap();
    session.query(&Statement::new("asking", "SELECT 'hunter2'")).await.err()
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    let column = [b"name\0".as_slice(), &[0; 18]].concat();
    let head = message(b'T', &[&[0, 1], &column[..]].concat());
    let row = |text: &[u8]| message(b'D', &[&[0, 1, 0, 0, 0, 1], text].concat());
    let end = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    assert_eq!(asked([&head[..], &row(b"x"), &end].concat()).await, None);
    for answer in [
        [&head[..], &row(b"\xff"), &end].concat(),
        [&head[..], &message(b'D', &[0, 0]), &end].concat(),
        [&head[..], &row(b"x").repeat(1000), &end].concat(),
        message(b'S', b"name\0value\0").repeat(1000),
        b"D\x7f\xff\xff\xff".to_vec(),
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
    ] {
        let class = asked(answer.clone()).await.map(|error| error.class());
        assert_eq!(class, Some(SqlClass::Protocol), "{:?}", &answer[..answer.len().min(80)]);
    }
    assert_eq!(asked(Vec::new()).await.map(|error| error.class()), Some(SqlClass::ConnectionLost));
    let refused = asked([error("hunter2 is the password"), message(b'Z', b"I")].concat()).await;
    assert_eq!(refused.map(|error| error.to_string()).as_deref(), Some("asking failed: the server refused it"));
}

#[tokio::test]
async fn names_with_nul_are_refused_without_a_call() {
    for engine in [Engine::Mysql, Engine::Postgres] {
        // Port 9 is not listened on: a call would be ConnectionRefused.
        let mut options = options(engine, 9);
        options.connect_timeout = std::time::Duration::MAX;
        options.database = Some("a\0b".to_owned());
        assert_eq!(connect(&options).await.unwrap_err().class(), ConnectClass::DatabaseNotFound);
        options.credentials.user = "a\0b".to_owned();
        assert_eq!(connect(&options).await.unwrap_err().class(), ConnectClass::AuthenticationFailed);
    }
}
