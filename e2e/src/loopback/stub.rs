//! Stubs of servers that mean harm: a port, and a list of what is done to whoever connects. They speak as much of a
//! protocol as their bytes do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::ADDRESS;

/// Between the bytes that [`Step::Drip`] sends.
const DRIP: Duration = Duration::from_millis(200);

/// One thing that a stub does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for something to be sent here.
    Read,
    /// Waits for something, and sends what it makes of it.
    Answer(fn(&[u8]) -> Vec<u8>),
    /// Sends the same bytes again and again until the connection ends.
    Flood(Vec<u8>),
    /// Sends bytes one by one, slowly.
    Drip(Vec<u8>),
    /// Says nothing until the other side has gone.
    Hang,
    /// Resets the connection.
    Reset,
}

/// A stub, gone with this value.
pub struct Stub {
    /// Its port on 127.0.0.1.
    pub port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    called: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Stub {
    /// A stub that does this to everybody, and then closes the connection.
    pub async fn start(steps: Vec<Step>) -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await.context("no port")?;
        let port = listener.local_addr()?.port();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let called = Arc::<AtomicBool>::default();
        let of_task = (Arc::clone(&heard), Arc::clone(&called));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                of_task.1.store(true, Ordering::Release);
                tokio::spawn(Conversation { stream, heard: Arc::clone(&of_task.0) }.follow(steps.clone()));
            }
        });
        Ok(Self { port, heard, called, task })
    }

    /// Whether anybody has connected.
    #[must_use]
    pub fn was_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// All that was said to it. What is said after its last step is not heard.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Conversation {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Conversation {
    /// Ends early when the other side has gone.
    async fn follow(mut self, steps: Vec<Step>) -> std::io::Result<()> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.stream.write_all(&bytes).await?,
                Step::Read => drop(self.read().await?),
                Step::Answer(answer) => {
                    let bytes = answer(&self.read().await?);
                    self.stream.write_all(&bytes).await?;
                }
                Step::Flood(bytes) => loop {
                    self.stream.write_all(&bytes).await?;
                },
                Step::Drip(bytes) => self.drip(&bytes).await?,
                Step::Hang => while !self.read().await?.is_empty() {},
                Step::Reset => self.stream.set_zero_linger()?,
            }
        }
        Ok(())
    }

    /// What is said next; nothing when the other side has gone.
    async fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 << 10];
        let length = self.stream.read(&mut buffer).await?;
        buffer.truncate(length);
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer);
        Ok(buffer)
    }

    async fn drip(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for byte in bytes {
            self.stream.write_all(&[*byte]).await?;
            tokio::time::sleep(DRIP).await;
        }
        Ok(())
    }
}
