//! The handshake: does a DBHub answer behind the Service, does it take the token, and does it offer the tools that we
//! rendered? Two JSON-RPC calls, as an MCP client's first two. It reads nothing from a database.

use std::collections::BTreeSet;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use operator_runtime::deadline::deadline;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);
/// Between tries. Right after a rollout the way through the Service may still lead nowhere, mostly for a moment only, or
/// to a pod that ends.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(400),
    Duration::from_secs(1),
];
/// A list of tools for some thousand databases stays below.
const MOST_BYTES: usize = 8 << 20;

/// Where a DBHub answers, and what it should offer.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address and port that are dialled: the Service's.
    pub address: String,
    /// Host name that is asked for; DBHub refuses names that it does not know.
    pub host: String,
    /// Bearer token.
    pub token: Option<SecretString>,
    /// Names of the tools that must be there.
    pub tools: BTreeSet<String>,
}

/// Why the handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No connection, or it broke.
    #[error("no connection to DBHub through the Service")]
    Unreachable,
    /// The time was over.
    #[error("DBHub did not answer within {} s", TRY.as_secs())]
    Timeout,
    /// 401.
    #[error("DBHub does not take the token; does another program answer behind the Service?")]
    TokenRefused,
    /// 403.
    #[error("DBHub does not answer to the Service's name")]
    HostRefused,
    /// Any other status but 200.
    #[error("DBHub answered {method} with HTTP status {status}")]
    Status {
        /// MCP method.
        method: &'static str,
        /// HTTP status code.
        status: u16,
    },
    /// Not what MCP says, or an error of MCP's own.
    #[error("what answered {method} does not speak MCP as DBHub does")]
    Protocol {
        /// MCP method.
        method: &'static str,
    },
    /// The tools of some database are not there.
    #[error("DBHub lacks tools that it should have: {}", .0.join(", "))]
    ToolsMissing(Vec<String>),
}

impl HandshakeError {
    /// The reason in one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable => "HandshakeUnreachable",
            Self::Timeout => "HandshakeTimeout",
            Self::TokenRefused => "TokenRefused",
            Self::HostRefused => "HostRefused",
            Self::Status { .. } | Self::Protocol { .. } => "HandshakeFailed",
            Self::ToolsMissing(_) => "ToolsMissing",
        }
    }
}

/// Shakes hands, with a few tries; gives the last try's error.
pub async fn handshake(target: &Target) -> Result<(), HandshakeError> {
    let mut result = one_try(target).await;
    for pause in PAUSES {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(pause).await;
        result = one_try(target).await;
    }
    result
}

async fn one_try(target: &Target) -> Result<(), HandshakeError> {
    deadline(TRY, once(target)).await.unwrap_or(Err(HandshakeError::Timeout))
}

async fn once(target: &Target) -> Result<(), HandshakeError> {
    // No connection is kept: each handshake goes through the Service afresh.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let hello = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": crate::plan::names::OPERATOR, "version": env!("CARGO_PKG_VERSION")},
    });
    ask(&client, target, "initialize", hello).await?;
    let answer = ask(&client, target, "tools/list", json!({})).await?;
    let offered = tool_names(&answer).ok_or(HandshakeError::Protocol { method: "tools/list" })?;
    let missing: Vec<_> = target.tools.iter().filter(|tool| !offered.contains(tool.as_str())).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(HandshakeError::ToolsMissing(missing)) }
}

fn tool_names(answer: &Value) -> Option<BTreeSet<&str>> {
    answer.get("tools")?.as_array()?.iter().map(|tool| tool.get("name")?.as_str()).collect()
}

/// One JSON-RPC call; gives its result.
async fn ask(
    client: &Client<HttpConnector, Full<Bytes>>,
    target: &Target,
    method: &'static str,
    params: Value,
) -> Result<Value, HandshakeError> {
    let failed = HandshakeError::Protocol { method };
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut request = Request::post(format!("http://{}/mcp", target.address))
        .header(HOST, &target.host)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream");
    if let Some(token) = &target.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
    }
    let request = request.body(Full::from(call)).map_err(|_| failed.clone())?;
    let answer = client.request(request).await.map_err(|_| HandshakeError::Unreachable)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(HandshakeError::TokenRefused),
        StatusCode::FORBIDDEN => return Err(HandshakeError::HostRefused),
        status => return Err(HandshakeError::Status { method, status: status.as_u16() }),
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.map_err(|_| failed.clone())?.to_bytes();
    result_of(&body).ok_or(failed)
}

/// The result in a JSON body, or in the first event that carries one.
fn result_of(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    std::iter::once(text)
        .chain(events)
        .filter_map(|json| serde_json::from_str::<Value>(json).ok())
        .find_map(|mut message| message.get_mut("result").map(Value::take))
}

#[cfg(test)]
mod tests;
