//! Waits for an AppDatabase, on a watch: until it is Ready or Failed at its present generation, deleted, or time is up.

use std::pin::pin;
use std::time::Duration;

use api_types::{AppDatabase, AppDatabasePhase};
use futures::TryStreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, ResourceExt as _};
use tokio::time::timeout;

use crate::console::Progress;
use crate::error::Error;

/// What an AppDatabase looks like to somebody who waits for it.
#[derive(Debug, PartialEq)]
enum State {
    Ready,
    Failed(String),
    Waiting(String),
}

fn state(app: &AppDatabase) -> State {
    let Some(status) = &app.status else {
        return State::Waiting("the concierge has not looked at it yet; is it running?".to_owned());
    };
    let message = status.message.clone().unwrap_or_default();
    let current = status.observed_generation == app.metadata.generation;
    match status.phase {
        Some(AppDatabasePhase::Ready) if current => State::Ready,
        Some(AppDatabasePhase::Failed) if current => State::Failed(message),
        _ => State::Waiting(message),
    }
}

/// Waits until the AppDatabase is Ready and gives it. `progress` shows what it is waiting for.
pub async fn until_ready(
    api: Api<AppDatabase>,
    created: &AppDatabase,
    limit: Duration,
    progress: &Progress,
) -> Result<AppDatabase, Error> {
    let object = format!("{}/{}", created.namespace().unwrap_or_default(), created.name_any());
    let mut message = "it was not seen yet".to_owned();
    match timeout(limit, watch(api, created, &object, progress, &mut message)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { object, seconds: limit.as_secs(), message }),
    }
}

async fn watch(
    api: Api<AppDatabase>,
    created: &AppDatabase,
    object: &str,
    progress: &Progress,
    waiting_for: &mut String,
) -> Result<AppDatabase, Error> {
    let action = || format!("watch AppDatabase {object}");
    let mut events = pin!(watch_object(api, &created.name_any()).default_backoff());
    loop {
        let app = match events.try_next().await {
            Ok(Some(Some(app))) if app.uid() == created.uid() => app,
            Ok(_) => return Err(Error::Deleted { object: object.to_owned() }),
            Err(error) if is_refused(&error) => {
                return Err(Error::Unreachable { action: action(), source: Box::new(error) });
            }
            // The watch comes back by itself.
            Err(_) => continue,
        };
        match state(&app) {
            State::Ready => return Ok(app),
            State::Failed(message) => return Err(Error::Failed { object: object.to_owned(), message }),
            State::Waiting(message) => {
                // What was just created has no status for a moment, which is no news.
                if app.status.is_some() {
                    progress.show(&message);
                }
                *waiting_for = message;
            }
        }
    }
}

/// Waiting does not help against a missing permission.
fn is_refused(error: &kube::runtime::watcher::Error) -> bool {
    use kube::runtime::watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.is_forbidden(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(status: &str) -> AppDatabase {
        let yaml = format!(
            "{{apiVersion: db.stillwaters.io/v1, kind: AppDatabase, metadata: {{name: a, generation: 2}}, \
             spec: {{clusterRef: c, dbName: d, appNamespace: n}}, status: {status}}}"
        );
        serde_norway::from_str(&yaml).unwrap()
    }

    #[test]
    fn only_a_status_of_the_present_spec_counts() {
        assert_eq!(state(&app("{phase: Ready, observedGeneration: 2}")), State::Ready);
        assert_eq!(state(&app("{phase: Ready, observedGeneration: 1, message: m}")), State::Waiting("m".into()));
        assert_eq!(state(&app("{phase: Failed, observedGeneration: 2, message: m}")), State::Failed("m".into()));
        assert_eq!(state(&app("{phase: Failed, observedGeneration: 1, message: m}")), State::Waiting("m".into()));
        assert_eq!(state(&app("{phase: Pending, observedGeneration: 2, message: m}")), State::Waiting("m".into()));
        assert!(matches!(state(&app("null")), State::Waiting(_)));
    }
}
