//! The bearer token: where it is, and whether DBHub can use it. A blank one would switch authentication off without
//! a word, so it never gets that far.

use api_types::TokenSecretRef;
use secrecy::{ExposeSecret as _, SecretString};

use super::problem::Problem;
use crate::gather::Keyed;
use crate::plan::names::Names;

/// Key of the token in the Secret that we generate.
pub const TOKEN_KEY: &str = "token";

/// One key of one Secret in the instance's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlace {
    /// Name of the Secret.
    pub secret: String,
    /// Key in it.
    pub key: String,
    /// Whether the Secret is ours to make.
    pub generated: bool,
}

impl TokenPlace {
    /// A Secret that somebody brings along.
    #[must_use]
    pub fn brought(reference: TokenSecretRef) -> Self {
        Self { secret: reference.name, key: reference.key, generated: false }
    }

    /// The Secret that is made once for the instance.
    #[must_use]
    pub fn generated(names: &Names) -> Self {
        Self { secret: names.token(), key: TOKEN_KEY.to_owned(), generated: true }
    }
}

/// A token that DBHub demands and clients can send: one or more, separated by commas, any of which opens.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

impl Token {
    /// The token at its place; `None` for one that is yet to be generated.
    pub fn find(place: &TokenPlace, secret: Option<&Keyed>) -> Result<Option<Self>, Problem> {
        let (name, key) = (place.secret.clone(), place.key.clone());
        match secret {
            None if place.generated => Ok(None),
            None => Err(Problem::TokenSecretNotFound { name }),
            Some(secret) if secret.bytes(&key).is_none() => Err(Problem::TokenKeyMissing { name, key }),
            Some(secret) => match secret.text(&key).and_then(Self::parse) {
                Some(token) => Ok(Some(token)),
                None => Err(Problem::TokenInvalid { name, key }),
            },
        }
    }

    /// 256 bits of the operating system's randomness, in hexadecimal digits.
    pub fn generate() -> Result<Self, rand::rngs::SysError> {
        crate::random::hex().map(Self)
    }

    fn parse(text: SecretString) -> Option<Self> {
        let sendable = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
        text.expose_secret().split(',').map(str::trim).all(sendable).then_some(Self(text))
    }

    /// All of it, as the pods get it.
    #[must_use]
    pub fn whole(&self) -> &SecretString {
        &self.0
    }

    /// The first of several: while `old` becomes `old,new` and then `new`, every pod takes it.
    #[must_use]
    pub fn first(&self) -> SecretString {
        let text = self.0.expose_secret();
        text.split(',').next().unwrap_or(text).trim().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<String> {
        Token::parse(text.into()).map(|token| token.first().expose_secret().to_owned())
    }

    #[test]
    fn what_dbhub_accepts_is_accepted() {
        assert_eq!(first("s3cret").as_deref(), Some("s3cret"));
        assert_eq!(first("old, new\n").as_deref(), Some("old"));
    }

    #[test]
    fn what_would_open_the_door_is_refused() {
        for bad in ["", " ", ",", "a,", ",a", "a,,b", "two words", "tab\tin", "ü"] {
            assert_eq!(first(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_generated_token_is_long_valid_and_never_the_same() {
        let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(a.whole().expose_secret().len(), 64);
        assert_ne!(a.whole().expose_secret(), b.whole().expose_secret());
        assert!(Token::parse(a.0).is_some());
    }
}
