//! Randomness of the operating system, for what must not be guessed.

use std::fmt::Write as _;

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};
use secrecy::SecretString;

/// Two digits for each byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 256 bits in hexadecimal digits.
pub fn hex() -> Result<SecretString, SysError> {
    let mut bytes = [0_u8; 32];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(hexadecimal(&bytes).into())
}
