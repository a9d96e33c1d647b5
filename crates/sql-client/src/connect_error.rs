//! Why a connection could not be made: a class that a program can act on, the server's own code, and a
//! sentence that a person can act on. The server's text never gets in here, since servers echo input.

use std::fmt;
use std::time::Duration;

use crate::connect::ConnectOptions;
use crate::endpoint::Endpoint;
use crate::io_error;

/// What went wrong on the way to a usable login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectClass {
    /// The name has no address.
    HostNotFound,
    /// The address lies in a denied network.
    HostNotAllowed,
    /// Nothing accepts connections there, or the network refuses to carry them.
    ConnectionRefused,
    /// The connection was closed from the other side before the login was done.
    ConnectionReset,
    /// The whole of it took longer than `connect_timeout`.
    Timeout,
    /// No TLS connection as the mode demands it.
    TlsFailed(TlsProblem),
    /// The server does not accept this user with this password from here.
    AuthenticationFailed,
    /// The account is there and is locked.
    AccountLocked,
    /// The server asks for a way of proving the password that this client does not speak.
    AuthMethodUnsupported,
    /// The server asks for the password itself, on a connection that is not encrypted.
    PasswordInClear,
    /// The password is right but must be changed first.
    PasswordExpired,
    /// The login is right but may not open this database.
    AccessDenied,
    /// There is no such database.
    DatabaseNotFound,
    /// The login is right, but there is no such database, it is offline, or the login has no user in it: SQL Server
    /// says the same to all three.
    DatabaseNotOpened,
    /// The server, or this user, has no connection left.
    TooManyConnections,
    /// The server is starting, stopping, recovering or not part of its cluster.
    ServerNotReady,
    /// The server sends us to another one. That is never followed: nobody has checked its address.
    Redirected,
    /// What answers is no such server, or gives an answer that means none of the above.
    Protocol,
}

/// What went wrong with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsProblem {
    /// The server does not offer TLS.
    NotOffered,
    /// The server demands TLS, and the mode is plaintext.
    Demanded,
    /// The certificate comes from nobody we trust.
    UnknownIssuer,
    /// The certificate is for another host name.
    NameMismatch,
    /// The certificate is no longer, or not yet, valid.
    Expired,
    /// The certificate is an authority's own (CA:TRUE), as `openssl req -x509` makes it. rustls takes no such
    /// certificate from a server, not even one that is trusted itself.
    AuthoritysOwn,
    /// No common version or cipher, a client certificate demanded, or a certificate rustls cannot use.
    Other,
}

/// A class with the server's code: what the engines' logins fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: ConnectClass,
    pub(crate) code: Option<String>,
}

impl Failure {
    pub(crate) fn with_code(class: ConnectClass, code: impl Into<String>) -> Self {
        Self { class, code: Some(code.into()) }
    }
}

impl From<ConnectClass> for Failure {
    fn from(class: ConnectClass) -> Self {
        Self { class, code: None }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        io_error::classify(&error).into()
    }
}

/// Why [`crate::connect`] failed; its text is one sentence fit for a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConnectError {
    class: ConnectClass,
    code: Option<String>,
    endpoint: Endpoint,
    user: String,
    database: String,
    connect_timeout: Duration,
}

impl ConnectError {
    /// An error of these options' server. Public for test doubles of [`crate::connect`].
    #[must_use]
    pub fn new(class: ConnectClass, code: Option<String>, options: &ConnectOptions) -> Self {
        let user = options.credentials.user.clone();
        Self {
            class,
            code,
            endpoint: options.endpoint.clone(),
            // PostgreSQL opens the database named as the user when none is asked for.
            database: options.database.clone().unwrap_or_else(|| user.clone()),
            user,
            connect_timeout: options.connect_timeout,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn class(&self) -> ConnectClass {
        self.class
    }

    /// The server's code: a SQLSTATE from PostgreSQL, an error number from the others.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, user, database, connect_timeout, .. } = self;
        let host = &endpoint.host;
        match self.class() {
            ConnectClass::HostNotFound => write!(f, "the host {host} has no address: check its name"),
            ConnectClass::HostNotAllowed => {
                write!(f, "the host {host} is in a network that may not be reached from here")
            }
            ConnectClass::ConnectionRefused => {
                write!(f, "nothing accepts connections at {endpoint}: check host, port and firewall")
            }
            ConnectClass::ConnectionReset => {
                write!(f, "{endpoint} closed the connection before the login was done")
            }
            ConnectClass::Timeout => write!(f, "{endpoint} did not answer within {connect_timeout:?}"),
            ConnectClass::TlsFailed(problem) => write_tls(f, endpoint, problem),
            ConnectClass::AuthenticationFailed => write!(
                f,
                "{endpoint} refused the login of user \"{user}\": check user and password, and that the \
                 server admits this user from here with the chosen sslMode"
            ),
            ConnectClass::AccountLocked => {
                write!(f, "the account of user \"{user}\" on {endpoint} is locked: unlock it there")
            }
            ConnectClass::AuthMethodUnsupported => {
                write!(f, "{endpoint} wants user \"{user}\" to log in by a method that is not supported here")
            }
            ConnectClass::PasswordInClear => {
                write!(f, "{endpoint} asks for the password of user \"{user}\" unencrypted, which is not sent: use TLS")
            }
            ConnectClass::PasswordExpired => {
                write!(f, "the password of user \"{user}\" on {endpoint} has expired: set a new one")
            }
            ConnectClass::AccessDenied => {
                write!(f, "user \"{user}\" may not open database \"{database}\" on {endpoint}")
            }
            ConnectClass::DatabaseNotFound => {
                write!(f, "there is no database \"{database}\" on {endpoint}")
            }
            ConnectClass::DatabaseNotOpened => write!(
                f,
                "database \"{database}\" on {endpoint} cannot be opened: it does not exist, is offline, or user \
                 \"{user}\" has no access to it"
            ),
            ConnectClass::TooManyConnections => {
                write!(f, "{endpoint} has no connection left for user \"{user}\"")
            }
            ConnectClass::ServerNotReady => {
                write!(f, "{endpoint} is starting, stopping, recovering or not part of its cluster")
            }
            ConnectClass::Redirected => {
                write!(f, "{endpoint} sends us to another server, which is not followed: name that one as the host")
            }
            ConnectClass::Protocol => {
                write!(f, "{endpoint} gave an answer that makes no sense here: check port and type")
            }
        }?;
        match self.code() {
            Some(code) => write!(f, " (server code {code})"),
            None => Ok(()),
        }
    }
}

fn write_tls(f: &mut fmt::Formatter<'_>, endpoint: &Endpoint, problem: TlsProblem) -> fmt::Result {
    let host = &endpoint.host;
    match problem {
        TlsProblem::NotOffered => {
            write!(f, "{endpoint} offers no TLS, and the chosen sslMode demands it")
        }
        TlsProblem::Demanded => {
            write!(f, "{endpoint} demands TLS, and the chosen sslMode is plaintext")
        }
        TlsProblem::UnknownIssuer => {
            write!(f, "the certificate of {endpoint} was not issued by a trusted authority: check the CA bundle")
        }
        TlsProblem::NameMismatch => {
            write!(f, "the certificate of {endpoint} does not name {host} as a subject alternative name")
        }
        TlsProblem::Expired => {
            write!(f, "the certificate of {endpoint} has expired or is not valid yet")
        }
        TlsProblem::AuthoritysOwn => {
            write!(f, "the certificate of {endpoint} is an authority's own (CA:TRUE): give the server one for itself")
        }
        TlsProblem::Other => write!(
            f,
            "no TLS connection to {endpoint} could be agreed on: check its TLS version and certificate, and \
             that it demands no client certificate"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::testing::options;

    fn sentence(class: ConnectClass, code: Option<&str>) -> String {
        ConnectError::new(class, code.map(str::to_owned), &options(Engine::Postgres, 5432)).to_string()
    }

    #[test]
    fn sentences_name_what_is_to_be_changed() {
        assert_eq!(
            sentence(ConnectClass::AuthenticationFailed, Some("28P01")),
            "127.0.0.1:5432 refused the login of user \"ann\": check user and password, and that the server admits \
             this user from here with the chosen sslMode (server code 28P01)"
        );
        assert_eq!(
            sentence(ConnectClass::AccessDenied, Some("1044")),
            "user \"ann\" may not open database \"orders\" on 127.0.0.1:5432 (server code 1044)"
        );
        assert_eq!(sentence(ConnectClass::Timeout, None), "127.0.0.1:5432 did not answer within 10s");
        assert_eq!(
            sentence(ConnectClass::TlsFailed(TlsProblem::NameMismatch), None),
            "the certificate of 127.0.0.1:5432 does not name 127.0.0.1 as a subject alternative name"
        );
    }

    #[test]
    fn nothing_printed_holds_the_password() {
        let options = options(Engine::Mysql, 3306);
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = ConnectError::new(ConnectClass::Protocol, None, &options);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
