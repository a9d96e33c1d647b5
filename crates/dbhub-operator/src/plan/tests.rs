use insta::assert_yaml_snapshot;
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::*;
use crate::fixtures::{instance, request, secret, sources};
use crate::validate::file::File;
use crate::validate::source::Backend;
use crate::validate::token::{Token, TokenPlace};

const TENANT: &str = "
    - {name: analytics-prod, type: postgres, host: analytics-pg.acme.internal, database: analytics, sslMode: verify-full, ca: true}
    - {name: users-prod, type: mysql, host: 10.1.2.3, port: 3307, database: users}
    - {name: scratch, type: sqlite, database: ':memory:'}
";

fn kept(token: &str) -> Kept {
    let place = TokenPlace { secret: "s".into(), key: "token".into(), generated: false };
    let found = secret(&format!("stringData: {{token: '{token}'}}"));
    Kept { token: Token::find(&place, Some(&found)).unwrap(), salt: "salt".into() }
}

fn planned(spec: &str, databases: &str, token: &str) -> Workload {
    let request = request(&instance(spec)).unwrap();
    let mut sources = sources(databases);
    for source in &mut sources {
        source.policy = request.policy.clone();
    }
    workload(&request, &sources, &kept(token), "cluster.local")
}

fn fingerprint_of(workload: &Workload) -> String {
    let template = workload.deployment.spec.clone().unwrap().template;
    template.metadata.unwrap().annotations.unwrap()[deployment::FINGERPRINT].clone()
}

#[test]
fn everything_of_a_tenant() {
    let spec = "{replicas: 2, allowedHosts: [dbhub.acme.example], resources: {requests: {memory: 1024Mi, cpu: '0.5'}}}";
    let Workload { account, service, network_policy, budget, mut deployment, config, creds, ca, token } =
        planned(spec, TENANT, "abc");
    // The CA of the fixture is new in each run, and with it the hash.
    let meta = deployment.spec.as_mut().unwrap().template.metadata.as_mut().unwrap();
    meta.annotations.as_mut().unwrap().insert(deployment::FINGERPRINT.into(), "(hash)".into());
    assert_yaml_snapshot!("account", account);
    assert_yaml_snapshot!("service", service);
    assert_yaml_snapshot!("network_policy", network_policy);
    assert_yaml_snapshot!("budget", budget);
    assert_yaml_snapshot!("deployment", deployment);
    assert_yaml_snapshot!("config", config);
    assert_yaml_snapshot!("creds", creds);
    assert_yaml_snapshot!("token", token);
    assert_eq!(ca.unwrap().data.unwrap().into_keys().collect::<Vec<_>>(), ["analytics-prod.pem"]);
}

#[test]
fn stdio_has_an_open_stdin_and_no_way_in() {
    let planned = planned("{transport: stdio}", "- {name: mem, type: sqlite, database: ':memory:'}", "abc");
    assert!(planned.service.is_none() && planned.token.is_none() && planned.budget.is_none() && planned.ca.is_none());
    assert_yaml_snapshot!("stdio_pod", planned.deployment.spec.unwrap().template.spec);
}

const FILES: &str = "
    - {name: reports.eu, type: sqlite, database: 2026/q1.db, sqlite: {volume: {persistentVolumeClaim: {claimName: reports}}}}
    - {name: rates, type: sqlite, database: app.db, sqlite: {volume: {configMap: {name: rates}}}}
";

#[test]
fn files_are_on_volumes_of_their_own_that_nobody_can_write() {
    let planned = planned("{auth: {mode: none}}", FILES, "abc");
    let pod = planned.deployment.spec.unwrap().template.spec.unwrap();
    assert_yaml_snapshot!("files", (&pod.volumes, &pod.containers[0].volume_mounts));
    insta::assert_snapshot!("files_toml", planned.config.data.unwrap()["dbhub.toml"]);
    assert_eq!(planned.creds.data.unwrap().keys().collect::<Vec<_>>(), ["rollout-salt"], "a file has no login");
}

#[test]
fn pods_roll_when_a_file_in_a_config_map_changes() {
    let fingerprint = |change: fn(&mut File)| {
        let mut sources = sources(FILES);
        for source in &mut sources {
            if let Backend::File(file) = &mut source.backend {
                change(file);
            }
        }
        let request = request(&instance("{}")).unwrap();
        fingerprint_of(&workload(&request, &sources, &kept("abc"), "cluster.local"))
    };
    assert_eq!(fingerprint(|_| ()), fingerprint(|_| ()));
    assert_ne!(fingerprint(|_| ()), fingerprint(|file| file.revision = Some("other".into())));
}

#[test]
fn a_token_that_was_brought_or_is_not_wanted_is_not_made() {
    let brought = planned("{auth: {tokenSecretRef: {name: mine, key: t}}}", TENANT, "abc");
    assert!(brought.token.is_none());
    let open = workload(
        &request(&instance("{auth: {mode: none}}")).unwrap(),
        &sources(TENANT),
        &Kept { token: None, ..kept("x") },
        "cluster.local",
    );
    let text = serde_json::to_string(&open.deployment).unwrap();
    assert!(open.token.is_none() && !text.contains("DBHUB_AUTH_TOKEN"));
}

#[test]
fn pods_roll_when_what_they_read_at_start_changes_and_at_nothing_else() {
    const ONE: &str = "- {name: one, type: mysql, host: my.internal, database: app}";
    let first = fingerprint_of(&planned("{}", ONE, "abc"));
    let same = |spec: &str, databases: &str, token: &str| fingerprint_of(&planned(spec, databases, token)) == first;
    assert!(same("{}", ONE, "abc"));
    assert!(same("{replicas: 3}", ONE, "abc"), "scaling starts no pod anew");
    assert!(same("{}", "- {name: one, type: mysql, host: my.internal, database: app, phase: Failed}", "abc"), "status");
    assert!(!same("{}", ONE, "abc,def"), "token");
    assert!(!same("{}", "- {name: one, type: mysql, host: my.internal, database: other}", "abc"), "configuration");
    assert!(!same("{defaultPolicy: {maxRows: 5}}", ONE, "abc"), "policy");
    assert!(!same("{image: 'dbhub:2'}", ONE, "abc"), "pods of the old image would count as new");

    let request = request(&instance("{}")).unwrap();
    let mut changed = sources(ONE);
    if let Backend::Server(server) = &mut changed[0].backend {
        server.credentials.password = "new".into();
    }
    assert_ne!(fingerprint_of(&workload(&request, &changed, &kept("abc"), "cluster.local")), first, "password");
}

const POD_TEMPLATE: &str = "
  labels: {team: data}
  annotations: {prometheus.io/scrape: 'true'}
  nodeSelector: {disk: ssd}
  tolerations: [{key: dedicated, operator: Equal, value: agents, effect: NoSchedule}]
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
    {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: acme-dbhub}}}]}}
  topologySpreadConstraints: [
    {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway,
     labelSelector: {matchLabels: {app: acme-dbhub}}}]
  imagePullSecrets: [{name: registry}]
  priorityClassName: agents
  env: [
    {name: TZ, value: Europe/Berlin},
    {name: LICENSE, valueFrom: {secretKeyRef: {name: licence, key: text}}},
    {name: PLACE, valueFrom: {configMapKeyRef: {name: places, key: here}}}]
";

/// The template of the pods with this `podTemplate`.
fn template(pod_template: &str) -> PodTemplateSpec {
    const ONE: &str = "- {name: one, type: mysql, host: my.internal, database: app}";
    let spec = serde_norway::from_str::<serde_json::Value>(pod_template).unwrap();
    planned(&serde_json::json!({"podTemplate": spec}).to_string(), ONE, "abc").deployment.spec.unwrap().template
}

#[test]
fn what_is_asked_of_the_pods_stands_beside_what_is_ours() {
    let mut given = template(POD_TEMPLATE);
    let spec = given.spec.as_mut().unwrap();
    // Shown in the snapshot of a tenant.
    (spec.volumes, spec.security_context) = (None, None);
    let env = spec.containers[0].env.take();
    spec.containers.clear();
    given
        .metadata
        .as_mut()
        .unwrap()
        .annotations
        .as_mut()
        .unwrap()
        .insert(deployment::FINGERPRINT.into(), "(hash)".into());
    assert_yaml_snapshot!("pod_template", (given, env));
}

#[test]
fn pods_roll_when_something_else_is_asked_of_them() {
    let hash = |text: &str| template(text).metadata.unwrap().annotations.unwrap()[deployment::FINGERPRINT].clone();
    let first = hash("{nodeSelector: {disk: ssd, zone: a}, labels: {team: data}}");
    assert_eq!(hash("{labels: {team: data}, nodeSelector: {zone: a, disk: ssd}}"), first);
    assert_ne!(hash("{nodeSelector: {disk: ssd}, labels: {team: data}}"), first);
}

#[test]
fn no_credential_is_in_the_config_map_or_the_pod_template() {
    let planned = planned("{}", TENANT, "t0ken-canary");
    let text = serde_json::to_string(&(&planned.config, &planned.deployment, &planned.service)).unwrap();
    assert!(!text.contains("reader") && !text.contains("p$w{x}") && !text.contains("t0ken-canary"), "{text}");
}

#[test]
fn the_handshake_goes_to_the_services_address_under_its_name() {
    let request = request(&instance("{port: 9000}")).unwrap();
    let at = |ip: &str| {
        let service: Service = serde_norway::from_str(&format!("spec: {{clusterIP: '{ip}'}}")).unwrap();
        target::target(&request, &sources(TENANT), &kept("old,new"), Some(&service)).address
    };
    assert_eq!(
        [at("10.0.0.9"), at("fd00::9"), at("None")],
        ["10.0.0.9:9000", "[fd00::9]:9000", "acme-dbhub.tas-acme.svc:9000"]
    );
    let target = target::target(&request, &sources(TENANT), &kept("old,new"), None);
    assert_eq!(target.host, "acme-dbhub.tas-acme.svc:9000");
    assert_eq!(target.tools.len(), 6);
}
