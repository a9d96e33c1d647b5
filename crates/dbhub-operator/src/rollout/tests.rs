use super::*;

fn deployment(status: &str) -> Deployment {
    serde_norway::from_str(&format!(
        "{{metadata: {{generation: 4}}, status: {status}, spec: {{replicas: 2, selector: {{}}, \
         template: {{metadata: {{annotations: {{dbhub.tas.io/config-hash: new}}}}}}}}}}"
    ))
    .unwrap()
}

fn rollout(status: &str) -> Rollout {
    Rollout::of(&deployment(status))
}

const DONE: &str = "conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}]";

#[test]
fn a_rollout_is_complete_when_all_pods_are_new_and_nothing_is_outdated() {
    let settled =
        rollout(&format!("{{observedGeneration: 4, replicas: 2, updatedReplicas: 2, availableReplicas: 2, {DONE}}}"));
    assert!(settled.complete && settled.is_settled());
    for unfinished in [
        "{}".to_owned(),
        format!("{{observedGeneration: 3, replicas: 2, updatedReplicas: 2, availableReplicas: 2, {DONE}}}"),
        format!("{{observedGeneration: 4, replicas: 3, updatedReplicas: 2, availableReplicas: 3, {DONE}}}"),
        "{observedGeneration: 4, replicas: 2, updatedReplicas: 2, availableReplicas: 1}".to_owned(),
    ] {
        assert!(!rollout(&unfinished).complete, "{unfinished}");
    }
    let lost =
        rollout(&format!("{{observedGeneration: 4, replicas: 2, updatedReplicas: 2, availableReplicas: 1, {DONE}}}"));
    assert!(lost.complete && !lost.is_settled(), "a pod was lost after the rollout");
}

#[test]
fn the_deployments_own_complaints_are_passed_on() {
    let refused = "{conditions: [{type: ReplicaFailure, status: 'True', message: exceeded quota}]}";
    assert_eq!(rollout(refused).trouble.unwrap().message, "the cluster refuses to create pods: exceeded quota");
    let stalled = "{conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}";
    assert_eq!(rollout(stalled).trouble.unwrap().reason, "RolloutStalled");
}

fn diagnosis(hash: &str, status: &str) -> Option<String> {
    let pod = format!("{{metadata: {{name: p, annotations: {{dbhub.tas.io/config-hash: {hash}}}}}, status: {status}}}");
    let pods = [serde_norway::from_str(&pod).unwrap()];
    diagnose(&deployment("{}"), &pods).map(|trouble| format!("{}: {}", trouble.reason, trouble.message))
}

fn container(state: &str) -> String {
    format!(
        "{{containerStatuses: [{{name: dbhub, image: 'x:1', imageID: '', ready: false, restartCount: 2, {state}}}]}}"
    )
}

#[test]
fn each_trouble_says_what_to_do() {
    let told = [
        "state: {waiting: {reason: ImagePullBackOff}}",
        "state: {waiting: {reason: CreateContainerConfigError}}",
        "state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error}}",
        "state: {terminated: {exitCode: 1, message: 'Failed to bind HTTP server to 0.0.0.0:80: EACCES'}}",
        "state: {terminated: {exitCode: 1, message: 'Fatal error: Failed to load TOML configuration'}}",
        "state: {terminated: {exitCode: 1, message: 'Error: Cannot find module /app/dist'}}",
        "state: {terminated: {exitCode: 2, message: 'error: unexpected argument --config'}}",
        "state: {terminated: {exitCode: 134, message: 'JavaScript heap out of memory'}}",
        "state: {running: {}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}",
        "state: {waiting: {reason: ContainerCreating}}",
    ]
    .map(|state| diagnosis("new", &container(state)).unwrap_or_else(|| "nothing".into()));
    insta::assert_snapshot!(told.join("\n"));
    let unschedulable =
        "{conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: no memory}]}";
    let told = diagnosis("new", unschedulable).unwrap();
    assert!(told.starts_with("Unschedulable: pod p fits on no node: no memory; "), "{told}");
}

#[test]
fn pods_of_an_older_template_do_not_matter() {
    assert_eq!(diagnosis("old", &container("state: {waiting: {reason: ImagePullBackOff}}")), None);
}

#[test]
fn a_pod_ends_until_its_time_is_over() {
    let pod = |deadline: &str| {
        let meta = match deadline {
            "" => String::new(),
            at => format!("deletionTimestamp: '2026-01-01T00:00:{at}Z'"),
        };
        serde_norway::from_str(&format!("{{metadata: {{{meta}}}}}")).unwrap()
    };
    let pods = [pod(""), pod("10"), pod("30")];
    let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
    assert_eq!([at(0), at(20), at(40)].map(|now| ending(&pods, now)), [2, 1, 0]);
}
