//! A minimal MCP client over streamable HTTP: initialize, then at most one more request.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::Answer;

const PROTOCOL: &str = "2025-06-18";
const DEADLINE: Duration = Duration::from_secs(30);
const SESSION: &str = "mcp-session-id";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server's address, such as <http://acme-dbhub:8080/mcp>
    #[arg(long)]
    url: String,
    /// File that holds the bearer token; none is sent without it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    request: Request,
}

#[derive(Subcommand)]
enum Request {
    /// Only says hello and prints what the server says about itself
    Initialize,
    /// Lists the tools
    List,
    /// Calls a tool
    Call {
        /// The tool's name
        tool: String,
        /// Its arguments, a JSON object
        arguments: String,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<Answer> {
    let mut connection = Connection::new(arguments.url, token(arguments.token_file)?.as_deref())?;
    let hello = json!({"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client_info()});
    let (method, parameters) = match arguments.request {
        Request::Initialize => return connection.send("initialize", &hello).await,
        Request::List => ("tools/list", json!({})),
        Request::Call { tool, arguments } => {
            let arguments: Value = serde_json::from_str(&arguments).context("the tool's arguments are not JSON")?;
            ("tools/call", json!({"name": tool, "arguments": arguments}))
        }
    };
    match connection.send("initialize", &hello).await? {
        Answer::Given(_) => connection.send(method, &parameters).await,
        refused @ Answer::Refused(_) => Ok(refused),
    }
}

fn client_info() -> Value {
    json!({"name": "e2e-client", "version": env!("CARGO_PKG_VERSION")})
}

fn token(file: Option<PathBuf>) -> Result<Option<String>> {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).with_context(|| format!("cannot read the token in {}", path.display()))
    };
    Ok(file.map(read).transpose()?.map(|token| token.trim().to_owned()))
}

struct Connection {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
    requests: u32,
}

impl Connection {
    fn new(url: String, token: Option<&str>) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert("mcp-protocol-version", HeaderValue::from_static(PROTOCOL));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        }
        let http = reqwest::Client::builder().timeout(DEADLINE).build()?;
        Ok(Self { http, url, headers, requests: 0 })
    }

    async fn send(&mut self, method: &str, parameters: &Value) -> Result<Answer> {
        self.requests += 1;
        let body = json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": parameters});
        let request = self.http.post(&self.url).headers(self.headers.clone()).body(body.to_string());
        let response = request.send().await.with_context(|| format!("cannot reach {}", self.url))?;
        let status = response.status();
        if let Some(session) = response.headers().get(SESSION) {
            self.headers.insert(SESSION, session.clone());
        }
        let text = response.text().await.context("the answer broke off")?;
        if !status.is_success() {
            return Ok(Answer::Refused(format!("HTTP {status}: {}", text.trim())));
        }
        let message = message(&text).with_context(|| format!("not an MCP answer: {text}"))?;
        Ok(judge(&message))
    }
}

/// The JSON-RPC message in a plain body, or in the last data line of an event stream.
fn message(body: &str) -> Option<Value> {
    let data = body.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or(body);
    serde_json::from_str(data.trim()).ok()
}

/// DBHub reports a refused statement in the text of a result, other servers by `isError` or a JSON-RPC error.
fn judge(message: &Value) -> Answer {
    let Some(result) = message.get("result") else { return Answer::Refused(message["error"].to_string()) };
    let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    let inner: Value = serde_json::from_str(text).unwrap_or_default();
    if result["isError"] == json!(true) || inner["success"] == json!(false) {
        Answer::Refused(result.to_string())
    } else {
        Answer::Given(result.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(message: &Value) -> bool {
        matches!(judge(message), Answer::Refused(_))
    }

    #[test]
    fn both_forms_of_an_answer_are_read() {
        let plain = message(r#"{"result":{}}"#).unwrap();
        assert_eq!(message("event: message\ndata: {\"result\":{}}\n\n").unwrap(), plain);
        assert!(message("<html>").is_none());
    }

    #[test]
    fn every_form_of_refusal_counts() {
        assert!(is_refused(&json!({"error": {"code": -32603}})));
        assert!(is_refused(&json!({"result": {"isError": true}})));
        assert!(is_refused(&json!({"result": {"content": [{"text": "{\"success\":false}"}]}})));
        assert!(!is_refused(&json!({"result": {"content": [{"text": "{\"success\":true}"}]}})));
    }
}
