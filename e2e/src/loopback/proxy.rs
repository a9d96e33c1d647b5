//! A man in the middle, on 127.0.0.1: passes a connection on to a real server, changes what it was told to change, and
//! remembers what the client said.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ADDRESS;

/// PostgreSQL's question for TLS: eight bytes, the same from everybody.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// `CLIENT_SSL` in the second byte of the capabilities' lower half.
const MYSQL_CLIENT_SSL: u8 = 0x08;

/// What is done to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meddling {
    /// Nothing.
    None,
    /// Is accepted, and hears nothing ever after.
    Hang,
    /// Waits before the connection is passed on.
    Delay(Duration),
    /// Resets the connection.
    Reset,
    /// Tells a client of PostgreSQL that there is no TLS.
    StripPostgres,
    /// Takes the offer of TLS out of MySQL's greeting.
    StripMysql,
    /// Agrees to TLS as PostgreSQL does, and sends these bytes before it begins.
    InjectPostgres(Vec<u8>),
    /// Lets MySQL's greeting through, and sends these bytes before TLS begins.
    InjectMysql(Vec<u8>),
}

/// The proxy, gone with this value.
pub struct Proxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: u16,
    meddling: Mutex<Meddling>,
    heard: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    /// What the server is told, and the client never learns the answer to; each once.
    unanswered: Mutex<Vec<String>>,
    cut: Notify,
}

impl Proxy {
    /// A proxy for the server on that port.
    pub async fn start(server: u16, meddling: Meddling) -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await.context("no port")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            server,
            meddling: Mutex::new(meddling),
            heard: Mutex::default(),
            connections: AtomicUsize::default(),
            unanswered: Mutex::default(),
            cut: Notify::new(),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_task);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = shared.serve(client) => {}
                        () = shared.cut.notified() => {}
                    }
                });
            }
        });
        Ok(Self { port, shared, task })
    }

    /// From now on does this to new connections.
    pub fn meddle(&self, meddling: Meddling) {
        *self.shared.meddling.lock().unwrap_or_else(PoisonError::into_inner) = meddling;
    }

    /// Ends the connections that there are.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// Whoever says one of these to the server loses the connection when the server has answered; once for each.
    pub fn lose_answers_to(&self, words: &[&str]) {
        let words = words.iter().map(|&word| word.to_owned());
        self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner).extend(words);
    }

    /// The words of [`Proxy::lose_answers_to`] that nobody has said yet.
    #[must_use]
    pub fn unsaid(&self) -> Vec<String> {
        self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Everything that clients have said.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Ends when either side has gone.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let meddling = self.meddling.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut server = TcpStream::connect((ADDRESS, self.server)).await?;
        match meddling {
            Meddling::None => {}
            Meddling::Hang => std::future::pending().await,
            Meddling::Delay(time) => tokio::time::sleep(time).await,
            Meddling::Reset => return client.set_zero_linger(),
            Meddling::StripPostgres => self.answer_ssl_request(&mut client, b"N").await?,
            Meddling::InjectPostgres(bytes) => {
                self.answer_ssl_request(&mut client, &[b"S", &bytes[..]].concat()).await?;
            }
            Meddling::StripMysql => {
                let mut greeting = read_packet(&mut server).await?;
                strip(&mut greeting);
                client.write_all(&greeting).await?;
            }
            Meddling::InjectMysql(bytes) => {
                let greeting = read_packet(&mut server).await?;
                client.write_all(&[greeting, bytes].concat()).await?;
            }
        }
        self.pass_on(client, server).await
    }

    /// A client that asks for no TLS has said something else; the server shall hear that.
    async fn answer_ssl_request(&self, client: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
        let mut asked = [0; SSL_REQUEST.len()];
        client.read_exact(&mut asked).await?;
        self.hear(&asked);
        client.write_all(answer).await
    }

    async fn pass_on(&self, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let loses_answer = AtomicBool::new(false);
        let up = async {
            let mut buffer = vec![0; 16 << 10];
            loop {
                let length = from_client.read(&mut buffer).await?;
                if length == 0 {
                    return to_server.shutdown().await;
                }
                self.hear(&buffer[..length]);
                loses_answer.fetch_or(self.is_unanswered(&buffer[..length]), Ordering::Relaxed);
                to_server.write_all(&buffer[..length]).await?;
            }
        };
        let down = async {
            let mut buffer = vec![0; 16 << 10];
            loop {
                let length = from_server.read(&mut buffer).await?;
                if loses_answer.load(Ordering::Relaxed) {
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
                if length == 0 {
                    return to_client.shutdown().await;
                }
                to_client.write_all(&buffer[..length]).await?;
            }
        };
        tokio::try_join!(up, down).map(drop)
    }

    fn is_unanswered(&self, said: &[u8]) -> bool {
        let said = String::from_utf8_lossy(said);
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = unanswered.len();
        unanswered.retain(|words| !said.contains(words.as_str()));
        unanswered.len() < before
    }

    fn hear(&self, bytes: &[u8]) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
    }
}

/// One packet of MySQL, its head included.
async fn read_packet(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    let mut packet = head.to_vec();
    packet.resize(head.len() + length, 0);
    stream.read_exact(&mut packet[head.len()..]).await?;
    Ok(packet)
}

/// The capabilities follow the version, which a NUL ends, four bytes, eight of the challenge and another NUL.
fn strip(greeting: &mut [u8]) {
    let version = greeting.iter().skip(5).position(|byte| *byte == 0);
    if let Some(byte) = version.and_then(|length| greeting.get_mut(5 + length + 1 + 4 + 8 + 1 + 1)) {
        *byte &= !MYSQL_CLIENT_SSL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_offer_of_tls_is_taken_out_of_a_greeting() {
        let greeting = |low: u16| {
            [b"\x4e\0\0\0\x0a8.0.40\0\x01\0\0\0abcdefgh\0", &low.to_le_bytes()[..], b"\x2d\x02\0rest"].concat()
        };
        let mut stripped = greeting(0xffff);
        strip(&mut stripped);
        assert_eq!(stripped, greeting(!(1 << 11)));
    }
}
