//! Carries bytes between a Unix socket and a TCP port of the loopback. The file system is shared between the machine
//! and the cluster, the network is not: so the API server is reached over a socket file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

const MOST_CONNECTIONS: usize = 2048;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Inside the cluster: takes connections on `socket` and carries them to `port` of the loopback. Runs until killed.
pub async fn socket_to_port(socket: &Path, port: u16) -> Result<()> {
    if socket.exists() {
        std::fs::remove_file(socket).context("cannot remove the old socket")?;
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await?;
        let (near, _) = listener.accept().await.context("cannot take a connection")?;
        tokio::spawn(async move {
            if let Ok(Ok(far)) = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(("127.0.0.1", port))).await {
                relay(near, far).await;
            }
            drop(slot);
        });
    }
}

/// Outside: takes connections on `listener` and carries them to `socket`. Runs until dropped.
pub async fn port_to_socket(listener: TcpListener, socket: PathBuf) -> Result<()> {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await?;
        let (near, _) = listener.accept().await.context("cannot take a connection")?;
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(Ok(far)) = tokio::time::timeout(CONNECT_DEADLINE, UnixStream::connect(socket)).await {
                relay(near, far).await;
            }
            drop(slot);
        });
    }
}

/// Until one side closes or breaks; the other side then sees the same. A watch may be silent for long: no deadline.
async fn relay(mut near: impl AsyncRead + AsyncWrite + Unpin, mut far: impl AsyncRead + AsyncWrite + Unpin) {
    // An end of either side is the normal end of a connection, and there is nobody to report it to.
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_through_port_and_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let inner = socket.clone();
        tokio::spawn(async move { socket_to_port(&inner, port).await });
        let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = outside.local_addr().unwrap();
        tokio::spawn(port_to_socket(outside, socket.clone()));
        while !socket.exists() {
            tokio::task::yield_now().await;
        }

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut got = [0; 4];
        far.read_exact(&mut got).await.unwrap();
        far.write_all(b"pong").await.unwrap();
        drop(far);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((&got, answer.as_str()), (b"ping", "pong"));
    }
}
