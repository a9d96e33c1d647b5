//! Turns a mode and a set of trusted authorities into a rustls client configuration, the same for all
//! engines. The crypto provider is passed explicitly; no process-wide default is read or installed.

mod verifier;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion};

use crate::connect_error::{ConnectClass, TlsProblem};
use crate::endpoint::Host;
use verifier::{AnyCertificate, AnyName};

/// Whether and how TLS is used, as libpq means these words. No mode ever falls back to plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plaintext.
    Disable,
    /// Encrypted; the certificate is not checked, so it may be anyone's.
    Require,
    /// The certificate must come from a trusted authority; its host name is not checked.
    VerifyCa,
    /// Trusted authority and host name. Only subject alternative names count: unlike libpq, rustls does
    /// not look at the common name.
    #[default]
    VerifyFull,
}

/// A text that names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no TLS mode: use disable, require, verify-ca or verify-full")]
pub struct TlsModeError(String);

impl TlsMode {
    /// The mode as libpq writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TlsMode {
    type Err = TlsModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Disable, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| TlsModeError(text.to_owned()))
    }
}

/// The authorities that `verify-ca` and `verify-full` trust. Cheap to clone.
#[derive(Clone)]
pub struct TrustRoots(Arc<RootCertStore>);

/// Why a PEM bundle gives no authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustRootsError {
    /// Other blocks do not count.
    #[error("the CA bundle holds no CERTIFICATE block")]
    Empty,
    /// One bad block spoils the bundle: dropping it silently would look like a server at fault.
    #[error("CERTIFICATE block {0} of the CA bundle cannot be read")]
    Malformed(usize),
}

impl TrustRoots {
    /// The public authorities that web browsers trust, as compiled in.
    #[must_use]
    pub fn web() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        Self(Arc::new(RootCertStore { roots }))
    }

    /// The authorities in a PEM bundle, and no others. Only CERTIFICATE blocks are looked at; keys and
    /// text between them are skipped.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustRootsError> {
        let mut store = RootCertStore::empty();
        for (index, block) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let malformed = TrustRootsError::Malformed(index + 1);
            let certificate = block.map_err(|_| malformed)?;
            store.add(certificate).map_err(|_| malformed)?;
        }
        if store.is_empty() {
            return Err(TrustRootsError::Empty);
        }
        Ok(Self(Arc::new(store)))
    }
}

impl fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoots({} authorities)", self.0.len())
    }
}

/// The configuration for a mode; `None` for plaintext.
pub(crate) fn client_config(mode: TlsMode, roots: &TrustRoots) -> Result<Option<ClientConfig>, ConnectClass> {
    client_config_of(mode, roots, DEFAULT_VERSIONS)
}

/// The same for a protocol that not every version of TLS fits.
pub(crate) fn client_config_of(
    mode: TlsMode,
    roots: &TrustRoots,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Option<ClientConfig>, ConnectClass> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let chain = || {
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots.0), Arc::clone(&provider))
            .build()
            .map_err(|_| ConnectClass::TlsFailed(TlsProblem::Other))
    };
    let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = match mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => Arc::new(AnyCertificate(algorithms)),
        TlsMode::VerifyCa => Arc::new(AnyName(chain()?)),
        TlsMode::VerifyFull => chain()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|_| ConnectClass::TlsFailed(TlsProblem::Other))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A configuration serves one connection, so there is nothing to resume.
    config.resumption = Resumption::disabled();
    Ok(Some(config))
}

/// The name that the server's certificate has to hold.
pub(crate) fn server_name(host: &Host) -> Result<ServerName<'static>, ConnectClass> {
    match host {
        Host::Ip(address) => Ok(ServerName::from(*address)),
        Host::Dns(name) => {
            ServerName::try_from(name.clone()).map_err(|_| ConnectClass::TlsFailed(TlsProblem::NameMismatch))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
