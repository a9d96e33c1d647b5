//! Packets over a socket, with or without TLS below them; during the TLS handshake it is the other way round.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const BATCH: u8 = 0x01;
pub(crate) const ANSWER: u8 = 0x04;
pub(crate) const LOGIN: u8 = 0x10;
pub(crate) const PRELOGIN: u8 = 0x12;

/// The size of packets that both sides keep to.
pub(crate) const SIZE: usize = 4096;
const HEADER: usize = 8;
const LAST: u8 = 1;

/// What a client did against the rules.
pub(crate) fn complaint(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

pub(crate) struct Connection {
    stream: TcpStream,
    tls: Option<ServerConnection>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Makes the TLS handshake inside of packets; from then on packets travel inside of TLS.
    pub(crate) async fn encrypt(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        while tls.is_handshaking() || tls.wants_write() {
            if tls.wants_write() {
                let mut flight = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut flight)?;
                }
                self.send(PRELOGIN, &flight).await?;
            } else {
                let flight = self.receive(PRELOGIN).await?;
                let mut rest = &flight[..];
                while !rest.is_empty() {
                    tls.read_tls(&mut rest)?;
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
            }
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Reads one message, which must be of this kind and in packets that keep to the rules.
    pub(crate) async fn receive(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let mut header = [0; HEADER];
            self.read(&mut header).await?;
            // The packet's number is among what the documentation has servers ignore.
            let [found, status, high, low, ..] = header;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let is_last = status & LAST != 0;
            if found != kind || !(HEADER..=SIZE).contains(&length) {
                return Err(complaint(format!("packet {header:?}, where one of kind {kind} was due")));
            }
            if !is_last && length != SIZE {
                return Err(complaint("a packet that is neither full nor the last"));
            }
            let mut content = vec![0; length - HEADER];
            self.read(&mut content).await?;
            message.extend(content);
            if is_last {
                return Ok(message);
            }
        }
    }

    /// Sends one message.
    pub(crate) async fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let count = content.chunks(SIZE - HEADER).count();
        for (index, chunk) in content.chunks(SIZE - HEADER).enumerate() {
            self.send_packet(kind, chunk, index + 1 == count).await?;
        }
        Ok(())
    }

    pub(crate) async fn send_packet(&mut self, kind: u8, content: &[u8], is_last: bool) -> io::Result<()> {
        let [.., high, low] = (content.len() + HEADER).to_be_bytes();
        let header = [kind, u8::from(is_last), high, low, 0, 51, 1, 0];
        self.write(&[&header, content].concat()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.stream.write_all(bytes).await };
        tls.writer().write_all(bytes)?;
        let mut encrypted = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut encrypted)?;
        }
        self.stream.write_all(&encrypted).await
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.stream.read_exact(buffer).await.map(drop) };
        let mut filled = 0;
        while filled < buffer.len() {
            match tls.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut encrypted = [0; SIZE];
                    let count = self.stream.read(&mut encrypted).await?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let mut rest = &encrypted[..count];
                    while !rest.is_empty() {
                        tls.read_tls(&mut rest)?;
                        tls.process_new_packets().map_err(io::Error::other)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until the client goes.
    pub(crate) async fn wait_for_end(&mut self) {
        let mut buffer = [0; SIZE];
        while self.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    }
}
