//! The operators as processes: what they answer, with what rights they run, how they start without what they need, and
//! how they hand over.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::Database;
use e2e::command;
use e2e::images::OPERATORS;
use e2e::testing::bare_api::BareApi;
use e2e::testing::bed::{Area, Bed, HOME, ready_reason};
use e2e::testing::manifests::database;
use e2e::testing::process::OperatorProcess;
use e2e::testing::{Harness, http, wait_for};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

/// The operators' Services, and what each one's metrics begin with.
const INSTALLED: [(&str, &str); 3] = [
    ("db-probe", "db_probe_"),
    ("dbhub-operator", "dbhub_operator_"),
    ("db-concierge-operator", "db_concierge_operator_"),
];
const DEADLINE: Duration = Duration::from_secs(30);

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

#[tokio::test]
async fn every_operator_answers_its_probes_and_shows_its_figures() -> Result<()> {
    let harness = Harness::connect().await?;
    for (name, prefix) in INSTALLED {
        let forward = harness.forward(HOME, &format!("service/{name}"), 8080).await?;
        assert_eq!(http::get(forward.port, "/healthz").await?, (200, "ok".to_owned()), "{name}");
        assert_eq!(http::get(forward.port, "/readyz").await?, (200, "leading".to_owned()), "{name}");
        let (status, text) = http::get(forward.port, "/metrics").await?;
        assert_eq!(status, 200, "{name}");
        let without_help = |name: &str| !text.contains(&format!("# HELP {name} "));
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let unexplained: Vec<_> = names.filter(|name| without_help(name)).collect();
        ensure!(unexplained.is_empty(), "{name}: metrics without a line of help: {unexplained:?}");
        ensure!(text.contains(&format!("{prefix}leader 1\n")), "{name} does not lead:\n{text}");
        let foreign = text.lines().find(|line| !line.starts_with('#') && !line.starts_with(prefix));
        assert_eq!(foreign, None, "a metric without the prefix {prefix}");
    }
    Ok(())
}

#[tokio::test]
async fn every_operator_runs_without_rights_it_does_not_need() -> Result<()> {
    let harness = Harness::connect().await?;
    let pods: Api<Pod> = Api::namespaced(harness.client.clone(), HOME);
    for (name, _) in INSTALLED {
        let label = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
        let found = pods.list(&label).await?.items;
        ensure!(!found.is_empty(), "{name} has no pod");
        for pod in found {
            is_restricted(&pod).with_context(|| name.to_owned())?;
        }
    }
    Ok(())
}

fn is_restricted(pod: &Pod) -> Result<()> {
    let spec = pod.spec.as_ref().context("no spec")?;
    let user = spec.security_context.as_ref().context("no pod security")?;
    ensure!(user.run_as_non_root == Some(true) && user.run_as_user.is_some_and(|id| id > 0), "may run as root");
    let container = spec.containers[0].security_context.as_ref().context("no container security")?;
    ensure!(container.read_only_root_filesystem == Some(true), "may write to its image");
    ensure!(container.allow_privilege_escalation == Some(false), "may gain privileges");
    let dropped = container.capabilities.as_ref().and_then(|capabilities| capabilities.drop.clone());
    assert_eq!(dropped, Some(vec!["ALL".to_owned()]));
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).context("no status")?;
    assert_eq!(status[0].restart_count, 0, "it was restarted");
    Ok(())
}

#[tokio::test]
async fn without_a_cluster_an_operator_ends_with_one_sentence() -> Result<()> {
    for name in OPERATORS {
        let error = ends_with(name, &["--http-addr=127.0.0.1:0"]).await?;
        assert!(error.starts_with("Error: no cluster configuration: neither a kubeconfig"), "{name}: {error}");
        let error = ends_with(name, &["--log-filter==="]).await?;
        assert!(error.starts_with("Error: the log filter \"==\" cannot be understood"), "{name}: {error}");
    }
    Ok(())
}

/// What an operator complains about that must not run. It gets no cluster.
async fn ends_with(name: &str, arguments: &[&str]) -> Result<String> {
    let mut operator = OperatorProcess::command(name, Path::new("/does/not/exist")).await?;
    let ended = command::capture(operator.args(arguments), DEADLINE).await?;
    ensure!(!ended.success, "{name} {arguments:?} ended well");
    Ok(ended.stderr)
}

/// A person who may hold this namespace's leases and nothing else, so that who acts for them changes nothing.
async fn lease_keeper(area: &Area) -> Result<String> {
    let person = format!("keeper-{}", area.name());
    let role = ["create", "role", "keeper", "--verb=get,create,update", "--resource=leases.coordination.k8s.io"];
    area.kubectl(&role).await?;
    area.kubectl(&["create", "rolebinding", "keeper", "--role=keeper", &format!("--user={person}")]).await?;
    Ok(person)
}

#[tokio::test]
async fn a_standby_takes_a_free_lease_and_gives_it_back_when_it_stops() -> Result<()> {
    let bed = Bed::new("op-lease").await?;
    let person = lease_keeper(&bed).await?;
    let spec = json!({"holderIdentity": "somebody", "leaseDurationSeconds": 3600});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                       "metadata": {"name": "db-probe"}, "spec": spec});
    bed.apply(&lease).await?;
    let kubeconfig = bed.harness().kubeconfig(Some(&person)).await?;
    let namespace = format!("--lease-namespace={}", bed.name());
    let arguments = ["--identity=standby", "--shutdown-timeout=5", &namespace];
    let mut operator = OperatorProcess::start("db-probe", kubeconfig.path(), &arguments).await?;
    operator.says("standby").await?;
    assert_eq!(operator.get("/readyz").await?, (200, "standby: another process holds the lease".to_owned()));
    assert_eq!(holder(&bed.get::<Lease>("db-probe").await?), Some("somebody"));

    bed.kubectl(&["patch", "lease", "db-probe", "-p", r#"{"spec": {"holderIdentity": ""}}"#]).await?;
    bed.wait_for("db-probe", "another holder", |lease: &Lease| holder(lease) == Some("standby")).await?;
    operator.says("leading").await?;
    let (status, reason) = operator.get("/readyz").await?;
    assert_eq!((status, reason.as_str()), (503, "listing the watched objects"));
    ensure!(operator.terminate().await?.success(), "SIGTERM did not end it well");
    assert_eq!(holder(&bed.get::<Lease>("db-probe").await?), None);
    bed.finish().await
}

#[tokio::test]
async fn a_missing_definition_is_waited_for() -> Result<()> {
    let Some(api) = BareApi::of_cluster().await? else { return Ok(()) };
    let arguments = ["--lease-namespace=default"];
    let mut operator = OperatorProcess::start("db-probe", &api.kubeconfig(), &arguments).await?;
    let line = operator.says("waiting for").await?;
    ensure!(
        line.contains("databases.dbhub.tas.io") && line.contains("crds/"),
        "it does not say what is missing: {line}"
    );
    let (status, reason) = operator.get("/readyz").await?;
    assert_eq!((status, reason.as_str()), (503, "waiting for custom resource definitions"));
    assert_eq!(operator.get("/healthz").await?.0, 200);

    api.define_databases().await?;
    operator.says("leading").await?;
    let spec = json!({"type": "mysql", "host": "nowhere.acme.internal", "credentialsRef": {"name": "none"}});
    api.kubectl().apply(Some("default"), &database("db", &spec, &json!({})).to_string()).await?;
    let databases: Api<Database> = Api::default_namespaced(api.client().await?);
    let judged = |db: Option<&Database>| db.and_then(ready_reason).as_deref() == Some("SecretNotFound");
    wait_for(&databases, "db", "SecretNotFound", judged, DEADLINE).await?;
    assert_eq!(operator.get("/readyz").await?, (200, "leading".to_owned()));
    ensure!(operator.terminate().await?.success(), "SIGTERM did not end it well");
    Ok(())
}
