//! Reading and writing the fields inside a packet. Everything comes from the server unchecked, so every
//! read can fail and none can panic.
//! The fields: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_data_types.html>.

/// A packet that ends too early or holds what it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a packet, front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.little_endian(1).map(|number| number.to_le_bytes()[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        let [low, high, ..] = self.little_endian(2)?.to_le_bytes();
        Ok(u16::from_le_bytes([low, high]))
    }

    fn little_endian(&mut self, length: usize) -> Result<u64, Malformed> {
        let bytes = self.bytes(length)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A whole number whose first byte tells its length.
    pub(super) fn length_encoded(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            0xfc => self.little_endian(2),
            0xfd => self.little_endian(3),
            0xfe => self.little_endian(8),
            0xfb | 0xff => Err(Malformed),
            small => Ok(u64::from(small)),
        }
    }

    /// The text up to the next NUL; the rest where there is none, as old servers leave the last one out.
    pub(super) fn until_nul(&mut self) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let head = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        head
    }

    /// A column of a row; `None` is NULL.
    pub(super) fn column(&mut self) -> Result<Option<String>, Malformed> {
        if self.0.first() == Some(&0xfb) {
            self.bytes(1)?;
            return Ok(None);
        }
        let length = usize::try_from(self.length_encoded()?).map_err(|_| Malformed)?;
        Ok(Some(String::from_utf8_lossy(self.bytes(length)?).into_owned()))
    }
}

/// Appends a text behind its length. Longer than 65,535 bytes does not occur in what we send.
pub(super) fn put_length_encoded(packet: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    match u8::try_from(text.len()) {
        Ok(length) if length < 0xfb => packet.push(length),
        _ => {
            packet.push(0xfc);
            packet.extend(&text.len().to_le_bytes()[..2]);
        }
    }
    packet.extend(text);
}

/// Appends a text and its final NUL; [`crate::connect()`] refuses texts that hold one.
pub(super) fn put_nul_terminated(packet: &mut Vec<u8>, text: &[u8]) {
    packet.extend(text);
    packet.push(0);
}
