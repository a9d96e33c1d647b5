//! Turns PostgreSQL's SQLSTATEs and the driver's own errors into our classes.
//! The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;

use super::guard::{Refusal, Rules};
use crate::connect_error::{ConnectClass, Failure, TlsProblem};
use crate::io_error;
use crate::sql_error::{SqlClass, SqlFailure};

/// Why a login failed.
pub(super) fn connect_failure(error: &Error) -> Failure {
    match error.code() {
        Some(state) => Failure { class: connect_class(state.code()), code: published(state.code()) },
        None => driver_class(error).into(),
    }
}

/// A state as it may be shown. The server can send any text in its place.
fn published(state: &str) -> Option<String> {
    let is_state = state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    is_state.then(|| state.to_owned())
}

fn connect_class(state: &str) -> ConnectClass {
    match state {
        // 28000 is also what pg_hba.conf says to a host, user or lack of TLS that it does not list.
        "28P01" | "28000" => ConnectClass::AuthenticationFailed,
        "3D000" => ConnectClass::DatabaseNotFound,
        // 55000: the database takes no connections (datallowconn), as template0 does.
        "42501" | "55000" => ConnectClass::AccessDenied,
        "53300" => ConnectClass::TooManyConnections,
        "57P01" | "57P02" | "57P03" => ConnectClass::ServerNotReady,
        _ => ConnectClass::Protocol,
    }
}

/// What failed without a word from the server. The driver keeps its kinds to itself but for their fixed
/// texts; the tests below hold it to them.
fn driver_class(error: &Error) -> ConnectClass {
    if let Some(problem) = io_error::tls_problem(error) {
        return ConnectClass::TlsFailed(problem);
    }
    let text = error.to_string();
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(io) = io.filter(|_| text == "error communicating with the server") {
        let refusal = io.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
        return refusal.map_or_else(|| io_error::classify(io), |refusal| refusal.class());
    }
    match text.as_str() {
        "error performing TLS handshake" => ConnectClass::TlsFailed(TlsProblem::NotOffered),
        "authentication error" => ConnectClass::AuthMethodUnsupported,
        _ if error.is_closed() => ConnectClass::ConnectionReset,
        _ => ConnectClass::Protocol,
    }
}

/// Why a statement failed. Where the server broke the rules, the driver only tells that the connection is closed.
pub(super) fn sql_failure(error: &Error, rules: &Rules) -> SqlFailure {
    match error.code() {
        Some(state) => SqlFailure { class: sql_class(state.code()), code: published(state.code()) },
        None if rules.are_broken() || driver_class(error) == ConnectClass::Protocol => SqlClass::Protocol.into(),
        None => SqlClass::ConnectionLost.into(),
    }
}

fn sql_class(state: &str) -> SqlClass {
    match state {
        // 57P05: idle_session_timeout; 25P03: idle_in_transaction_session_timeout.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => SqlClass::ConnectionLost,
        // 55P03: lock_timeout; 55006: the database is being used by other sessions.
        "40001" | "40P01" | "55P03" | "55006" => SqlClass::Retryable,
        "25006" => SqlClass::ReadOnly,
        "42501" => SqlClass::AccessDenied,
        "23505" | "42710" | "42P04" | "42P06" | "42P07" => SqlClass::AlreadyExists,
        "3D000" | "3F000" | "42704" | "42P01" | "42883" => SqlClass::NotFound,
        _ if state.starts_with("08") => SqlClass::ConnectionLost,
        _ => SqlClass::Other,
    }
}
