//! The life of an operator's process: start, wait for what it needs, lead, act, stop. What acting means is the
//! closure's business; that it never acts without the lease and ends in time is decided here.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use kube::Client;
use kube::core::ApiResource;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::args::RuntimeArgs;
use crate::deadline::deadline;
use crate::events::EventSink;
use crate::health::{self, Readiness, Stage};
use crate::lease::{Elector, LeaseLost};
use crate::metrics::{ReconcileMetrics, SharedRegistry};
use crate::{logging, startup};

/// Whatever an operator's closure may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What tells one operator from another.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Name of the lease, of the field manager and of the Events' reporter; prefix of the metrics.
    pub name: &'static str,
    /// Logged at start; give `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// The kinds that must be served before anything starts: `ApiResource::erase::<Database>(&())`.
    pub required_crds: Vec<ApiResource>,
    /// How many objects are reconciled at the same time, unless `--concurrency` says otherwise.
    pub concurrency: u16,
    /// When a reconcile is abandoned, unless `--reconcile-timeout` says otherwise.
    pub reconcile_timeout: Duration,
}

/// What the closure of [`run`] is given, once this process leads.
#[derive(Clone)]
pub struct OperatorContext {
    /// The operator's name; use it as field manager.
    pub name: &'static str,
    /// The client; its default namespace is the pod's.
    pub client: Client,
    /// Cancelled at SIGTERM: take up nothing new, end what runs.
    pub shutdown: CancellationToken,
    /// Publishes Events in the operator's name.
    pub events: EventSink,
    /// Told by [`crate::controller::drive`] when the stores are filled.
    pub readiness: Readiness,
    /// Counts reconciles.
    pub metrics: ReconcileMetrics,
    /// For the operator's own metrics and collectors.
    pub registry: SharedRegistry,
    /// How many objects are reconciled at the same time.
    pub concurrency: u16,
    /// When a reconcile is abandoned.
    pub reconcile_timeout: Duration,
}

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// `--log-filter` is no list of tracing directives.
    #[error("the log filter {filter:?} cannot be understood")]
    LogFilter {
        /// As given.
        filter: String,
        /// Where it fails.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody installed a tracing subscriber before.
    #[error("logging cannot be set up")]
    Logging(#[source] BoxError),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// The port is taken, or the address is not ours.
    #[error("the health and metrics server cannot listen on {address}")]
    Bind {
        /// As given.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no cluster configuration: neither a kubeconfig (KUBECONFIG, ~/.kube/config) nor a pod's service account")]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    /// The configuration is there but unusable, for instance its certificates.
    #[error("the cluster configuration cannot be used")]
    Client(#[source] Box<kube::Error>),
    /// Another process leads or may soon lead; everything was stopped at once.
    #[error("stopped at once: {0}")]
    LeaseLost(#[from] LeaseLost),
    /// The operator's own failure.
    #[error("the operator failed")]
    Operator(#[source] BoxError),
    /// The operator's closure returned although nobody asked it to stop.
    #[error("the operator ended by itself")]
    Ended,
}

/// Runs an operator until SIGTERM or SIGINT, an error, or the loss of the lease.
///
/// The closure is called once, when the API server answers, the required kinds are served and this process holds the
/// lease; it should end soon after `shutdown` is cancelled and is dropped at the shutdown timeout. When the lease is
/// lost it is dropped at once, so whatever it runs must end when dropped: tasks it spawns belong into a `JoinSet` or
/// an `AbortOnDropHandle` (kube's `Controller` does so with reconciles).
pub async fn run<F, Fut>(operator: Operator, args: RuntimeArgs, act: F) -> Result<(), RuntimeError>
where
    F: FnOnce(OperatorContext) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    logging::init(&args)?;
    info!(version = operator.version, "starting {}", operator.name);
    // An error says that a provider is installed already, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (shutdown, _signals) = shutdown_on_signals()?;
    let registry = SharedRegistry::new(operator.name);
    let process =
        Process { shutdown, readiness: Readiness::new(), metrics: ReconcileMetrics::register(&registry), registry };
    let _server = health::serve(args.http_addr, &process.readiness, &process.registry).await?;
    let readiness = process.readiness.clone();
    tokio::select! {
        result = live(operator, args, process, act) => result,
        never = readiness.beat() => match never {},
    }
}

/// What exists as long as the process does.
struct Process {
    shutdown: CancellationToken,
    readiness: Readiness,
    metrics: ReconcileMetrics,
    registry: SharedRegistry,
}

async fn live<F, Fut>(operator: Operator, args: RuntimeArgs, process: Process, act: F) -> Result<(), RuntimeError>
where
    F: FnOnce(OperatorContext) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let client = startup::client().await?;
    let identity = args.identity.clone().unwrap_or_else(random_identity);
    let mut elector = args.leader_elect.then(|| {
        let namespace = args.lease_namespace.as_deref().unwrap_or(client.default_namespace());
        Elector::new(client.clone(), namespace, operator.name, &identity)
    });
    let Process { shutdown, readiness, .. } = &process;
    let prepared = shutdown.run_until_cancelled(prepare(&client, &operator, readiness, elector.as_mut())).await;
    if prepared.is_none() {
        return Ok(());
    }
    let ctx = context(client, &operator, &args, &identity, process);
    let result = lead(ctx, args.shutdown_timeout, elector.as_mut(), act).await;
    if let Some(elector) = &mut elector
        && !matches!(result, Err(RuntimeError::LeaseLost(_)))
    {
        elector.release().await;
    }
    result
}

async fn prepare(client: &Client, operator: &Operator, readiness: &Readiness, elector: Option<&mut Elector>) {
    startup::wait_for_api(client).await;
    readiness.enter(Stage::WaitingForCrds);
    startup::wait_for_crds(client, &operator.required_crds).await;
    if let Some(elector) = elector {
        readiness.enter(Stage::Standby);
        elector.acquire().await;
    }
    readiness.enter(Stage::Syncing);
}

fn context(
    client: Client,
    operator: &Operator,
    args: &RuntimeArgs,
    identity: &str,
    process: Process,
) -> OperatorContext {
    OperatorContext {
        name: operator.name,
        events: EventSink::new(client.clone(), operator.name, identity),
        client,
        shutdown: process.shutdown,
        readiness: process.readiness,
        metrics: process.metrics,
        registry: process.registry,
        concurrency: args.concurrency.unwrap_or(operator.concurrency),
        reconcile_timeout: args.reconcile_timeout.unwrap_or(operator.reconcile_timeout),
    }
}

/// Acts for as long as the lease is ours. What runs is dropped before this returns, thus before a release.
async fn lead<F, Fut>(
    ctx: OperatorContext,
    shutdown_timeout: Duration,
    elector: Option<&mut Elector>,
    act: F,
) -> Result<(), RuntimeError>
where
    F: FnOnce(OperatorContext) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let (shutdown, readiness) = (ctx.shutdown.clone(), ctx.readiness.clone());
    ctx.metrics.set_leader(true);
    let work = pin!(act(ctx));
    let lost = async {
        match elector {
            Some(elector) => elector.hold().await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        lost = lost => {
            shutdown.cancel();
            Err(lost.into())
        }
        result = until_stopped(work, &shutdown, &readiness, shutdown_timeout) => result,
    }
}

async fn until_stopped(
    mut work: Pin<&mut impl Future<Output = Result<(), BoxError>>>,
    shutdown: &CancellationToken,
    readiness: &Readiness,
    timeout: Duration,
) -> Result<(), RuntimeError> {
    if let Some(ended) = shutdown.run_until_cancelled(work.as_mut()).await {
        ended.map_err(RuntimeError::Operator)?;
        return if shutdown.is_cancelled() { Ok(()) } else { Err(RuntimeError::Ended) };
    }
    readiness.enter(Stage::Stopping);
    let Ok(ended) = deadline(timeout, work).await else {
        warn!("running work was abandoned after {} s", timeout.as_secs());
        return Ok(());
    };
    ended.map_err(RuntimeError::Operator)
}

/// A token that the first SIGTERM or SIGINT cancels.
fn shutdown_on_signals() -> Result<(CancellationToken, AbortOnDropHandle<()>), RuntimeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RuntimeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RuntimeError::Signals)?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("stopping on SIGTERM"),
            _ = interrupt.recv() => info!("stopping on SIGINT"),
        }
        cancelled.cancel();
    });
    Ok((token, AbortOnDropHandle::new(task)))
}

/// Host name and a random suffix: two processes on one host are two candidates.
fn random_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{:08x}", host.trim(), rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn stop_after(
        work: impl Future<Output = Result<(), BoxError>>,
        delay: Option<Duration>,
    ) -> Result<(), RuntimeError> {
        let token = CancellationToken::new();
        let cancel = async {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => pending().await,
            }
            token.cancel();
            pending::<Result<(), RuntimeError>>().await
        };
        let readiness = Readiness::new();
        let work = pin!(work);
        tokio::select! {
            result = until_stopped(work, &token, &readiness, LIMIT) => result,
            never = cancel => never,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_abandoned_at_the_deadline() {
        let start = tokio::time::Instant::now();
        let result = stop_after(pending(), Some(Duration::from_secs(1))).await;
        assert!(result.is_ok());
        assert_eq!(start.elapsed(), LIMIT + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_after_the_signal_ends_the_process_well() {
        let work = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(())
        };
        assert!(stop_after(work, Some(Duration::from_secs(1))).await.is_ok());
        let failing = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err("late".into())
        };
        assert!(matches!(stop_after(failing, Some(Duration::from_secs(1))).await, Err(RuntimeError::Operator(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_unasked_is_an_error() {
        assert!(matches!(stop_after(async { Ok(()) }, None).await, Err(RuntimeError::Ended)));
        assert!(matches!(stop_after(async { Err("x".into()) }, None).await, Err(RuntimeError::Operator(_))));
    }

    /// Work that ends in the very turn that cancels it, as a controller without running reconciles does.
    #[tokio::test]
    async fn work_that_ends_with_the_signal_ends_the_process_well() {
        let token = CancellationToken::new();
        let work = async {
            token.cancel();
            Ok(())
        };
        assert!(until_stopped(pin!(work), &token, &Readiness::new(), LIMIT).await.is_ok());
    }
}
