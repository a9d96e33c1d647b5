//! Talks to DBHub as an agent does and to MariaDB as the application does, each from a pod of its own, and gives what
//! was said. Fails when something is refused that should be answered, or answered that should be refused.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::testing::{ClientPod, Harness};

const URL: &str = "http://acme-dbhub.tas-acme.svc:8080/mcp";
const SELECT: &str = "SELECT day, visitors FROM visits ORDER BY day";
const WRITE: &str = "DELETE FROM visits";

/// Collects what was said.
struct Transcript<'a> {
    pod: &'a ClientPod,
    text: String,
}

impl Transcript<'_> {
    /// Runs the client with these arguments, and notes what `shown` makes of the answer.
    async fn note(
        &mut self,
        request: &str,
        arguments: &[&str],
        answered: bool,
        shown: fn(&Value) -> String,
    ) -> Result<()> {
        let answer = self.pod.exec(arguments).await?;
        let wanted = if answered { "answered" } else { "refused" };
        ensure!(answer.success == answered, "{request} was not {wanted}: {} {}", answer.stdout, answer.stderr);
        let text = match serde_json::from_str(answer.stdout.trim()) {
            Ok(value) => shown(&value),
            Err(_) if answer.stdout.trim().is_empty() => "done".to_owned(),
            Err(_) => answer.stdout.trim().to_owned(),
        };
        writeln!(self.text, "  > {request}\n    {text}").context("cannot note an answer")
    }
}

pub(super) async fn with_dbhub(harness: &Harness) -> Result<String> {
    let pod = harness.client_pod("tas-acme", Some("acme-dbhub-token")).await?;
    let mut transcript = Transcript { pod: &pod, text: String::new() };
    let call =
        |sql: &str| ["call".to_owned(), "execute_sql_analytics_prod".to_owned(), json!({"sql": sql}).to_string()];
    let (select, write) = (call(SELECT), call(WRITE));
    transcript.note("initialize", &with_token(&["initialize"]), true, server).await?;
    transcript.note("tools/list", &with_token(&["list"]), true, tools).await?;
    transcript.note(SELECT, &with_token(&select.each_ref().map(String::as_str)), true, rows).await?;
    transcript.note(WRITE, &with_token(&write.each_ref().map(String::as_str)), false, refusal).await?;
    transcript.note("initialize, without a token", &["mcp", "--url", URL, "initialize"], false, refusal).await?;
    Ok(transcript.text)
}

fn with_token<'a>(request: &[&'a str]) -> Vec<&'a str> {
    [&["mcp", "--url", URL, "--token-file", "/secret/token"], request].concat()
}

pub(super) async fn as_application(harness: &Harness) -> Result<String> {
    let pod = harness.client_pod("myapp", Some("myapp-mysql-creds")).await?;
    let mut transcript = Transcript { pod: &pod, text: String::new() };
    for (statement, answered) in [
        ("SELECT CURRENT_USER(), DATABASE()", true),
        ("CREATE TABLE IF NOT EXISTS notes (id INT PRIMARY KEY)", true),
        ("SELECT User FROM mysql.user", false),
    ] {
        let arguments = ["sql", "--driver", "mysql", "--secret-dir", "/secret", statement];
        transcript.note(statement, &arguments, answered, Value::to_string).await?;
    }
    Ok(transcript.text)
}

fn server(result: &Value) -> String {
    let text = |pointer| result.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}, protocol {}", text("/serverInfo/name"), text("/serverInfo/version"), text("/protocolVersion"))
}

fn tools(result: &Value) -> String {
    let tools = result["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect::<Vec<_>>().join(", ")
}

fn rows(result: &Value) -> String {
    let rows = content(result).pointer("/data/statements/0/rows").cloned().unwrap_or_default();
    let lines: Vec<_> = rows.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Value::to_string).collect();
    lines.join("\n    ")
}

fn refusal(result: &Value) -> String {
    let content = content(result);
    let error = content["error"].as_str().map(str::to_owned);
    format!("refused: {}", error.unwrap_or_else(|| result.to_string()))
}

/// DBHub answers a call with JSON inside a text.
fn content(result: &Value) -> Value {
    let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}
