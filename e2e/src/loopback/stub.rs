//! Stubs of servers that mean harm: a port, and a list of what is done to whoever connects. They speak as much of a
//! protocol as their bytes do.

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
    task: JoinHandle<()>,
}

impl Stub {
    /// A stub that does this to everybody, and then closes the connection.
    pub async fn start(steps: Vec<Step>) -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await.context("no port")?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(follow(stream, steps.clone()));
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends early when the other side has gone.
async fn follow(mut stream: TcpStream, steps: Vec<Step>) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Read => drop(stream.read(&mut buffer).await?),
            Step::Flood(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Step::Hang => while stream.read(&mut buffer).await? > 0 {},
            Step::Reset => stream.set_zero_linger()?,
        }
    }
    Ok(())
}
