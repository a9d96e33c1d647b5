//! Quoting for MySQL and MariaDB that means the same under every `sql_mode`, `ANSI_QUOTES` and
//! `NO_BACKSLASH_ESCAPES` included.

use super::{QuoteError, doubled, hexadecimal, name};

/// MySQL counts identifiers in characters.
const MAX_NAME: usize = 64;

/// A database, table or column name in backticks.
pub fn identifier(text: &str) -> Result<String, QuoteError> {
    name(text, text.chars().count(), MAX_NAME, "characters")?;
    Ok(doubled(text, '`'))
}

/// A string in single quotes, for the places whose grammar takes nothing else: user, host and password in
/// account statements. A backslash is an error: it escapes or does not, as `sql_mode` says. For a value in
/// an expression use [`text`], which takes everything.
pub fn string_literal(text: &str) -> Result<String, QuoteError> {
    match text {
        _ if text.contains('\0') => Err(QuoteError::Nul),
        _ if text.contains('\\') => Err(QuoteError::Backslash),
        _ => Ok(doubled(text, '\'')),
    }
}

/// Any text as a value in an expression: `_utf8mb4 X'…'`, a literal without any character to escape, which
/// takes the collation of the column it is compared with.
#[must_use]
pub fn text(text: &str) -> String {
    format!("_utf8mb4 X'{}'", hexadecimal(text))
}

/// An account as account statements write it: `'user'@'host'`.
pub fn account(user: &str, host: &str) -> Result<String, QuoteError> {
    Ok(format!("{}@{}", string_literal(user)?, string_literal(host)?))
}

/// The database of `GRANT … ON <this>.*`, in backticks, so that `my_app` opens `my_app` alone and not
/// `myXapp`: there, `_` and `%` are wildcards and a backslash takes their meaning away.
///
/// The limit of 64 characters holds for the escaped name: `mysql.db` has no room for more.
///
/// A MySQL server with `partial_revokes=ON` knows no wildcards and would take the backslash for a part of
/// the name; use [`identifier`] there.
pub fn grant_pattern(database: &str) -> Result<String, QuoteError> {
    let pattern = grant_pattern_text(database);
    name(&pattern, pattern.chars().count(), MAX_NAME, "characters")?;
    Ok(doubled(&pattern, '`'))
}

/// The pattern of [`grant_pattern`] without quotes: what `mysql.db` and
/// `information_schema.SCHEMA_PRIVILEGES` hold, to be compared with what they give.
#[must_use]
pub fn grant_pattern_text(database: &str) -> String {
    let mut pattern = String::with_capacity(database.len() + 2);
    for c in database.chars() {
        if matches!(c, '_' | '%' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
