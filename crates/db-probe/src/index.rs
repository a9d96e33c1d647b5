//! Turns watch events into the Databases that have to be looked at, from plain data alone: who refers to which Secret
//! or ConfigMap, and at which revision it was last used. Also remembers, for each Database, what this process last
//! published until the watch shows it, so that a lagging watch never makes an old status count. Nothing of an object
//! but its name and revision is kept, and nothing at all of objects that no Database refers to.

use std::collections::{HashMap, HashSet};

use api_types::{CaKind, Database, DatabaseStatus, READY};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use operator_runtime::conditions;

use crate::references::{Reference, References};
use crate::status::Past;

/// Name of a Database.
pub type DatabaseRef = ObjectRef<Database>;

/// What is known of all Databases.
#[derive(Debug, Default)]
pub struct Index {
    databases: HashMap<DatabaseRef, Entry>,
    users: HashMap<Reference, HashMap<DatabaseRef, Seen>>,
    listed_databases: HashSet<DatabaseRef>,
    listed_objects: HashMap<CaKind, HashSet<Reference>>,
}

/// One Database.
#[derive(Debug)]
struct Entry {
    uid: Option<String>,
    version: Option<String>,
    references: Vec<Reference>,
    last: Option<Last>,
}

/// How the last look of this process ended.
#[derive(Debug)]
struct Last {
    failures: u32,
    /// The status that was written, until the watch has shown it.
    unseen: Option<DatabaseStatus>,
    /// When it was last seen to work. A status does not tell once it has failed.
    success: Option<Timestamp>,
}

/// The revision of an object that a Database was last looked at with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Seen {
    /// This process has not looked yet.
    #[default]
    Never,
    /// It was not there.
    Absent,
    /// Its resourceVersion.
    At(String),
}

impl Index {
    /// Takes in an event of the Databases' watch.
    pub fn database_event(&mut self, event: &Event<Database>) {
        match event {
            Event::Init => self.listed_databases.clear(),
            Event::InitApply(database) => {
                self.listed_databases.insert(ObjectRef::from_obj(database));
                self.put(database);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed_databases);
                let gone: Vec<_> = self.databases.keys().filter(|known| !listed.contains(known)).cloned().collect();
                for database in &gone {
                    self.remove(database);
                }
            }
            Event::Apply(database) => self.put(database),
            Event::Delete(database) => self.remove(&ObjectRef::from_obj(database)),
        }
    }

    /// Takes in an event of the watch of Secrets or ConfigMaps and names the Databases that it concerns. An object at
    /// the revision that a Database was last looked at with does not concern it, nor does the first listing: every
    /// Database is looked at after it.
    #[must_use]
    pub fn object_event<K: Resource>(&mut self, kind: CaKind, event: &Event<K>) -> Vec<DatabaseRef> {
        match event {
            Event::Init => {
                self.listed_objects.remove(&kind);
                Vec::new()
            }
            Event::InitApply(found) => {
                let object = reference(kind, found.meta());
                if self.users.contains_key(&object) {
                    self.listed_objects.entry(kind).or_default().insert(object.clone());
                }
                self.seen(&object, &revision(found.meta()), true)
            }
            Event::InitDone => {
                let listed = self.listed_objects.remove(&kind).unwrap_or_default();
                let is_gone = |object: &&Reference| object.kind == kind && !listed.contains(object);
                let gone: Vec<_> = self.users.keys().filter(is_gone).cloned().collect();
                gone.iter().flat_map(|object| self.seen(object, &Seen::Absent, true)).collect()
            }
            Event::Apply(found) => self.seen(&reference(kind, found.meta()), &revision(found.meta()), false),
            Event::Delete(gone) => self.seen(&reference(kind, gone.meta()), &Seen::Absent, false),
        }
    }

    /// Notes what a look at the Database read of an object: its resourceVersion, or `None` when it was not there.
    pub fn used(&mut self, database: &DatabaseRef, object: &Reference, version: Option<String>) {
        if let Some(seen) = self.users.get_mut(object).and_then(|users| users.get_mut(database)) {
            *seen = version.map_or(Seen::Absent, Seen::At);
        }
    }

    /// What is known of the Database from before; `None` when this process has not looked at it yet.
    #[must_use]
    pub fn past(&self, database: &Database) -> Option<Past> {
        let entry = self.databases.get(&ObjectRef::from_obj(database)).filter(|entry| entry.uid == database.uid())?;
        let last = entry.last.as_ref()?;
        let status = last.unseen.clone().or_else(|| database.status.clone()).unwrap_or_default();
        Some(Past { status, failures: last.failures })
    }

    /// Notes how a look at the Database ended: failures in a row, and the Database as stored if a status was written.
    pub fn looked(&mut self, database: &Database, failures: u32, written: Option<Database>) {
        if let Some(entry) = self.databases.get_mut(&ObjectRef::from_obj(database)) {
            let (before, success) = entry.last.take().map_or((None, None), |last| (last.unseen, last.success));
            let statuses = [written.as_ref().unwrap_or(database), database].map(|found| found.status.as_ref());
            let success = statuses.into_iter().flatten().filter_map(success_of).max().max(success);
            // The watch may have shown it before the write returned.
            let unseen = match written {
                Some(written) if written.resource_version() == entry.version => None,
                Some(written) => written.status,
                None => before,
            };
            entry.last = Some(Last { failures, unseen, success });
        }
    }

    /// The second at which the Database was last seen to work; `None` when that is not known.
    #[must_use]
    pub fn last_success(&self, database: &Database) -> Option<i64> {
        let entry = self.databases.get(&ObjectRef::from_obj(database)).filter(|entry| entry.uid == database.uid());
        let noted = entry.and_then(|entry| entry.last.as_ref()?.success);
        let told = database.status.as_ref().and_then(success_of);
        noted.max(told).map(Timestamp::as_second)
    }

    fn put(&mut self, database: &Database) {
        let key = ObjectRef::from_obj(database);
        let references: Vec<_> = References::of(database).map(References::each).into_iter().flatten().collect();
        let last = self.databases.remove(&key).and_then(|old| {
            for object in old.references.iter().filter(|object| !references.contains(object)) {
                self.forget(&key, object);
            }
            old.last.filter(|_| old.uid == database.uid())
        });
        for object in &references {
            self.users.entry(object.clone()).or_default().entry(key.clone()).or_default();
        }
        let last = last.map(|last| last.shown(database.status.as_ref()));
        self.databases
            .insert(key, Entry { uid: database.uid(), version: database.resource_version(), references, last });
    }

    fn remove(&mut self, database: &DatabaseRef) {
        let Some(entry) = self.databases.remove(database) else { return };
        for object in &entry.references {
            self.forget(database, object);
        }
    }

    fn forget(&mut self, database: &DatabaseRef, object: &Reference) {
        if let Some(users) = self.users.get_mut(object) {
            users.remove(database);
            if users.is_empty() {
                self.users.remove(object);
            }
        }
    }

    /// Notes the object's state for every Database that refers to it and names those for which it is news.
    fn seen(&mut self, object: &Reference, now: &Seen, in_listing: bool) -> Vec<DatabaseRef> {
        let users = self.users.get_mut(object).into_iter().flatten();
        let news = users.filter_map(|(database, seen)| {
            let before = std::mem::replace(seen, now.clone());
            let known = before == *now || (in_listing && before == Seen::Never);
            (!known).then(|| database.clone())
        });
        news.collect()
    }
}

impl Last {
    fn shown(self, status: Option<&DatabaseStatus>) -> Self {
        Self { unseen: self.unseen.filter(|unseen| Some(unseen) != status), ..self }
    }
}

/// When a status says that its Database worked.
fn success_of(status: &DatabaseStatus) -> Option<Timestamp> {
    let works = conditions::get(&status.conditions, READY).is_some_and(|ready| ready.status == "True");
    status.last_checked.as_ref().filter(|_| works).map(|checked| checked.0)
}

fn reference(kind: CaKind, meta: &ObjectMeta) -> Reference {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Reference { kind, namespace: text(&meta.namespace), name: text(&meta.name) }
}

fn revision(meta: &ObjectMeta) -> Seen {
    Seen::At(meta.resource_version.clone().unwrap_or_default())
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
