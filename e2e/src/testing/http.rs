//! Requests to a port of the loopback.

use std::time::Duration;

use anyhow::{Context, Result};

const DEADLINE: Duration = Duration::from_secs(20);

/// Status and body of a page.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    get_of(port, &format!("127.0.0.1:{port}"), path).await
}

/// Status and body of a page that is asked for under this host name.
pub async fn get_of(port: u16, host: &str, path: &str) -> Result<(u16, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let http = reqwest::Client::builder().timeout(DEADLINE).no_proxy().build()?;
    let asked = http.get(&url).header(reqwest::header::HOST, host);
    let answer = asked.send().await.with_context(|| format!("cannot reach {url}"))?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.context("the answer broke off")?))
}
