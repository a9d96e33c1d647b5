//! Who may look at a Database now. A look takes a place of its server's host first and a place of the whole process
//! only then, so that those waiting for a host that never answers keep nobody else waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places. What waits for one is bounded by the number of Databases, each of which waits at most once.
#[derive(Debug)]
pub struct Turns {
    total: Arc<Semaphore>,
    per_host: usize,
    /// Hosts at which somebody is or waits; the others' entries are dead and go with the next new host.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Turn {
    _host: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// This many places in all, and this many for each host.
    #[must_use]
    pub fn new(total: usize, per_host: usize) -> Self {
        Self { total: Arc::new(Semaphore::new(total)), per_host, hosts: Mutex::default() }
    }

    /// Waits for a place, first come, first served. The host counts as it is written, but for upper case: two names of
    /// one server are two hosts.
    pub async fn take(&self, host: Option<&str>) -> Turn {
        // The semaphores are never closed, which is the one reason for an error.
        let host = match host {
            Some(host) => self.places_of(&host.to_ascii_lowercase()).acquire_owned().await.ok(),
            None => None,
        };
        Turn { _host: host, _total: Arc::clone(&self.total).acquire_owned().await.ok() }
    }

    fn places_of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get(host).and_then(Weak::upgrade) {
            return places;
        }
        hosts.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(host.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn waits(turns: &Turns, host: Option<&str>) -> bool {
        timeout(Duration::from_secs(1), turns.take(host)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_delays_itself_alone() {
        let turns = Arc::new(Turns::new(3, 2));
        let hanging = [turns.take(Some("tarpit")).await, turns.take(Some("Tarpit")).await];
        let queue: Vec<_> = (0..100)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take(Some("tarpit")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waits(&turns, Some("tarpit")).await);
        assert!(!waits(&turns, Some("healthy")).await && !waits(&turns, None).await);
        drop(hanging);
        for waiting in queue {
            let _: Turn = timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_holds_for_all_hosts_together() {
        let turns = Turns::new(2, 2);
        let held = [turns.take(Some("a")).await, turns.take(Some("b")).await];
        assert!(waits(&turns, Some("c")).await && waits(&turns, None).await);
        drop(held);
        assert!(!waits(&turns, Some("c")).await);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_hosts_at_which_nobody_is() {
        let turns = Turns::new(2, 2);
        for number in 0..100 {
            drop(turns.take(Some(&number.to_string())).await);
        }
        let _turn = turns.take(Some("last")).await;
        assert_eq!(turns.hosts.lock().unwrap().len(), 1);
    }
}
