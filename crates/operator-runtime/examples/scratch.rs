//! scratch
use clap::Parser;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::{Controller, WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use operator_runtime::{
    Operator, RuntimeArgs, apply, backoff, controller, error::ApiError, events::EventType, run, stores,
};
use std::sync::Arc;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    runtime: RuntimeArgs,
}
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let operator = Operator {
        name: "scratch-op",
        version: "0",
        required_crds: vec![kube::core::ApiResource::erase::<ConfigMap>(&())].into_iter().filter(|_| false).collect(),
        concurrency: 4,
        reconcile_timeout: std::time::Duration::from_secs(5),
    };
    run(operator, Cli::parse().runtime, async |ctx| {
        let api: Api<Deployment> = Api::default_namespaced(ctx.client.clone());
        let base: serde_json::Value = serde_json::from_str(&std::fs::read_to_string("/tmp/orlab/d.json")?)?;
        let typed: Deployment = serde_json::from_value(base)?;
        for i in 0..3 {
            let live = api.get_opt("y").await?;
            let r = apply::apply(&api, "op", &typed, live.as_ref()).await?;
            println!("pass {i}: written={}", r.is_written());
        }
        let mut less = typed.clone();
        less.metadata.labels = None;
        less.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0].args = None;
        for i in 0..2 {
            let live = api.get_opt("y").await?;
            let r = apply::apply(&api, "op", &less, live.as_ref()).await?;
            println!("less {i}: written={}", r.is_written());
        }
        let secrets: Api<Secret> = Api::default_namespaced(ctx.client.clone());
        let s = |v: &str| serde_json::json!({"metadata": {"name": "s", "labels": {"a":"b"}}, "data": {"k": v}, "type": "Opaque"});
        println!("create: {:?}", apply::create(&secrets, "op", &s("YQ==")).await.map(|s| s.metadata.uid.is_some()));
        println!("create again: {:?}", apply::create(&secrets, "op", &s("YQ==")).await.map(|_| ()).map_err(|e: ApiError| e.to_string()));
        for v in ["YQ==", "YQ==", "Yg==", "Yg=="] {
            let live = secrets.get_opt("s").await?;
            println!("apply {v}: {}", apply::apply(&secrets, "op", &s(v), live.as_ref()).await?.is_written());
        }
        let (store, events) = stores::reflect(Api::<ConfigMap>::all(ctx.client.clone()), stores::watch_config(), stores::drop_managed_fields);
        let (metas, metas_ev) = stores::reflect(Api::<PartialObjectMeta<Secret>>::all(ctx.client.clone()), watcher::Config::default(), stores::drop_managed_fields);
        let c = Controller::for_stream(events.applied_objects(), store.clone())
            .watches_stream(metas_ev.touched_objects(), |_s| None::<kube::runtime::reflector::ObjectRef<ConfigMap>>);
        let m2 = metas.clone();
        let c2 = ctx.clone();
        controller::drive(&ctx, c, async move { m2.wait_until_ready().await }, move |cm: Arc<ConfigMap>| { let metas = metas.clone(); let ctx = c2.clone(); async move {
            let name = cm.metadata.name.clone().unwrap_or_default();
            println!("reconcile {name} secrets={}", metas.len());
            if name.starts_with("slow") { tokio::time::sleep(std::time::Duration::from_secs(60)).await; }
            ctx.events.publish(&cm.object_ref(&()), EventType::Normal, "Seen", "Look", "hello").await;
            if name.starts_with("bad") { return Err(ApiError::Conflict { call: "x".into() }); }
            Ok(backoff::requeue_after(std::time::Duration::from_secs(300)))
        }}).await;
        let _ = futures::stream::empty::<()>().collect::<Vec<_>>().await;
        Ok(())
    }).await?;
    Ok(())
}
