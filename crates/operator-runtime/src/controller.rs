//! Drives a kube [`Controller`]: explicit concurrency, a deadline on every reconcile, metrics, backoff per object,
//! one log line per failure, graceful stop. What is watched and what a reconcile does is the operator's own.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt as _, Shared};
use futures::{StreamExt as _, future::BoxFuture};
use kube::Resource;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::utils::Backoff;
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::backoff::Backoffs;
use crate::deadline::{DeadlineExceeded, deadline};
use crate::error::{PublicError, Retry, action_for};
use crate::metrics::ReconcileMetrics;
use crate::run::OperatorContext;

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
enum Failure<E: PublicError + 'static> {
    #[error(transparent)]
    Reconcile(E),
    #[error("the reconcile was abandoned: {0}")]
    Deadline(DeadlineExceeded),
    #[error("the watches ended before they had listed everything")]
    NotSynced,
}

impl<E: PublicError + 'static> PublicError for Failure<E> {
    fn reason(&self) -> &'static str {
        match self {
            Self::Reconcile(error) => error.reason(),
            Self::Deadline(_) => "DeadlineExceeded",
            Self::NotSynced => "NotSynced",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Reconcile(error) => error.message(),
            own => own.to_string(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Reconcile(error) => error.retry(),
            Self::Deadline(_) | Self::NotSynced => Retry::Backoff,
        }
    }
}

/// What every reconcile shares.
struct Worker {
    metrics: ReconcileMetrics,
    backoffs: Backoffs,
    limit: Duration,
    synced: Shared<BoxFuture<'static, bool>>,
}

impl Worker {
    async fn reconcile<E: PublicError + 'static>(
        &self,
        uid: Option<String>,
        work: impl Future<Output = Result<Action, E>>,
    ) -> Result<Action, Failure<E>> {
        if !self.synced.clone().await {
            return Err(Failure::NotSynced);
        }
        let bounded =
            async { deadline(self.limit, work).await.map_err(Failure::Deadline)?.map_err(Failure::Reconcile) };
        let action = self.metrics.observe(bounded).await?;
        self.backoffs.reset(uid.as_deref().unwrap_or_default());
        Ok(action)
    }
}

/// Runs the controller until `ctx.shutdown`, then lets running reconciles end.
///
/// `synced` ends when every store that `reconcile` reads besides the controller's own is filled (join their
/// `wait_until_ready`; `async { Ok(()) }` when there is none). No reconcile starts before: an object that was not
/// listed yet is unknown, not absent. The process becomes ready at that moment.
///
/// Give the controller only streams made with [`crate::stores`]: each has a backoff of its own. The controller's
/// common one, which would hold back every kind when one watch fails, is switched off here.
pub async fn drive<K, E, Fut>(
    ctx: &OperatorContext,
    controller: Controller<K>,
    synced: impl Future<Output = Result<(), WriterDropped>> + Send + 'static,
    reconcile: impl Fn(Arc<K>) -> Fut + Send + Sync + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Debug + Default + Eq + Hash + Clone + Unpin + Send + Sync,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
    E: PublicError + Send + Sync + 'static,
{
    let (own, readiness) = (controller.store(), ctx.readiness.clone());
    let synced = async move {
        let filled = synced.await.is_ok() && own.wait_until_ready().await.is_ok();
        if filled {
            readiness.synced();
        }
        filled
    };
    let worker = Arc::new(Worker {
        metrics: ctx.metrics.clone(),
        backoffs: Backoffs::default(),
        limit: ctx.reconcile_timeout,
        synced: synced.boxed().shared(),
    });
    // An operator with no object at all is ready too, though no reconcile ever asks.
    let first_look = worker.synced.clone();
    let work = controller
        .with_config(controller::Config::default().concurrency(ctx.concurrency))
        .trigger_backoff(NoPause)
        .graceful_shutdown_on(ctx.shutdown.clone().cancelled_owned())
        .run(
            move |object, worker: Arc<Worker>| {
                let (uid, work) = (object.meta().uid.clone(), reconcile(object));
                async move { worker.reconcile(uid, work).await }
            },
            |object, failure, worker| on_failure(&*object, failure, &worker.backoffs),
            worker,
        )
        .for_each(|result| async { log_outside_failure(result.err()) });
    let ((), _) = tokio::join!(work, first_look);
}

fn on_failure<K: Resource, E: PublicError>(object: &K, failure: &Failure<E>, backoffs: &Backoffs) -> Action {
    let meta = object.meta();
    let action = action_for(failure.retry(), meta.uid.as_deref().unwrap_or_default(), backoffs);
    warn!(
        namespace = meta.namespace,
        name = meta.name,
        reason = failure.reason(),
        next = ?action,
        "reconcile failed: {}",
        failure.message()
    );
    action
}

/// Logs what is no reconcile's failure (those were logged where the object is known).
fn log_outside_failure<E: PublicError>(error: Option<controller::Error<Failure<E>, kube::runtime::watcher::Error>>) {
    match error {
        None | Some(controller::Error::ReconcilerFailed(..)) => {}
        Some(controller::Error::ObjectNotFound(object)) => debug!(%object, "gone before it was reconciled"),
        Some(controller::Error::QueueError(error)) => warn!(%error, "a watch failed, it is tried again"),
        Some(controller::Error::RunnerError(error)) => warn!(%error, "the controller's runner failed"),
    }
}

/// A backoff that never waits.
struct NoPause;

impl Iterator for NoPause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoPause {
    fn reset(&mut self) {}
}
