//! The story of one AppDatabase: gather, validate, plan, apply, report. A healthy one that nothing happened to costs
//! nothing; [`crate::drift`] looks after all of those together.

use std::sync::Arc;
use std::time::Instant;

use api_types::AppDatabase;
use api_types::names::{RECONCILE, ROTATE};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use crate::apply::{Done, apply};
use crate::context::{Context, Mark};
use crate::error::Error;
use crate::ledger::Kind;
use crate::ledger::scripts::Record;
use crate::metrics::PassOutcome;
use crate::plan::{Intent, connection_template, plan};
use crate::status::{Facts, Outcome, report};
use crate::target::Target;
use crate::{delete, finalizer, gather, init};

/// Brings one AppDatabase to what its spec asks for.
pub async fn reconcile(app: Arc<AppDatabase>, ctx: Arc<Context>) -> Result<Action, Error> {
    let deleted = app.metadata.deletion_timestamp.is_some();
    if deleted && delete::needs_no_server(&app) {
        return delete::delete(&app, &ctx).await;
    }
    let Some(_place) = ctx.places.enter(&app) else { return Ok(Action::await_change()) };
    if deleted {
        return delete::delete(&app, &ctx).await;
    }
    match provision(&app, &ctx).await {
        Ok(Pass::NothingHappened) => Ok(Action::await_change()),
        Ok(Pass::Verified(facts)) => {
            report(&ctx, &app, Outcome::Ready(&facts)).await?;
            Ok(Action::await_change())
        }
        Err(error) => {
            ctx.verified.forget(&app);
            report(&ctx, &app, Outcome::Failed(&error)).await?;
            Err(error)
        }
    }
}

/// How far a pass had to go.
enum Pass {
    /// What was verified before still holds.
    NothingHappened,
    /// Everything was checked, missing parts were made, and the application's login was tried.
    Verified(Box<Facts>),
}

async fn provision(app: &AppDatabase, ctx: &Context) -> Result<Pass, Error> {
    let server = gather::server(ctx, app)?.admit(&app.spec.cluster_ref, &app.namespace().unwrap_or_default())?;
    let target = Target::new(app, ctx, server)?;
    gather::namespace(ctx, app, &target.request).await?;
    let asked = Asked::of(app);
    let mark = target.mark(app, ctx);
    if ctx.verified.holds(app, &mark) && !asked.anything() {
        return Ok(Pass::NothingHappened);
    }
    let (began, engine) = (Instant::now(), target.server.engine);
    let result = full_pass(app, ctx, &target, &asked, mark).await;
    let outcome = result.as_ref().map_or_else(Error::outcome, |_| PassOutcome::Ready);
    ctx.metrics.observe_pass(engine, outcome, began.elapsed());
    result.map(|facts| Pass::Verified(Box::new(facts)))
}

async fn full_pass(
    app: &AppDatabase,
    ctx: &Context,
    target: &Target,
    asked: &Asked,
    mark: Mark,
) -> Result<Facts, Error> {
    finalizer::follow_policy(ctx, app, asked.provisioned).await?;
    let cluster = app.spec.cluster_ref.as_str();
    let mut session = ctx.pools.session(&target.server).await.map_err(|error| Error::session(cluster, error))?;
    let view = gather::look(&mut session, &target.request).await.map_err(|error| Error::statement(cluster, error))?;
    let script = gather::script(ctx, app, &target.request, &view).await?;
    let inputs = gather::inputs(ctx, &mut session, (&target.server, &target.request), view, cluster).await?;
    let intent = intent(app, target, asked);
    let plan = plan(&intent, &inputs)?;
    let done = apply(ctx, app, &intent, (&plan, &inputs), &mut session).await?;
    let last = inputs.view.script.filter(|_| !plan.creates(Kind::Database));
    let script = match &script {
        Some(script) => {
            let login = &plan.logins.application;
            Some(init::run(&intent, login, script, last.as_ref(), &mut session, cluster).await?)
        }
        None => last.filter(|_| app.spec.init_sql.is_some()),
    };
    ctx.verified.remember(app, Mark { secret: done.secrets.clone(), ..mark });
    Ok(facts(app, target, asked, done, script))
}

fn intent<'a>(app: &'a AppDatabase, target: &'a Target, asked: &Asked) -> Intent<'a> {
    Intent {
        request: &target.request,
        server: &target.server,
        owner: &target.owner,
        object: &target.object,
        uid: app.metadata.uid.as_deref().unwrap_or_default(),
        provisioned: asked.provisioned,
        forced: asked.forced,
        rotate: asked.rotate,
    }
}

fn facts(app: &AppDatabase, target: &Target, asked: &Asked, done: Done, script: Option<Record>) -> Facts {
    let Target { server, request, .. } = target;
    let described = app.status.as_ref().and_then(|status| status.observed_generation) == app.metadata.generation;
    Facts {
        database: request.database.to_string(),
        user: request.application.user.to_string(),
        secret: request.application.secret.to_string(),
        reader: request.wanted_reader().map(|reader| (reader.user.to_string(), reader.secret.to_string())),
        namespace: request.app_namespace.to_string(),
        connection_string: connection_template(request, server),
        changed: done.changed || asked.anything(),
        // What an edited spec asks for was not there before either.
        repaired: if asked.provisioned && described { done.repaired } else { Vec::new() },
        left: done.left,
        dropped: done.dropped,
        full: done.full,
        script,
    }
}

/// What the object's annotations and status say about this pass.
struct Asked {
    provisioned: bool,
    forced: bool,
    rotate: bool,
}

impl Asked {
    fn of(app: &AppDatabase) -> Self {
        let status = app.status.as_ref();
        let annotation = |key| app.annotations().get(key);
        let provisioned = status.is_some_and(|status| status.connection_string.is_some());
        let handled = |value: Option<&String>, last: Option<&String>| value.is_none() || value == last;
        Self {
            provisioned,
            forced: !handled(annotation(RECONCILE), status.and_then(|status| status.last_handled_reconcile.as_ref())),
            rotate: !handled(annotation(ROTATE), status.and_then(|status| status.last_handled_rotate.as_ref())),
        }
    }

    fn anything(&self) -> bool {
        self.forced || self.rotate
    }
}

#[cfg(test)]
mod tests;
