//! The only writes of a provisioning pass, in an order that a crash at any point survives: finalizer, claim, Secret,
//! statements, verified login. Whatever was not reached is found missing by the next pass; a password is in the
//! Secret before any user has it.

use api_types::{AppDatabase, DeletionPolicy};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use operator_runtime::error::call;
use operator_runtime::{ApiError, apply};
use sql_client::{ConnectClass, SqlClass, SqlError, connect};

use crate::OPERATOR;
use crate::context::Context;
use crate::error::Error;
use crate::finalizer;
use crate::ledger::{self, Kind};
use crate::plan::{Intent, Plan, SecretChange, Step};
use crate::pool::Pooled;

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whether anything was written to the server or the Secret.
    pub changed: bool,
    /// The Secret's resourceVersion after it. Empty when nobody knows it.
    pub secret_version: String,
}

/// Carries out a plan and tries the application's login. `found` is the Secret that was planned with.
pub async fn apply(
    ctx: &Context,
    app: &AppDatabase,
    intent: &Intent<'_>,
    plan: &Plan,
    session: &mut Pooled,
    found: Option<&Secret>,
) -> Result<Done, Error> {
    if plan.claim.is_some() || plan.secret.is_some() || !plan.steps.is_empty() {
        ctx.verified.forget(app);
    }
    if intent.request.policy == DeletionPolicy::Delete && !intent.provisioned {
        finalizer::set(ctx, app, true).await?;
    }
    claim(intent, plan, session, &app.spec.cluster_ref).await?;
    let written = write_secret(ctx, plan).await?;
    for step in &plan.steps {
        run(intent, plan, step, session, &app.spec.cluster_ref).await?;
    }
    let healed = verify(intent, plan, session, &app.spec.cluster_ref).await?;
    let version = written.as_ref().or(found).and_then(Secret::resource_version);
    Ok(Done {
        changed: plan.claim.is_some() || written.is_some() || !plan.steps.is_empty() || healed,
        secret_version: version.unwrap_or_default(),
    })
}

async fn claim(intent: &Intent<'_>, plan: &Plan, session: &mut Pooled, cluster: &str) -> Result<(), Error> {
    let Some(claim) = &plan.claim else { return Ok(()) };
    match session.execute(claim).await {
        Ok(_) => Ok(()),
        Err(error) if error.class() == SqlClass::AlreadyExists => Err(Error::Raced),
        Err(error) => Err(Error::statement(cluster, error)),
    }
    .inspect(|()| tracing::info!(object = intent.object, "claimed database and user"))
}

async fn write_secret(ctx: &Context, plan: &Plan) -> Result<Option<Secret>, Error> {
    let api = |secret: &Secret| Api::<Secret>::namespaced(ctx.client.clone(), &secret.namespace().unwrap_or_default());
    match &plan.secret {
        None => Ok(None),
        Some(SecretChange::Create(secret)) => match apply::create(&api(secret), OPERATOR, secret).await {
            // Somebody was faster; the next look says who.
            Err(ApiError::AlreadyExists { .. }) => Err(Error::Raced),
            result => Ok(Some(result?)),
        },
        // The resourceVersion that was read goes along, so nobody's change is overwritten.
        Some(SecretChange::Replace(secret)) => {
            let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
            let name = secret.name_any();
            Ok(Some(call(format!("replace Secret {name}"), api(secret).replace(&name, &params, secret)).await?))
        }
    }
}

/// Runs one step. What turns out to be there already, under a claim of this very pass, was made by somebody between look
/// and creation: the claim said otherwise, so it is withdrawn, and the next look applies the rules of adoption. Under an
/// older claim it was made by a pass that was cut off before the server had answered: it is ours.
async fn run(intent: &Intent<'_>, plan: &Plan, step: &Step, session: &mut Pooled, cluster: &str) -> Result<(), Error> {
    match (session.execute(&step.statement).await, step.creates) {
        (Ok(_), _) => Ok(()),
        (Err(error), Some(kind)) if exists_already(&error, kind) => {
            if plan.claimed.contains(&kind) {
                let withdraw = ledger::withdraw(intent.request, intent.owner, kind);
                session.execute(&withdraw).await.map_err(|error| Error::statement(cluster, error))?;
            }
            Err(Error::Raced)
        }
        (Err(error), _) => Err(Error::statement(cluster, error)),
    }
}

/// Servers say 1396, "operation failed", to CREATE USER for an account that exists.
fn exists_already(error: &SqlError, kind: Kind) -> bool {
    error.class() == SqlClass::AlreadyExists || (kind == Kind::User && error.code() == Some("1396"))
}

/// Logs in as the application does, into its database. When the password is refused although nothing was missing, the
/// user has another one than the Secret, which is the truth: the user gets the Secret's. Whether that was needed.
async fn verify(intent: &Intent<'_>, plan: &Plan, session: &mut Pooled, cluster: &str) -> Result<bool, Error> {
    let application = intent.server.application(intent.request, &plan.password);
    match connect(&application).await {
        Ok(session) => {
            session.close().await;
            Ok(false)
        }
        Err(error) if error.class() == ConnectClass::AuthenticationFailed => {
            session.execute(&plan.set_password).await.map_err(|error| Error::statement(cluster, error))?;
            connect(&application).await.map_err(Error::Verification)?.close().await;
            Ok(true)
        }
        Err(error) => Err(Error::Verification(error)),
    }
}
