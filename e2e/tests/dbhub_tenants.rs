//! The example with two tenants, as it stands: what each has, and that neither gets at what the other has.

use anyhow::{Result, ensure};
use e2e::testing::agent::{Agent, refusal, running};
use e2e::testing::bed::{Area, Bed};
use e2e::testing::hub::in_memory;
use e2e::testing::manifests::{instance, opaque_secret};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

#[tokio::test]
async fn neither_tenant_gets_at_what_the_other_has() -> Result<()> {
    let mut bed = Bed::new("tenants").await?;
    let (north, south) = (bed.namespace_called("tas-north").await?, bed.namespace_called("tas-south").await?);
    bed.harness().apply_file(None, "examples/tenants.yaml").await?;
    let kept_apart = kept_apart(&north, &south).await;
    bed.harness().kubectl.run(&["delete", "clusterrole", "tas-tenant"]).await?;
    kept_apart?;
    bed.finish().await
}

async fn kept_apart(north: &Area, south: &Area) -> Result<()> {
    running(north, &["orders"]).await?;
    running(south, &["tickets"]).await?;
    // What stands in the other's namespace is nothing to an instance, whoever names it.
    let person = |area: &Area| area.acting_as("jo", &["tenant-south"]);
    let by_name = json!({"databaseSelector": {"matchNames": ["orders", "tickets"]}});
    person(south).apply(&instance("hub", &by_name)).await?;
    running(south, &["tickets"]).await?;

    strange_token(north, south).await?;
    ensure!(person(south).try_kubectl(&["get", "secret", "hub-token"]).await?.success, "not even the own token");
    for (area, secret) in [(south, "hub-creds"), (north, "hub-token")] {
        let answer = person(area).try_kubectl(&["get", "secret", secret]).await?;
        ensure!(!answer.success && answer.stderr.contains("Forbidden"), "{}/{secret}: {answer:?}", area.name());
    }
    let refused = person(north).refused(&in_memory("mine")).await?;
    ensure!(refused.contains("Forbidden"), "{refused}");
    Ok(())
}

/// One tenant's token opens nothing of the other's.
async fn strange_token(north: &Area, south: &Area) -> Result<()> {
    let token = north.get::<Secret>("hub-token").await?.data.unwrap_or_default().remove("token").unwrap_or_default();
    let token = String::from_utf8(token.0)?;
    south.apply(&opaque_secret("strange", &json!({"token": token}))).await?;
    let told = refusal(Agent::with_secret(south, "hub", "strange").await?.say(&["list"]).await?)?;
    ensure!(told.contains("401"), "{told}");
    Agent::of(south, "hub").await?.tools().await.map(drop)
}
