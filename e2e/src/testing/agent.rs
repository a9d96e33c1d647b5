//! An AI agent as the tests play it: a pod with a bearer token that speaks MCP through a DBHubInstance's Service.

use anyhow::{Context, Result, bail, ensure};
use api_types::{DBHubInstance, DBHubInstanceStatus, InstancePhase};
use serde_json::{Value, json};

use super::ClientPod;
use super::bed::{Area, ready_reason};
use crate::command::Captured;

/// The client's exit code for what the other side refused.
const REFUSED: i32 = 1;

/// A client pod of one instance.
pub struct Agent {
    pod: ClientPod,
    url: String,
}

impl Agent {
    /// An agent with the token that was made for the instance, which serves on port 8080.
    pub async fn of(area: &Area, instance: &str) -> Result<Self> {
        Self::with_secret(area, instance, &format!("{instance}-token")).await
    }

    /// An agent whose token stands in another Secret, under the key `token`.
    pub async fn with_secret(area: &Area, instance: &str, secret: &str) -> Result<Self> {
        let pod = area.harness().client_pod(area.name(), Some(secret)).await?;
        Ok(Self { pod, url: format!("http://{instance}.{}.svc:8080/mcp", area.name()) })
    }

    /// Sends one request of the client's command line, such as `list`, with the token.
    pub async fn say(&self, request: &[&str]) -> Result<Captured> {
        self.pod.exec(&[&["mcp", "--url", &self.url, "--token-file", "/secret/token"], request].concat()).await
    }

    /// Sends one request without a token.
    pub async fn say_without_token(&self, request: &[&str]) -> Result<Captured> {
        self.pod.exec(&[&["mcp", "--url", &self.url], request].concat()).await
    }

    /// The names of all tools, sorted.
    pub async fn tools(&self) -> Result<Vec<String>> {
        let list = self.say(&["list"]).await?;
        ensure!(list.success, "tools/list failed: {} {}", list.stdout, list.stderr);
        let list: Value = serde_json::from_str(&list.stdout).context("the list of tools is not JSON")?;
        let tools = list["tools"].as_array().context("there is no list of tools")?;
        let mut names: Vec<_> = tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The rows that a statement returns.
    pub async fn rows(&self, tool: &str, sql: &str) -> Result<Value> {
        let answer = self.call(tool, sql).await?;
        ensure!(answer.success, "{tool}: {sql} failed: {} {}", answer.stdout, answer.stderr);
        let result: Value = serde_json::from_str(&answer.stdout).context("the answer is not JSON")?;
        // DBHub answers a call with JSON inside a text.
        let text = result.pointer("/content/0/text").and_then(Value::as_str).context("the answer has no text")?;
        let content: Value = serde_json::from_str(text).context("the answer's text is not JSON")?;
        content.pointer("/data/statements/0/rows").cloned().with_context(|| format!("there are no rows in {content}"))
    }

    /// Runs a statement again and again while `work` goes on, and once more after it. Every call must give these rows.
    pub async fn asks_during<T>(
        &self,
        question: (&str, &str),
        expected: &Value,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.expects(question, expected).await?;
                    return done;
                }
                answered = self.expects(question, expected) => answered?,
            }
        }
    }

    async fn expects(&self, (tool, sql): (&str, &str), expected: &Value) -> Result<()> {
        let rows = self.rows(tool, sql).await?;
        ensure!(rows == *expected, "{tool}: {sql} gave {rows}");
        Ok(())
    }

    /// What DBHub says about a statement that it must refuse.
    pub async fn refusal(&self, tool: &str, sql: &str) -> Result<String> {
        refusal(self.call(tool, sql).await?)
    }

    async fn call(&self, tool: &str, sql: &str) -> Result<Captured> {
        self.say(&["call", tool, &json!({"sql": sql}).to_string()]).await
    }
}

/// Waits until the instance `hub` runs as its spec is now, and serves these databases.
pub async fn running(area: &Area, databases: &[&str]) -> Result<DBHubInstanceStatus> {
    let runs = |hub: &DBHubInstance| {
        hub.status.as_ref().is_some_and(|status| {
            ready_reason(hub).as_deref() == Some("Running")
                && status.phase == Some(InstancePhase::Running)
                && status.observed_generation == hub.metadata.generation
                && status.available_replicas == Some(hub.spec.replicas)
                && status.connected_databases == databases
        })
    };
    let hub = area.wait_for("hub", &format!("Running with {databases:?}"), runs).await?;
    hub.status.context("no status")
}

/// The words of a refusal; fails when the request was answered, or could not be sent.
pub fn refusal(answer: Captured) -> Result<String> {
    match answer {
        Captured { code: Some(REFUSED), stdout, .. } if !stdout.is_empty() => Ok(stdout),
        other => bail!("not a refusal: {other:?}"),
    }
}
