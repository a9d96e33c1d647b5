//! Turns what the network and rustls report into our classes.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

use crate::connect_error::{ConnectClass, TlsProblem};

/// The class of an error that ended a connection attempt.
pub(crate) fn classify(error: &io::Error) -> ConnectClass {
    if let Some(problem) = error.get_ref().and_then(|inner| tls_problem(inner)) {
        return ConnectClass::TlsFailed(problem);
    }
    match error.kind() {
        ErrorKind::TimedOut => ConnectClass::Timeout,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::NotConnected => ConnectClass::ConnectionReset,
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        | ErrorKind::PermissionDenied => ConnectClass::ConnectionRefused,
        _ => ConnectClass::Protocol,
    }
}

/// Looks for rustls' error in a chain of causes. An `io::Error` hides its content from `source`, hence
/// the second way down.
pub(crate) fn tls_problem(error: &(dyn Error + 'static)) -> Option<TlsProblem> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(from_rustls(error));
    }
    let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match hidden {
        Some(inner) => tls_problem(inner),
        None => error.source().and_then(tls_problem),
    }
}

fn from_rustls(error: &rustls::Error) -> TlsProblem {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return TlsProblem::Other;
    };
    match certificate {
        CertificateError::UnknownIssuer => TlsProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsProblem::NameMismatch,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => TlsProblem::AuthoritysOwn,
            _ => TlsProblem::Other,
        },
        _ => TlsProblem::Other,
    }
}
