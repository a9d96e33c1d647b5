//! The certificates that a server may show, good and bad, all for whoever calls it `localhost`.

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::cluster::pki::{Authority, Identity};

/// The name in the right certificate.
pub const NAME: &str = "localhost";

/// One authority, and certificates that it did and did not issue.
pub struct Certificates {
    authority: Authority,
    ca_file: NamedTempFile,
}

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// No certificate: the server offers no TLS.
    NoTls,
    /// A certificate for the right name that nobody issued.
    SelfSigned,
    /// The right authority's, for another name.
    WrongName,
    /// The right authority's, for the right name.
    Right,
    /// The right authority's for the right name, of yesterday.
    Expired,
}

impl Certificates {
    /// A new authority.
    pub fn new() -> Result<Self> {
        let authority = Authority::new("e2e-loopback")?;
        let ca_file = NamedTempFile::new().context("cannot make a temporary file")?;
        std::fs::write(ca_file.path(), authority.certificate())?;
        Ok(Self { authority, ca_file })
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn ca(&self) -> String {
        self.authority.certificate()
    }

    /// A file with it.
    #[must_use]
    pub fn ca_file(&self) -> &std::path::Path {
        self.ca_file.path()
    }

    /// What to show; `None` for no TLS.
    pub fn identity(&self, shown: Shown) -> Result<Option<Identity>> {
        Ok(Some(match shown {
            Shown::NoTls => return Ok(None),
            Shown::SelfSigned => self_signed()?,
            Shown::WrongName => self.authority.issue("server", None, &["other.acme.internal"])?,
            Shown::Right => self.authority.issue("server", None, &[NAME])?,
            Shown::Expired => self.authority.issue_expired("server", &[NAME])?,
        }))
    }
}

fn self_signed() -> Result<Identity> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).context("cannot sign a certificate")?;
    Ok(Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
}
