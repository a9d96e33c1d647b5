//! How a password is proved to MySQL: pure functions from password and challenge to bytes.
//! `mysql_native_password` and `caching_sha2_password` cover MySQL 5.6 to 9, MariaDB and Percona. The
//! plugins that send the password as it is, or that need a helper library, are not spoken.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

/// A way of proving a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// SHA-1, MySQL's default up to 5.7 and MariaDB's.
    Native,
    /// SHA-256, MySQL's default since 8.0.
    CachingSha2,
}

impl Plugin {
    /// The plugin of a name, if it is spoken here.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            _ => None,
        }
    }

    /// The proof for a challenge; empty for an empty password, as the servers demand.
    pub(super) fn proof(self, password: &[u8], challenge: &[u8]) -> Vec<u8> {
        match (self, password) {
            (_, []) => Vec::new(),
            (Self::Native, _) => {
                let sha1 = |parts: &[&[u8]]| hash(&SHA1_FOR_LEGACY_USE_ONLY, parts);
                let once = sha1(&[password]);
                xor(&once, &sha1(&[challenge, &sha1(&[&once])]))
            }
            (Self::CachingSha2, _) => {
                let sha256 = |parts: &[&[u8]]| hash(&SHA256, parts);
                let once = sha256(&[password]);
                xor(&once, &sha256(&[&sha256(&[&once]), challenge]))
            }
        }
    }
}

/// The password as `caching_sha2_password` wants it over TLS when its cache is cold.
pub(super) fn over_tls(password: &[u8]) -> Vec<u8> {
    [password, &[0]].concat()
}

/// The same without TLS: encrypted with the key the server gave, which nobody vouches for. Whoever only
/// listens learns nothing; whoever sits between can give a key of his own, as he can give a certificate
/// of his own under `sslMode: require`. To refuse would make logins fail whenever the server's cache is
/// cold, after each restart, and drive nobody to more than `require`. `None` if the key is of no use.
pub(super) fn over_plaintext(password: &[u8], challenge: &[u8], pem: &[u8]) -> Option<Vec<u8>> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).ok()?).ok()?;
    let hidden = xor(&over_tls(password), challenge);
    let mut encrypted = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, &hidden, &mut encrypted, None).ok()?.len();
    encrypted.truncate(length);
    Some(encrypted)
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    digest(algorithm, &parts.concat()).as_ref().to_vec()
}

/// Repeats `key` as often as it takes.
fn xor(text: &[u8], key: &[u8]) -> Vec<u8> {
    text.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect()
}
