//! What PostgreSQL keeps instead of a password (RFC 5802, as its `pg_authid` writes it): computed here, so that the
//! server, and with it its log, never sees the password. Pure; the salt is given.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::{NoRandomness, Password};

/// PostgreSQL's own default. The password's 191 random bits do not depend on it.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
const SALT: usize = 16;

/// What makes two verifiers of one password differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt([u8; SALT]);

impl Salt {
    /// A new one, from the operating system's generator.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; SALT];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }
}

/// The verifier; nothing in it has to be escaped. Our passwords need no preparation (RFC 4013): they are ASCII.
#[must_use]
pub fn verifier(password: &Password, salt: Salt) -> String {
    encode(password.expose().as_bytes(), &salt.0)
}

fn encode(password: &[u8], salt: &[u8]) -> String {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password, &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let [salt, stored, server] = [salt, stored.as_ref(), server.as_ref()].map(|bytes| BASE64_STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The password and salt of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc_gives_its_keys() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        insta::assert_snapshot!(encode(b"pencil", &salt), @"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    }
}
