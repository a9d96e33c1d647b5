//! What every reconcile shares: the client, the stores that watches fill, the pools, and what this process verified.

#[cfg(test)]
pub mod fixtures;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::AppDatabase;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::{PartialObjectMeta, Selector};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt as _};
use operator_runtime::events::EventSink;

use crate::due::Due;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::pool::Pools;
use crate::servers::{Server, Timeouts, version};

/// What every reconcile shares.
pub struct Context {
    /// For everything written, and the few reads that no store answers.
    pub client: Client,
    /// For Events on transitions.
    pub events: EventSink,
    /// The namespace of the admin Secrets.
    pub home: String,
    /// Tells this concierge apart from others that share a server.
    pub installation: String,
    /// The namespaces that AppDatabases may put Secrets into.
    pub app_namespaces: Selector,
    /// What watches have seen.
    pub stores: Stores,
    /// How long passes take.
    pub metrics: Metrics,
    /// Who may be worked on now.
    pub places: Places,
    /// Sessions with the servers.
    pub pools: Arc<Pools>,
    /// What was verified since this process started.
    pub verified: Verified,
    /// Which objects need a pass though no watch says so.
    pub due: Arc<Due>,
    /// How often the healthy objects of a server are looked at.
    pub drift_interval: Duration,
    /// How long servers may take.
    pub timeouts: Timeouts,
}

/// What watches have seen.
pub struct Stores {
    /// The AppDatabases.
    pub apps: Store<AppDatabase>,
    /// The Secrets of the home namespace that are not ours.
    pub admin_secrets: Store<Secret>,
    /// The Secrets that carry our label, in every namespace.
    pub app_secrets: Store<PartialObjectMeta<Secret>>,
    /// Every namespace.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Stores {
    /// Whether the server's admin Secret still is what the server was read from.
    #[must_use]
    pub fn knows(&self, server: &Server) -> bool {
        let secrets = self.admin_secrets.state();
        secrets.iter().any(|secret| secret.name_any() == server.secret && version(secret) == server.version)
    }
}

/// What must be the same for an earlier verification to still hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Generation of the AppDatabase.
    pub generation: Option<i64>,
    /// resourceVersion of the application's Secret.
    pub secret: String,
    /// Version of the server's admin Secret.
    pub server: String,
}

/// Verifications since this process started, by UID of the AppDatabase. Losing one costs one login.
#[derive(Default)]
pub struct Verified(Mutex<HashMap<String, Mark>>);

/// Beyond this many entries the table starts over: it holds some of objects that are gone.
const MOST_MARKS: usize = 50_000;

impl Verified {
    /// Whether exactly this was verified.
    #[must_use]
    pub fn holds(&self, app: &AppDatabase, mark: &Mark) -> bool {
        self.lock().get(app.metadata.uid.as_deref().unwrap_or_default()) == Some(mark)
    }

    /// Remembers that this was verified.
    pub fn remember(&self, app: &AppDatabase, mark: Mark) {
        let Some(uid) = app.metadata.uid.clone() else { return };
        let mut table = self.lock();
        if table.len() >= MOST_MARKS {
            table.clear();
        }
        table.insert(uid, mark);
    }

    /// Forgets an object: it is gone, or something of it is about to change.
    pub fn forget(&self, app: &AppDatabase) {
        self.lock().remove(app.metadata.uid.as_deref().unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Mark>> {
        // Every entry is complete, whatever a panicking thread did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
