//! The transport stdio: MCP through `kubectl attach -i`, and no way in over the network.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::{DBHubInstance, InstancePhase};
use e2e::testing::bed::Bed;
use e2e::testing::hub::{connected, in_memory, pod};
use e2e::testing::manifests::instance;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

const DEADLINE: Duration = Duration::from_secs(30);

/// A conversation with the only pod of the instance `hub`; kubectl ends with it.
struct Attached {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _kubectl: Child,
}

impl Attached {
    async fn to(bed: &Bed) -> Result<Self> {
        let pod = pod(bed).await?;
        let attach = ["attach", "--stdin", "--quiet", "--namespace", bed.name(), &pod];
        let mut kubectl = bed.harness().kubectl.command(&attach);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = kubectl.spawn().context("cannot start kubectl")?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { input, output, _kubectl: child })
    }

    /// Sends a request and gives its result.
    async fn ask(&mut self, id: u32, method: &str, params: Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.input.write_all(format!("{request}\n").as_bytes()).await?;
        let answer = async {
            while let Some(line) = self.output.next_line().await? {
                // What DBHub logs comes between.
                match serde_json::from_str::<Value>(&line) {
                    Ok(answer) if answer["id"] == json!(id) => return Ok(answer["result"].clone()),
                    _ => {}
                }
            }
            anyhow::bail!("kubectl attach ended without an answer to {method}")
        };
        tokio::time::timeout(DEADLINE, answer).await.with_context(|| format!("no answer to {method}"))?
    }

    async fn hello(&mut self) -> Result<Value> {
        let client = json!({"name": "e2e", "version": "0"});
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        self.ask(1, "initialize", hello).await
    }
}

#[tokio::test]
async fn it_is_spoken_through_kubectl_attach_again_and_again() -> Result<()> {
    let bed = Bed::new("hub-stdio").await?;
    bed.apply(&in_memory("mem")).await?;
    connected(&bed, "mem").await?;
    bed.apply(&instance("hub", &json!({"transport": "stdio"}))).await?;
    let runs =
        |hub: &DBHubInstance| hub.status.as_ref().is_some_and(|status| status.phase == Some(InstancePhase::Running));
    let status = bed.wait_for("hub", "Running", runs).await?.status.unwrap_or_default();
    assert_eq!((status.endpoint, status.available_replicas), (None, Some(1)));
    ensure!(bed.get::<Service>("hub").await.is_err(), "it has a Service");
    for _ in 0..2 {
        let mut attached = Attached::to(&bed).await?;
        let hello = attached.hello().await?;
        ensure!(hello["serverInfo"]["name"].is_string(), "{hello}");
        let list = attached.ask(2, "tools/list", json!({})).await?;
        let names =
            list["tools"].as_array().map(|tools| tools.iter().map(|tool| tool["name"].clone()).collect::<Vec<_>>());
        assert_eq!(names, Some(vec![json!("execute_sql"), json!("search_objects")]));
        let call = json!({"name": "execute_sql", "arguments": {"sql": "SELECT 1 AS one"}});
        let answer = attached.ask(3, "tools/call", call).await?;
        ensure!(answer.to_string().contains(r#"\"one\": 1"#), "{answer}");
    }
    assert_eq!(e2e::testing::hub::restarts(&bed).await?, 0);
    bed.finish().await
}
