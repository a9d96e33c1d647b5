//! What the tests share: options for a server on this machine, and servers that follow a script.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{ConnectOptions, Credentials, DeniedAddresses, Endpoint, Engine, Host, TlsMode, TrustRoots};

/// Options that reach `port` on this machine, in plaintext.
pub(crate) fn options(engine: Engine, port: u16) -> ConnectOptions {
    ConnectOptions {
        engine,
        endpoint: Endpoint { host: Host::parse("127.0.0.1").unwrap(), port },
        database: Some("orders".to_owned()),
        tls: TlsMode::Disable,
        roots: TrustRoots::web(),
        credentials: Credentials { user: "ann".to_owned(), password: "hunter2".to_owned().into() },
        connect_timeout: Duration::from_secs(10),
        query_timeout: Duration::from_secs(10),
        max_answer: 1 << 20,
        application_name: "tests".to_owned(),
        denied: DeniedAddresses::default(),
    }
}

/// A server that answers one connection: each reply is sent after something was read, but for the first
/// when `speaks_first`. It then reads to the end and gives all it was sent.
pub(crate) async fn serve(speaks_first: bool, replies: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        follow(&mut stream, speaks_first, replies).await
    });
    (port, task)
}

async fn follow(stream: &mut TcpStream, speaks_first: bool, replies: Vec<Vec<u8>>) -> Vec<u8> {
    let mut received = Vec::new();
    for (index, reply) in replies.into_iter().enumerate() {
        if index > 0 || !speaks_first {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            received.extend(&buffer[..length]);
        }
        // The client may have gone, which is what some tests are about.
        let _ = stream.write_all(&reply).await;
    }
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut received).await;
    received
}
