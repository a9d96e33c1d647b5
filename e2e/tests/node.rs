//! The throw-away node keeps its promises: names resolve as they should or do not exist, nothing leads out of it, and
//! starting it twice is starting it once. Skipped on a cluster that is not ours.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::command;
use e2e::progress::Progress;
use e2e::testing::{ClientPod, Harness};

const DEADLINE: Duration = Duration::from_secs(20);

/// The harness and its cluster; `None`, with a note, where the cluster is somebody else's.
async fn own() -> Result<Option<(Harness, Cluster)>> {
    let harness = Harness::connect().await?;
    let cluster = harness.cluster().cloned();
    if cluster.is_none() {
        println!("skipped: this is about the throw-away cluster only");
    }
    Ok(cluster.map(|cluster| (harness, cluster)))
}

/// Tries a login that no server takes, which tells how far it came.
async fn knock(pod: &ClientPod, driver: &str, host: &str, port: &str) -> Result<command::Captured> {
    let place = ["sql", "--driver", driver, "--host", host, "--port", port];
    pod.exec(&[&place[..], &["--username", "nobody", "--password", "x", "SELECT 1"]].concat()).await
}

#[tokio::test]
async fn names_resolve_or_do_not_exist() -> Result<()> {
    let Some((harness, _)) = own().await? else { return Ok(()) };
    let namespace = harness.namespace("node-dns").await?;
    let pod = harness.client_pod(namespace.name(), None).await?;
    for (driver, host, port) in [
        ("postgres", "analytics-pg.acme.internal", "5432"),
        ("mysql", "users-mysql.acme.internal", "3306"),
        ("mysql", "orders-mysql8.acme.internal", "3307"),
        ("mysql", "cluster1-haproxy.default.svc.cluster.local", "3306"),
        ("mysql", "any.name.e2e.internal", "3306"),
    ] {
        let answer = knock(&pod, driver, host, port).await?;
        ensure!(answer.code == Some(1), "{host} did not refuse the login, but: {answer:?}");
    }
    for unknown in ["nowhere.example", "other.acme.internal", "nothing.default.svc.cluster.local"] {
        let answer = knock(&pod, "mysql", unknown, "3306").await?;
        // "Temporary failure" would mean that the name server did not know either.
        ensure!(answer.stderr.contains("Name or service not known"), "{unknown}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_leads_out_of_the_node() -> Result<()> {
    let Some((harness, cluster)) = own().await? else { return Ok(()) };
    let namespace = harness.namespace("node-out").await?;
    let pod = harness.client_pod(namespace.name(), None).await?;
    let outside = TcpListener::bind("127.0.0.1:0")?;
    outside.set_nonblocking(true)?;
    let port = outside.local_addr()?.port().to_string();
    for host in ["127.0.0.1", e2e::cluster::layout::NODE_ADDRESS] {
        let answer = knock(&pod, "mysql", host, &port).await?;
        ensure!(answer.stderr.contains("Connection refused"), "{host}:{port}: {answer:?}");
    }
    ensure!(outside.accept().is_err(), "a pod reached this machine's loopback");

    let routes = command::output(cluster.command("ip")?.args(["route", "show", "default"]), DEADLINE).await?;
    assert_eq!(routes, "", "the node has a way out");
    let links = command::output(cluster.command("ip")?.args(["-brief", "link", "show"]), DEADLINE).await?;
    let foreign = links.lines().find(|line| !["lo ", "cni0 ", "veth"].iter().any(|known| line.starts_with(known)));
    assert_eq!(foreign, None, "the node has an interface of the machine");
    Ok(())
}

#[tokio::test]
async fn starting_it_again_finds_it_running() -> Result<()> {
    let Some((_, cluster)) = own().await? else { return Ok(()) };
    let before = cluster.running().context("it does not run")?;
    cluster.up(&cluster.tools()?, &[], Progress::new()).await?;
    let after = cluster.running().context("it does not run any longer")?;
    assert_eq!((after.init, after.keeper, after.port), (before.init, before.keeper, before.port));
    Ok(())
}
