//! Tries the servers that were given up, one login at a time, until they answer; then their AppDatabases go on. It writes
//! nothing.

use std::sync::{Arc, Weak};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::runtime::reflector::ObjectRef;
use operator_runtime::backoff::BackoffPolicy;
use rand::RngExt as _;
use std::time::Duration;
use tokio::time::sleep;

use crate::context::Context;
use crate::pool::Pool;

const PAUSES: BackoffPolicy = BackoffPolicy { first: Duration::from_secs(1), cap: Duration::from_secs(15) };

/// Tries again and again, and never ends.
pub async fn run(ctx: Arc<Context>) {
    let mut trials = FuturesUnordered::new();
    loop {
        tokio::select! {
            pools = ctx.pools.unattended() => trials.extend(pools.into_iter().map(|pool| until_it_answers(&ctx, pool))),
            Some(cluster) = trials.next() => wake(&ctx, cluster.as_deref()),
        }
    }
}

/// The clusterRef of a server that answers again; `None` when nobody wants to know any longer, since its admin Secret
/// was changed or is gone.
async fn until_it_answers(ctx: &Context, pool: Weak<Pool>) -> Option<String> {
    let mut tries = 0_u32;
    loop {
        tries = tries.saturating_add(1);
        sleep(PAUSES.delay(tries, rand::rng().random())).await;
        let pool = pool.upgrade()?;
        if !ctx.stores.knows(pool.server()) {
            ctx.pools.forget(&pool);
            return None;
        }
        if pool.answers().await {
            return Some(pool.server().cluster.clone());
        }
    }
}

/// Those that nothing happened to are done at once, see [`crate::reconcile`].
fn wake(ctx: &Context, cluster: Option<&str>) {
    let Some(cluster) = cluster else { return };
    tracing::info!(cluster, "the server answers again");
    for app in ctx.stores.apps.state().iter().filter(|app| app.spec.cluster_ref == cluster) {
        ctx.due.add(ObjectRef::from_obj(&**app));
    }
}
