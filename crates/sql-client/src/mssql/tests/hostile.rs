//! Servers that mean harm: whatever they send, a login or a statement ends with an error, soon and in little memory.

use std::io::Cursor;
use std::time::Duration;

use futures::FutureExt;
use proptest::prelude::*;
use sqlserver_mock::{Reply, Value, accepted, done, error, redirect, row_of_no_table, table};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::super::answer::Answer;
use super::super::channel::Channel;
use super::super::{packet, prelogin};
use super::{mock, refusal, says_to_batch, says_to_login};
use crate::testing::{options, serve};
use crate::{ConnectClass, Engine, SqlClass, Statement, TlsMode, connect};

/// Tokens that mean nothing, about 3,000 bytes of them.
fn chatter() -> Vec<u8> {
    [[0xa9, 0, 0]; 1000].concat()
}

#[tokio::test]
async fn a_first_answer_that_is_none_ends_the_login() {
    let too_long = vec![4, 1, 0xff, 0xff, 0, 0, 1, 0];
    for (answer, expected) in [
        (b"".to_vec(), ConnectClass::ConnectionReset),
        (b"\x04\x01\x00".to_vec(), ConnectClass::ConnectionReset),
        (too_long, ConnectClass::ConnectionReset),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), ConnectClass::Protocol),
        (vec![0; 64], ConnectClass::Protocol),
        (packet::message(packet::ANSWER, &[0xff], packet::SIZE), ConnectClass::Protocol),
        (packet::message(packet::ANSWER, &[1, 0xff, 0xff, 0, 1, 0xff], packet::SIZE), ConnectClass::Protocol),
        (packet::message(packet::PRELOGIN, &prelogin::request(TlsMode::Disable), 4096), ConnectClass::Protocol),
    ] {
        let (port, _server) = serve(false, vec![answer.clone()]).await;
        assert_eq!(refusal(&options(Engine::SqlServer, port)).await.class(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_ends_the_login() {
    let on = [1, 0, 6, 0, 1, 0xff, 1];
    for (answer, expected) in [
        (b"".to_vec(), ConnectClass::ConnectionReset),
        (vec![0x12, 1, 0, 8, 0, 0, 1, 0], ConnectClass::ConnectionReset),
        (vec![0x12, 1, 0, 7, 0, 0, 1, 0], ConnectClass::Protocol),
        (packet::message(packet::PRELOGIN, &[0; 100], 4096), ConnectClass::TlsFailed(crate::TlsProblem::Other)),
    ] {
        let (port, _server) =
            serve(false, vec![packet::message(packet::ANSWER, &on, packet::SIZE), answer.clone()]).await;
        let options = crate::ConnectOptions { tls: TlsMode::Require, ..options(Engine::SqlServer, port) };
        assert_eq!(refusal(&options).await.class(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_of_empty_packets_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(Engine::SqlServer, listener.local_addr().unwrap().port());
    (options.tls, options.connect_timeout) = (TlsMode::Require, Duration::from_millis(200));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let on = packet::message(packet::ANSWER, &[1, 0, 6, 0, 1, 0xff, 1], packet::SIZE);
        stream.write_all(&on).await.unwrap();
        let empty = [[0x12, 1, 0, 8, 0, 0, 1, 0]; 512].concat();
        while stream.write_all(&empty).await.is_ok() {}
    });
    assert_eq!(refusal(&options).await.class(), ConnectClass::Timeout);
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_to_the_login_that_is_none_ends_it() {
    let no_end = accepted()[..accepted().len() - 13].to_vec();
    let old = [&[0xad, 10, 0, 1, 0x70, 0, 0, 0, 0, 0, 0, 0, 0][..], &done(0)].concat();
    let bad_size = [&[0xe3, 4, 0, 4, 1, b'x', 0][..], &accepted()].concat();
    let short_error = [&[0xaa, 2, 0, 0x18, 0x48, 0, 0, 1, 14][..], &done(0)].concat();
    for (reply, expected) in [
        (Reply::Tokens(done(0)), ConnectClass::Protocol),
        (Reply::Tokens(no_end), ConnectClass::Protocol),
        (Reply::Tokens(old), ConnectClass::Protocol),
        (Reply::Tokens(bad_size), ConnectClass::Protocol),
        (Reply::Tokens(row_of_no_table()), ConnectClass::Protocol),
        (Reply::Tokens(vec![0; 5000]), ConnectClass::Protocol),
        (Reply::Tokens(vec![0xaa; 100_000]), ConnectClass::Protocol),
        (Reply::Tokens(short_error), ConnectClass::AuthenticationFailed),
        (Reply::Bytes(Vec::new()), ConnectClass::ConnectionReset),
        (Reply::Bytes(vec![4, 0, 0, 9, 0, 0, 1, 0, 0xaa]), ConnectClass::ConnectionReset),
        (Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), ConnectClass::Protocol),
        (Reply::Endless(chatter()), ConnectClass::Protocol),
        (Reply::Endless(Vec::new()), ConnectClass::Protocol),
        (Reply::Endless(error(&[(18456, 14)], &"hunter2".repeat(200))), ConnectClass::AuthenticationFailed),
    ] {
        let (_mock, options) = mock(says_to_login(reply.clone())).await;
        assert_eq!(refusal(&options).await.class(), expected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let (_mock, mut options) = mock(says_to_login(Reply::Silence)).await;
    options.connect_timeout = Duration::from_millis(50);
    assert_eq!(refusal(&options).await.class(), ConnectClass::Timeout);
    let (_mock, mut options) = mock(says_to_batch(Reply::Silence)).await;
    options.query_timeout = Duration::from_millis(50);
    let mut session = connect(&options).await.unwrap();
    assert_eq!(session.ping().await.unwrap_err().class(), SqlClass::Timeout);
    assert_eq!(session.ping().await.unwrap_err().class(), SqlClass::ConnectionLost);
}

#[tokio::test]
async fn an_answer_to_a_statement_that_is_none_loses_the_session() {
    let megabytes = table(&[vec![Value::Long("x".repeat(33 << 20))]]);
    let too_wide = [&[0x81, 1, 0x10][..], &done(0)].concat();
    // A type that no statement of ours gives: float.
    let float = [&[0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0x3e, 0][..], &done(0)].concat();
    for (reply, class) in [
        (Reply::Tokens(vec![0xaa; 100_000]), SqlClass::Protocol),
        (Reply::Tokens(too_wide), SqlClass::Protocol),
        (Reply::Tokens(float), SqlClass::Protocol),
        (Reply::Tokens(megabytes), SqlClass::Protocol),
        (Reply::Bytes(Vec::new()), SqlClass::ConnectionLost),
        (Reply::Endless(error(&[(229, 14)], &"hunter2".repeat(4000))), SqlClass::Protocol),
    ] {
        let (_mock, mut options) = mock(says_to_batch(reply)).await;
        options.query_timeout = Duration::from_mins(1);
        let mut session = connect(&options).await.unwrap();
        let error = session.query(&Statement::new("asking", "SELECT")).await.unwrap_err();
        assert_eq!(error.class(), class);
        assert!(error.session_is_lost() && !format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn an_endless_answer_ends_with_the_deadline() {
    let (_mock, mut options) = mock(says_to_batch(Reply::Endless(Vec::new()))).await;
    options.query_timeout = Duration::from_millis(50);
    let mut session = connect(&options).await.unwrap();
    assert_eq!(session.ping().await.unwrap_err().class(), SqlClass::Timeout);
}

#[tokio::test]
async fn a_redirect_after_the_login_is_not_followed() {
    let (mock, options) = mock(says_to_batch(Reply::Tokens(redirect("127.0.0.1", 1)))).await;
    let mut session = connect(&options).await.unwrap();
    assert_eq!(session.ping().await, Ok(()));
    assert_eq!(mock.seen().logins.len(), 1);
}

/// Reads tokens from memory, where nothing has to be waited for.
fn read(tokens: &[u8], size: usize) {
    let bytes = packet::message(packet::ANSWER, tokens, size);
    let mut channel = Channel::new(Box::new(Cursor::new(bytes)));
    let mut answer = Answer::new(1 << 20);
    let _ = answer.read(&mut channel.receive(1 << 20)).now_or_never().unwrap();
}

fn honest() -> Vec<u8> {
    let rows = [vec![Value::Number(1), Value::Text("a".to_owned()), Value::Long("b".to_owned())], vec![Value::Null; 3]];
    [table(&rows), error(&[(229, 14)], "x"), redirect("elsewhere", 1433), accepted()].concat()
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(tokens in proptest::collection::vec(any::<u8>(), 0..200), size in 9_usize..64) {
        read(&tokens, size);
        let _ = prelogin::encrypts(TlsMode::Require, &tokens);
    }

    #[test]
    fn no_change_of_an_honest_answer_makes_reading_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        size in 9_usize..64,
    ) {
        let mut tokens = honest();
        for (place, byte) in changes {
            let place = place.index(tokens.len());
            tokens[place] = byte;
        }
        read(&tokens, size);
    }
}
