//! A server's messages, checked on their way to the driver: none comes through that would ask for the password itself
//! where anybody can read it, and no answer longer than it may be. The driver would send the former, and would keep
//! half a message, notices and parameters for as long as they come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::connect_error::ConnectClass;

/// Nothing before the end of the login is long, and until then anybody may be talking.
const MAX_LOGIN: usize = 64 << 10;
/// A message's kind and its length, which counts itself but not the kind.
const HEAD: usize = 5;
/// The same with the number that says how to log in.
const AUTHENTICATION_HEAD: usize = 9;

const AUTHENTICATION: u8 = b'R';
const READY_FOR_QUERY: u8 = b'Z';
const CLEARTEXT_PASSWORD: [u8; 4] = [0, 0, 0, 3];

/// Why a server's message is kept from the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the server asks for the password itself, on a connection that is not encrypted")]
    PasswordInClear,
    #[error("the server's answer is longer than it may be")]
    TooLong,
    #[error("the server's message has an impossible length")]
    Malformed,
}

impl Refusal {
    pub(super) fn class(self) -> ConnectClass {
        match self {
            Self::PasswordInClear => ConnectClass::PasswordInClear,
            Self::TooLong | Self::Malformed => ConnectClass::Protocol,
        }
    }
}

/// What holds for one connection.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    encrypted: bool,
    max_answer: usize,
    /// Set when a message was kept back. The driver's own error for it stays in the task that reads.
    broken: Arc<AtomicBool>,
}

impl Rules {
    pub(super) fn new(encrypted: bool, max_answer: usize) -> Self {
        Self { encrypted, max_answer, broken: Arc::default() }
    }

    pub(super) fn are_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

/// A stream that ends with an error at the first message that the rules forbid.
pub(super) struct Guarded<S> {
    stream: S,
    rules: Rules,
    reader: Reader,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, rules: Rules) -> Self {
        Self {
            stream,
            rules,
            reader: Reader { head: Vec::with_capacity(AUTHENTICATION_HEAD), rest: 0, left: MAX_LOGIN },
        }
    }
}

/// Where in the server's messages the stream is.
struct Reader {
    /// What has arrived of the next message's head.
    head: Vec<u8>,
    /// Bytes of the present message that are still to come.
    rest: usize,
    /// Bytes that the present answer may still hold.
    left: usize,
}

impl Reader {
    fn pass(&mut self, mut bytes: &[u8], rules: &Rules) -> Result<(), Refusal> {
        while let Some((first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(*first);
            bytes = others;
            self.judge_head(rules)?;
        }
        Ok(())
    }

    fn judge_head(&mut self, rules: &Rules) -> Result<(), Refusal> {
        let Some(&[kind, a, b, c, d]) = self.head.first_chunk::<HEAD>() else { return Ok(()) };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| Refusal::TooLong)?;
        if length < HEAD - 1 {
            return Err(Refusal::Malformed);
        }
        let size = length.checked_add(1).filter(|size| *size <= self.left).ok_or(Refusal::TooLong)?;
        if kind == AUTHENTICATION && self.head.len() < AUTHENTICATION_HEAD.min(size) {
            return Ok(());
        }
        if !rules.encrypted && kind == AUTHENTICATION && self.head[HEAD..] == CLEARTEXT_PASSWORD {
            return Err(Refusal::PasswordInClear);
        }
        self.left = if kind == READY_FOR_QUERY { rules.max_answer } else { self.left - size };
        self.rest = size - self.head.len();
        self.head.clear();
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let Err(refusal) = this.reader.pass(&buffer.filled()[before..], &this.rules) {
            this.rules.broken.store(true, Ordering::Release);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Guarded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Makes the TLS connection of `tls` a guarded one.
pub(super) struct GuardedTls<T> {
    pub(super) tls: T,
    pub(super) rules: Rules,
}

impl<T> TlsConnect<TcpStream> for GuardedTls<T>
where
    T: TlsConnect<TcpStream>,
    T::Future: Send + 'static,
{
    type Stream = Guarded<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        let (connecting, rules) = (self.tls.connect(stream), self.rules);
        Box::pin(async { Ok(Guarded::new(connecting.await?, rules)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], content].concat()
    }

    fn reader() -> Reader {
        Guarded::new((), Rules::new(false, 100)).reader
    }

    /// What becomes of the bytes, which must not depend on how they are cut into pieces.
    fn passed(bytes: &[u8], rules: &Rules) -> Result<(), Refusal> {
        let whole = reader().pass(bytes, rules);
        let mut by_byte = reader();
        assert_eq!(bytes.chunks(1).try_for_each(|byte| by_byte.pass(byte, rules)), whole);
        whole
    }

    #[test]
    fn the_password_itself_is_asked_for_under_tls_alone() {
        let asked = message(AUTHENTICATION, &CLEARTEXT_PASSWORD);
        assert_eq!(passed(&asked, &Rules::new(false, 100)), Err(Refusal::PasswordInClear));
        assert_eq!(passed(&asked, &Rules::new(true, 100)), Ok(()));
        for other in [&[0, 0, 0, 5, 1, 2, 3, 4][..], &[0, 0, 0, 0], &[0, 0, 3], b""] {
            assert_eq!(passed(&message(AUTHENTICATION, other), &Rules::new(false, 100)), Ok(()), "{other:?}");
        }
    }

    #[test]
    fn each_answer_has_a_limit_of_its_own() {
        let rules = Rules::new(false, 100);
        let ready = message(READY_FOR_QUERY, b"I");
        let login = [message(b'S', &vec![0; 60_000]), ready.clone()].concat();
        let answer = [message(b'D', &[0; 40]), message(b'N', &[0; 40]), ready].concat();
        assert_eq!(passed(&[&login[..], &answer, &answer].concat(), &rules), Ok(()));
        assert_eq!(passed(&[&login[..], &answer, &message(b'D', &[0; 96])].concat(), &rules), Err(Refusal::TooLong));
        assert_eq!(passed(&[&login[..], &message(b'N', b"").repeat(21)].concat(), &rules), Err(Refusal::TooLong));
        assert_eq!(passed(&message(b'S', &vec![0; 40_000]).repeat(2), &rules), Err(Refusal::TooLong));
    }

    #[test]
    fn no_length_is_believed() {
        let rules = Rules::new(false, 100);
        assert_eq!(passed(b"E\xff\xff\xff\xff", &rules), Err(Refusal::TooLong));
        assert_eq!(passed(b"E\x7f\xff\xff\xff", &rules), Err(Refusal::TooLong));
        assert_eq!(passed(b"E\0\0\0\x03", &rules), Err(Refusal::Malformed));
    }
}
