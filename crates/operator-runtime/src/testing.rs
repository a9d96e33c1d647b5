//! An API server for unit tests that answers from a script. It expects calls in order, records every call, and answers
//! what it did not expect with 501, so that the code under test fails and the record says why.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::events::EventSink;
use crate::health::Readiness;
use crate::metrics::{ReconcileMetrics, SharedRegistry};
use crate::run::OperatorContext;

/// One expected call and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    method: &'static str,
    path: String,
    status: u16,
    body: Value,
}

impl Exchange {
    /// Answers `method path` (without the query) with this status code and object.
    #[must_use]
    pub fn new(method: &'static str, path: &str, status: u16, body: Value) -> Self {
        Self { method, path: path.to_owned(), status, body }
    }

    /// Answers with a failure as Kubernetes words it: `failure("GET", "/api/…", 404, "NotFound")`.
    #[must_use]
    pub fn failure(method: &'static str, path: &str, status: u16, reason: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "scripted", "reason": reason, "code": status});
        Self::new(method, path, status, body)
    }
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Call {
    /// `GET`, `PATCH` and so on.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `fieldManager=…&force=true`; empty when there is none.
    pub query: String,
    /// The object sent; null when there is none.
    pub body: Value,
}

/// A context as [`crate::run()`] gives it to an operator: four reconciles at once, each of at most 30 s.
#[must_use]
pub fn context(client: Client) -> OperatorContext {
    let registry = SharedRegistry::new("test-operator");
    OperatorContext {
        name: "test-operator",
        events: EventSink::new(client.clone(), "test-operator", "test-pod"),
        client,
        shutdown: CancellationToken::new(),
        readiness: Readiness::new(),
        metrics: ReconcileMetrics::register(&registry),
        registry,
        concurrency: 4,
        reconcile_timeout: Duration::from_secs(30),
    }
}

#[derive(Debug, Default)]
struct Script {
    expected: VecDeque<Exchange>,
    calls: Vec<Call>,
}

/// The scripted API server.
#[derive(Debug, Clone)]
pub struct FakeApi(Arc<Mutex<Script>>);

impl FakeApi {
    /// A client that talks to a server with this script. Needs a tokio runtime.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Exchange>) -> (Client, Self) {
        let api = Self(Arc::new(Mutex::new(Script { expected: script.into_iter().collect(), calls: Vec::new() })));
        let router = Router::new().fallback(answer).with_state(api.clone());
        (Client::new(router, "default"), api)
    }

    /// Every call so far, expected or not, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many expected calls were not made yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lock().expected.len()
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, call: Call) -> Exchange {
        let mut script = self.lock();
        let fits = script.expected.front().is_some_and(|next| next.method == call.method && next.path == call.path);
        let unexpected = Exchange::failure("", "", 501, "UnexpectedCall");
        let answer = if fits { script.expected.pop_front() } else { None };
        script.calls.push(call);
        answer.unwrap_or(unexpected)
    }
}

async fn answer(State(api): State<FakeApi>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, 1 << 24).await.unwrap_or_default();
    let exchange = api.next(Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    });
    let status = StatusCode::from_u16(exchange.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], exchange.body.to_string()).into_response()
}
