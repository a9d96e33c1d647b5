//! Which images may run as DBHub and get the databases' logins: what the platform names, or what the person could run
//! anyway.

use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::DBHubInstance;
use e2e::testing::bare_api::BareApi;
use e2e::testing::bed::{Bed, ready_reason};
use e2e::testing::hub::{in_memory, message};
use e2e::testing::manifests::instance;
use e2e::testing::process::OperatorProcess;
use e2e::testing::wait_for;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn another_image_takes_the_right_to_create_pods() -> Result<()> {
    let bed = Bed::new("image-author").await?;
    let who = format!("dev-{}", bed.name());
    let dev = bed.acting_as(&who, &["developers"]);
    let instances = ["--verb=get,create,patch,update", "--resource=dbhubinstances.dbhub.tas.io"];
    bed.allow(&who, "instances", &instances).await?;
    let of = |image: &str| instance("hub", &json!({"image": image}));
    for image in ["bytebase/dbhub:1.4.0", "docker.io/bytebase/dbhub:1.4.0", "bytebase/dbhub@sha256:00"] {
        dev.apply(&of(image)).await?;
    }
    for image in ["evil/dbhub:1", "bytebase/dbhub-evil:1", "bytebase/dbhub:5000/evil", "docker.io.evil/bytebase/dbhub"]
    {
        let refusal = dev.refused(&of(image)).await?;
        ensure!(refusal.contains(&format!("spec.image: {image} would get")), "{refusal}");
    }
    bed.apply(&of("registry.acme.internal/dbhub:1")).await?;
    // Who leaves the image alone is not asked.
    dev.apply(&instance("hub", &json!({"image": "registry.acme.internal/dbhub:1", "port": 8081}))).await?;
    bed.allow(&who, "pods", &["--verb=create", "--resource=pods"]).await?;
    dev.apply(&of("evil/dbhub:1")).await?;
    bed.finish().await
}

#[tokio::test]
async fn an_image_that_the_platform_does_not_name_never_runs() -> Result<()> {
    let Some(api) = BareApi::of_cluster().await? else { return Ok(()) };
    api.define_databases().await?;
    let arguments = ["--lease-namespace=default", "--allowed-images=bytebase/dbhub,registry.acme.internal/ai"];
    let operator = OperatorProcess::start("dbhub-operator", &api.kubeconfig(), &arguments).await?;
    api.kubectl().apply(Some("default"), &in_memory("mem").to_string()).await?;
    for (name, image) in [("named", "registry.acme.internal/ai/dbhub:1"), ("other", "registry.acme.internal/x:1")] {
        let hub = instance(name, &json!({"image": image}));
        api.kubectl().apply(Some("default"), &hub.to_string()).await?;
    }
    let client = api.client().await?;
    let (hubs, pods) =
        (Api::<DBHubInstance>::default_namespaced(client.clone()), Api::<Deployment>::default_namespaced(client));
    let refused = |hub: Option<&DBHubInstance>| hub.and_then(ready_reason).as_deref() == Some("ImageNotAllowed");
    let hub = wait_for(&hubs, "other", "ImageNotAllowed", refused, DEADLINE).await?;
    let told = message(&hub, "Ready").unwrap_or_default();
    ensure!(told.contains("registry.acme.internal/x:1") && told.contains("registry.acme.internal/ai"), "{told}");
    wait_for(&pods, "named", "its Deployment", |found: Option<&Deployment>| found.is_some(), DEADLINE).await?;
    ensure!(pods.get_opt("other").await?.is_none(), "it runs all the same");
    ensure!(operator.terminate().await?.success(), "SIGTERM did not end it well");
    Ok(())
}
