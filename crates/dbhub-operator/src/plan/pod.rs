//! One DBHub pod: arguments, environment, probes and the rights it does without. Pure. Odd facts about DBHub were found
//! by running 1.4.0. Its files are in [`super::volumes`].

use std::collections::BTreeMap;

use api_types::{ComputeResources, Resources};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle, LifecycleHandler,
    PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext,
    SleepAction,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::files::CONFIG_PATH;
use super::quantity::canonical;
use super::service::PORT_NAME;
use super::volumes::volumes;
use crate::validate::source::{Backend, Source};
use crate::validate::token::TokenPlace;
use crate::validate::{Access, Request};

/// Name of the container.
pub const CONTAINER: &str = "dbhub";

/// No user of the image; DBHub needs none.
const USER: i64 = 65_532;

/// DBHub has no handler for SIGTERM in HTTP mode, and as process 1 it would ignore the signal.
const STOP_ON_SIGTERM: &str = "--import=data:text/javascript,process.on('SIGTERM',()=>process.exit(0))";

/// Seconds in which endpoints forget a pod that is about to stop.
const DRAIN_SECONDS: i64 = 5;

/// The pod of an instance.
#[must_use]
pub fn pod(request: &Request, sources: &[Source], allowed_hosts: &str) -> PodSpec {
    let names = &request.names;
    let (volumes, mounts) = volumes(names, sources);
    let asked = request.pod.clone();
    PodSpec {
        affinity: asked.affinity,
        automount_service_account_token: Some(false),
        containers: vec![Container { volume_mounts: Some(mounts), ..container(request, sources, allowed_hosts) }],
        enable_service_links: Some(false),
        image_pull_secrets: some(asked.pull_secrets),
        node_selector: (!asked.node_selector.is_empty()).then_some(asked.node_selector),
        priority_class_name: asked.priority_class,
        security_context: Some(pod_security()),
        service_account_name: Some(names.account()),
        termination_grace_period_seconds: Some(20),
        tolerations: some(asked.tolerations),
        topology_spread_constraints: some(asked.spread),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(request: &Request, sources: &[Source], allowed_hosts: &str) -> Container {
    let base = Container {
        name: CONTAINER.to_owned(),
        image: Some(request.spec.image.clone()),
        image_pull_policy: Some(request.spec.image_pull_policy.as_str().to_owned()),
        resources: Some(resources(request.spec.resources.as_ref())),
        security_context: Some(container_security()),
        // What DBHub said last then stands in the pod's status, and we need no right to read logs.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    let more = credentials(request.names.creds(), sources).chain(request.pod.env.iter().cloned());
    match &request.access {
        Access::Http { token } => http(base, request.spec.port, allowed_hosts, token.as_ref(), more),
        Access::Stdio => Container {
            args: Some(strings(&["--config", CONFIG_PATH, "--transport", "stdio"])),
            env: Some(std::iter::once(value("NODE_OPTIONS", STOP_ON_SIGTERM)).chain(more).collect()),
            stdin: Some(true),
            ..base
        },
    }
}

fn http(
    base: Container,
    port: u16,
    allowed_hosts: &str,
    token: Option<&TokenPlace>,
    more: impl Iterator<Item = EnvVar>,
) -> Container {
    // Bound to all interfaces DBHub also answers to the pod's own addresses, which is how the kubelet asks.
    let args = ["--config", CONFIG_PATH, "--transport", "http", "--host", "0.0.0.0", "--port"];
    let settings = [value("NODE_OPTIONS", STOP_ON_SIGTERM), value("DBHUB_ALLOWED_HOSTS", allowed_hosts)];
    let token = token.map(|place| secret("DBHUB_AUTH_TOKEN", &place.secret, &place.key));
    Container {
        args: Some(strings(&args).into_iter().chain([port.to_string()]).collect()),
        env: Some(settings.into_iter().chain(token).chain(more).collect()),
        ports: Some(vec![ContainerPort {
            container_port: i32::from(port),
            name: Some(PORT_NAME.to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: DRAIN_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // DBHub starts within two seconds; a cold, slow node gets two minutes.
        startup_probe: Some(probe(1, 120)),
        readiness_probe: Some(probe(5, 3)),
        liveness_probe: Some(probe(20, 3)),
        ..base
    }
}

/// `/healthz` says that the process answers; DBHub gives 200 there whatever its databases do.
fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/healthz".to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn credentials(creds: String, sources: &[Source]) -> impl Iterator<Item = EnvVar> {
    sources
        .iter()
        .filter(|source| matches!(source.backend, Backend::Server(_)))
        .flat_map(|source| [source.id.user_variable(), source.id.password_variable()])
        .map(move |variable| secret(&variable, &creds, &variable))
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let reference = SecretKeySelector { key: key.to_owned(), name: secret.to_owned(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(reference), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

/// What the instance says, else what DBHub was seen to need (145 MB at rest) with room for answers.
fn resources(wanted: Option<&Resources>) -> ResourceRequirements {
    let amount = |memory: &str, cpu: Option<&str>| {
        Some(ComputeResources { memory: Some(memory.to_owned()), cpu: cpu.map(str::to_owned) })
    };
    let default = || Resources { requests: amount("160Mi", Some("50m")), limits: amount("512Mi", None) };
    let Resources { requests, limits } = wanted.cloned().unwrap_or_else(default);
    ResourceRequirements {
        requests: requests.and_then(quantities),
        limits: limits.and_then(quantities),
        ..ResourceRequirements::default()
    }
}

fn quantities(amounts: ComputeResources) -> Option<BTreeMap<String, Quantity>> {
    let named: BTreeMap<_, _> = [("memory", amounts.memory), ("cpu", amounts.cpu)]
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), Quantity(canonical(&amount?)))))
        .collect();
    (!named.is_empty()).then_some(named)
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(strings(&["ALL"])) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
