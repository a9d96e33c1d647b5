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
use kube::runtime::reflector::Store;
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
    let synced = synced_or_stopped(ctx, controller.store(), synced);
    let worker = Arc::new(Worker {
        metrics: ctx.metrics.clone(),
        backoffs: Backoffs::default(),
        limit: ctx.reconcile_timeout,
        synced: synced.boxed().shared(),
    });
    let reconcile = Arc::new(reconcile);
    // An operator with no object at all is ready too, though no reconcile ever asks.
    let first_look = worker.synced.clone();
    let work = controller
        .with_config(controller::Config::default().concurrency(ctx.concurrency))
        .trigger_backoff(NoPause)
        .graceful_shutdown_on(ctx.shutdown.clone().cancelled_owned())
        .run(
            move |object, worker: Arc<Worker>| {
                let (uid, reconcile) = (object.meta().uid.clone(), Arc::clone(&reconcile));
                // Boxed, since each layer around it would hold room for all of it, and thousands may wait at a time.
                async move { worker.reconcile(uid, async { reconcile(object).await }.boxed()).await }
            },
            |object, failure, worker| on_failure(&*object, failure, &worker.backoffs),
            worker,
        )
        .for_each(|result| async { log_outside_failure(result.err()) });
    let ((), _) = tokio::join!(work, first_look);
}

/// Whether every store is filled. A stop while they are still being listed is the other answer, so that no reconcile
/// waits for streams that nobody polls any longer.
fn synced_or_stopped<K>(
    ctx: &OperatorContext,
    own: Store<K>,
    others: impl Future<Output = Result<(), WriterDropped>> + Send + 'static,
) -> impl Future<Output = bool> + Send + 'static
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    let (shutdown, readiness) = (ctx.shutdown.clone(), ctx.readiness.clone());
    async move {
        let filled = async { others.await.is_ok() && own.wait_until_ready().await.is_ok() };
        let filled = shutdown.run_until_cancelled(filled).await == Some(true);
        if filled {
            readiness.synced();
        }
        filled
    }
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::{Stream, stream};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::WatchStreamExt as _;
    use kube::runtime::reflector;
    use kube::runtime::watcher::{self, Event};
    use tokio::sync::mpsc;

    use super::*;
    use crate::error::ApiError;
    use crate::testing::{FakeApi, context};

    /// A watch that lists one object and then stays silent.
    fn watch() -> impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Send + 'static {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("x".into());
        object.metadata.uid = Some("u1".into());
        stream::iter([Event::Init, Event::InitApply(object), Event::InitDone].map(Ok)).chain(stream::pending())
    }

    fn controller() -> Controller<ConfigMap> {
        let (store, writer) = reflector::store();
        Controller::for_stream(watch().reflect(writer).applied_objects(), store)
    }

    fn test_context() -> OperatorContext {
        context(FakeApi::new([]).0)
    }

    fn metric(ctx: &OperatorContext, line: &str) -> bool {
        ctx.registry.encode().unwrap().lines().any(|found| found == line)
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_reconcile_is_tried_again() {
        let ctx = test_context();
        let (tries, mut seen) = mpsc::unbounded_channel();
        let reconcile = move |_| {
            tries.send(()).unwrap();
            ready(Err(ApiError::Conflict { call: "x".into() }))
        };
        tokio::select! {
            () = drive(&ctx, controller(), ready(Ok(())), reconcile) => panic!("nobody asked it to stop"),
            () = async { for _ in 0..4 { seen.recv().await.unwrap(); } } => {}
        }
        assert!(metric(&ctx, "test_operator_reconcile_errors_total{reason=\"ApiConflict\"} 4"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_never_ends_is_abandoned_and_counted() {
        let ctx = test_context();
        let (tries, mut seen) = mpsc::unbounded_channel();
        let reconcile = move |_| {
            tries.send(()).unwrap();
            pending::<Result<Action, ApiError>>()
        };
        tokio::select! {
            () = drive(&ctx, controller(), ready(Ok(())), reconcile) => panic!("nobody asked it to stop"),
            () = async { for _ in 0..2 { seen.recv().await.unwrap(); } } => {}
        }
        assert!(metric(&ctx, "test_operator_reconcile_errors_total{reason=\"DeadlineExceeded\"} 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_reconciled_before_every_store_is_filled() {
        let ctx = test_context();
        ctx.readiness.enter(crate::health::Stage::Syncing);
        let (tries, mut seen) = mpsc::unbounded_channel();
        let (filled, wait) = tokio::sync::oneshot::channel();
        let synced = async {
            let _ = wait.await;
            Ok(())
        };
        let reconcile = move |_| {
            tries.send(()).unwrap();
            ready(Ok::<_, ApiError>(Action::await_change()))
        };
        let work = drive(&ctx, controller(), synced, reconcile);
        let story = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert!(seen.try_recv().is_err() && !ctx.readiness.is_ready());
            filled.send(()).unwrap();
            seen.recv().await.unwrap();
            assert!(ctx.readiness.is_ready());
            ctx.shutdown.cancel();
        };
        tokio::join!(work, story);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_while_the_stores_are_being_filled_is_not_held_up() {
        let ctx = test_context();
        let reconcile = |_| pending::<Result<Action, ApiError>>();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ctx.shutdown.cancel();
        };
        let start = tokio::time::Instant::now();
        tokio::join!(drive(&ctx, controller(), pending(), reconcile), stop);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert!(!ctx.readiness.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_the_running_reconcile_end() {
        let ctx = test_context();
        let (events, mut seen) = mpsc::unbounded_channel();
        let shutdown = ctx.shutdown.clone();
        let reconcile = move |_| {
            let (events, shutdown) = (events.clone(), shutdown.clone());
            async move {
                shutdown.cancel();
                tokio::time::sleep(Duration::from_secs(5)).await;
                events.send("ended").unwrap();
                Ok::<_, ApiError>(Action::await_change())
            }
        };
        drive(&ctx, controller(), ready(Ok(())), reconcile).await;
        assert_eq!(seen.recv().await, Some("ended"));
    }
}
