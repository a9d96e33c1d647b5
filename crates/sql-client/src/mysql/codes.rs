//! Turns MySQL's error numbers into our classes. MariaDB and Percona use the same numbers.
//! <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>

use crate::connect_error::{ConnectClass, Failure};
use crate::sql_error::{SqlClass, SqlFailure};

/// Why a login failed.
pub(super) fn connect_failure(code: u16) -> Failure {
    Failure::with_code(connect_class(code), code.to_string())
}

fn connect_class(code: u16) -> ConnectClass {
    match code {
        // 1130: no account for this client's host. 1698: refused without a password. 3159: the server insists on
        // TLS.
        1045 | 1130 | 1698 | 3159 => ConnectClass::AuthenticationFailed,
        // MySQL's and MariaDB's number.
        3118 | 4151 => ConnectClass::AccountLocked,
        1820 | 1862 => ConnectClass::PasswordExpired,
        1044 => ConnectClass::AccessDenied,
        1049 => ConnectClass::DatabaseNotFound,
        1040 | 1203 | 1226 => ConnectClass::TooManyConnections,
        // 1047: a Galera node outside its cluster. 1129: our host is blocked after too many bad handshakes,
        // until the server's administrator flushes its host cache. 3032: offline mode.
        1047 | 1053 | 1129 | 3032 => ConnectClass::ServerNotReady,
        // 1251, 1275, 1524: the account's plugin is not loaded, or is older than what is spoken here.
        1251 | 1275 | 1524 => ConnectClass::AuthMethodUnsupported,
        1152 | 1158..=1161 | 1184 => ConnectClass::ConnectionReset,
        _ => ConnectClass::Protocol,
    }
}

/// Why a statement failed.
pub(super) fn sql_failure(code: u16) -> SqlFailure {
    SqlFailure { class: sql_class(code), code: Some(code.to_string()) }
}

fn sql_class(code: u16) -> SqlClass {
    match code {
        // 1927, 3169: killed. 4031: idle for too long.
        1053 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031 => SqlClass::ConnectionLost,
        1205 | 1213 => SqlClass::Retryable,
        // "Unknown command" in general; Galera says it to every statement on a node without a primary component.
        1047 => SqlClass::NotReady,
        // 1290: an option such as --read-only forbids it.
        1290 | 1792 | 1836 => SqlClass::ReadOnly,
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 => SqlClass::AccessDenied,
        1820 => SqlClass::PasswordExpired,
        1007 | 1050 | 1062 => SqlClass::AlreadyExists,
        1008 | 1049 | 1051 | 1133 | 1141 | 1146 | 1147 => SqlClass::NotFound,
        // 1396 stands for "exists" after CREATE USER and "does not exist" after DROP USER.
        _ => SqlClass::Other,
    }
}
