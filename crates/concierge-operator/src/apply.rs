//! The writes of a provisioning pass, in an order that a crash at any point survives: finalizer, claim, Secrets,
//! statements, verified logins, and last what is no longer wanted. Whatever was not reached is found missing by the next
//! pass; a password is in its Secret before any user has it.

use api_types::{AppDatabase, DeletionPolicy};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use operator_runtime::error::call;
use operator_runtime::{ApiError, apply};
use sql_client::SqlClass;

use crate::OPERATOR;
use crate::context::Context;
use crate::error::Error;
use crate::finalizer;
use crate::ledger;
use crate::plan::{Farewell, Inputs, Intent, Plan, SecretChange, Step};
use crate::pool::Pooled;
use crate::steps::{Ran, Runner, StepError};
use crate::verify::verify;

/// What a pass did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether anything was written to the server or a Secret.
    pub changed: bool,
    /// The resourceVersions of the Secrets after it.
    pub secrets: String,
    /// What of the server was changed, in the words of the steps.
    pub repaired: Vec<&'static str>,
    /// What a user has too much, and we may not take away.
    pub left: Vec<&'static str>,
    /// The read-only user that was dropped.
    pub dropped: Option<String>,
    /// Whether a login could not be opened because its connections are all in use.
    pub full: bool,
}

/// Carries out a plan and tries the logins. `inputs` are what was planned with.
pub async fn apply(
    ctx: &Context,
    app: &AppDatabase,
    intent: &Intent<'_>,
    (plan, inputs): (&Plan, &Inputs),
    session: &mut Pooled,
) -> Result<Done, Error> {
    let cluster = app.spec.cluster_ref.as_str();
    if !plan.is_empty() {
        ctx.verified.forget(app);
    }
    if intent.request.policy == DeletionPolicy::Delete && !intent.provisioned {
        finalizer::set(ctx, app, true).await?;
    }
    claim(intent, plan, session, cluster).await?;
    let secrets = write_secrets(ctx, plan, inputs).await?;
    let mut done = Done { left: plan.left.clone(), secrets, changed: plan.writes_first(), ..Done::default() };
    let mut runner = Runner::new(session, cluster, intent.server, intent.request);
    for step in &plan.steps {
        match run(intent, plan, step, &mut runner).await? {
            Ran::Done => done.repaired.push(step.statement.description()),
            Ran::Refused(what) => done.left.push(what),
        }
    }
    for step in &plan.passwords {
        run(intent, plan, step, &mut runner).await?;
    }
    runner.close().await;
    for login in plan.logins.iter() {
        let verdict = verify(intent, login, session, cluster).await?;
        done.changed |= verdict.healed;
        done.full |= verdict.full;
    }
    if let Some(farewell) = &plan.farewell {
        drop_login(ctx, intent, farewell, session, cluster).await?;
        done.dropped = Some(farewell.user.clone());
    }
    done.changed |= !done.repaired.is_empty() || done.dropped.is_some();
    Ok(done)
}

async fn claim(intent: &Intent<'_>, plan: &Plan, session: &mut Pooled, cluster: &str) -> Result<(), Error> {
    let Some(claim) = &plan.claim else { return Ok(()) };
    match session.execute(claim).await {
        Ok(_) => Ok(()),
        Err(error) if error.class() == SqlClass::AlreadyExists => Err(Error::Raced),
        Err(error) => Err(Error::statement(cluster, error)),
    }
    .inspect(|()| tracing::info!(object = intent.object, "claimed database and users"))
}

/// Writes what must change, and gives the versions of all of them.
async fn write_secrets(ctx: &Context, plan: &Plan, inputs: &Inputs) -> Result<String, Error> {
    let mut versions = Vec::new();
    for (login, found) in plan.logins.iter().zip([&inputs.application, &inputs.reader]) {
        let written = match &login.secret {
            Some(change) => Some(write_secret(ctx, change).await?),
            None => None,
        };
        versions.extend(written.as_ref().or(found.secret.as_ref()).and_then(Secret::resource_version));
    }
    Ok(versions.join(" "))
}

fn secrets(ctx: &Context, secret: &Secret) -> Api<Secret> {
    Api::namespaced(ctx.client.clone(), &secret.namespace().unwrap_or_default())
}

async fn write_secret(ctx: &Context, change: &SecretChange) -> Result<Secret, Error> {
    match change {
        SecretChange::Create(secret) => match apply::create(&secrets(ctx, secret), OPERATOR, secret).await {
            // Somebody was faster; the next look says who.
            Err(ApiError::AlreadyExists { .. }) => Err(Error::Raced),
            result => Ok(result?),
        },
        // The resourceVersion that was read goes along, so nobody's change is overwritten.
        SecretChange::Replace(secret) => {
            let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
            let name = secret.name_any();
            Ok(call(format!("replace Secret {name}"), secrets(ctx, secret).replace(&name, &params, secret)).await?)
        }
    }
}

/// Runs one step. What turns out to be there already, under a claim of this very pass, was made by somebody between look
/// and creation: the claim said otherwise, so it is withdrawn, and the next look applies the rules of adoption. Under an
/// older claim it was made by a pass that was cut off before the server had answered: it is ours.
async fn run(intent: &Intent<'_>, plan: &Plan, step: &Step, runner: &mut Runner<'_>) -> Result<Ran, Error> {
    let result = runner.run(step).await;
    let claimed = step.creates.filter(|kind| plan.claimed.contains(kind));
    if let (Err(StepError::Exists), Some(kind)) = (&result, claimed) {
        runner.send(&ledger::withdraw(intent.request, intent.owner, kind)).await?;
    }
    result.map_err(StepError::into_error)
}

/// The user, then its Secret, then the claim: as long as something is left to do, the next pass finds the claim.
async fn drop_login(
    ctx: &Context,
    intent: &Intent<'_>,
    farewell: &Farewell,
    session: &mut Pooled,
    cluster: &str,
) -> Result<(), Error> {
    let mut runner = Runner::new(session, cluster, intent.server, intent.request);
    for step in &farewell.steps {
        runner.run(step).await.map_err(StepError::into_error)?;
    }
    if let Some(secret) = &farewell.secret {
        delete_secret(ctx, secret).await?;
    }
    runner.send(&farewell.withdraw).await?;
    runner.close().await;
    Ok(())
}

/// Deletes this very Secret, as it was read, and no namesake.
async fn delete_secret(ctx: &Context, secret: &Secret) -> Result<(), Error> {
    let name = secret.name_any();
    let preconditions = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match call(format!("delete Secret {name}"), secrets(ctx, secret).delete(&name, &params)).await {
        Err(ApiError::NotFound { .. }) => Ok(()),
        result => Ok(result.map(drop)?),
    }
}
