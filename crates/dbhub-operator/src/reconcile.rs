//! One pass over one instance: read, judge, plan, write, look, report. What is decided is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::{DBHubInstance, Database};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, ResourceExt as _};
use operator_runtime::apply::apply_status;
use operator_runtime::backoff::{jittered, requeue_after};
use operator_runtime::conditions::Change;
use operator_runtime::{ApiError, OperatorContext, PublicError as _};
use tracing::debug;

use crate::apply::{Standing, Writer, name_conflict};
use crate::error::Error;
use crate::gather::{self, Gathered};
use crate::idle::{Idle, Rest};
use crate::options::Settings;
use crate::plan::{self, names::OPERATOR};
use crate::rollout::{Rollout, Trouble, diagnose, ending};
use crate::status::{Finding, Serving, status};
use crate::validate::source::{Source, judge};
use crate::validate::{self, Access, Request};
use crate::verifications::{Subject, Verification, Verifications};
use crate::verify::{Target, handshake};

/// A failed handshake is tried again after this, and after twice as long each further time.
const RETRY_HANDSHAKE: Duration = Duration::from_secs(15);
/// Pods are not watched: while they start we look at them now and then, and less often once they are in trouble.
const STARTING: Duration = Duration::from_secs(3);
const IN_TROUBLE: Duration = Duration::from_secs(30);

/// What every pass shares.
pub struct Context {
    /// Client, Events.
    pub operator: OperatorContext,
    /// Every Database, as the watch shows it.
    pub databases: Store<Database>,
    /// The last handshakes.
    pub verifications: Arc<Verifications>,
    /// The instances of which nothing was heard since all was well.
    pub idle: Arc<Idle>,
    /// From the command line.
    pub settings: Settings,
}

/// Brings one instance where it should be and reports. One at rest is only asked whether it still answers.
pub async fn reconcile(seen: Arc<DBHubInstance>, ctx: Arc<Context>) -> Result<Action, Error> {
    let place = ObjectRef::from_obj(&*seen);
    if let Some(rest) = ctx.idle.rest(&place, Instant::now())
        && let Some(next) = still_well(&ctx, &seen, rest).await
    {
        return Ok(requeue_after(next));
    }
    ctx.idle.begin(place.clone(), Instant::now());
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let instance = match gather::instance(&ctx.operator.client, &namespace, &name).await? {
        Some(instance) if instance.metadata.deletion_timestamp.is_none() => instance,
        // What it owns goes with it.
        _ => return Ok(Action::await_change()),
    };
    match Box::pin(pass(&ctx, &instance)).await {
        Ok(finding) => {
            report(&ctx, &instance, &finding).await?;
            if let Some(rest) = rest(&finding) {
                ctx.idle.settle(&place, rest);
            }
            Ok(requeue_after(next_look(&finding, ctx.settings.verify_interval)))
        }
        Err(error) if error.needs_a_person() => {
            let deployment = gather::deployment(&ctx.operator.client, &instance).await?;
            let available = deployment.map_or(0, |deployment| Rollout::of(&deployment).available);
            let (reason, message) = (error.reason(), error.message());
            report(&ctx, &instance, &Finding::Stuck { reason, message, available }).await?;
            Err(error)
        }
        // What stands there goes by itself, each with an event that leads here.
        Err(Error::Api(error @ ApiError::NamespaceTerminating { .. })) => {
            debug!(namespace, name, "nothing is made: {error}");
            Ok(Action::await_change())
        }
        Err(error) => Err(error),
    }
}

async fn pass(ctx: &Context, instance: &DBHubInstance) -> Result<Finding, Error> {
    let client = &ctx.operator.client;
    let writer = Writer::new(client, instance);
    // Pure.
    let request = validate::request(instance, &ctx.settings.images)?;
    // Reads.
    let Gathered { live, candidates, token } =
        Box::pin(gather::everything(client, &ctx.databases, instance, &request)).await?;
    // Pure.
    let verdicts = judge(candidates, &request.policy, ctx.settings.trust_bundle.as_ref());
    let sources: Vec<Source> = verdicts.iter().filter_map(|verdict| verdict.result.as_ref().ok().cloned()).collect();
    if sources.is_empty() {
        Box::pin(writer.clear(live)).await?;
        return Ok(Finding::Nothing { names: request.names, verdicts });
    }
    let kept = validate::kept(&request, &live, token.as_ref())?;
    let workload = plan::workload(&request, &sources, &kept, &ctx.settings.cluster_domain);
    if let Some(conflict) = name_conflict(&workload, &live, &request.owner.uid) {
        return Err(conflict.into());
    }
    // Writes.
    let standing = Box::pin(writer.serve(workload, live)).await?;
    // A look at what became of it.
    let (rollout, trouble) = look(ctx, &request, &standing).await?;
    let target = plan::target::target(&request, &sources, &kept, standing.service.as_ref());
    let verification = match request.access {
        Access::Http { .. } if rollout.complete && rollout.available > 0 && rollout.ending == 0 => {
            Some(verified(ctx, &request.owner.uid, Subject::from(&standing.deployment), &target).await)
        }
        Access::Http { .. } | Access::Stdio => None,
    };
    Ok(Finding::Serving(Box::new(Serving { request, verdicts, rollout, trouble, verification, target })))
}

/// When to look next at an instance that still answers as it did; `None` when it does not.
async fn still_well(ctx: &Context, seen: &DBHubInstance, rest: Rest) -> Option<Duration> {
    let Some((subject, target)) = rest.handshake else { return Some(ctx.settings.verify_interval) };
    let last = verified(ctx, seen.metadata.uid.as_deref()?, subject, &target).await;
    last.result.as_ref().ok()?;
    last.remaining(&last.subject, Instant::now())
}

/// What is left to do after this; `None` when only another whole pass will tell. Pods are not watched, and what a
/// failed handshake speaks of may lie anywhere.
fn rest(finding: &Finding) -> Option<Rest> {
    let serving = match finding {
        Finding::Stuck { .. } => return None,
        Finding::Nothing { .. } => return Some(Rest { handshake: None }),
        Finding::Serving(serving) => serving,
    };
    if serving.trouble.is_some() || !serving.rollout.is_settled() {
        return None;
    }
    match &serving.verification {
        None => Some(Rest { handshake: None }),
        Some(Verification { result: Err(_), .. }) => None,
        Some(last) => Some(Rest { handshake: Some((last.subject.clone(), serving.target.clone())) }),
    }
}

/// How far the pods are and what keeps them. They are listed only while there is something to learn from them: until
/// all are ready and the first handshake of this rollout was made.
async fn look(ctx: &Context, request: &Request, standing: &Standing) -> Result<(Rollout, Option<Trouble>), Error> {
    let rollout = Rollout::of(&standing.deployment);
    let subject = Subject::from(&standing.deployment);
    let known = ctx.verifications.last(&request.owner.uid).is_some_and(|last| last.subject == subject);
    if rollout.is_settled() && known {
        return Ok((rollout, None));
    }
    let pods = gather::pods(&ctx.operator.client, &request.names).await?;
    let rollout = Rollout { ending: ending(&pods, jiff::Timestamp::now()), ..rollout };
    let trouble = || diagnose(&standing.deployment, &pods).or_else(|| rollout.trouble.clone());
    let trouble = if rollout.is_settled() { None } else { trouble() };
    Ok((rollout, trouble))
}

/// The last handshake if it still stands, else a new one.
async fn verified(ctx: &Context, uid: &str, subject: Subject, target: &Target) -> Verification {
    let last = ctx.verifications.last(uid).filter(|last| last.subject == subject);
    if let Some(last) = last.clone().filter(|last| last.remaining(&subject, Instant::now()).is_some()) {
        return last;
    }
    let result = handshake(target).await;
    let interval = ctx.settings.verify_interval;
    let stands_for = jittered(match last {
        _ if result.is_ok() => interval,
        Some(Verification { result: Err(_), stands_for, .. }) => (stands_for * 2).min(interval),
        _ => RETRY_HANDSHAKE.min(interval),
    });
    let verification = Verification { subject, at: Instant::now(), result, stands_for };
    ctx.verifications.remember(uid, verification.clone());
    verification
}

/// Writes the status if it changed, and publishes an Event if the instance went from one state to another.
async fn report(ctx: &Context, instance: &DBHubInstance, finding: &Finding) -> Result<(), Error> {
    let (status, change) = status(instance, finding, jiff::Timestamp::now());
    let api: Api<DBHubInstance> =
        Api::namespaced(ctx.operator.client.clone(), instance.metadata.namespace.as_deref().unwrap_or_default());
    let _ = apply_status(&api, OPERATOR, &instance.name_any(), &status, instance.status.as_ref()).await?;
    if change == Change::Transition {
        let (type_, reason, message) = crate::status::event(&status);
        let regarding = kube::Resource::object_ref(instance, &());
        ctx.operator.events.publish(&regarding, type_, &reason, "Reconcile", &message).await;
    }
    Ok(())
}

fn next_look(finding: &Finding, interval: Duration) -> Duration {
    let Finding::Serving(serving) = finding else { return interval };
    match (&serving.trouble, &serving.verification) {
        (Some(_), _) => IN_TROUBLE,
        (None, _) if !serving.rollout.is_settled() => STARTING,
        (None, Some(last)) => last.remaining(&last.subject, Instant::now()).unwrap_or(RETRY_HANDSHAKE),
        (None, None) => interval,
    }
}

#[cfg(test)]
mod tests;
