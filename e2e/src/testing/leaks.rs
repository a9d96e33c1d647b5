//! Looks for passwords where none may be: in the operators' logs and metrics, and in the objects and Events of a test.

use anyhow::{Result, ensure};

use super::Harness;
use super::bed::HOME;

const OPERATORS: [&str; 3] = ["db-probe", "dbhub-operator", "db-concierge-operator"];
const KINDS: &str = "databases,dbhubinstances,appdatabases,configmaps,deployments,events";

/// Fails when one of `passwords` is in a log or the metrics of an operator, or in an object of `namespaces`.
pub(super) async fn assert_none(harness: &Harness, namespaces: &[String], passwords: &[String]) -> Result<()> {
    for operator in OPERATORS {
        let label = format!("app.kubernetes.io/name={operator}");
        let log =
            harness.kubectl.run(&["logs", "-n", HOME, "-l", &label, "--tail=-1", "--max-log-requests=10"]).await?;
        ensure!(log.contains("starting"), "the log of {operator} cannot be read: {log}");
        assert_absent(&format!("the log of {operator}"), &log, passwords)?;
        let path = format!("/api/v1/namespaces/{HOME}/services/{operator}:8080/proxy/metrics");
        let metrics = harness.kubectl.run(&["get", "--raw", &path]).await?;
        ensure!(metrics.contains("# HELP"), "the metrics of {operator} cannot be read: {metrics}");
        assert_absent(&format!("the metrics of {operator}"), &metrics, passwords)?;
    }
    for namespace in namespaces {
        let objects = harness.kubectl.run(&["get", KINDS, "-n", namespace, "-o", "json"]).await?;
        assert_absent(&format!("an object of namespace {namespace}"), &objects, passwords)?;
    }
    Ok(())
}

/// Fails when one of `passwords` is in the text; `place` says what that is.
pub fn assert_absent(place: &str, text: &str, passwords: &[String]) -> Result<()> {
    for password in passwords {
        ensure!(!text.contains(password), "a password is in {place}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_and_not_shown() {
        let error = assert_absent("a log", "login with canary-1 failed", &["canary-1".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "a password is in a log");
        assert!(assert_absent("a log", "login failed", &["canary-1".to_owned()]).is_ok());
    }
}
