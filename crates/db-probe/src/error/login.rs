//! Turns the class of a failed login or query into a reason and a sentence. The sentence is made of the spec's own
//! words and the server's code; the user name stays out, because it is a value of the Secret.

use std::fmt;

use api_types::{Engine, SslMode};
use sql_client::{ConnectClass, Endpoint, SqlClass, TlsProblem};

use super::Reason;
use crate::references::Reference;

/// What was attempted, for the sentence about how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `spec.type`.
    pub engine: Engine,
    /// Host and port.
    pub endpoint: Endpoint,
    /// `spec.database`.
    pub database: Option<String>,
    /// `spec.sslMode`.
    pub ssl_mode: SslMode,
    /// Where the login came from.
    pub secret: Reference,
    /// `spec.connectionTimeout`, in seconds.
    pub connection_timeout: u32,
    /// `spec.queryTimeout`, in seconds.
    pub query_timeout: u32,
}

/// How far the attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Resolving, connecting, TLS, login.
    Login,
    /// The query after it.
    Query,
}

/// A failed login, or a failed query after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoginProblem {
    class: ConnectClass,
    code: Option<String>,
    step: Step,
    attempt: Box<Attempt>,
}

impl LoginProblem {
    /// The login failed with this class and server code.
    #[must_use]
    pub fn login(attempt: &Attempt, class: ConnectClass, code: Option<&str>) -> Self {
        Self { class, code: code.map(str::to_owned), step: Step::Login, attempt: Box::new(attempt.clone()) }
    }

    /// The query after the login failed with this class and server code.
    #[must_use]
    pub fn query(attempt: &Attempt, class: SqlClass, code: Option<&str>) -> Self {
        let class = class_of_query(class);
        Self { class, code: code.map(str::to_owned), step: Step::Query, attempt: Box::new(attempt.clone()) }
    }

    /// The reason to publish.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.class.into()
    }
}

impl From<ConnectClass> for Reason {
    fn from(class: ConnectClass) -> Self {
        match class {
            ConnectClass::HostNotFound => Reason::HostNotFound,
            ConnectClass::HostNotAllowed => Reason::HostNotAllowed,
            ConnectClass::ConnectionRefused | ConnectClass::ConnectionReset => Reason::ConnectionRefused,
            ConnectClass::Timeout => Reason::Timeout,
            ConnectClass::TlsFailed(_) => Reason::TlsFailed,
            ConnectClass::AuthenticationFailed
            | ConnectClass::AccountLocked
            | ConnectClass::AuthMethodUnsupported
            | ConnectClass::PasswordInClear => Reason::AuthenticationFailed,
            ConnectClass::PasswordExpired => Reason::PasswordExpired,
            ConnectClass::AccessDenied => Reason::AccessDenied,
            ConnectClass::DatabaseNotFound | ConnectClass::DatabaseNotOpened => Reason::DatabaseNotFound,
            ConnectClass::TooManyConnections => Reason::TooManyConnections,
            ConnectClass::ServerNotReady => Reason::ServerNotReady,
            ConnectClass::Redirected | ConnectClass::Protocol => Reason::ProtocolError,
        }
    }
}

impl From<SqlClass> for Reason {
    fn from(class: SqlClass) -> Self {
        class_of_query(class).into()
    }
}

/// The query asks for the version alone: it names nothing and writes nothing, so most classes cannot mean what they
/// mean elsewhere.
fn class_of_query(class: SqlClass) -> ConnectClass {
    match class {
        SqlClass::ConnectionLost => ConnectClass::ConnectionReset,
        SqlClass::Timeout => ConnectClass::Timeout,
        SqlClass::Retryable | SqlClass::NotReady => ConnectClass::ServerNotReady,
        SqlClass::AccessDenied => ConnectClass::AccessDenied,
        SqlClass::PasswordExpired => ConnectClass::PasswordExpired,
        SqlClass::Protocol | SqlClass::ReadOnly | SqlClass::AlreadyExists | SqlClass::NotFound | SqlClass::Other => {
            ConnectClass::Protocol
        }
    }
}

impl fmt::Display for LoginProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            ConnectClass::HostNotFound
            | ConnectClass::HostNotAllowed
            | ConnectClass::ConnectionRefused
            | ConnectClass::ConnectionReset
            | ConnectClass::Timeout => self.write_network(f),
            ConnectClass::TlsFailed(problem) => self.write_tls(f, problem),
            ConnectClass::AuthenticationFailed
            | ConnectClass::AccountLocked
            | ConnectClass::AuthMethodUnsupported
            | ConnectClass::PasswordInClear
            | ConnectClass::PasswordExpired
            | ConnectClass::AccessDenied
            | ConnectClass::DatabaseNotFound
            | ConnectClass::DatabaseNotOpened => self.write_login(f),
            ConnectClass::TooManyConnections
            | ConnectClass::ServerNotReady
            | ConnectClass::Redirected
            | ConnectClass::Protocol => self.write_server(f),
        }?;
        match &self.code {
            Some(code) => write!(f, " (server code {code})"),
            None => Ok(()),
        }
    }
}

impl LoginProblem {
    fn write_network(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { endpoint, connection_timeout, query_timeout, .. } = &*self.attempt;
        let host = &endpoint.host;
        match (self.class, self.step) {
            (ConnectClass::HostNotFound, _) => write!(f, "the host {host} has no address: check spec.host"),
            (ConnectClass::HostNotAllowed, _) => {
                write!(f, "the address of {host} is in a network that db-probe must not reach: use another spec.host")
            }
            (ConnectClass::Timeout, Step::Login) => write!(
                f,
                "{endpoint} did not complete the login within {connection_timeout} s: check spec.type and spec.port, \
                 firewalls and NetworkPolicies, or raise spec.connectionTimeout"
            ),
            (ConnectClass::Timeout, Step::Query) => write!(
                f,
                "{endpoint} did not answer a query within {query_timeout} s: check the server's load, or raise \
                 spec.queryTimeout"
            ),
            (ConnectClass::ConnectionReset, _) => write!(
                f,
                "{endpoint} closed the connection: check the server's log, and that spec.type and spec.port fit it"
            ),
            _ => write!(f, "nothing accepts connections at {endpoint}: check spec.host, spec.port and the server"),
        }
    }

    fn write_tls(&self, f: &mut fmt::Formatter<'_>, problem: TlsProblem) -> fmt::Result {
        let Attempt { endpoint, ssl_mode, .. } = &*self.attempt;
        let mode = words(*ssl_mode);
        match problem {
            TlsProblem::NotOffered => write!(
                f,
                "{endpoint} offers no TLS, and sslMode {mode} demands it: switch it on there, or set sslMode disable"
            ),
            TlsProblem::Demanded => {
                write!(f, "{endpoint} demands TLS, and sslMode disable has none: set sslMode require or a stricter one")
            }
            TlsProblem::UnknownIssuer => write!(
                f,
                "the certificate of {endpoint} was issued by nobody that is trusted, and sslMode {mode} checks it: \
                 name its CA in spec.tls.caRef"
            ),
            TlsProblem::NameMismatch => write!(
                f,
                "the certificate of {endpoint} does not name {} as a subject alternative name: correct spec.host or \
                 the certificate, or set sslMode verify-ca",
                endpoint.host
            ),
            TlsProblem::Expired => {
                write!(f, "the certificate of {endpoint} has expired or is not valid yet: renew it")
            }
            TlsProblem::AuthoritysOwn => write!(
                f,
                "the certificate of {endpoint} is an authority's own (CA:TRUE), which sslMode {mode} takes from no \
                 server: give it one for itself (basicConstraints CA:FALSE), issued by that authority"
            ),
            TlsProblem::Other => write!(
                f,
                "no TLS connection to {endpoint} could be agreed on: check its certificate, that it speaks TLS 1.3 or 1.2 \
                 with ECDHE, and that it asks for no client certificate"
            ),
        }
    }

    fn write_login(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { endpoint, engine, secret, .. } = &*self.attempt;
        match self.class {
            ConnectClass::AccountLocked => {
                write!(f, "the account in {secret} is locked: unlock it on {endpoint}, or name another login")
            }
            ConnectClass::AuthMethodUnsupported => write!(
                f,
                "{endpoint} wants the login of {secret} proved by a method that is not supported: give it {}",
                methods(*engine)
            ),
            ConnectClass::PasswordInClear => write!(
                f,
                "{endpoint} asks for the password in {secret} unencrypted, which is not sent: set sslMode verify-full, \
                 or have the login use scram-sha-256"
            ),
            ConnectClass::PasswordExpired => {
                write!(f, "the password in {secret} has expired on {endpoint}: set a new one there and in the Secret")
            }
            // MySQL says this too where there is no such database and the login may not know.
            ConnectClass::AccessDenied => write!(
                f,
                "the login of {secret} may not use {} on {endpoint}: grant it access, or correct spec.database",
                self.database()
            ),
            ConnectClass::DatabaseNotFound => {
                write!(f, "there is no {} on {endpoint}: create it or correct spec.database", self.database())
            }
            ConnectClass::DatabaseNotOpened => write!(
                f,
                "the login of {secret} cannot open {} on {endpoint}, and the server does not tell why: check that it \
                 exists and is online, and that the login has a user in it",
                self.database()
            ),
            _ => write!(
                f,
                "{endpoint} refused the login of {secret}: check user and password, and that the server admits this \
                 user from here with sslMode {}",
                words(self.attempt.ssl_mode)
            ),
        }
    }

    fn write_server(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { endpoint, engine, .. } = &*self.attempt;
        match self.class {
            ConnectClass::TooManyConnections => {
                write!(f, "{endpoint} has no connection left for this login: close some or raise the limit")
            }
            ConnectClass::ServerNotReady => write!(
                f,
                "{endpoint} is starting, stopping, recovering or not part of its cluster: wait, or check the server"
            ),
            ConnectClass::Redirected => write!(
                f,
                "{endpoint} sends its clients to another server, which is not followed: name that server in spec.host"
            ),
            _ => write!(
                f,
                "{endpoint} does not answer as a {} server does: check spec.type and spec.port",
                engine.as_str()
            ),
        }
    }

    /// PostgreSQL opens the database named as the user when none is asked for, SQL Server the login's own; MySQL opens
    /// none.
    fn database(&self) -> String {
        match &self.attempt.database {
            Some(name) => format!("database {name}"),
            None => "default database (spec.database is not set)".to_owned(),
        }
    }
}

/// The ways of proving a password that are spoken here.
fn methods(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "a password, by scram-sha-256",
        Engine::Mysql => "a password, by caching_sha2_password or mysql_native_password",
        Engine::Mariadb => "a password, by mysql_native_password",
        Engine::Sqlserver | Engine::Sqlite => "a password",
    }
}

fn words(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::attempt;

    const CLASSES: [ConnectClass; 24] = [
        ConnectClass::HostNotFound,
        ConnectClass::HostNotAllowed,
        ConnectClass::ConnectionRefused,
        ConnectClass::ConnectionReset,
        ConnectClass::Timeout,
        ConnectClass::TlsFailed(TlsProblem::NotOffered),
        ConnectClass::TlsFailed(TlsProblem::Demanded),
        ConnectClass::TlsFailed(TlsProblem::UnknownIssuer),
        ConnectClass::TlsFailed(TlsProblem::NameMismatch),
        ConnectClass::TlsFailed(TlsProblem::Expired),
        ConnectClass::TlsFailed(TlsProblem::AuthoritysOwn),
        ConnectClass::TlsFailed(TlsProblem::Other),
        ConnectClass::AuthenticationFailed,
        ConnectClass::AccountLocked,
        ConnectClass::AuthMethodUnsupported,
        ConnectClass::PasswordInClear,
        ConnectClass::PasswordExpired,
        ConnectClass::AccessDenied,
        ConnectClass::DatabaseNotFound,
        ConnectClass::DatabaseNotOpened,
        ConnectClass::TooManyConnections,
        ConnectClass::ServerNotReady,
        ConnectClass::Redirected,
        ConnectClass::Protocol,
    ];

    fn shown(problem: &LoginProblem) -> (Reason, String) {
        (problem.reason(), problem.to_string())
    }

    #[test]
    fn every_failed_login_has_its_reason_and_says_what_to_do() {
        let shown = CLASSES.map(|class| shown(&LoginProblem::login(&attempt(), class, None)));
        assert!(shown.iter().all(|(_, message)| message.contains(": ")), "a cause, then what to do");
        insta::assert_yaml_snapshot!(shown);
    }

    #[test]
    fn every_failed_query_has_its_reason() {
        use SqlClass::{
            AccessDenied, AlreadyExists, ConnectionLost, NotFound, NotReady, Other, PasswordExpired, Protocol,
            ReadOnly, Retryable, Timeout,
        };
        let classes = [
            ConnectionLost,
            Protocol,
            Timeout,
            Retryable,
            NotReady,
            ReadOnly,
            AccessDenied,
            PasswordExpired,
            AlreadyExists,
            NotFound,
            Other,
        ];
        insta::assert_yaml_snapshot!(classes.map(|class| shown(&LoginProblem::query(&attempt(), class, None))));
    }

    #[test]
    fn the_servers_code_is_told_and_a_database_that_is_not_named_too() {
        let unnamed = Attempt { database: None, ..attempt() };
        let problem = LoginProblem::login(&unnamed, ConnectClass::DatabaseNotFound, Some("3D000"));
        assert_eq!(
            problem.to_string(),
            "there is no default database (spec.database is not set) on pg.acme.internal:5432: create it or correct \
             spec.database (server code 3D000)"
        );
    }
}
