use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::reflector;
use operator_runtime::testing::{FakeApi, context};

use super::*;
use crate::fixtures::{HELLO, event, http, instance, server, target};
use crate::validate::image::AllowedImages;

const TOOLS: &str = r#"{"tools":[{"name":"execute_sql"}]}"#;
const PATH: &str = "/apis/dbhub.tas.io/v1alpha1/namespaces/tas-acme/dbhubinstances/acme-dbhub";

/// A pass over the instance of the fixtures, which rests with a DBHub that gives these answers. Gives the calls of the
/// Kubernetes API, and whether the instance still rests.
async fn pass_at_rest(answers: Vec<String>) -> (Vec<String>, bool) {
    let (client, api) = FakeApi::new([]);
    let settings = Settings {
        trust_bundle: None,
        images: AllowedImages::default(),
        verify_interval: Duration::from_mins(5),
        cluster_domain: "cluster.local".into(),
    };
    let ctx = Context {
        operator: context(client),
        databases: reflector::store().0,
        verifications: Arc::default(),
        idle: Arc::default(),
        settings,
    };
    let seen = Arc::new(instance("{}"));
    let (place, subject) = (ObjectRef::from_obj(&*seen), Subject::from(&Deployment::default()));
    let (address, _) = server(answers).await;
    ctx.idle.begin(place.clone(), Instant::now());
    ctx.idle.settle(&place, Rest { handshake: Some((subject, target(address, &["execute_sql"]))) });
    let ctx = Arc::new(ctx);
    let _ = reconcile(seen, ctx.clone()).await;
    let calls = api.calls().into_iter().map(|call| format!("{} {}", call.method, call.path)).collect();
    (calls, ctx.idle.rest(&place, Instant::now()).is_some())
}

#[tokio::test]
async fn an_instance_at_rest_gets_its_handshake_and_nothing_is_read() {
    assert_eq!(pass_at_rest(vec![event(HELLO), event(TOOLS)]).await, (vec![], true));
}

#[tokio::test]
async fn one_that_no_longer_answers_gets_a_whole_pass() {
    let refused = vec![http("401 Unauthorized", "application/json", "{}"); 6];
    assert_eq!(pass_at_rest(refused).await, (vec![format!("GET {PATH}")], false));
}
