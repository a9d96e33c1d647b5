//! What one test works in: namespaces of its own, databases and logins of its own on the servers, and passwords that
//! must not turn up anywhere. [`Bed::finish`] checks that and clears up.

mod logins;

use std::fmt::Debug;
use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::api::{Api, DeleteParams};
use kube::runtime::wait::Condition;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use logins::Login;

use super::{ClientPod, Harness, TestNamespace, leaks, wait_for, wait_until_gone};
use crate::command::Captured;

/// The namespace of the release, and the concierge's home.
pub const HOME: &str = crate::install::NAMESPACE;

/// Generous: the machine may be busy with other tests.
const SETTLES: Duration = Duration::from_secs(90);
/// How long nothing may be written once an object has settled.
const QUIET: Duration = Duration::from_secs(5);

/// A kind that tests handle.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Send
    + Sync
    + Serialize
    + DeserializeOwned
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Send
        + Sync
        + Serialize
        + DeserializeOwned
        + 'static
{
}

/// One namespace, and what a test does in it.
#[derive(Clone)]
pub struct Area {
    harness: Harness,
    name: String,
}

/// A test's own namespace and all that must be cleared up after it.
pub struct Bed {
    area: Area,
    namespaces: Vec<TestNamespace>,
    passwords: Vec<String>,
    on_mariadb: Vec<String>,
    on_mysql8: Vec<String>,
    on_postgres: Vec<String>,
}

impl Deref for Bed {
    type Target = Area;

    fn deref(&self) -> &Area {
        &self.area
    }
}

/// The reason of an object's Ready condition.
#[must_use]
pub fn ready_reason<K: Serialize>(object: &K) -> Option<String> {
    let value = serde_json::to_value(object).ok()?;
    let conditions = value.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    ready["reason"].as_str().map(str::to_owned)
}

impl Area {
    pub(super) fn new(harness: Harness, name: String) -> Self {
        Self { harness, name }
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster under test.
    #[must_use]
    pub fn harness(&self) -> &Harness {
        &self.harness
    }

    /// The namespace as somebody else sees it: kubectl acts as this person, the client stays the administrator's.
    #[must_use]
    pub fn acting_as(&self, person: &str, groups: &[&str]) -> Self {
        let mut area = self.clone();
        area.harness.kubectl = area.harness.kubectl.acting_as(person, groups);
        area
    }

    /// The namespace's objects of one kind.
    #[must_use]
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.harness.client.clone(), &self.name)
    }

    /// `kubectl apply`, as a person would.
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        self.harness.kubectl.apply(Some(&self.name), &manifest.to_string()).await.map(drop)
    }

    /// `kubectl apply` of what must be refused; gives the refusal.
    pub async fn refused(&self, manifest: &Value) -> Result<String> {
        match self.harness.kubectl.apply(Some(&self.name), &manifest.to_string()).await {
            Ok(_) => bail!("admitted, but should have been refused: {manifest}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.harness.kubectl.run(&[&["--namespace", self.name()], arguments].concat()).await
    }

    /// kubectl in this namespace, however it ends.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<Captured> {
        self.harness.kubectl.capture(&[&["--namespace", self.name()], arguments].concat()).await
    }

    /// Lets a person do this here, as `kubectl create role` says it. `name` names role and binding.
    pub async fn allow(&self, who: &str, name: &str, rule: &[&str]) -> Result<()> {
        self.kubectl(&[&["create", "role", name], rule].concat()).await?;
        let bound = format!("--role={name}");
        self.kubectl(&["create", "rolebinding", name, &bound, &format!("--user={who}")]).await.map(drop)
    }

    /// One object.
    pub async fn get<K: Kind>(&self, name: &str) -> Result<K> {
        let found = self.api::<K>().get_opt(name).await?;
        found.with_context(|| format!("{} {name} is not there", K::kind(&())))
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete<K: Kind>(&self, name: &str) -> Result<()> {
        let api = self.api::<K>();
        if api.get_opt(name).await?.is_some() {
            api.delete(name, &DeleteParams::default()).await?;
            self.wait_until_gone::<K>(name).await?;
        }
        Ok(())
    }

    /// Waits until an object is as `is_it` says, and gives it. `what` names that state.
    pub async fn wait_for<K: Kind>(&self, name: &str, what: &str, is_it: impl Fn(&K) -> bool) -> Result<K> {
        let condition = |object: Option<&K>| object.is_some_and(&is_it);
        wait_for(&self.api(), name, what, condition.and(exists()), SETTLES).await
    }

    /// Waits until an object is gone, whoever deletes it.
    pub async fn wait_until_gone<K: Kind>(&self, name: &str) -> Result<()> {
        wait_until_gone(&self.api::<K>(), name, SETTLES).await
    }

    /// Waits for an Event with this reason about the object of that name.
    pub async fn expect_event(&self, name: &str, reason: &str) -> Result<()> {
        let about = watcher::Config::default().fields(&format!("involvedObject.name={name},reason={reason}"));
        let events = watcher(self.api::<Event>(), about).applied_objects();
        let mut events = std::pin::pin!(events);
        match tokio::time::timeout(SETTLES, events.try_next()).await {
            Ok(event) => event?.map(drop).context("the watch of Events ended"),
            Err(_) => bail!("no Event {reason} about {name}"),
        }
    }

    /// Fails when the object is written within five seconds from now.
    pub async fn expect_quiet<K: Kind>(&self, name: &str) -> Result<()> {
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut objects = std::pin::pin!(watcher(self.api::<K>(), only).applied_objects());
        let first = objects.next().await.context("the watch ended")??;
        match tokio::time::timeout(QUIET, objects.next()).await {
            Err(_) => Ok(()),
            Ok(next) => {
                let next = next.context("the watch ended")??;
                bail!("{name} was written: {:?} became {:?}", first.resource_version(), next)
            }
        }
    }

    /// A pod in this namespace that reads a Secret as an application does.
    pub async fn application(&self, secret: &str) -> Result<Application> {
        Ok(Application { pod: self.harness.client_pod(&self.name, Some(secret)).await? })
    }

    /// Logs in to MariaDB with a Secret of this namespace.
    pub async fn login_works(&self, secret: &str) -> Result<()> {
        let answer = self.application(secret).await?.mysql("SELECT DATABASE()").await?;
        ensure!(answer.success, "the login in Secret {secret} does not work: {}", answer.stderr);
        Ok(())
    }
}

fn exists<K>() -> impl Condition<K> {
    |object: Option<&K>| object.is_some()
}

/// A pod that holds a Secret's login.
pub struct Application {
    pod: ClientPod,
}

impl Application {
    /// Runs one statement on PostgreSQL with the Secret's login, in its database.
    pub async fn postgres(&self, statement: &str) -> Result<Captured> {
        self.pod.exec(&["sql", "--driver", "postgres", "--secret-dir", "/secret", statement]).await
    }

    /// Tries the Secret's login on another database of PostgreSQL.
    pub async fn postgres_in(&self, database: &str) -> Result<Captured> {
        let elsewhere = ["--database", database, "SELECT current_database()"];
        self.pod.exec(&[&["sql", "--driver", "postgres", "--secret-dir", "/secret"][..], &elsewhere[..]].concat()).await
    }

    /// Runs one statement on MariaDB with the Secret's login.
    pub async fn mysql(&self, statement: &str) -> Result<Captured> {
        self.pod.exec(&["sql", "--driver", "mysql", "--secret-dir", "/secret", statement]).await
    }
}

impl Bed {
    /// A new namespace whose name begins with `purpose`.
    pub async fn new(purpose: &str) -> Result<Self> {
        let harness = Harness::connect().await?;
        let namespace = harness.namespace(purpose).await?;
        let area = Area::new(harness, namespace.name().to_owned());
        Ok(Self {
            area,
            namespaces: vec![namespace],
            passwords: Vec::new(),
            on_mariadb: Vec::new(),
            on_mysql8: Vec::new(),
            on_postgres: Vec::new(),
        })
    }

    /// Another namespace of this test, called `<own name>-<suffix>`.
    pub async fn other_namespace(&mut self, suffix: &str) -> Result<Area> {
        self.namespace_called(&format!("{}-{suffix}", self.name())).await
    }

    /// Another namespace of this test, with the name that an example gives it. One that an earlier run left ends first.
    pub async fn namespace_called(&mut self, name: &str) -> Result<Area> {
        wait_until_gone(&Api::<Namespace>::all(self.harness.client.clone()), name, SETTLES).await?;
        let namespace = TestNamespace::create_named(&self.harness, name, name.to_owned()).await?;
        self.namespaces.push(namespace);
        Ok(Area::new(self.harness.clone(), name.to_owned()))
    }

    /// The concierge's home namespace.
    #[must_use]
    pub fn home(&self) -> Area {
        Area::new(self.harness.clone(), HOME.to_owned())
    }

    /// A password that must not turn up anywhere.
    pub fn canary(&mut self) -> String {
        let password = format!("canary-{}", random(12));
        self.guard(&password);
        password
    }

    /// From now on this password must not turn up anywhere.
    pub fn guard(&mut self, password: &str) {
        self.passwords.push(password.to_owned());
    }

    /// The password of the concierge's own login on MariaDB.
    pub fn concierge_password(&mut self) -> Result<String> {
        let password = self.harness.servers().concierge_password()?.expose_secret().to_owned();
        self.guard(&password);
        Ok(password)
    }

    /// The authority behind the servers' certificates.
    pub fn servers_ca_pem(&self) -> Result<String> {
        self.harness.servers().ca_pem()
    }

    /// An authority that signed nothing.
    pub fn other_ca_pem(&self) -> Result<String> {
        let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Ok(parameters.self_signed(&rcgen::KeyPair::generate()?)?.pem())
    }

    /// Checks that no password turned up, and clears up.
    pub async fn finish(self) -> Result<()> {
        let mut namespaces: Vec<_> = self.namespaces.iter().map(|namespace| namespace.name().to_owned()).collect();
        namespaces.push(HOME.to_owned());
        leaks::assert_none(&self.harness, &namespaces, &self.passwords).await?;
        self.drop_databases().await
    }
}

fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length).to_lowercase()
}
