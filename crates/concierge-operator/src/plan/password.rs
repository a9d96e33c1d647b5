//! Passwords of applications: 32 characters that need no quoting in SQL, URLs or shells, about 191 bits.

use std::fmt;

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, SecretString};

use super::scram::{self, Salt};
use crate::engine::Engine;

const LENGTH: usize = 32;
/// 64 characters, so that six bits of a byte choose one without bias.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A well-formed password; printed as dots.
#[derive(Clone)]
pub struct Password(SecretString);

/// The operating system gave no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random numbers for a password")]
pub struct NoRandomness;

impl Password {
    /// A new one, from the operating system's generator.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; LENGTH];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
        // A letter in front, so that no command line takes the password for an option.
        bytes[0] &= 31;
        let text: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect();
        Ok(Self(SecretString::from(text)))
    }

    /// Takes what a Secret holds, if it is one of ours: anything else was put there by somebody.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let well_formed = bytes.len() == LENGTH && bytes.iter().all(|byte| ALPHABET.contains(byte));
        let text = std::str::from_utf8(bytes).ok().filter(|_| well_formed)?;
        Some(Self(SecretString::from(text)))
    }

    /// The characters; for the Secret, the statement and the login alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same, still wrapped.
    #[must_use]
    pub fn secret(&self) -> SecretString {
        self.0.clone()
    }
}

/// What an account statement says of a password, fit to stand between single quotes; printed as dots.
#[derive(Clone)]
pub struct Stated(SecretString);

impl Stated {
    /// MySQL takes the password, PostgreSQL something that cannot be turned back into it.
    #[must_use]
    pub fn to(engine: Engine, password: &Password, salt: Salt) -> Self {
        match engine {
            Engine::Mysql => Self(password.secret()),
            Engine::Postgres => Self(SecretString::from(scram::verifier(password, salt))),
        }
    }

    /// For the statement alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stated(…)")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_well_formed_and_new() {
        let (one, two) = (Password::generate().unwrap(), Password::generate().unwrap());
        assert!(Password::parse(one.expose().as_bytes()).is_some());
        assert_ne!(one.expose(), two.expose());
    }

    #[test]
    fn a_new_password_begins_with_a_letter() {
        let first = || Password::generate().unwrap().expose().chars().next();
        assert!((0..500).all(|_| first().is_some_and(|first| first.is_ascii_alphabetic())));
    }

    #[test]
    fn anything_else_is_no_password_of_ours() {
        let well_formed = "a".repeat(32);
        assert!(Password::parse(well_formed.as_bytes()).is_some());
        for text in ["", "short", &"a".repeat(31), &"a".repeat(33), &format!("{}'", "a".repeat(31)), &"ä".repeat(16)] {
            assert!(Password::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_password_does_not_print() {
        let password = Password::parse("a".repeat(32).as_bytes()).unwrap();
        assert_eq!(format!("{password:?}"), "Password(…)");
    }

    #[test]
    fn postgresql_is_told_no_password_at_all() {
        let password = Password::parse("a".repeat(32).as_bytes()).unwrap();
        let salt = Salt::generate().unwrap();
        assert_eq!(Stated::to(Engine::Mysql, &password, salt).expose(), password.expose());
        let stated = Stated::to(Engine::Postgres, &password, salt);
        assert!(stated.expose().starts_with("SCRAM-SHA-256$") && !stated.expose().contains(password.expose()));
        assert_eq!(format!("{stated:?}"), "Stated(…)");
    }
}
