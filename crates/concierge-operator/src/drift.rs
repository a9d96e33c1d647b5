//! Looks after the healthy AppDatabases of each server together: one statement for every few hundred of them, once in a
//! drift interval. It writes nothing. Whatever is not as it was verified gets a full pass of its own, and so does
//! everything that a look which failed can say nothing about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::{AppDatabase, AppDatabasePhase};
use futures::StreamExt as _;
use futures::stream;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use operator_runtime::backoff::{BackoffPolicy, jittered};
use rand::RngExt as _;
use sql_client::{Row, SqlClass};
use tokio::time::sleep;

use crate::context::Context;
use crate::look;
use crate::plan::is_settled;
use crate::pool::PoolError;
use crate::servers::{Server, find};
use crate::status::is_drifted;
use crate::target::Target;

/// AppDatabases that one statement asks about: some hundred kilobytes of it at most.
const AT_ONCE: usize = 200;
/// Servers that are looked at together. One that does not answer holds up its own look alone.
const SERVERS: usize = 64;
/// How often a look is tried, since a failed-over server loses the sessions it had.
const TRIES: u32 = 3;
const PAUSE: BackoffPolicy = BackoffPolicy { first: Duration::from_secs(1), cap: Duration::from_secs(5) };

/// Looks again and again, and never ends.
pub async fn run(ctx: Arc<Context>) {
    // Concierges that were started together should not look together.
    sleep(ctx.drift_interval.mul_f64(rand::rng().random())).await;
    loop {
        round(&ctx).await;
        sleep(jittered(ctx.drift_interval)).await;
    }
}

/// One look at every server.
async fn round(ctx: &Context) {
    let parts = healthy(ctx).into_values().map(|healthy| look_after(ctx, healthy));
    stream::iter(parts).buffer_unordered(SERVERS).collect::<()>().await;
}

/// An AppDatabase that was verified and to which nothing happened since, as far as Kubernetes knows.
struct Healthy {
    app: Arc<AppDatabase>,
    target: Target,
}

/// All of them by server. The others have passes of their own; those that should be among them get one now.
fn healthy(ctx: &Context) -> BTreeMap<String, Vec<Healthy>> {
    let secrets = ctx.stores.admin_secrets.state();
    let mut servers: BTreeMap<String, Option<Server>> = BTreeMap::new();
    let mut by_server: BTreeMap<String, Vec<Healthy>> = BTreeMap::new();
    for app in ctx.stores.apps.state() {
        let cluster = &app.spec.cluster_ref;
        let server = servers.entry(cluster.clone()).or_insert_with(|| find(&secrets, cluster, ctx.timeouts).ok());
        let target = server.clone().and_then(|server| target(ctx, &app, server));
        match target.filter(|target| is_healthy(ctx, &app, target)) {
            Some(target) => by_server.entry(cluster.clone()).or_default().push(Healthy { app, target }),
            // Nobody remembers that it was verified.
            None if is_ready(&app) => ctx.due.add(ObjectRef::from_obj(&*app)),
            None => {}
        }
    }
    by_server
}

fn target(ctx: &Context, app: &AppDatabase, server: Server) -> Option<Target> {
    let server = server.admit(&app.spec.cluster_ref, &app.namespace().unwrap_or_default()).ok()?;
    Target::new(app, ctx, server).ok()
}

fn is_healthy(ctx: &Context, app: &AppDatabase, target: &Target) -> bool {
    app.metadata.deletion_timestamp.is_none() && ctx.verified.holds(app, &target.mark(app, ctx))
}

fn is_ready(app: &AppDatabase) -> bool {
    app.status.as_ref().and_then(|status| status.phase) == Some(AppDatabasePhase::Ready)
}

/// Looks at those of one server, one part after the other.
async fn look_after(ctx: &Context, healthy: Vec<Healthy>) {
    for part in healthy.chunks(AT_ONCE) {
        let rows = look(ctx, part).await;
        if let Err(error) = &rows {
            let cluster = &part[0].app.spec.cluster_ref;
            tracing::warn!(cluster, objects = part.len(), "the look for drift failed: {error}");
        }
        for Healthy { app, .. } in suspicious(part, rows.as_deref().ok()) {
            ctx.verified.forget(app);
            ctx.due.add(ObjectRef::from_obj(&**app));
        }
    }
}

/// Those that a look did not find as they should be. A failed one found nothing, which says nothing. Where something
/// that could not be changed back was reported, a pass finds out whether it is still so.
fn suspicious<'a>(part: &'a [Healthy], rows: Option<&'a [Row]>) -> impl Iterator<Item = &'a Healthy> {
    part.iter().filter(move |Healthy { app, target }| {
        let settled = |rows| is_settled(&target.request, &target.owner, &look::view(&target.request, rows));
        !rows.is_some_and(settled) || is_drifted(app)
    })
}

async fn look(ctx: &Context, part: &[Healthy]) -> Result<Vec<Row>, PoolError> {
    let server = &part[0].target.server;
    let requests: Vec<_> = part.iter().map(|healthy| &healthy.target.request).collect();
    let statement = look::statement_for_all(server.engine, &requests);
    let mut failures = 0;
    loop {
        let result = match ctx.pools.session(server).await {
            Ok(mut session) => session.query(&statement).await.map_err(PoolError::from),
            Err(error) => Err(error),
        };
        failures += 1;
        match result {
            Err(error) if failures < TRIES && is_passing(&error) => {
                sleep(PAUSE.delay(failures, rand::rng().random())).await;
            }
            result => return result,
        }
    }
}

/// A statement that the server refuses will be refused again.
fn is_passing(error: &PoolError) -> bool {
    match error {
        PoolError::Connect(_) | PoolError::Busy => true,
        PoolError::Setup(error) => {
            error.session_is_lost() || matches!(error.class(), SqlClass::Retryable | SqlClass::NotReady)
        }
        PoolError::Suspended(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use api_types::AppDatabaseStatus;
    use futures::FutureExt as _;
    use operator_runtime::testing::FakeApi;

    use super::*;
    use crate::context::Mark;
    use crate::context::fixtures::{Seen, context};
    use crate::plan::fixtures::{admin_secret, spec};

    fn app(name: &str) -> AppDatabase {
        let mut app = AppDatabase::new(name, spec(&format!("{{dbName: {name}, appNamespace: team-a}}")));
        app.metadata.namespace = Some("team-a".into());
        app.metadata.uid = Some(format!("u-{name}"));
        app.metadata.generation = Some(1);
        app
    }

    /// Objects of that name on one server, all verified.
    fn verified(names: &[&str]) -> Context {
        let apps = names.iter().map(|name| app(name)).collect();
        let ctx = context(
            FakeApi::new([]).0,
            Seen { apps, admin_secrets: vec![(*admin_secret("{}", "")).clone()], ..Seen::default() },
        );
        for app in ctx.stores.apps.state() {
            let server = find(&ctx.stores.admin_secrets.state(), &app.spec.cluster_ref, ctx.timeouts).unwrap();
            let mark = Target::new(&app, &ctx, server).unwrap().mark(&app, &ctx);
            ctx.verified.remember(&app, mark);
        }
        ctx
    }

    fn names<'a>(healthy: impl IntoIterator<Item = &'a Healthy>) -> Vec<&'a str> {
        let mut names: Vec<_> = healthy.into_iter().map(|healthy| healthy.app.spec.db_name.as_str()).collect();
        names.sort_unstable();
        names
    }

    fn row(columns: &[&str]) -> Row {
        Row::new(columns.iter().map(|column| Some((*column).to_owned())).collect())
    }

    /// What a MySQL server says about an object that lacks nothing.
    fn settled(name: &str) -> Vec<Row> {
        let (owner, user) = (format!("installation/team-a/{name}/team-a"), format!("{name}_app"));
        vec![
            row(&["claim", name, "database", &owner, "created"]),
            row(&["claim", &user, "user", &owner, "created"]),
            row(&["database", name, "utf8mb4", "utf8mb4_unicode_ci", "0"]),
            row(&["account", &user, "%", "", ""]),
            row(&["grant", &user, name, "%", &format!("{}N", "Y".repeat(18))]),
        ]
    }

    #[tokio::test]
    async fn only_what_was_verified_and_did_not_change_is_looked_after() {
        let ctx = verified(&["one", "two", "three"]);
        ctx.verified.forget(&app("two"));
        let mut changed = app("three");
        changed.metadata.generation = Some(2);
        ctx.verified.remember(&changed, Mark { generation: Some(0), secret: String::new(), server: String::new() });
        assert_eq!(names(healthy(&ctx).values().flatten()), ["one"]);
        assert!(due(&ctx).is_empty());
    }

    #[tokio::test]
    async fn one_that_is_ready_and_was_not_verified_gets_a_pass() {
        let mut forgotten = app("one");
        let phase = Some(AppDatabasePhase::Ready);
        forgotten.status = Some(AppDatabaseStatus { phase, ..AppDatabaseStatus::default() });
        let seen = Seen { apps: vec![forgotten, app("two")], ..Seen::default() };
        let ctx = context(FakeApi::new([]).0, seen);
        assert!(healthy(&ctx).is_empty());
        assert_eq!(due(&ctx), ["one"]);
    }

    fn due(ctx: &Context) -> Vec<String> {
        let mut stream = Box::pin(Arc::clone(&ctx.due).stream());
        std::iter::from_fn(|| stream.next().now_or_never().flatten()).map(|object| object.name).collect()
    }

    #[tokio::test]
    async fn whatever_differs_gets_a_pass_and_a_failed_look_says_nothing() {
        let ctx = verified(&["one", "two", "three"]);
        let part = healthy(&ctx).into_values().next().unwrap();
        let all = ["one", "two", "three"].map(settled).concat();
        assert_eq!(names(suspicious(&part, Some(&all))), Vec::<&str>::new());
        let lost: Vec<_> = all.iter().filter(|row| row.text(1) != Some("two_app")).cloned().collect();
        assert_eq!(names(suspicious(&part, Some(&lost))), ["two"]);
        assert_eq!(names(suspicious(&part, None)), ["one", "three", "two"]);
    }
}
