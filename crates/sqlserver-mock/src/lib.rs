//! A mock of SQL Server, for tests alone: where they run, no real one can be had. It speaks as much of TDS 7.4 as a
//! login and batches take, from the protocol's documentation and not from the client that is tested with it; what it
//! answers is told by the test. It takes nothing that the documentation does not allow, and can be made to answer what
//! it does not allow.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/>

mod connection;
mod conversation;
mod login;
mod tokens;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use login::Login;
pub use tokens::{Value, accepted, done, error, redirect, row_of_no_table, table};

/// What the mock answers to a login or a batch.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Tokens, as one message.
    Tokens(Vec<u8>),
    /// The same tokens in one packet after another, of which none is the last.
    Endless(Vec<u8>),
    /// Bytes as they are, without a packet, and then the end of the connection.
    Bytes(Vec<u8>),
    /// Nothing, while the connection stays open.
    Silence,
}

/// What the mock wants of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It has none.
    NotSupported,
    /// The client decides.
    Optional,
    /// No client gets in without.
    Demanded,
    /// It says this number whatever it is asked, as somebody in between might.
    Says(u8),
}

/// Answers a login.
pub type Doorkeeper = dyn Fn(&Login) -> Reply + Send + Sync;

/// Answers a batch of a login by its text.
pub type Clerk = dyn Fn(&Login, &str) -> Reply + Send + Sync;

/// What the mock does.
pub struct Script {
    /// What it wants of TLS.
    pub encryption: Encryption,
    /// With what it makes the TLS handshake.
    pub tls: Option<Arc<ServerConfig>>,
    /// What it says to a login.
    pub login: Box<Doorkeeper>,
    /// What it says to a batch.
    pub batch: Box<Clerk>,
}

impl Script {
    /// Without TLS it lets everybody in and counts no row.
    #[must_use]
    pub fn open() -> Self {
        Self {
            encryption: Encryption::NotSupported,
            tls: None,
            login: Box::new(|_| Reply::Tokens(accepted())),
            batch: Box::new(|_, _| Reply::Tokens(done(0))),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("encryption", &self.encryption).finish_non_exhaustive()
    }
}

/// What the mock has been sent.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Each login, whatever came of it.
    pub logins: Vec<Login>,
    /// Each batch.
    pub batches: Vec<String>,
    /// What was not as the documentation wants it.
    pub complaints: Vec<String>,
}

/// A running mock; it ends when this is dropped.
#[derive(Debug)]
pub struct Mock {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    _listening: JoinSet<()>,
}

impl Mock {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::serve(TcpListener::bind("127.0.0.1:0").await?, script)
    }

    /// Serves whoever comes to a listener of the caller's.
    ///
    /// # Errors
    /// It has no address.
    pub fn serve(listener: TcpListener, script: Script) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::new(script), Arc::clone(&seen)));
        Ok(Self { port, seen, _listening: listening })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has been sent until now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn listen(listener: TcpListener, script: Arc<Script>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        connections.spawn(async move {
            if let Err(error) = conversation::hold(stream, &script, &seen).await
                && error.kind() == io::ErrorKind::InvalidData
            {
                conversation::note(&seen, |seen| seen.complaints.push(error.to_string()));
            }
        });
    }
}
