//! A login out of a Secret: one that may be used, and that reaches the driver through an environment variable and DBHub
//! as it is. Pure.

use api_types::{CredentialsRef, Database, Engine};
use kube::ResourceExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::rejection::Rejection;
use crate::gather::Keyed;

/// Linux hands a program no longer variable than 128 KiB and not much more in all; access tokens, the longest of
/// passwords, stay below this.
const MOST_BYTES: usize = 8 * 1024;

/// Where this stands in a password, DBHub's drivers for MySQL and `MariaDB` take it for a token of AWS: they send it
/// unhashed, and switch TLS on, unchecked (read in 1.4.0).
const AWS_TOKEN: &str = "X-Amz-Credential";

/// A login, neither part empty.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User name.
    pub user: SecretString,
    /// Password.
    pub password: SecretString,
}

/// Why a user name or password would not arrive as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The pods would not start.
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// DBHub would send it in another way.
    #[error("DBHub takes it for a token of AWS, since X-Amz-Credential stands in it")]
    AwsToken,
}

/// The login of a Database; `secret` is what its `credentialsRef` names, if that exists.
pub fn credentials(
    database: &Database,
    reference: &CredentialsRef,
    secret: Option<&Keyed>,
) -> Result<Credentials, Rejection> {
    let secret = permitted(database, reference, secret)?;
    let value = |key: &str| {
        let (name, key) = (reference.name.clone(), key.to_owned());
        let Some(text) = secret.text(&key).filter(is_usable) else {
            return Err(Rejection::SecretKeyMissing { name, key });
        };
        match misread(database.spec.engine, &text) {
            Some(error) => Err(Rejection::CredentialsUnsupported { name, key, error }),
            None => Ok(text),
        }
    };
    Ok(Credentials { user: value(&reference.user_key)?, password: value(&reference.password_key)? })
}

fn permitted<'a>(
    database: &Database,
    reference: &CredentialsRef,
    secret: Option<&'a Keyed>,
) -> Result<&'a Keyed, Rejection> {
    let own = database.namespace().unwrap_or_default();
    let foreign = reference.namespace.as_ref().filter(|namespace| **namespace != own);
    let name = reference.name.clone();
    match (secret, foreign) {
        (Some(secret), None) => Ok(secret),
        (Some(secret), Some(_)) if secret.consents_to(&own) => Ok(secret),
        (None, None) => Err(Rejection::SecretNotFound { name }),
        (_, Some(namespace)) => Err(Rejection::CredentialsNotShared { namespace: namespace.clone(), name }),
    }
}

/// DBHub demands both, and an environment variable holds no NUL.
fn is_usable(text: &SecretString) -> bool {
    let text = text.expose_secret();
    !text.is_empty() && !text.contains('\0')
}

fn misread(engine: Engine, text: &SecretString) -> Option<LoginError> {
    let text = text.expose_secret();
    let takes_tokens = matches!(engine, Engine::Mysql | Engine::Mariadb);
    if text.len() > MOST_BYTES {
        Some(LoginError::TooLong)
    } else if takes_tokens && text.contains(AWS_TOKEN) {
        Some(LoginError::AwsToken)
    } else {
        None
    }
}
