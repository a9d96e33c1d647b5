//! Reads and writes the Lease object. While another holds it, it only looks.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::record::{Decision, Seen, claimed, decide, released};
use super::{CALL_LIMIT, RENEW_DEADLINE, RETRY};
use crate::backoff::jittered;
use crate::deadline::deadline;
use crate::error::ApiError;
use crate::logging::Trouble;

/// Why this process may no longer act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    /// Another process holds it.
    #[error("{0} holds the leader lease now")]
    Taken(String),
    /// It could not be renewed in time, so another process may take it soon.
    #[error("the leader lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    NotRenewed,
}

/// How one try came out.
enum Step {
    /// We hold it; counted from the moment the request was sent.
    Held(Instant),
    Other(String),
}

/// One candidate for one lease.
pub(crate) struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<Seen>,
    held_from: Option<Instant>,
}

impl Elector {
    pub(crate) fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity.to_owned(), seen: None, held_from: None }
    }

    /// Returns when we hold the lease.
    pub(crate) async fn acquire(&mut self) {
        let mut trouble = Trouble::default();
        let mut holder = None;
        loop {
            match self.attempt().await {
                Ok(Step::Held(from)) => {
                    trouble.is_over();
                    info!(lease = self.name, identity = self.identity, "leading");
                    self.held_from = Some(from);
                    return;
                }
                Ok(Step::Other(other)) => {
                    trouble.is_over();
                    if holder.as_ref() != Some(&other) {
                        info!(lease = self.name, holder = other, "standby");
                        holder = Some(other);
                    }
                }
                // Two candidates met; the next look tells who won.
                Err(ApiError::Conflict { .. } | ApiError::AlreadyExists { .. }) => {}
                Err(error) => trouble.is(format!("waiting for the leader lease: {error}")),
            }
            sleep(jittered(RETRY)).await;
        }
    }

    /// Renews; returns when the right to act is gone. To be called after [`Self::acquire`].
    pub(crate) async fn hold(&mut self) -> LeaseLost {
        let mut trouble = Trouble::default();
        loop {
            let Some(from) = self.held_from else { return LeaseLost::NotRenewed };
            let step = tokio::select! {
                // First, so that a process that slept past its right does not renew what it may have lost.
                biased;
                () = sleep_until(from + RENEW_DEADLINE) => return LeaseLost::NotRenewed,
                step = async { sleep(jittered(RETRY)).await; self.attempt().await } => step,
            };
            match step {
                Ok(Step::Held(from)) => {
                    trouble.is_over();
                    self.held_from = Some(from);
                }
                Ok(Step::Other(holder)) => return LeaseLost::Taken(holder),
                Err(error) => trouble.is(format!("the leader lease was not renewed: {error}")),
            }
        }
    }

    /// Gives the lease up, so that a standby need not wait. A failure only costs that standby time.
    pub(crate) async fn release(&mut self) {
        let Some(lease) = self.seen.as_ref().and_then(|seen| released(seen, &self.identity)) else { return };
        match self.write(&lease).await {
            Ok(_) => info!(lease = self.name, "lease released"),
            Err(error) => warn!("the lease was not released, it expires by itself: {error}"),
        }
    }

    /// One look and, if the record lets us, one write. A holder skips the look: its write fails if anybody wrote
    /// meanwhile, or if an earlier write of ours went through unnoticed; then the look decides.
    async fn attempt(&mut self) -> Result<Step, ApiError> {
        if self.held_from.is_some()
            && let Ok(step) = self.claim().await
        {
            return Ok(step);
        }
        self.look().await?;
        self.claim().await
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let lease = limited("read Lease", self.api.get_opt(&self.name)).await?;
        let now = Instant::now();
        self.seen = lease.map(|lease| Seen::observe(self.seen.as_ref(), lease, now));
        Ok(())
    }

    async fn claim(&mut self) -> Result<Step, ApiError> {
        let sent = Instant::now();
        if let Decision::Wait(holder) = decide(self.seen.as_ref(), &self.identity, sent) {
            return Ok(Step::Other(holder));
        }
        let lease = claimed(self.seen.as_ref(), &self.name, &self.identity, Timestamp::now());
        let written = self.write(&lease).await?;
        self.seen = Some(Seen::observe(self.seen.as_ref(), written, Instant::now()));
        Ok(Step::Held(sent))
    }

    /// Creates the object when none was seen, else replaces exactly the version that was seen.
    async fn write(&self, lease: &Lease) -> Result<Lease, ApiError> {
        let params = PostParams::default();
        if lease.metadata.resource_version.is_some() {
            limited("write Lease", self.api.replace(&self.name, &params, lease)).await
        } else {
            limited("create Lease", self.api.create(&params, lease)).await
        }
    }
}

async fn limited<T>(call: &str, future: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match deadline(CALL_LIMIT, future).await {
        Ok(result) => result.map_err(|error| ApiError::new(call, error)),
        Err(source) => Err(ApiError::Deadline { call: call.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Exchange, FakeApi};

    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/op";

    fn lease(holder: &str, version: &str) -> Value {
        json!({"metadata": {"name": "op", "resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1}})
    }

    fn put(version: &str) -> Exchange {
        Exchange::new("PUT", LEASE, 200, lease("me", version))
    }

    fn get(holder: &str, version: &str) -> Exchange {
        Exchange::new("GET", LEASE, 200, lease(holder, version))
    }

    fn elector(script: Vec<Exchange>) -> (Elector, FakeApi) {
        let (client, api) = FakeApi::new(script);
        (Elector::new(client, "ns", "op", "me"), api)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_process_makes_the_lease() {
        let created = Exchange::new("POST", LEASES, 201, lease("me", "1"));
        let (mut elector, api) = elector(vec![Exchange::failure("GET", LEASE, 404, "NotFound"), created]);
        elector.acquire().await;
        assert_eq!(api.left(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_waits_out_a_silent_holder_and_writes_on_what_it_saw() {
        let (client, api) = FakeApi::new((0..20).map(|_| get("other", "7")).chain([put("8")]));
        let mut elector = Elector::new(client, "ns", "op", "me");
        let start = Instant::now();
        // Looks run out before or when the lease may be taken; the call after the last look is the one write.
        let _ = tokio::time::timeout(Duration::from_secs(18), elector.acquire()).await;
        assert!(start.elapsed() >= super::super::LEASE_DURATION);
        let calls = api.calls();
        let write = calls.iter().position(|call| call.method == "PUT").unwrap();
        assert!(calls[..write].iter().all(|call| call.method == "GET"));
        assert_eq!(calls[write].body["metadata"]["resourceVersion"], "7");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_stops_before_anybody_may_take_over() {
        let (mut elector, _api) = elector(vec![get("", "1"), put("2")]);
        elector.acquire().await;
        let start = Instant::now();
        assert_eq!(elector.hold().await, LeaseLost::NotRenewed);
        assert!(start.elapsed() <= RENEW_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_finds_another_stops_at_once() {
        let conflict = Exchange::failure("PUT", LEASE, 409, "Conflict");
        let (mut elector, api) = elector(vec![get("", "1"), put("2"), put("3"), conflict, get("other", "9")]);
        elector.acquire().await;
        assert_eq!(elector.hold().await, LeaseLost::Taken("other".into()));
        assert_eq!(api.left(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_whose_answer_was_lost_is_recognised() {
        let conflict = Exchange::failure("PUT", LEASE, 409, "Conflict");
        let (mut elector, api) = elector(vec![get("", "1"), put("2"), conflict, get("me", "3"), put("4")]);
        elector.acquire().await;
        let _ = tokio::time::timeout(Duration::from_secs(3), elector.hold()).await;
        assert_eq!((api.left(), api.calls().len()), (0, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_clears_the_holder_of_the_version_it_held() {
        let (mut elector, api) = elector(vec![get("", "1"), put("2"), put("3")]);
        elector.acquire().await;
        elector.release().await;
        let call = api.calls().pop().unwrap();
        assert_eq!(call.body["metadata"]["resourceVersion"], "2");
        assert_eq!(call.body["spec"]["holderIdentity"], Value::Null);
    }
}
