//! Kubernetes Events. An Event is a courtesy: it has a short deadline, and its failure is logged, never returned.
//! Callers publish transitions only (see [`crate::conditions::Change`]).

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
pub use kube::runtime::events::EventType;
use kube::runtime::events::{Event, Recorder, Reporter};
use tracing::warn;

use crate::deadline::deadline;

const PUBLISH_DEADLINE: Duration = Duration::from_secs(3);
/// Kubernetes rejects a longer note.
const MAX_NOTE: usize = 1024;

/// Publishes Events in the name of one operator. Cheap to clone; clones share the table that counts repetitions.
#[derive(Clone)]
pub struct EventSink {
    recorder: Recorder,
}

impl EventSink {
    /// `controller` is the operator's name, `instance` the pod's.
    #[must_use]
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes one Event about `regarding` (an object's `object_ref(&())`). `action` is what was tried, `reason` how
    /// it came out, both CamelCase; `note` is a sentence in our words, cut after 1024 bytes.
    pub async fn publish(&self, regarding: &ObjectReference, type_: EventType, reason: &str, action: &str, note: &str) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(truncate(note, MAX_NOTE).to_owned()),
            secondary: None,
        };
        match deadline(PUBLISH_DEADLINE, self.recorder.publish(&event, regarding)).await {
            Ok(Ok(())) => {}
            Ok(Err(kube::Error::Api(status))) => warn!(reason, code = status.code, "an Event was refused"),
            Ok(Err(_)) => warn!(reason, "an Event could not be sent"),
            Err(exceeded) => warn!(reason, %exceeded, "an Event was given up"),
        }
    }
}

/// The longest prefix of at most `max` bytes that ends between characters.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_text_is_a_prefix_within_the_bound(text in ".*", max in 0usize..40) {
            let cut = truncate(&text, max);
            prop_assert!(cut.len() <= max && text.starts_with(cut));
            prop_assert!(cut.len() + 4 > max || cut == text);
        }
    }
}
