//! The one place where a name or a value becomes part of a statement. Whatever cannot be written safely is
//! an error here; nothing is silently altered.

pub mod mysql;
pub mod postgres;

/// Why a text cannot become part of a statement. The text is not shown: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// No server takes an empty name.
    #[error("a name is empty")]
    Empty,
    /// Longer than the server keeps; PostgreSQL would cut it and so mean another object.
    #[error("a name is longer than {0} {1}")]
    TooLong(usize, &'static str),
    /// NUL ends the text for one side and not for the other.
    #[error("a name or value holds a NUL character")]
    Nul,
    /// Its meaning depends on the server's `sql_mode`.
    #[error("a value holds a backslash, which MySQL reads in two ways")]
    Backslash,
}

/// The text between two quote characters, each quote character inside it doubled.
fn doubled(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        if c == quote {
            quoted.push(quote);
        }
        quoted.push(c);
    }
    quoted.push(quote);
    quoted
}

/// The bytes of a text as digits, which no server reads as anything else.
fn hexadecimal(text: &str) -> String {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn name(text: &str, length: usize, limit: usize, unit: &'static str) -> Result<(), QuoteError> {
    match text {
        "" => Err(QuoteError::Empty),
        _ if text.contains('\0') => Err(QuoteError::Nul),
        _ if length > limit => Err(QuoteError::TooLong(limit, unit)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
