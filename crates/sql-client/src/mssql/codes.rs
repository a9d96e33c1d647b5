//! Turns SQL Server's error numbers into our classes.
//! <https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors>;
//! those of Azure: <https://learn.microsoft.com/en-us/azure/azure-sql/database/troubleshoot-common-errors-issues>.

use crate::connect_error::{ConnectClass, Failure, TlsProblem};
use crate::sql_error::{SqlClass, SqlFailure};

const LOGIN_FAILED: i32 = 18456;
/// From here on the server ends the connection:
/// <https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-error-severities>.
const FATAL: u8 = 20;

/// An error as the server numbers it. Its text is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) number: i32,
    pub(super) severity: u8,
}

impl ServerError {
    /// Whether another error of the same answer tells more: "login failed" also follows the real cause.
    pub(super) fn says_little(self) -> bool {
        self.number == LOGIN_FAILED
    }
}

/// Why a login failed.
pub(super) fn connect_failure(error: ServerError) -> Failure {
    Failure::with_code(connect_class(error.number), error.number.to_string())
}

fn connect_class(number: i32) -> ConnectClass {
    match number {
        // 18452: the server takes Windows logins alone. 18470: disabled. 18486: locked out. 40532, 40615, 40914: a
        // firewall or network rule does not admit us.
        LOGIN_FAILED | 18452 | 18470 | 18486 | 40532 | 40615 | 40914 => ConnectClass::AuthenticationFailed,
        18487 | 18488 => ConnectClass::PasswordExpired,
        // 916: the login has no user there. 923, 924: restricted to its owners, or to a single user.
        916 | 923 | 924 => ConnectClass::AccessDenied,
        911 => ConnectClass::DatabaseNotFound,
        // 4063, 4064: the same for the login's default database.
        4060 | 4063 | 4064 => ConnectClass::DatabaseNotOpened,
        // 18458 to 18460: licences. 10928, 10929, 10936: limits of a database or pool.
        17809 | 18458..=18460 | 10928 | 10929 | 10936 => ConnectClass::TooManyConnections,
        // 922, 927, 942, 945: recovering, restoring, offline. 976 to 983: a replica that takes no logins now.
        // 6005, 17142, 17148: stopping or paused. 17187, 17189, 17197: starting, or no worker. 18401: upgrading.
        // 18451, 18461: only administrators may log in now.
        // 49918 to 49920: Azure is short of resources.
        922
        | 926
        | 927
        | 942
        | 945
        | 976
        | 978
        | 979
        | 982
        | 983
        | 4221
        | 6005
        | 17142
        | 17148
        | 17187
        | 17189
        | 17197
        | 18401
        | 18451
        | 18461
        | 40143
        | 40197
        | 40501
        | 40540
        | 40613
        | 42108
        | 42109
        | 49918..=49920 => ConnectClass::ServerNotReady,
        17835 => ConnectClass::TlsFailed(TlsProblem::Demanded),
        _ => ConnectClass::Protocol,
    }
}

/// Why a statement failed.
pub(super) fn sql_failure(error: ServerError) -> SqlFailure {
    let class = if error.severity >= FATAL { SqlClass::ConnectionLost } else { sql_class(error.number) };
    SqlFailure { class, code: Some(error.number.to_string()) }
}

fn sql_class(number: i32) -> SqlClass {
    match number {
        // 596: killed. 6005: stopping.
        596 | 6005 => SqlClass::ConnectionLost,
        1205 | 1222 | 3960 | 10928 | 10929 | 40197 | 40501 | 40613 | 49918..=49920 => SqlClass::Retryable,
        3906 => SqlClass::ReadOnly,
        229 | 230 | 262 | 297 | 300 | 916 | 15247 => SqlClass::AccessDenied,
        18487 | 18488 => SqlClass::PasswordExpired,
        1801 | 2601 | 2627 | 2714 | 15023 | 15025 => SqlClass::AlreadyExists,
        208 | 911 | 2812 => SqlClass::NotFound,
        // 3701 and 15151 stand for "does not exist" and for "you have no right" alike.
        _ => SqlClass::Other,
    }
}
