//! A connection to a real server that is lost at one moment of the conversation, and works ever after: what a crash of
//! either side, or of what lies between them, looks like.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::ADDRESS;

/// What is lost of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The server never hears of it, and both sides see the connection end.
    Request,
    /// The server has done it, and the client sees the connection end.
    Answer,
    /// The server has done it, and the client waits.
    Time,
}

/// The moment, counted in what clients have sent, from 1, over all connections.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// How many times clients must have sent something.
    pub sent: usize,
    /// What is lost then.
    pub lost: Lost,
}

/// The way to the server, gone with this value.
pub struct Cut {
    /// Its port on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    server: u16,
    moment: Option<Moment>,
    sent: AtomicUsize,
    happened: Notify,
}

impl Cut {
    /// The way to the server on that port, which is lost at that moment, or never.
    pub async fn start(server: u16, moment: Option<Moment>) -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await.context("no port")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { server, moment, sent: AtomicUsize::default(), happened: Notify::new() });
        let of_task = Arc::clone(&shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_task);
                connections.spawn(async move { shared.serve(client).await });
            }
        });
        Ok(Self { port, shared, _tasks: tasks })
    }

    /// How many times clients have sent something.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits for the moment.
    pub async fn happened(&self) {
        self.shared.happened.notified().await;
    }
}

impl Shared {
    /// Ends when either side has gone, or at the moment.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut server = TcpStream::connect((ADDRESS, self.server)).await?;
        let (mut from_client, mut from_server) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        loop {
            tokio::select! {
                read = client.read(&mut from_client) => {
                    let length = read?;
                    if length == 0 {
                        return Ok(());
                    }
                    let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
                    let lost = self.moment.filter(|moment| moment.sent == sent).map(|moment| moment.lost);
                    if lost != Some(Lost::Request) {
                        server.write_all(&from_client[..length]).await?;
                    }
                    if let Some(lost) = lost {
                        return self.lose(lost, &mut server).await;
                    }
                }
                read = server.read(&mut from_server) => {
                    let length = read?;
                    if length == 0 {
                        return Ok(());
                    }
                    client.write_all(&from_server[..length]).await?;
                }
            }
        }
    }

    async fn lose(&self, lost: Lost, server: &mut TcpStream) -> std::io::Result<()> {
        if lost != Lost::Request {
            // What the server says first shows that it has done what it was told.
            server.readable().await?;
        }
        self.happened.notify_one();
        if lost == Lost::Time {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
