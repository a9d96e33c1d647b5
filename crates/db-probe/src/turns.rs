//! Who may look at a Database now. A look takes a place of its server's host first and a place of the whole process
//! only then, and gives the latter back while it waits for its server, so that servers that never answer keep nobody
//! else waiting.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A look that takes longer waits for its server: it no longer needs the processor.
const PATIENCE: Duration = Duration::from_secs(1);
/// Waiting costs a socket and some memory, so there are more places to wait at than to work at.
const WAITING_PER_WORKING: usize = 8;

/// How the last look at a Database went, as far as it tells how long the next one may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It ended by itself, or there was none.
    Answers,
    /// It ended by its timeout.
    Hangs,
}

/// The places. What waits for one is bounded by the number of Databases, each of which waits at most once.
#[derive(Debug)]
pub struct Turns {
    working: Arc<Semaphore>,
    /// Where looks go that turn out to be slow.
    waiting: Arc<Semaphore>,
    /// Where looks start that are known to hang.
    hanging: Arc<Semaphore>,
    per_host: usize,
    /// Hosts at which somebody is or waits; the others' entries are dead and go with the next new host.
    hosts: Mutex<HashMap<String, Weak<Host>>>,
}

/// The places of one host. Those that hang never take all of them, unless there is one alone: another Database may
/// have another port or another network path.
#[derive(Debug)]
struct Host {
    all: Arc<Semaphore>,
    hanging: Arc<Semaphore>,
}

/// The places of one look, until it is dropped.
#[derive(Debug)]
#[must_use = "the places are given back when this is dropped"]
pub struct Turn {
    place: Option<OwnedSemaphorePermit>,
    standing: Standing,
    waiting: Arc<Semaphore>,
    _at_host: Option<AtHost>,
}

/// A place at a host. It keeps the host known.
#[derive(Debug)]
struct AtHost {
    _permits: [Option<OwnedSemaphorePermit>; 2],
    _host: Arc<Host>,
}

impl Turns {
    /// This many looks that work at the same time, and this many at each host.
    #[must_use]
    pub fn new(total: usize, per_host: usize) -> Self {
        let waiting = || Arc::new(Semaphore::new(total.saturating_mul(WAITING_PER_WORKING)));
        Self {
            working: Arc::new(Semaphore::new(total)),
            waiting: waiting(),
            hanging: waiting(),
            per_host,
            hosts: Mutex::default(),
        }
    }

    /// Waits for a place, first come, first served. The host counts as it is written, but for upper case: two names of
    /// one server are two hosts.
    pub async fn take(&self, host: Option<&str>, standing: Standing) -> Turn {
        let at_host = match host {
            Some(host) => Some(self.places_of(&host.to_ascii_lowercase()).take(standing).await),
            None => None,
        };
        let places = match standing {
            Standing::Answers => &self.working,
            Standing::Hangs => &self.hanging,
        };
        Turn { place: permit(places).await, standing, waiting: Arc::clone(&self.waiting), _at_host: at_host }
    }

    fn places_of(&self, host: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get(host).and_then(Weak::upgrade) {
            return places;
        }
        hosts.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Host::new(self.per_host));
        hosts.insert(host.to_owned(), Arc::downgrade(&places));
        places
    }
}

impl Host {
    fn new(places: usize) -> Self {
        let hanging = places.div_ceil(2);
        Self { all: Arc::new(Semaphore::new(places)), hanging: Arc::new(Semaphore::new(hanging)) }
    }

    async fn take(self: Arc<Self>, standing: Standing) -> AtHost {
        let hanging = match standing {
            Standing::Answers => None,
            Standing::Hangs => permit(&self.hanging).await,
        };
        AtHost { _permits: [hanging, permit(&self.all).await], _host: self }
    }
}

/// The semaphores are never closed, which is the one reason for an error.
async fn permit(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).acquire_owned().await.ok()
}

impl Turn {
    /// Runs the look. One that is slow makes room for the next while it waits.
    pub async fn run<T>(mut self, look: impl Future<Output = T>) -> T {
        let mut look = pin!(look);
        if self.standing == Standing::Hangs {
            return look.await;
        }
        if let Ok(done) = timeout(PATIENCE, &mut look).await {
            return done;
        }
        tokio::select! {
            done = &mut look => return done,
            waiting = permit(&self.waiting) => self.place = waiting,
        }
        look.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinSet;

    use super::*;

    async fn waits(turns: &Turns, host: Option<&str>) -> bool {
        timeout(Duration::from_millis(10), turns.take(host, Standing::Answers)).await.is_err()
    }

    /// Looks that never end, at `count` hosts of their own.
    async fn hang(turns: &Arc<Turns>, count: usize, standing: Standing) -> JoinSet<()> {
        let mut looks = JoinSet::new();
        for number in 0..count {
            let turns = Arc::clone(turns);
            looks.spawn(
                async move { turns.take(Some(&format!("silent-{number}")), standing).await.run(pending()).await },
            );
        }
        tokio::task::yield_now().await;
        looks
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_delays_itself_alone() {
        let turns = Arc::new(Turns::new(3, 2));
        let hanging = [turns.take(Some("a"), Standing::Answers).await, turns.take(Some("A"), Standing::Answers).await];
        let mut queue = JoinSet::new();
        for _ in 0..100 {
            let turns = Arc::clone(&turns);
            queue.spawn(async move { turns.take(Some("a"), Standing::Answers).await.run(async {}).await });
        }
        tokio::task::yield_now().await;
        assert!(waits(&turns, Some("a")).await);
        assert!(!waits(&turns, Some("b")).await && !waits(&turns, None).await);
        drop(hanging);
        queue.join_all().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_holds_for_all_hosts_together() {
        let turns = Turns::new(2, 2);
        let held = [turns.take(Some("a"), Standing::Answers).await, turns.take(Some("b"), Standing::Answers).await];
        assert!(waits(&turns, Some("c")).await && waits(&turns, None).await);
        drop(held);
        assert!(!waits(&turns, Some("c")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_that_turn_out_to_hang_make_room_after_a_moment() {
        let turns = Arc::new(Turns::new(2, 2));
        let looks = hang(&turns, 2, Standing::Answers).await;
        assert!(waits(&turns, Some("healthy")).await);
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(!waits(&turns, Some("healthy")).await);
        assert_eq!(looks.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_known_to_hang_take_no_place_of_the_others() {
        let turns = Arc::new(Turns::new(2, 2));
        let _looks = hang(&turns, 1000, Standing::Hangs).await;
        assert!(!waits(&turns, Some("healthy")).await);
        let turn = turns.take(Some("healthy"), Standing::Answers).await;
        assert_eq!(turn.run(async { 7 }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn one_port_that_hangs_leaves_places_of_its_host() {
        let turns = Turns::new(8, 4);
        let _hanging = [turns.take(Some("a"), Standing::Hangs).await, turns.take(Some("a"), Standing::Hangs).await];
        let third = timeout(Duration::from_millis(10), turns.take(Some("a"), Standing::Hangs)).await;
        assert!(third.is_err() && !waits(&turns, Some("a")).await);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_hosts_at_which_nobody_is() {
        let turns = Turns::new(2, 2);
        for number in 0..100 {
            drop(turns.take(Some(&number.to_string()), Standing::Answers).await);
        }
        let _turn = turns.take(Some("last"), Standing::Answers).await;
        assert_eq!(turns.hosts.lock().unwrap().len(), 1);
    }
}
