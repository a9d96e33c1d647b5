//! Certificate authorities: PEM text in, certificates re-encoded out. Whatever else stands in the text (a private key
//! by mistake, comments) is never copied.

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

const TAG: &str = "CERTIFICATE";

/// One or more parsed certificates, encoded as PEM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaBundle(String);

/// Why a text is no CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Not PEM, or cut off.
    #[error("it is not valid PEM text")]
    NotPem,
    /// PEM, but without a certificate.
    #[error("it holds no CERTIFICATE block")]
    Empty,
    /// It would crowd out those of other databases.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// A certificate block that cannot be read.
    #[error("one of its CERTIFICATE blocks is no certificate")]
    NotACertificate,
}

impl CaBundle {
    /// Reads every certificate of the text; one that cannot be read spoils the whole.
    pub fn parse(text: &[u8]) -> Result<Self, CaError> {
        let blocks = pem::parse_many(text).map_err(|_| CaError::NotPem)?;
        let certificates: Vec<Pem> = blocks
            .into_iter()
            .filter(|block| block.tag() == TAG)
            .map(|block| Pem::new(TAG, block.into_contents()))
            .collect();
        if certificates.is_empty() {
            return Err(CaError::Empty);
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(CertificateDer::from(certificate.contents())).map_err(|_| CaError::NotACertificate)?;
        }
        Ok(Self(pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))))
    }

    /// A bundle of any text, for tests that ask for its size alone.
    #[cfg(test)]
    #[must_use]
    pub fn of_text(text: String) -> Self {
        Self(text)
    }

    /// The certificates as PEM.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::ca_pem;

    #[test]
    fn only_certificates_are_copied_and_their_text_is_our_own() {
        let ca = ca_pem();
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let bundle = CaBundle::parse(format!("# a comment\n{key}{}", ca.replace('\n', "\r\n")).as_bytes()).unwrap();
        assert_eq!(bundle.as_str().trim(), ca.trim());
    }

    #[test]
    fn several_certificates_stay_several() {
        let text = ca_pem() + &ca_pem();
        assert_eq!(CaBundle::parse(text.as_bytes()).unwrap().as_str().matches("BEGIN").count(), 2);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        assert_eq!(CaBundle::parse(b""), Err(CaError::Empty));
        assert_eq!(CaBundle::parse(b"-----BEGIN CERTIFICATE-----\nAAAA"), Err(CaError::Empty));
        let not_x509 = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(CaBundle::parse(not_x509), Err(CaError::NotACertificate));
        let broken = b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
        assert_eq!(CaBundle::parse(broken), Err(CaError::NotPem));
    }
}
