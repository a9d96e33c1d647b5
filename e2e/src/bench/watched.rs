//! One watch that is open before anything is measured, so that opening it is not part of the time.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};

use crate::testing::bed::Kind;

const DEADLINE: Duration = Duration::from_mins(2);

type Events<K> = dyn Stream<Item = watcher::Result<Event<K>>> + Send;

/// The objects of one kind in one namespace, as they change.
pub(super) struct Watched<K: Kind>(Pin<Box<Events<K>>>);

impl<K: Kind> Watched<K> {
    /// Opens the watch and passes over what is there already.
    pub(super) async fn open(api: Api<K>) -> Result<Self> {
        let mut watched = Self(watcher(api, watcher::Config::default()).boxed());
        watched.until("the first list", |event| matches!(event, Event::InitDone)).await?;
        Ok(watched)
    }

    /// Waits until `is_it` holds for an object that was created or changed.
    pub(super) async fn applied(&mut self, what: &str, mut is_it: impl FnMut(&K) -> bool) -> Result<()> {
        self.until(what, |event| matches!(event, Event::Apply(object) | Event::InitApply(object) if is_it(object)))
            .await
    }

    /// Waits until so many objects were deleted.
    pub(super) async fn deleted(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        self.until("deletion", |event| {
            left -= usize::from(matches!(event, Event::Delete(_)));
            left == 0
        })
        .await
    }

    async fn until(&mut self, what: &str, mut is_it: impl FnMut(&Event<K>) -> bool) -> Result<()> {
        let search = async {
            loop {
                let event = self.0.next().await.context("the watch ended")?.context("the watch failed")?;
                if is_it(&event) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(DEADLINE, search).await {
            Ok(found) => found,
            Err(_) => bail!("{}: no {what} within {} s", K::kind(&()), DEADLINE.as_secs()),
        }
    }
}
