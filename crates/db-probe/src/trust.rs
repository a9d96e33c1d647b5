//! Turns the file of `--trust-bundle` into trusted authorities. The file is read at each use, so that a changed one
//! takes effect with the next probe, and parsed only when its content differs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sql_client::TrustRoots;

use crate::error::Problem;

/// Whom `verify-ca` and `verify-full` trust where a Database names no CA.
#[derive(Debug)]
pub struct PlatformTrust {
    file: Option<PathBuf>,
    parsed: Mutex<Option<Parsed>>,
}

#[derive(Debug)]
struct Parsed {
    pem: Vec<u8>,
    roots: TrustRoots,
}

impl PlatformTrust {
    /// The authorities in the file; without a file, the public web roots.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, parsed: Mutex::default() }
    }

    /// The authorities as of now.
    pub async fn roots(&self) -> Result<TrustRoots, Problem> {
        let Some(file) = self.file.clone() else { return Ok(TrustRoots::web()) };
        let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
        let pem = read.ok().and_then(Result::ok).ok_or(Problem::TrustBundle)?;
        self.parse(pem)
    }

    fn parse(&self, pem: Vec<u8>) -> Result<TrustRoots, Problem> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parsed) = parsed.as_ref().filter(|parsed| parsed.pem == pem) {
            return Ok(parsed.roots.clone());
        }
        let roots = TrustRoots::from_pem(&pem).map_err(|_| Problem::TrustBundle)?;
        *parsed = Some(Parsed { pem, roots: roots.clone() });
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> String {
        rcgen::generate_simple_self_signed(["ca.acme.internal".to_owned()]).unwrap().cert.pem()
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let trust = PlatformTrust::new(Some(file.path().to_owned()));
        assert_eq!(trust.roots().await.unwrap_err(), Problem::TrustBundle, "empty");
        std::fs::write(file.path(), authority()).unwrap();
        assert_eq!(format!("{:?}", trust.roots().await.unwrap()), "TrustRoots(1 authorities)");
        std::fs::write(file.path(), authority() + &authority()).unwrap();
        assert_eq!(format!("{:?}", trust.roots().await.unwrap()), "TrustRoots(2 authorities)");
        drop(file);
        assert_eq!(trust.roots().await.unwrap_err(), Problem::TrustBundle, "gone");
    }

    #[tokio::test]
    async fn without_a_file_the_web_roots_count() {
        let roots = PlatformTrust::new(None).roots().await.unwrap();
        assert_eq!(format!("{roots:?}"), format!("{:?}", TrustRoots::web()));
    }
}
