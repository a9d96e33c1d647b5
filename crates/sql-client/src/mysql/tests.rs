//! The login and the text protocol against servers that follow a script, hostile ones included.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use proptest::prelude::*;

use super::auth::{Plugin, over_plaintext};
use super::greeting::Greeting;
use super::packet::Fields;
use crate::testing::{options, serve};
use crate::{ConnectClass, Engine, Flavor, SqlClass, Statement, TlsMode, TlsProblem, connect};

const CHALLENGE: &[u8; 20] = b"abcdefgh123456789012";
const SSL: u16 = 1 << 11;

/// A packet: three bytes of length, one of sequence.
fn packet(sequence: u8, content: &[u8]) -> Vec<u8> {
    let [low, middle, high, ..] = content.len().to_le_bytes();
    [&[low, middle, high, sequence], content].concat()
}

/// The greeting of a MySQL 8 without TLS, its capabilities otherwise all set.
fn greeting(plugin: &str) -> Vec<u8> {
    let low = (!SSL).to_le_bytes();
    let (first, second) = CHALLENGE.split_at(8);
    let head = [b"\x0a8.0.40\0\x01\0\0\0", first, b"\0", &low, b"\x2d\x02\0\xff\xff\x15"].concat();
    [&head, &[0; 10][..], second, b"\0", plugin.as_bytes(), b"\0"].concat()
}

fn error(code: u16) -> Vec<u8> {
    [b"\xff", &code.to_le_bytes()[..], b"#HY000Access denied for user 'ann' using 'hunter2'"].concat()
}

/// The class a login ends with, and all that the client sent.
async fn login(replies: Vec<Vec<u8>>, tls: TlsMode) -> (Option<ConnectClass>, Vec<u8>) {
    let (port, server) = serve(true, replies).await;
    let options = crate::ConnectOptions { tls, ..options(Engine::Mysql, port) };
    let outcome = connect(&options).await.map(drop);
    if let Err(error) = &outcome {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    (outcome.err().map(|error| error.class()), server.await.unwrap())
}

async fn login_class(replies: Vec<Vec<u8>>) -> Option<ConnectClass> {
    login(replies, TlsMode::Disable).await.0
}

#[tokio::test]
async fn without_tls_on_offer_nothing_is_sent() {
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let (class, sent) = login(vec![packet(0, &greeting("mysql_native_password"))], mode).await;
        assert_eq!(class, Some(ConnectClass::TlsFailed(TlsProblem::NotOffered)));
        assert_eq!(sent, b"", "{mode}");
    }
}

#[tokio::test]
async fn the_servers_numbers_become_classes() {
    for (code, expected) in [
        (1045, ConnectClass::AuthenticationFailed),
        (1130, ConnectClass::AuthenticationFailed),
        (3118, ConnectClass::AccountLocked),
        (4151, ConnectClass::AccountLocked),
        (1044, ConnectClass::AccessDenied),
        (1049, ConnectClass::DatabaseNotFound),
        (1040, ConnectClass::TooManyConnections),
        (1226, ConnectClass::TooManyConnections),
        (1862, ConnectClass::PasswordExpired),
        (1047, ConnectClass::ServerNotReady),
        (1053, ConnectClass::ServerNotReady),
        (1129, ConnectClass::ServerNotReady),
        (9999, ConnectClass::Protocol),
    ] {
        let at_once = vec![packet(0, &error(code))];
        assert_eq!(login_class(at_once).await, Some(expected), "{code}");
        let after_login = vec![packet(0, &greeting("mysql_native_password")), packet(2, &error(code))];
        assert_eq!(login_class(after_login).await, Some(expected), "{code}");
    }
}

#[tokio::test]
async fn a_hostile_or_foreign_server_gets_a_class_and_no_password() {
    let hello = || packet(0, &greeting("caching_sha2_password"));
    let switch = |plugin: &str| packet(2, &[b"\xfe", plugin.as_bytes(), b"\0", CHALLENGE, b"\0"].concat());
    let protocol = Some(ConnectClass::Protocol);
    let cases = [
        (vec![b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()], protocol),
        (vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], protocol),
        (vec![packet(0, b"")], protocol),
        (vec![packet(0, b"\x0a8.0.40\0\x01")], protocol),
        (vec![], Some(ConnectClass::ConnectionReset)),
        (vec![hello()], Some(ConnectClass::ConnectionReset)),
        (vec![hello(), switch("mysql_clear_password")], Some(ConnectClass::AuthMethodUnsupported)),
        (vec![hello(), switch("dialog")], Some(ConnectClass::AuthMethodUnsupported)),
        (vec![hello(), packet(2, b"\xfe")], Some(ConnectClass::AuthMethodUnsupported)),
        (vec![hello(), packet(2, b"\x01\x09")], protocol),
        (vec![hello(), packet(2, b"\x01\x04"), packet(4, b"\x01no key")], protocol),
        (vec![hello(), packet(2, b"\x01\x04"), packet(4, b"")], protocol),
        ([vec![hello()], vec![switch("mysql_native_password"); 20]].concat(), protocol),
    ];
    for (replies, expected) in cases {
        let (class, sent) = login(replies.clone(), TlsMode::Disable).await;
        assert_eq!(class, expected, "{replies:?}");
        assert!(!sent.windows(7).any(|window| window == b"hunter2"), "{replies:?}");
    }
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(Engine::Mysql, listener.local_addr().unwrap().port());
    options.connect_timeout = Duration::from_millis(50);
    let error = connect(&options).await.unwrap_err();
    assert_eq!(error.class(), ConnectClass::Timeout);
    assert!(error.to_string().ends_with("did not answer within 50ms"), "{error}");
}

#[tokio::test]
async fn the_login_packet_names_user_database_and_program() {
    let (class, sent) =
        login(vec![packet(0, &greeting("mysql_native_password")), packet(2, b"\0\0\0\x02\0\0\0")], TlsMode::Disable)
            .await;
    assert_eq!(class, None);
    let text = String::from_utf8_lossy(&sent);
    for part in ["ann\0", "orders\0mysql_native_password\0", "program_name", "tests"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[tokio::test]
async fn answers_become_counts_rows_and_errors() {
    let ok = b"\0\x07\0\x02\0\0\0";
    let end = b"\xfe\0\0\x02\0";
    let table = |row: &[u8]| {
        let parts: [&[u8]; 6] = [b"\x02", b"column", b"column", end, row, end];
        parts.iter().flat_map(|part| packet(1, part)).collect::<Vec<_>>()
    };
    let (port, _server) = serve(
        true,
        vec![
            packet(0, &greeting("mysql_native_password")),
            packet(2, ok),
            packet(1, ok),
            table(b"\x0c8.0.36-28.1x\x07Percona"),
            table(b"\xfb\x0242"),
            packet(1, &error(1142)),
            packet(1, b"\xfb/etc/passwd"),
        ],
    )
    .await;
    let mut session = connect(&options(Engine::Mysql, port)).await.unwrap();
    let statement = Statement::new("asking", "SELECT 'hunter2'");
    assert_eq!(session.execute(&statement).await, Ok(7));
    assert_eq!(session.server_version().await.unwrap().flavor, Flavor::Percona);
    let rows = session.query(&statement).await.unwrap();
    assert_eq!((rows[0].text(0), rows[0].integer(1)), (None, Some(42)));
    let refused = session.execute(&statement).await.unwrap_err();
    assert_eq!(refused.to_string(), "asking failed: the login lacks the right to do this (server code 1142)");
    // LOCAL INFILE: the server asks for a file.
    assert_eq!(session.execute(&statement).await.unwrap_err().class(), SqlClass::Protocol);
    assert!(session.ping().await.unwrap_err().session_is_lost());
}

#[test]
fn proofs_are_those_of_the_servers() {
    // Vectors of the mysql_common crate, made with a server.
    let challenge = b"NR3HP:qIYa_9=db?Sd{`";
    let native = Plugin::Native.proof(b"G!ider27", challenge);
    assert_eq!(hex(&native), "09cff8855e9e705340ff2270d8fb9fadba906b70");
    let sha2 = Plugin::CachingSha2.proof(b"G!ider27", challenge);
    assert_eq!(hex(&sha2), "4f97bbfd202401c42a69deaae53bda077ed7578563c1a80eb816c82119b68d2e");
    assert_eq!(Plugin::Native.proof(b"", challenge), b"");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn without_tls_the_password_is_for_the_key_holder_alone() {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let public: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
    let pem = pem(public.as_ref());
    let proof = over_plaintext(b"hunter2", CHALLENGE, pem.as_bytes()).unwrap();

    let key = OaepPrivateDecryptingKey::new(private).unwrap();
    let mut buffer = vec![0; key.min_output_size()];
    let hidden = key.decrypt(&OAEP_SHA1_MGF1SHA1, &proof, &mut buffer, None).unwrap();
    let password: Vec<_> = hidden.iter().zip(CHALLENGE).map(|(a, b)| a ^ b).collect();
    assert_eq!(password, b"hunter2\0");
    assert_eq!(over_plaintext(&[b'x'; 4096], CHALLENGE, pem.as_bytes()), None);
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(der))
}

/// Base64, as no test dependency offers it alone.
fn base64(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |index: usize| {
            if index > chunk.len() {
                return '=';
            }
            char::from(DIGITS[bits >> (18 - 6 * index) & 63])
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    der.chunks(3).flat_map(group).collect()
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Greeting::parse(&content);
        let _ = Greeting::parse(&[b"\x0a", &content[..]].concat());
        let mut fields = Fields(&content);
        while !fields.is_empty() && fields.column().is_ok() {}
    }
}
