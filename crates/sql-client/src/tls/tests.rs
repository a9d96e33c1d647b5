//! The four modes against certificates of every kind, over an in-memory connection.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::io_error;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

pub(crate) fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

/// A server's certificate for `names`, valid in the given years, with its key.
pub(crate) fn certificate(authority: &Authority, names: &[&str], years: (i32, i32)) -> CertifiedKey {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let chain = vec![params.signed_by(&key, &authority.issuer).unwrap().der().clone()];
    CertifiedKey::new(chain, signing_key(&key))
}

fn signing_key(key: &KeyPair) -> Arc<dyn rustls::sign::SigningKey> {
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    aws_lc_rs::sign::any_supported_type(&der).unwrap()
}

/// Shows what it is given, even a certificate whose key it does not have.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server that shows this certificate.
pub(crate) fn server(shown: CertifiedKey, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shown))))
}

/// What a client of `mode` that trusts `trusted` and calls for `db.acme` makes of the certificate.
async fn meet(
    mode: TlsMode,
    trusted: &Authority,
    shown: CertifiedKey,
    protocol: &'static SupportedProtocolVersion,
) -> Result<(), ConnectClass> {
    let roots = TrustRoots::from_pem(trusted.pem.as_bytes()).unwrap();
    let config = client_config(mode, &roots).unwrap().unwrap();
    let server = server(shown, &[protocol]);
    let (here, there) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from("db.acme").unwrap();
    let (met, _) = tokio::join!(
        TlsConnector::from(Arc::new(config)).connect(name, here),
        TlsAcceptor::from(Arc::new(server)).accept(there),
    );
    met.map(drop).map_err(|error: io::Error| io_error::classify(&error))
}

pub(crate) const NOW: (i32, i32) = (2020, 2100);
const GOOD: Result<(), ConnectClass> = Ok(());

fn bad(problem: TlsProblem) -> Result<(), ConnectClass> {
    Err(ConnectClass::TlsFailed(problem))
}

#[tokio::test]
async fn each_mode_checks_what_libpq_says_it_checks() {
    use TlsMode::{Require, VerifyCa, VerifyFull};
    use TlsProblem::{Expired, NameMismatch, UnknownIssuer};
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (right, wrong) = (&["db.acme"], &["other.acme"]);
    let cases = [
        (Require, &theirs, &wrong[..], (2000, 2001), GOOD),
        (VerifyCa, &ours, right, NOW, GOOD),
        (VerifyCa, &ours, wrong, NOW, GOOD),
        (VerifyCa, &ours, &[], NOW, GOOD),
        (VerifyCa, &theirs, right, NOW, bad(UnknownIssuer)),
        (VerifyCa, &theirs, wrong, NOW, bad(UnknownIssuer)),
        (VerifyCa, &ours, right, (2000, 2001), bad(Expired)),
        (VerifyCa, &ours, wrong, (2000, 2001), bad(Expired)),
        (VerifyCa, &ours, wrong, (2090, 2100), bad(Expired)),
        (VerifyFull, &ours, right, NOW, GOOD),
        (VerifyFull, &ours, wrong, NOW, bad(NameMismatch)),
        (VerifyFull, &ours, &[], NOW, bad(NameMismatch)),
        (VerifyFull, &ours, &["127.0.0.1"], NOW, bad(NameMismatch)),
        (VerifyFull, &theirs, right, NOW, bad(UnknownIssuer)),
        (VerifyFull, &ours, right, (2000, 2001), bad(Expired)),
    ];
    for (mode, issuer, names, years, expected) in cases {
        let met = meet(mode, &ours, certificate(issuer, names, years), &version::TLS13).await;
        assert_eq!(met, expected, "{mode} {names:?} {years:?}");
    }
}

#[tokio::test]
async fn no_mode_takes_a_certificate_from_someone_without_its_key() {
    let ours = authority("ours");
    for protocol in [&version::TLS12, &version::TLS13] {
        for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            let honest = certificate(&ours, &["db.acme"], NOW);
            assert_eq!(meet(mode, &ours, honest, protocol).await, GOOD, "{mode}");
            let mut stolen = certificate(&ours, &["db.acme"], NOW);
            stolen.key = signing_key(&KeyPair::generate().unwrap());
            assert_eq!(meet(mode, &ours, stolen, protocol).await, bad(TlsProblem::Other), "{mode}");
        }
    }
}

#[tokio::test]
async fn an_authority_is_no_server_even_if_it_is_trusted() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["db.acme".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let ours = Authority { pem: own.pem(), ..authority("ours") };
    let shown = || CertifiedKey::new(vec![own.der().clone()], signing_key(&key));
    assert_eq!(meet(TlsMode::Require, &ours, shown(), &version::TLS13).await, GOOD);
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        assert_eq!(meet(mode, &ours, shown(), &version::TLS13).await, bad(TlsProblem::AuthoritysOwn), "{mode}");
    }
}

#[tokio::test]
async fn only_require_takes_a_certificate_that_cannot_be_read() {
    let ours = authority("ours");
    let unreadable =
        || CertifiedKey { cert: vec![b"X.509 v1".to_vec().into()], ..certificate(&ours, &["db.acme"], NOW) };
    for protocol in [&version::TLS12, &version::TLS13] {
        assert_eq!(meet(TlsMode::Require, &ours, unreadable(), protocol).await, GOOD);
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
            assert_eq!(meet(mode, &ours, unreadable(), protocol).await, bad(TlsProblem::Other), "{mode}");
        }
    }
}

#[test]
fn disable_needs_no_configuration() {
    assert!(client_config(TlsMode::Disable, &TrustRoots::web()).unwrap().is_none());
}

#[test]
fn modes_are_written_as_libpq_writes_them() {
    for mode in ["disable", "require", "verify-ca", "verify-full"] {
        assert_eq!(mode.parse::<TlsMode>().unwrap().to_string(), mode);
    }
    assert_eq!("prefer".parse::<TlsMode>(), Err(TlsModeError("prefer".to_owned())));
}

#[test]
fn a_bundle_is_its_certificates_or_an_error() {
    let (one, two) = (authority("one").pem, authority("two").pem);
    let key = KeyPair::generate().unwrap().serialize_pem();
    let both = TrustRoots::from_pem(format!("# ours\n{one}\n{key}\n{two}").as_bytes()).unwrap();
    assert_eq!(format!("{both:?}"), "TrustRoots(2 authorities)");

    let error = |pem: &str| TrustRoots::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(error(""), TrustRootsError::Empty);
    assert_eq!(error(&key), TrustRootsError::Empty);
    let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert_eq!(error(&format!("{one}{no_certificate}")), TrustRootsError::Malformed(2));
    let no_base64 = "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n";
    assert_eq!(error(no_base64), TrustRootsError::Malformed(1));
}
