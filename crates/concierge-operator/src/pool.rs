//! Open logins of the admin on each server, reused. Bounded: so many sessions a server, and whoever finds all of them
//! taken waits for a limited time. A server that keeps failing is asked no more until it answers again, see
//! [`crate::breaker`]. A changed admin Secret starts a new pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sql_client::{ConnectError, Row, Session, SqlClass, SqlError, Statement};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::breaker::Breaker;
use crate::metrics::Metrics;
use crate::servers::Server;
use crate::{admin, ledger};

/// How long a reconcile waits for a session.
const QUEUE: Duration = Duration::from_secs(20);
/// A session that was idle for longer is asked whether its server is still there.
const FRESH: Duration = Duration::from_secs(15);
/// A session that was idle for longer is closed; the server closes it at its own `wait_timeout` anyway.
const STALE: Duration = Duration::from_mins(15);

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The server cannot be reached or refuses the login.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed that must work before the session is of use.
    #[error(transparent)]
    Setup(#[from] SqlError),
    /// All sessions were taken for too long.
    #[error("the server is busy with other AppDatabases; this one waits for its turn")]
    Busy,
    /// The server failed like this time and again, and is not asked at the moment.
    #[error("{0}")]
    Suspended(Box<PoolError>),
}

/// The pools of all servers.
pub struct Pools {
    by_secret: Mutex<HashMap<String, Arc<Pool>>>,
    size: usize,
    metrics: Metrics,
    given_up: Arc<Notify>,
}

impl Pools {
    /// Pools of at most `size` sessions a server.
    #[must_use]
    pub fn new(size: usize, metrics: Metrics) -> Self {
        Self { by_secret: Mutex::default(), size, metrics, given_up: Arc::default() }
    }

    /// A session on that server, open and usable.
    pub async fn session(&self, server: &Server) -> Result<Pooled, PoolError> {
        let pool = self.pool(server);
        pool.given_up().map_or(Ok(()), Err)?;
        let permit = pool.permit().await.ok_or(PoolError::Busy)?;
        // It may have been given up in the meantime.
        pool.given_up().map_or(Ok(()), Err)?;
        let session = match pool.idle_session().await {
            Some(session) => session,
            None => admin::open(server).await.inspect_err(|error| pool.failed(error))?,
        };
        Ok(Pooled { session: Some(session), usable: true, pool, metrics: self.metrics.clone(), _permit: permit })
    }

    /// Waits until servers were given up that nobody looks after, and gives their pools.
    pub async fn unattended(&self) -> Vec<Weak<Pool>> {
        self.given_up.notified().await;
        let pools = lock(&self.by_secret);
        let unattended = pools.values().filter(|pool| lock(&pool.breaker).needs_attention());
        unattended.map(Arc::downgrade).collect()
    }

    /// What each pool is doing now.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        lock(&self.by_secret).values().map(|pool| pool.figures()).collect()
    }

    /// Closes the sessions of a server that is no longer known.
    pub fn forget(&self, pool: &Arc<Pool>) {
        lock(&self.by_secret).retain(|_, known| !Arc::ptr_eq(known, pool));
    }

    fn pool(&self, server: &Server) -> Arc<Pool> {
        let mut pools = lock(&self.by_secret);
        let known = pools.get(&server.secret).filter(|pool| pool.server.version == server.version).cloned();
        known.unwrap_or_else(|| {
            let pool = Arc::new(Pool::new(server, self.size, &self.given_up));
            pools.insert(server.secret.clone(), Arc::clone(&pool));
            pool
        })
    }
}

/// Sessions of one server, for one state of its admin Secret.
pub struct Pool {
    server: Server,
    size: usize,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    breaker: Mutex<Breaker>,
    given_up: Arc<Notify>,
}

/// What one pool is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The clusterRef of its server.
    pub cluster: String,
    /// Sessions at work, or being opened.
    pub busy: usize,
    /// Sessions that are open and not at work.
    pub idle: usize,
    /// Passes that wait for a session.
    pub waiting: usize,
    /// Whether nobody asks the server at the moment.
    pub given_up: bool,
}

/// Counts whoever waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    session: Box<dyn Session>,
    since: Instant,
}

impl Pool {
    fn new(server: &Server, size: usize, given_up: &Arc<Notify>) -> Self {
        Self {
            server: server.clone(),
            size,
            permits: Arc::new(Semaphore::new(size)),
            waiting: AtomicUsize::default(),
            idle: Mutex::default(),
            breaker: Mutex::default(),
            given_up: Arc::clone(given_up),
        }
    }

    /// The server that its sessions are on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Tries a server that was given up. From the first answer on everybody may ask again.
    pub async fn answers(&self) -> bool {
        let answers = match admin::open(&self.server).await {
            Ok(mut session) => {
                let answer = session.query(&ledger::ask_for_any_claim(self.server.engine)).await;
                session.close().await;
                !answer.is_err_and(|error| is_trouble(&error))
            }
            Err(_) => false,
        };
        if answers {
            lock(&self.breaker).close();
        }
        answers
    }

    fn given_up(&self) -> Option<PoolError> {
        lock(&self.breaker).trouble().map(|trouble| PoolError::Suspended(Box::new(trouble.clone())))
    }

    /// `None` when all are taken for too long.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::enter(&self.waiting);
        let permit = tokio::time::timeout(QUEUE, Arc::clone(&self.permits).acquire_owned()).await;
        permit.ok().and_then(Result::ok)
    }

    fn figures(&self) -> Figures {
        Figures {
            cluster: self.server.cluster.clone(),
            busy: self.size - self.permits.available_permits(),
            idle: lock(&self.idle).len(),
            waiting: self.waiting.load(Ordering::Relaxed),
            given_up: lock(&self.breaker).trouble().is_some(),
        }
    }

    fn failed(&self, error: &PoolError) {
        if lock(&self.breaker).failed(error) {
            tracing::warn!(cluster = self.server.cluster, "the server is given up until it answers again: {error}");
            self.given_up.notify_one();
        }
    }

    /// The session that was used last and still works.
    async fn idle_session(&self) -> Option<Box<dyn Session>> {
        let Idle { mut session, since } = self.pop()?;
        if since.elapsed() < FRESH || session.ping().await.is_ok() {
            return Some(session);
        }
        self.drop_idle();
        None
    }

    /// What ended one session has most likely ended all.
    fn drop_idle(&self) {
        lock(&self.idle).clear();
    }

    fn pop(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| idle.since.elapsed() < STALE);
        idle.pop()
    }
}

/// A session on loan; it goes back by itself unless it is lost or a statement was abandoned halfway.
pub struct Pooled {
    session: Option<Box<dyn Session>>,
    usable: bool,
    pool: Arc<Pool>,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Pooled {
    /// Runs a statement and gives the number of affected rows.
    pub async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        let session = self.begin(statement)?;
        let result = session.execute(statement).await;
        self.end(result)
    }

    /// Runs a statement and gives its rows.
    pub async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, SqlError> {
        let session = self.begin(statement)?;
        let result = session.query(statement).await;
        self.end(result)
    }

    /// Counts a statement that is sent to the same server by another session.
    pub fn count(&self, statement: &Statement) {
        self.metrics.count_statement(statement.description());
    }

    /// Until the answer is there, dropping this drops the session too.
    fn begin(&mut self, statement: &Statement) -> Result<&mut Box<dyn Session>, SqlError> {
        self.count(statement);
        self.usable = false;
        let lost = || SqlError::new(sql_client::SqlClass::ConnectionLost, None, statement.description());
        self.session.as_mut().ok_or_else(lost)
    }

    fn end<T>(&mut self, result: Result<T, SqlError>) -> Result<T, SqlError> {
        let error = result.as_ref().err();
        self.usable = !error.is_some_and(SqlError::session_is_lost);
        if !self.usable {
            self.pool.drop_idle();
        }
        match error.filter(|error| is_trouble(error)) {
            Some(error) => self.pool.failed(&PoolError::Setup(error.clone())),
            None => lock(&self.pool.breaker).worked(),
        }
        result
    }
}

impl PoolError {
    /// Whether the server was not even asked.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(self, Self::Suspended(_))
    }
}

/// Whether the server rather than the statement is to blame.
fn is_trouble(error: &SqlError) -> bool {
    matches!(error.class(), SqlClass::ConnectionLost | SqlClass::Timeout | SqlClass::NotReady)
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|_| self.usable) {
            lock(&self.pool.idle).push(Idle { session, since: Instant::now() });
        }
    }
}

/// Maps and lists stay whole whatever a panicking thread did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use operator_runtime::metrics::SharedRegistry;
    use sql_client::ConnectClass;

    use super::*;
    use crate::plan::fixtures::{TIMEOUTS, admin_secret};

    /// At port 1 of this machine, where nothing listens.
    fn closed_port() -> Server {
        let metadata = "{labels: {db.stillwaters.io/cluster: main}}";
        let secret = admin_secret(metadata, "data: {MYSQL_ADMIN_HOST: MTI3LjAuMC4x, MYSQL_ADMIN_PORT: MQ==}\n");
        crate::servers::find(&[secret], "main", TIMEOUTS).unwrap()
    }

    async fn refusal(pools: &Pools, server: &Server) -> PoolError {
        pools.session(server).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_server_that_refuses_is_given_up_and_shown_so() {
        let (pools, server) = (Arc::new(Pools::new(2, Metrics::default())), closed_port());
        let registry = SharedRegistry::new("concierge");
        Metrics::register_servers(&registry, Arc::clone(&pools));
        let PoolError::Connect(first) = refusal(&pools, &server).await else { panic!("it was not asked") };
        assert_eq!(first.class(), ConnectClass::ConnectionRefused);
        while !refusal(&pools, &server).await.is_suspended() {}
        let figures = Figures { cluster: "main".into(), busy: 0, idle: 0, waiting: 0, given_up: true };
        assert_eq!(pools.figures(), [figures]);
        let text = registry.encode().unwrap();
        assert!(text.contains("concierge_server_given_up{server=\"main\"} 1\n"), "{text}");
        assert!(text.contains("concierge_server_sessions{server=\"main\",state=\"busy\"} 0\n"), "{text}");

        let unattended = pools.unattended().await;
        let pool = unattended[0].upgrade().unwrap();
        assert!(unattended.len() == 1 && !pool.answers().await, "nothing listens there");
        assert!(refusal(&pools, &server).await.is_suspended());
    }

    #[tokio::test]
    async fn a_changed_admin_secret_is_a_new_chance() {
        let (pools, mut server) = (Pools::new(2, Metrics::default()), closed_port());
        while !refusal(&pools, &server).await.is_suspended() {}
        server.version = "another".into();
        assert!(!refusal(&pools, &server).await.is_suspended());
    }
}
