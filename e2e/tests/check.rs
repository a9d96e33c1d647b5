//! `db-probe check` from a pod beside an application: the operator's own probe, its answer and its exit code.

use anyhow::Result;
use e2e::testing::bed::{Bed, Login};
use e2e::testing::manifests::secret;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// A pod that makes one check with the password of Secret `creds`, by the image that db-probe runs.
fn checker(image: &str, login: &Login, name: &str, more: &[&str]) -> Value {
    let flags = ["--type=postgres", "--host=analytics-pg.acme.internal", "--password-file=/secret/password"];
    let login = [format!("--user={}", login.user), format!("--database={}", login.database)];
    let replaced = |flag: &&str| !more.iter().any(|other| other.split('=').next() == flag.split('=').next());
    let flags = flags.into_iter().chain(login.iter().map(String::as_str)).filter(replaced);
    let arguments: Vec<&str> = std::iter::once("check").chain(flags).chain(more.iter().copied()).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "check", "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "secret", "mountPath": "/secret", "readOnly": true}],
            }],
            "volumes": [{"name": "secret", "secret": {"secretName": "creds"}}],
        },
    })
}

/// The exit code of a finished pod.
fn exit_code(pod: &Pod) -> Option<i32> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

#[tokio::test]
async fn a_check_from_a_pod_tells_what_the_operator_would() -> Result<()> {
    let mut bed = Bed::new("check").await?;
    let login = bed.postgres_login().await?;
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = bed.home().kubectl(&["get", "deployment", "db-probe", "--output", path]).await?;
    bed.apply(&secret("creds", &login)).await?;
    for (name, more, expected, words) in [
        ("right", &[][..], 0, "privileges:  ReadOnly"),
        ("machine", &["--output=json"], 0, "\"privileges\": \"ReadOnly\""),
        ("no-database", &["--database=nowhere", "--query-timeout=5"], 8, "DatabaseNotFound: "),
        ("nobody", &["--user=nobody"], 7, "AuthenticationFailed: "),
        ("untrusted", &["--ssl-mode=verify-full"], 6, "TlsFailed: "),
        ("refused", &["--port=1"], 4, "ConnectionRefused: "),
        ("nowhere", &["--host=nowhere.acme.internal"], 3, "HostNotFound: "),
    ] {
        bed.apply(&checker(image.trim(), &login, name, more)).await?;
        let pod: Pod = bed.wait_for(name, "an exit code", |pod: &Pod| exit_code(pod).is_some()).await?;
        let answer = bed.kubectl(&["logs", name]).await?;
        assert_eq!(exit_code(&pod), Some(expected), "{name}: {answer}");
        assert!(answer.contains(words), "{name}: {answer}");
    }
    bed.finish().await
}
