//! What a probe asks of MySQL and MariaDB.

use sql_client::Statement;

/// Counts the login's connections that run a statement and those that do not, without our own. A login without the
/// PROCESS right sees its own connections alone, which are the ones that count.
pub fn own_connections() -> Statement {
    Statement::new(
        "counting the login's connections",
        "SELECT COALESCE(SUM(p.command <> 'Sleep'), 0), COALESCE(SUM(p.command = 'Sleep'), 0) \
         FROM information_schema.processlist p \
         WHERE p.user = SUBSTRING_INDEX(USER(), '@', 1) AND p.id <> CONNECTION_ID()",
    )
}
