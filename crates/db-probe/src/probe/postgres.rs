//! What a probe asks of PostgreSQL. Names and operators are qualified: the database's owner may have planted others.

use sql_client::Statement;

/// Counts the login's connections that run a statement and those that do not, without our own. Every role may see the
/// state of its own connections.
pub fn own_connections() -> Statement {
    Statement::new(
        "counting the login's connections",
        "SELECT pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'active'), \
                pg_catalog.count(*) FILTER (WHERE state IS NULL OR state OPERATOR(pg_catalog.<>) 'active') \
         FROM pg_catalog.pg_stat_activity \
         WHERE usename OPERATOR(pg_catalog.=) session_user AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()",
    )
}
