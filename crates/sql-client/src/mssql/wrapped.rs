//! A socket on which the TLS handshake travels inside of PRELOGIN packets, and everything after it as it is: that is
//! how TDS up to 7.4 begins to encrypt.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::packet::{self, HEADER};

/// More than this of one flight of the handshake is read in pieces.
const PIECE: usize = 4096;

/// The socket, and what of the handshake is under way.
#[derive(Debug)]
pub(super) struct Wrapped {
    stream: TcpStream,
    in_packets: bool,
    /// Written, and not yet flushed into a packet.
    flight: Vec<u8>,
    /// In packets, and not yet sent.
    unsent: Vec<u8>,
    /// The part of the next packet's header that has arrived.
    header: Vec<u8>,
    /// How much of the current packet's content has not.
    left: usize,
}

impl Wrapped {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, in_packets: true, flight: Vec::new(), unsent: Vec::new(), header: Vec::new(), left: 0 }
    }

    /// From here on nothing is put into packets.
    pub(super) fn handshake_is_done(&mut self) {
        self.in_packets = false;
    }

    /// Reads at most `limit` bytes; none means that the server has closed the connection.
    fn poll_some(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut piece = [0; PIECE];
        let mut buffer = ReadBuf::new(piece.get_mut(..limit).unwrap_or(&mut []));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.in_packets {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        while this.left == 0 {
            let some = ready!(this.poll_some(cx, HEADER - this.header.len()))?;
            if some.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.header.extend(some);
            if let Ok(header) = <[u8; HEADER]>::try_from(&this.header[..]) {
                this.left = packet::content_length(header)?;
                this.header.clear();
            }
        }
        let some = ready!(this.poll_some(cx, this.left.min(buffer.remaining()).min(PIECE)))?;
        this.left -= some.len();
        buffer.put_slice(&some);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.in_packets {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        }
        this.flight.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flight = std::mem::take(&mut this.flight);
        this.unsent.extend(packet::message(packet::PRELOGIN, &flight, packet::SIZE));
        while !this.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.unsent.drain(..sent);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
