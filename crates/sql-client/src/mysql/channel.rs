//! Packets over a socket: three bytes of length, one of sequence, then the content.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::socket::Socket;

/// A longer content continues in a next packet. Nothing we send or ask for comes near.
const MAX_CONTENT: usize = 0xff_ffff - 1;
/// Nothing before the end of the login is long, and until then anybody may be talking.
const MAX_LOGIN_CONTENT: usize = 64 << 10;

/// A connection on which packets are exchanged; the sequence goes on where the greeting left it.
pub(super) struct Channel {
    socket: BufReader<Box<dyn Socket>>,
    sequence: u8,
    limit: usize,
    encrypted: bool,
}

impl Channel {
    pub(super) fn plain(stream: TcpStream, sequence: u8) -> Self {
        Self::new(Box::new(stream), sequence, false)
    }

    pub(super) fn encrypted(stream: tokio_rustls::client::TlsStream<TcpStream>, sequence: u8) -> Self {
        Self::new(Box::new(stream), sequence, true)
    }

    fn new(socket: Box<dyn Socket>, sequence: u8, encrypted: bool) -> Self {
        Self { socket: BufReader::new(socket), sequence, limit: MAX_LOGIN_CONTENT, encrypted }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// From here on answers may be as long as this.
    pub(super) fn logged_in(&mut self, max_answer: usize) {
        self.limit = max_answer.min(MAX_CONTENT);
    }

    /// How long an answer may be.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Every command starts a new sequence.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    pub(super) async fn read(&mut self) -> io::Result<Vec<u8>> {
        read_packet(&mut self.socket, &mut self.sequence, self.limit).await
    }

    pub(super) async fn write(&mut self, content: &[u8]) -> io::Result<()> {
        write_packet(&mut self.socket, &mut self.sequence, content).await
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("encrypted", &self.encrypted).finish_non_exhaustive()
    }
}

/// Reads the server's greeting and not one byte more: what comes next may be TLS.
pub(super) async fn read_greeting(stream: &mut TcpStream, sequence: &mut u8) -> io::Result<Vec<u8>> {
    read_packet(stream, sequence, MAX_LOGIN_CONTENT).await
}

async fn read_packet<S>(socket: &mut S, sequence: &mut u8, limit: usize) -> io::Result<Vec<u8>>
where
    S: AsyncRead + Unpin,
{
    let mut header = [0; 4];
    socket.read_exact(&mut header).await?;
    let [low, middle, high, number] = header;
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    if length == 0 || length > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    *sequence = number.wrapping_add(1);
    let mut content = vec![0; length];
    socket.read_exact(&mut content).await?;
    Ok(content)
}

pub(super) async fn write_packet<S>(socket: &mut S, sequence: &mut u8, content: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    if content.len() > MAX_CONTENT {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let [low, middle, high, ..] = content.len().to_le_bytes();
    let packet = [&[low, middle, high, *sequence], content].concat();
    *sequence = sequence.wrapping_add(1);
    socket.write_all(&packet).await?;
    socket.flush().await
}
