//! What may be called how: the shapes of names, and the names that are taken.

/// Databases that servers or the concierge use themselves.
const RESERVED_DATABASES: [&str; 9] = [
    "mysql",
    "sys",
    "information_schema",
    "performance_schema",
    "db_concierge",
    "postgres",
    "template0",
    "template1",
    "test",
];

/// Users that servers, their operators and proxies use themselves.
const RESERVED_USERS: [&str; 16] = [
    "root",
    "mysql",
    "mariadb",
    "postgres",
    "admin",
    "monitor",
    "operator",
    "replication",
    "replicator",
    "repl",
    "xtrabackup",
    "clustercheck",
    "proxyadmin",
    "debian_sys_maint",
    "public",
    "none",
];

/// PostgreSQL keeps this prefix for itself.
const RESERVED_PREFIX: &str = "pg_";

/// Whether a database of that name, in whatever case, is the server's own.
pub fn reserved_database(name: &str) -> bool {
    reserved(name, &RESERVED_DATABASES)
}

/// Whether a user of that name, in whatever case, is the server's own.
pub fn reserved_user(name: &str) -> bool {
    reserved(name, &RESERVED_USERS)
}

fn reserved(name: &str, list: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(RESERVED_PREFIX) || list.contains(&name.as_str())
}

/// Letters, digits and underscores, at least one.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A label of DNS as Kubernetes means it (RFC 1123): at most 63 lower-case letters, digits and inner dashes.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_label_of_any_length(text)
}

/// Labels joined by dots, at most 253 characters: what Kubernetes takes for the name of a Secret. It bounds the whole,
/// not each label.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(inner)
}
