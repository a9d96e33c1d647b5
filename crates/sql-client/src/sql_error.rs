//! Why a statement failed on an open session: a class, the server's code and which statement it was.
//! Neither the statement's text nor the server's is kept.

/// What a failed statement means for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlClass {
    /// The connection is gone; whether the statement ran is unknown.
    ConnectionLost,
    /// The answer makes no sense, or is longer than it may be; the rest of it was not read.
    Protocol,
    /// No answer within `query_timeout`; whether the statement ran, or still runs, is unknown.
    Timeout,
    /// Deadlock, lock wait or serialisation: the same again may succeed.
    Retryable,
    /// The server is not, or not yet, part of its cluster, or its cluster has lost its majority. It does nothing at all.
    NotReady,
    /// The server takes no writes.
    ReadOnly,
    /// The login lacks a right.
    AccessDenied,
    /// The login must change its password before it may do anything.
    PasswordExpired,
    /// What was to be created is there.
    AlreadyExists,
    /// What was named is not there.
    NotFound,
    /// Anything else; the code says what.
    Other,
}

/// Why a statement failed; its text is a sentence fit for a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{statement} failed: {}{}", self.class.words(), self.code_suffix())]
pub struct SqlError {
    class: SqlClass,
    code: Option<String>,
    statement: &'static str,
}

impl SqlError {
    /// An error for a statement's description. Public for test doubles of [`crate::Session`].
    #[must_use]
    pub fn new(class: SqlClass, code: Option<String>, statement: &'static str) -> Self {
        Self { class, code, statement }
    }

    /// What it means.
    #[must_use]
    pub fn class(&self) -> SqlClass {
        self.class
    }

    /// The server's code: a SQLSTATE from PostgreSQL, an error number from the others.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether the session can no longer be used.
    #[must_use]
    pub fn session_is_lost(&self) -> bool {
        matches!(self.class, SqlClass::ConnectionLost | SqlClass::Protocol | SqlClass::Timeout)
    }

    fn code_suffix(&self) -> String {
        self.code.as_ref().map(|code| format!(" (server code {code})")).unwrap_or_default()
    }
}

/// A class with the server's code: what the engines' statements fail with.
#[derive(Debug)]
pub(crate) struct SqlFailure {
    pub(crate) class: SqlClass,
    pub(crate) code: Option<String>,
}

impl From<SqlClass> for SqlFailure {
    fn from(class: SqlClass) -> Self {
        Self { class, code: None }
    }
}

impl From<std::io::Error> for SqlFailure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData => SqlClass::Protocol.into(),
            _ => SqlClass::ConnectionLost.into(),
        }
    }
}

impl SqlClass {
    fn words(self) -> &'static str {
        match self {
            Self::ConnectionLost => "the connection to the server was lost",
            Self::Protocol => "the server's answer makes no sense here or is too long",
            Self::Timeout => "the server did not answer in time",
            Self::Retryable => "another transaction was in the way",
            Self::NotReady => "the server is no working part of its cluster now",
            Self::ReadOnly => "the server takes no writes",
            Self::AccessDenied => "the login lacks the right to do this",
            Self::PasswordExpired => "the login's password has expired",
            Self::AlreadyExists => "it exists already",
            Self::NotFound => "what it names does not exist",
            Self::Other => "the server refused it",
        }
    }
}
