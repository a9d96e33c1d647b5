//! Quoting for PostgreSQL. Sessions of this crate run with `standard_conforming_strings=on`, so a
//! backslash in a literal is a backslash, and `E''` is not needed.

use super::{QuoteError, doubled, hexadecimal, name};

/// PostgreSQL cuts longer names without an error: NAMEDATALEN is 64 with the final NUL.
const MAX_NAME: usize = 63;

/// A role, database, schema or table name in double quotes.
pub fn identifier(text: &str) -> Result<String, QuoteError> {
    name(text, text.len(), MAX_NAME, "bytes")?;
    Ok(doubled(text, '"'))
}

/// A value in single quotes.
pub fn literal(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError::Nul);
    }
    Ok(doubled(text, '\''))
}

/// Any text as a value in an expression, written without any character to escape, and with names that no search path
/// changes. The server refuses the one text that it cannot hold, which is one with a NUL.
#[must_use]
pub fn text(text: &str) -> String {
    format!("pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'UTF8')", hexadecimal(text))
}
