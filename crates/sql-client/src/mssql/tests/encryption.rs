//! Every mode against a mock without TLS, with certificates of every kind, and with somebody in between.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use sqlserver_mock::{Encryption, Mock, Reply, Script, accepted};

use super::{mock, refusal};
use crate::tls::tests::{Authority, NOW, authority, certificate, server};
use crate::{ConnectClass, ConnectOptions, TlsMode, TlsProblem, TrustRoots, connect};

const MODES: [TlsMode; 4] = [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull];
const HERE: &[&str] = &["127.0.0.1"];
const ELSEWHERE: &[&str] = &["other.acme"];

/// A mock with this certificate, and options that trust `trusted`.
async fn with_certificate(
    encryption: Encryption,
    (issuer, names, years): (&Authority, &[&str], (i32, i32)),
    trusted: &Authority,
) -> (Mock, ConnectOptions) {
    let config = server(certificate(issuer, names, years), &[&TLS12, &TLS13]);
    let (mock, mut options) = mock(Script { encryption, tls: Some(Arc::new(config)), ..Script::open() }).await;
    options.roots = TrustRoots::from_pem(trusted.pem.as_bytes()).unwrap();
    (mock, options)
}

/// How a login in this mode ends; one that gets in is encrypted unless the mode is plaintext.
async fn login(mock: &Mock, options: &ConnectOptions, tls: TlsMode) -> Option<TlsProblem> {
    let before = mock.seen().logins.len();
    let options = ConnectOptions { tls, ..options.clone() };
    match connect(&options).await {
        Ok(mut session) => {
            session.ping().await.unwrap();
            let logins = mock.seen().logins;
            assert_eq!(logins.len(), before + 1);
            assert_eq!(logins[before].encrypted, tls != TlsMode::Disable, "{tls}");
            None
        }
        Err(error) => {
            assert_eq!(mock.seen().logins.len(), before, "a password was sent: {tls}");
            match error.class() {
                ConnectClass::TlsFailed(problem) => Some(problem),
                other => panic!("{tls}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn each_mode_checks_what_libpq_says_it_checks() {
    use TlsProblem::{Expired, NameMismatch, UnknownIssuer};
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    for (shown, [by_ca, by_name]) in [
        ((&ours, HERE, NOW), [None, None]),
        ((&ours, ELSEWHERE, NOW), [None, Some(NameMismatch)]),
        ((&theirs, HERE, NOW), [Some(UnknownIssuer), Some(UnknownIssuer)]),
        ((&ours, HERE, (2000, 2001)), [Some(Expired), Some(Expired)]),
    ] {
        let (mock, options) = with_certificate(Encryption::Optional, shown, &ours).await;
        for (mode, expected) in MODES.into_iter().zip([None, None, by_ca, by_name]) {
            assert_eq!(login(&mock, &options, mode).await, expected, "{mode} {:?} {:?}", shown.1, shown.2);
        }
        assert_eq!(mock.seen().complaints, [""; 0]);
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password_but_in_plaintext_mode() {
    let (mock, options) = mock(Script::open()).await;
    for (mode, expected) in MODES.into_iter().zip([None, Some(()), Some(()), Some(())]) {
        assert_eq!(login(&mock, &options, mode).await, expected.map(|()| TlsProblem::NotOffered));
    }
}

#[tokio::test]
async fn an_answer_without_encryption_by_somebody_in_between_ends_the_connection() {
    let ours = authority("ours");
    // "Off" encrypts the login alone, "not supported" nothing.
    for said in [0, 2] {
        let (mock, options) = with_certificate(Encryption::Says(said), (&ours, HERE, NOW), &ours).await;
        for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            assert_eq!(login(&mock, &options, mode).await, Some(TlsProblem::NotOffered), "{said}");
        }
    }
    let (mock, mut options) = with_certificate(Encryption::Says(9), (&ours, HERE, NOW), &ours).await;
    for mode in MODES {
        options.tls = mode;
        assert_eq!(refusal(&options).await.class(), ConnectClass::Protocol);
    }
    assert_eq!(mock.seen().logins, []);
}

#[tokio::test]
async fn plaintext_is_never_more_than_plaintext() {
    let ours = authority("ours");
    let (mock, mut options) = with_certificate(Encryption::Demanded, (&ours, HERE, NOW), &ours).await;
    for (mode, expected) in MODES.into_iter().zip([Some(TlsProblem::Demanded), None, None, None]) {
        assert_eq!(login(&mock, &options, mode).await, expected);
    }
    options.tls = TlsMode::Disable;
    let sentence = format!("{} demands TLS, and the chosen sslMode is plaintext", options.endpoint);
    assert_eq!(refusal(&options).await.to_string(), sentence);
}

#[tokio::test]
async fn what_follows_the_handshake_may_be_long() {
    let ours = authority("ours");
    let config = server(certificate(&ours, HERE, NOW), &[&TLS12]);
    let answer = [vec![0xab, 0xff, 0x3f], vec![0; 0x3fff]].concat();
    let (mock, mut options) = mock(Script {
        encryption: Encryption::Demanded,
        tls: Some(Arc::new(config)),
        login: Box::new(move |_| Reply::Tokens([answer.clone(), accepted()].concat())),
        ..Script::open()
    })
    .await;
    options.roots = TrustRoots::from_pem(ours.pem.as_bytes()).unwrap();
    assert_eq!(login(&mock, &options, TlsMode::VerifyFull).await, None);
}
