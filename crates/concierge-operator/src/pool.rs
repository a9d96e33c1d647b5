//! Open logins of the admin on each server, reused. Bounded: so many sessions a server, and whoever finds all of them
//! taken waits for a limited time. A changed admin Secret starts a new pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sql_client::{ConnectError, Row, Session, SqlError, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admin;
use crate::metrics::Metrics;
use crate::servers::Server;

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
    /// The session is of no use yet: a statement that must come first failed.
    #[error(transparent)]
    Setup(#[from] SqlError),
    /// All sessions were taken for too long.
    #[error("the server is busy with other AppDatabases; this one waits for its turn")]
    Busy,
}

/// The pools of all servers.
pub struct Pools {
    by_secret: Mutex<HashMap<String, Arc<Pool>>>,
    size: usize,
    metrics: Metrics,
}

impl Pools {
    /// Pools of at most `size` sessions a server.
    #[must_use]
    pub fn new(size: usize, metrics: Metrics) -> Self {
        Self { by_secret: Mutex::default(), size, metrics }
    }

    /// A session on that server, open and usable.
    pub async fn session(&self, server: &Server) -> Result<Pooled, PoolError> {
        let pool = self.pool(server);
        let permit = tokio::time::timeout(QUEUE, Arc::clone(&pool.permits).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(PoolError::Busy)?;
        let session = match pool.idle_session().await {
            Some(session) => session,
            None => admin::open(server).await?,
        };
        Ok(Pooled { session: Some(session), usable: true, pool, metrics: self.metrics.clone(), _permit: permit })
    }

    fn pool(&self, server: &Server) -> Arc<Pool> {
        let mut pools = lock(&self.by_secret);
        let known = pools.get(&server.secret).filter(|pool| pool.version == server.version).cloned();
        known.unwrap_or_else(|| {
            let pool = Arc::new(Pool::new(server, self.size));
            pools.insert(server.secret.clone(), Arc::clone(&pool));
            pool
        })
    }
}

/// Sessions of one server, for one state of its admin Secret.
struct Pool {
    version: String,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: Box<dyn Session>,
    since: Instant,
}

impl Pool {
    fn new(server: &Server, size: usize) -> Self {
        Self { version: server.version.clone(), permits: Arc::new(Semaphore::new(size)), idle: Mutex::default() }
    }

    /// The session that was used last and still works.
    async fn idle_session(&self) -> Option<Box<dyn Session>> {
        while let Some(Idle { mut session, since }) = self.pop() {
            if since.elapsed() < FRESH || session.ping().await.is_ok() {
                return Some(session);
            }
        }
        None
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

    /// Until the answer is there, dropping this drops the session too.
    fn begin(&mut self, statement: &Statement) -> Result<&mut Box<dyn Session>, SqlError> {
        self.metrics.count_statement(statement.description());
        self.usable = false;
        let lost = || SqlError::new(sql_client::SqlClass::ConnectionLost, None, statement.description());
        self.session.as_mut().ok_or_else(lost)
    }

    fn end<T>(&mut self, result: Result<T, SqlError>) -> Result<T, SqlError> {
        self.usable = !result.as_ref().is_err_and(SqlError::session_is_lost);
        result
    }
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
