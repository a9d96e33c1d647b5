//! `/healthz`, `/readyz` and `/metrics`. Healthy means that the main task still takes its turns, ready that this
//! process does its part: a leader whose stores are filled, or a standby that could take over.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::SharedRegistry;
use crate::run::RuntimeError;

const BEAT: Duration = Duration::from_secs(1);
/// A main task that took no turn for so long is stuck; the kubelet may restart the pod.
const STUCK: Duration = Duration::from_secs(30);

/// Where the process is between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    WaitingForCrds,
    Standby,
    Syncing,
    Leading,
    Stopping,
}

impl Stage {
    const fn is_ready(self) -> bool {
        matches!(self, Self::Standby | Self::Leading)
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Connecting => "waiting for the Kubernetes API",
            Self::WaitingForCrds => "waiting for custom resource definitions",
            Self::Standby => "standby: another process holds the lease",
            Self::Syncing => "listing the watched objects",
            Self::Leading => "leading",
            Self::Stopping => "stopping",
        }
    }
}

/// What the probes of the kubelet are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<(Stage, Instant)>>);

impl Readiness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new((Stage::Connecting, Instant::now()))))
    }

    /// Every store that reconcile reads is filled. [`crate::controller::drive`] calls this.
    pub fn synced(&self) {
        self.update(|stage, _| {
            if *stage == Stage::Syncing {
                *stage = Stage::Leading;
            }
        });
    }

    pub(crate) fn enter(&self, next: Stage) {
        self.update(|stage, _| *stage = next);
    }

    /// Beats for as long as it is polled; to be polled by the task whose life is to be proved.
    pub(crate) async fn beat(&self) -> std::convert::Infallible {
        loop {
            self.update(|_, beat| *beat = Instant::now());
            tokio::time::sleep(BEAT).await;
        }
    }

    #[cfg(test)]
    pub(crate) fn is_ready(&self) -> bool {
        self.update(|stage, _| stage.is_ready())
    }

    fn update<T>(&self, change: impl FnOnce(&mut Stage, &mut Instant) -> T) -> T {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (stage, beat) = &mut *guard;
        change(stage, beat)
    }

    fn health(&self) -> (StatusCode, &'static str) {
        if self.update(|_, beat| beat.elapsed() < STUCK) {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the main task is stuck")
        }
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        let stage = self.update(|stage, _| *stage);
        let code = if stage.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (code, stage.sentence())
    }
}

/// Binds the address and serves until the handle is dropped.
pub(crate) async fn serve(
    address: SocketAddr,
    readiness: &Readiness,
    registry: &SharedRegistry,
) -> Result<AbortOnDropHandle<()>, RuntimeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| RuntimeError::Bind { address, source })?;
    let app = router(readiness.clone(), registry.clone());
    let server = axum::serve(listener, app).into_future();
    Ok(AbortOnDropHandle::new(tokio::spawn(async {
        if let Err(error) = server.await {
            tracing::error!(%error, "the health and metrics server ended");
        }
    })))
}

fn router(readiness: Readiness, registry: SharedRegistry) -> Router {
    let probes = Router::new()
        .route("/healthz", get(async |State(r): State<Readiness>| r.health()))
        .route("/readyz", get(async |State(r): State<Readiness>| r.readiness()))
        .with_state(readiness);
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(registry);
    probes.merge(metrics)
}

async fn metrics(State(registry): State<SharedRegistry>) -> Result<impl IntoResponse, StatusCode> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = registry.encode().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_takes_no_turn_is_unhealthy() {
        let readiness = Readiness::new();
        assert_eq!(readiness.health().0, StatusCode::OK);
        tokio::time::advance(STUCK).await;
        assert_eq!(readiness.health().0, StatusCode::SERVICE_UNAVAILABLE);
        let _ = tokio::time::timeout(Duration::from_secs(1), readiness.beat()).await;
        assert_eq!(readiness.health().0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_standby_and_a_synced_leader_are_ready() {
        let readiness = Readiness::new();
        let ready = |stage| {
            readiness.enter(stage);
            readiness.readiness().0 == StatusCode::OK
        };
        assert!(!ready(Stage::Connecting) && !ready(Stage::WaitingForCrds) && !ready(Stage::Stopping));
        assert!(ready(Stage::Standby));
        readiness.synced();
        assert_eq!(readiness.readiness().1, Stage::Standby.sentence(), "a standby does not become a leader");
        assert!(!ready(Stage::Syncing));
        readiness.synced();
        assert_eq!(readiness.readiness(), (StatusCode::OK, "leading"));
    }
}
