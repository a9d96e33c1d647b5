//! What stands in for pods where there is an API server alone, so that hundreds of instances can be measured: Deployments
//! that say they are complete, and one listener that answers every handshake as DBHub would. Both are fakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Longer than any request of a handshake.
const LONGEST: usize = 64 << 10;

/// Both fakes, until this is dropped.
pub(super) struct FakeDbhub {
    /// Of the listener; Services must name it as their port.
    pub(super) port: u16,
    writes: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

impl FakeDbhub {
    /// Starts both. `tools` names the tools of the instance with that host name.
    pub(super) async fn start(client: Client, tools: fn(&str) -> Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("0.0.0.0:0").await.context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let writes = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(complete_all(client, Arc::clone(&writes)));
        tasks.spawn(serve(listener, tools));
        Ok(Self { port, writes, _tasks: tasks })
    }

    /// Writes that the fake Deployments have taken so far.
    pub(super) fn writes(&self) -> u32 {
        self.writes.load(Ordering::SeqCst)
    }
}

/// Says of every Deployment, as it changes, that all its pods are there.
async fn complete_all(client: Client, writes: Arc<AtomicU32>) {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let mut changed = watcher(deployments, watcher::Config::default()).default_backoff().applied_objects().boxed();
    while let Some(deployment) = changed.next().await {
        let Ok(deployment) = deployment else { continue };
        let seen = deployment.status.as_ref().and_then(|status| status.observed_generation);
        if seen != deployment.metadata.generation {
            writes.fetch_add(1, Ordering::SeqCst);
            // A lost one shows, since the instance then never runs.
            drop(complete(&client, &deployment).await);
        }
    }
}

async fn complete(client: &Client, deployment: &Deployment) -> kube::Result<()> {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = json!({"status": {
        "observedGeneration": deployment.metadata.generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
        "conditions": [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True",
                        "reason": "NewReplicaSetAvailable"}],
    }});
    let api: Api<Deployment> = Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
    api.patch_status(&deployment.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.map(drop)
}

async fn serve(listener: TcpListener, tools: fn(&str) -> Vec<String>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        connections.spawn(answer_all(connection, tools));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_all(connection: TcpStream, tools: fn(&str) -> Vec<String>) {
    let mut connection = BufReader::new(connection);
    while let Ok(Some((host, call))) = read(&mut connection).await {
        let result = match call["method"].as_str() {
            Some("tools/list") => {
                json!({"tools": tools(&host).iter().map(|name| json!({"name": name})).collect::<Vec<_>>()})
            }
            _ => json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "fake"}}),
        };
        let body = json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if connection.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request's host and JSON; nothing at the end of the connection.
async fn read(connection: &mut BufReader<TcpStream>) -> Result<Option<(String, Value)>> {
    let (mut host, mut length, mut line) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if connection.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "host" => value.clone_into(&mut host),
            "content-length" => length = value.parse::<usize>()?.min(LONGEST),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(Some((host, serde_json::from_slice(&body)?)))
}
