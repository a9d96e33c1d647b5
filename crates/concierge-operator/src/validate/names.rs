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

/// The encodings that a PostgreSQL server stores text in.
/// See <https://www.postgresql.org/docs/current/multibyte.html>.
const ENCODINGS: [&str; 35] = [
    "UTF8",
    "SQL_ASCII",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN866",
    "WIN874",
    "WIN1250",
    "WIN1251",
    "WIN1252",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1256",
    "WIN1257",
    "WIN1258",
    "KOI8R",
    "KOI8U",
    "EUC_CN",
    "EUC_JP",
    "EUC_JIS_2004",
    "EUC_KR",
    "EUC_TW",
    "MULE_INTERNAL",
];

/// The encoding of PostgreSQL that is meant. MySQL has several names for UTF-8, one of which is the field's default.
pub fn postgres_encoding(charset: &str) -> Option<&'static str> {
    let charset = charset.to_ascii_uppercase();
    match charset.as_str() {
        "UTF8MB4" | "UTF8MB3" => Some("UTF8"),
        name => ENCODINGS.into_iter().find(|encoding| *encoding == name),
    }
}

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
