//! Reads the login message, and takes no other than the documentation describes.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/773a62b6-ee89-4c02-9e5e-344882630aac>

use std::io;

use crate::connection::complaint;

/// Bytes before the texts.
const FIXED: usize = 94;
/// Where the table of texts begins.
const TABLE: usize = 36;
const TDS_7_4: [u8; 4] = [4, 0, 0, 0x74];

/// Whom a client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// The program.
    pub application: String,
    /// The host that was dialled.
    pub server: String,
    /// The database to open; empty for the login's own.
    pub database: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
}

pub(crate) fn read(message: &[u8], encrypted: bool) -> io::Result<Login> {
    let length = message.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if length.map(usize::try_from) != Some(Ok(message.len())) || message.len() < FIXED {
        return Err(complaint("a login message whose length is wrong"));
    }
    if message.get(4..8) != Some(&TDS_7_4) {
        return Err(complaint("a login for another version"));
    }
    // Without these a server may go on in another database, or refuse a login for the collation of its own.
    if message[24] & 0x40 == 0 || message[27] & 0x08 == 0 {
        return Err(complaint("a login that lets the database or the collations be restricted"));
    }
    let text = |index: usize, plain: fn(u8) -> u8| {
        let bytes = field(message, TABLE + index * 4)?;
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(pair.map(plain)));
        String::from_utf16(&units.collect::<Vec<_>>()).map_err(|_| complaint("a text that is none"))
    };
    let same = |byte| byte;
    Ok(Login {
        user: text(1, same)?,
        password: text(2, unscrambled)?,
        application: text(3, same)?,
        server: text(4, same)?,
        database: text(8, same)?,
        encrypted,
    })
}

/// The text whose place and number of characters are told there.
fn field(message: &[u8], place: usize) -> io::Result<&[u8]> {
    let wrong = || complaint("a text that lies outside of the login message");
    let [a, b, c, d] = *message.get(place..).and_then(<[u8]>::first_chunk).ok_or_else(wrong)?;
    let (start, characters) = (usize::from(u16::from_le_bytes([a, b])), usize::from(u16::from_le_bytes([c, d])));
    if start < FIXED || characters > 128 {
        return Err(wrong());
    }
    message.get(start..start + characters * 2).ok_or_else(wrong)
}

fn unscrambled(byte: u8) -> u8 {
    (byte ^ 0xa5).rotate_right(4)
}
