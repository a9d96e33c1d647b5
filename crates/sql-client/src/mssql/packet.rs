//! Packets and the texts in them: eight bytes of header, then content. A message is one packet or more, of which the
//! last says that it is.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a packet is.
pub(super) const SQL_BATCH: u8 = 0x01;
pub(super) const ANSWER: u8 = 0x04;
pub(super) const LOGIN: u8 = 0x10;
pub(super) const PRELOGIN: u8 = 0x12;

pub(super) const HEADER: usize = 8;
/// The size until the server says otherwise.
pub(super) const SIZE: usize = 4096;

const LAST: u8 = 0x01;

/// What no server would send.
pub(super) fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A packet of the server's.
#[derive(Debug, Default)]
pub(super) struct Packet {
    pub(super) is_last: bool,
    pub(super) content: Vec<u8>,
}

/// The length of the content behind a header.
pub(super) fn content_length(header: [u8; HEADER]) -> io::Result<usize> {
    let [_, _, high, low, ..] = header;
    usize::from(u16::from_be_bytes([high, low])).checked_sub(HEADER).ok_or_else(malformed)
}

/// Reads one packet and not one byte more: what comes next may be TLS.
pub(super) async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> io::Result<Packet> {
    let mut header = [0; HEADER];
    socket.read_exact(&mut header).await?;
    let [kind, status, ..] = header;
    // Seen at once, what is no SQL Server is not waited for.
    if kind != ANSWER {
        return Err(malformed());
    }
    let mut content = vec![0; content_length(header)?];
    socket.read_exact(&mut content).await?;
    Ok(Packet { is_last: status & LAST != 0, content })
}

/// The packets of one message, each `size` bytes long at most.
pub(super) fn message(kind: u8, content: &[u8], size: usize) -> Vec<u8> {
    let mut packets = Vec::with_capacity(content.len() + HEADER);
    let mut chunks = content.chunks(size.saturating_sub(HEADER).max(1)).peekable();
    let mut number = 0_u8;
    while let Some(chunk) = chunks.next() {
        let status = if chunks.peek().is_none() { LAST } else { 0 };
        number = number.wrapping_add(1);
        let [.., high, low] = (chunk.len() + HEADER).to_be_bytes();
        packets.extend([kind, status, high, low, 0, 0, number, 0]);
        packets.extend(chunk);
    }
    packets
}

/// A text as TDS writes it.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The text that TDS has written; what is no UTF-16 in it becomes U+FFFD.
pub(super) fn from_utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(|pair| u16::from_le_bytes(*pair)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
