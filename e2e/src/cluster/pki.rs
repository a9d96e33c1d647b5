//! Makes the certificates of a cluster: one authority for Kubernetes, another for the database servers. They live as
//! long as the state folder and are trusted by nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::{Span, Zoned};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::layout::{API_SERVICE_ADDRESS, Layout, NODE_ADDRESS, NODE_NAME};

const VALID_DAYS: i64 = 30;

/// The names in the database servers' certificate. Names below `e2e.internal` are left out on purpose.
pub const SERVER_NAMES: [&str; 10] = [
    "analytics-pg.acme.internal",
    "users-mysql.acme.internal",
    "orders-mysql8.acme.internal",
    "cluster1-haproxy.default.svc",
    "cluster1-haproxy.default.svc.cluster.local",
    "postgres-main.default.svc",
    "postgres-main.default.svc.cluster.local",
    "mysql8-main.default.svc",
    "mysql8-main.default.svc.cluster.local",
    "localhost",
];

/// A certificate and its private key, both PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// Signs certificates.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a key of its own. Its subject differs from that of anything it issues: OpenSSL, and so
    /// Node, takes a certificate whose issuer is its subject for self-signed.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = params(&format!("{name} CA"), None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("cannot sign a certificate")?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for servers and clients called `name`, with these DNS names and addresses.
    pub fn issue(&self, name: &str, group: Option<&str>, names: &[&str]) -> Result<Identity> {
        self.sign(params(name, group, names)?)
    }

    /// The same for a server alone, valid until yesterday.
    pub fn issue_expired(&self, name: &str, names: &[&str]) -> Result<Identity> {
        let mut params = params(name, None, names)?;
        set_validity(&mut params, -2, -1)?;
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate().context("cannot make a key")?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).context("cannot sign a certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Writes every certificate of Kubernetes into `pki/`.
pub fn write_kubernetes(layout: &Layout) -> Result<()> {
    let folder = layout.path("pki");
    let authority = Authority::new("e2e-kubernetes")?;
    write(&folder.join("ca.crt"), &authority.certificate())?;
    let api_names =
        ["localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "127.0.0.1", NODE_ADDRESS];
    let api = authority.issue("apiserver", None, &[&api_names[..], &[API_SERVICE_ADDRESS]].concat())?;
    let admin = authority.issue("admin", Some("system:masters"), &[])?;
    let node = format!("system:node:{NODE_NAME}");
    let kubelet = authority.issue(&node, Some("system:nodes"), &[NODE_NAME, "127.0.0.1", NODE_ADDRESS])?;
    for (name, identity) in [("apiserver", api), ("admin", admin), ("kubelet", kubelet)] {
        write(&folder.join(format!("{name}.crt")), &identity.certificate)?;
        write(&folder.join(format!("{name}.key")), &identity.key)?;
    }
    let tokens = KeyPair::generate().context("cannot make a key")?;
    write(&folder.join("sa.key"), &tokens.serialize_pem())?;
    write(&folder.join("sa.pub"), &tokens.public_key_pem())
}

/// Writes a file that only its owner may read.
pub fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict {}", path.display()))
}

fn params(name: &str, group: Option<&str>, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).context("not a DNS name or an address")?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    set_validity(&mut params, -1, VALID_DAYS)?;
    Ok(params)
}

/// From the beginning of one day to that of another, both counted from today.
fn set_validity(params: &mut CertificateParams, from: i64, until: i64) -> Result<()> {
    let now = Zoned::now();
    let (year, month, day) = date_in(&now, from)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date_in(&now, until)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(())
}

fn date_in(now: &Zoned, days: i64) -> Result<(i32, u8, u8)> {
    let date = now.checked_add(Span::new().days(days)).context("a date out of range")?;
    Ok((date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_issues_pem() {
        let identity = Authority::new("ca").unwrap().issue("x", Some("g"), &["a.b", "127.0.0.1"]).unwrap();
        assert!(identity.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(identity.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn the_wrong_name_for_tls_tests_is_in_no_certificate() {
        assert!(SERVER_NAMES.iter().all(|name| !name.ends_with("e2e.internal")));
    }
}
