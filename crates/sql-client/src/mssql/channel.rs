//! Messages over a socket: ours go out in packets of the size that the server has agreed to, the server's are read piece
//! by piece, so that an answer never has to fit into memory.

use std::fmt;
use std::io;

use tokio::io::{AsyncWriteExt, BufReader};

use super::packet::{self, HEADER, Packet, malformed};
use crate::socket::Socket;

/// A connection on which messages are exchanged, one each way at a time.
pub(super) struct Channel {
    socket: BufReader<Box<dyn Socket>>,
    packet_size: usize,
}

impl Channel {
    pub(super) fn new(socket: Box<dyn Socket>) -> Self {
        Self { socket: BufReader::new(socket), packet_size: packet::SIZE }
    }

    /// What the server has agreed to, within what the protocol allows.
    pub(super) fn set_packet_size(&mut self, size: usize) {
        self.packet_size = size.clamp(512, 32_767);
    }

    pub(super) async fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        self.socket.write_all(&packet::message(kind, content, self.packet_size)).await?;
        self.socket.flush().await
    }

    /// The server's next message, of which at most `limit` bytes are read.
    pub(super) fn receive(&mut self, limit: usize) -> Incoming<'_> {
        Incoming { channel: self, packet: Packet::default(), position: 0, limit }
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("packet_size", &self.packet_size).finish_non_exhaustive()
    }
}

/// One message of the server's, front to back. Everything in it is unchecked, so every read can fail and none can
/// panic.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    channel: &'a mut Channel,
    packet: Packet,
    position: usize,
    limit: usize,
}

impl Incoming<'_> {
    /// The next byte, or `None` when the message is over.
    pub(super) async fn next(&mut self) -> io::Result<Option<u8>> {
        while self.position == self.packet.content.len() {
            if self.packet.is_last {
                return Ok(None);
            }
            self.fetch().await?;
        }
        self.u8().await.map(Some)
    }

    pub(super) async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Only what has arrived takes memory, whatever length was announced.
        while bytes.len() < count {
            bytes.extend(self.piece(count - bytes.len()).await?);
        }
        Ok(bytes)
    }

    pub(super) async fn skip(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            count -= self.piece(count).await?.len();
        }
        Ok(())
    }

    pub(super) async fn u8(&mut self) -> io::Result<u8> {
        self.array().await.map(u8::from_le_bytes)
    }

    pub(super) async fn u16(&mut self) -> io::Result<u16> {
        self.array().await.map(u16::from_le_bytes)
    }

    pub(super) async fn u32(&mut self) -> io::Result<u32> {
        self.array().await.map(u32::from_le_bytes)
    }

    pub(super) async fn u64(&mut self) -> io::Result<u64> {
        self.array().await.map(u64::from_le_bytes)
    }

    async fn array<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut array = [0; LENGTH];
        let mut filled = 0;
        while filled < LENGTH {
            let piece = self.piece(LENGTH - filled).await?;
            array[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(array)
    }

    /// At least one byte and at most `most`, from the packet at hand or the next one that has any.
    async fn piece(&mut self, most: usize) -> io::Result<&[u8]> {
        while self.position == self.packet.content.len() {
            if self.packet.is_last {
                return Err(malformed());
            }
            self.fetch().await?;
        }
        let rest = self.packet.content.get(self.position..).unwrap_or_default();
        let piece = &rest[..most.min(rest.len())];
        self.position += piece.len();
        Ok(piece)
    }

    async fn fetch(&mut self) -> io::Result<()> {
        let packet = packet::read(&mut self.channel.socket).await?;
        // Headers count, or empty packets would have no end.
        let read = packet.content.len() + HEADER;
        self.limit = self.limit.checked_sub(read).ok_or_else(malformed)?;
        (self.packet, self.position) = (packet, 0);
        Ok(())
    }
}
