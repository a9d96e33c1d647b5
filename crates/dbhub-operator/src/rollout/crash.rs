//! Why a container ended: out of its exit and the last lines of its log, which the kubelet keeps with the exit, so that
//! no right to read logs is needed. Pure. It names the class of a failure and never repeats a line, which may quote what
//! is secret.

use k8s_openapi::api::core::v1::ContainerStateTerminated;

use super::Trouble;

/// What a log says, and what that means. Found with DBHub 1.4.0 on Node 22, and with other programs in its place.
const CLASSES: [(&[&str], &str); 4] = [
    (&["Failed to bind"], "it cannot listen on spec.port"),
    (
        &["TOML", "Configuration file"],
        "it does not take its configuration; spec.image should be a DBHub of version 1.4",
    ),
    (&["Cannot find module", "ERR_MODULE_NOT_FOUND"], "a part of the program is missing from spec.image"),
    (&["unexpected argument", "unrecognized option", "unknown option"], "spec.image does not know DBHub's arguments"),
];

/// What a person should know of a container that ended.
pub fn crash(pod: &str, ended: &ContainerStateTerminated) -> Trouble {
    let log = ended.message.as_deref().unwrap_or_default();
    if ended.reason.as_deref() == Some("OOMKilled") || log.contains("heap out of memory") {
        let message =
            format!("DBHub in pod {pod} needed more memory than its limit; raise spec.resources.limits.memory");
        return Trouble { reason: "OutOfMemory", message };
    }
    let class = CLASSES.iter().find(|(signs, _)| signs.iter().any(|sign| log.contains(sign)));
    let why = class.map(|(_, meaning)| format!(": {meaning}")).unwrap_or_default();
    let code = ended.exit_code;
    let message = format!("DBHub in pod {pod} ended with code {code}{why}; `kubectl logs {pod} --previous` says more");
    Trouble { reason: "CrashLoop", message }
}
