//! Every read: from the watches' stores, the API server and the database server. It returns owned, typed inputs and
//! decides nothing but whether the application's namespace may be written to. A read that fails is an error, never
//! "absent".

use api_types::AppDatabase;
use api_types::names::{ALLOWED_NAMESPACES, lists_namespace};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_runtime::error::call;
use sql_client::{SqlClass, SqlError};

use crate::context::Context;
use crate::error::Error;
use crate::ledger::{self, Kind};
use crate::look::{self, ServerView};
use crate::plan::{Inputs, Password};
use crate::pool::Pooled;
use crate::servers::{self, Server, ServerError};
use crate::validate::Request;

/// The server that the AppDatabase names, from the stored admin Secrets.
pub fn server(ctx: &Context, app: &AppDatabase) -> Result<Server, ServerError> {
    servers::find(&ctx.stores.admin_secrets.state(), &app.spec.cluster_ref, ctx.timeouts)
}

/// Whether the application's namespace is there and takes Secrets for this AppDatabase.
pub async fn namespace(ctx: &Context, app: &AppDatabase, request: &Request) -> Result<(), Error> {
    let namespace = request.app_namespace.to_string();
    let Some(found) = find_namespace(ctx, &namespace).await? else {
        return Err(Error::NamespaceNotFound { namespace });
    };
    if found.metadata.deletion_timestamp.is_some() {
        return Err(Error::NamespaceTerminating { namespace });
    }
    let from = app.namespace().unwrap_or_default();
    let consents = |list: &String| lists_namespace(list, &from);
    let shared = found.annotations().get(ALLOWED_NAMESPACES).is_some_and(consents);
    if from == namespace || from == ctx.home || shared {
        Ok(())
    } else {
        Err(Error::NamespaceNotShared { namespace, from })
    }
}

/// The watch may lag behind a namespace that was created together with the AppDatabase, so a miss is asked again.
async fn find_namespace(ctx: &Context, name: &str) -> Result<Option<PartialObjectMeta<Namespace>>, Error> {
    if let Some(found) = ctx.stores.namespaces.get(&ObjectRef::new(name)) {
        return Ok(Some((*found).clone()));
    }
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(ctx.client.clone());
    Ok(call(format!("get Namespace {name}"), namespaces.get_opt(name)).await?)
}

/// The application's Secret, whoever's it is.
async fn secret(ctx: &Context, request: &Request) -> Result<Option<Secret>, Error> {
    let name = request.secret.as_str();
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), request.app_namespace.as_str());
    Ok(call(format!("get Secret {name}"), secrets.get_opt(name)).await?)
}

/// The resourceVersion of the application's Secret as far as the watch has seen it.
#[must_use]
pub fn secret_version(ctx: &Context, request: &Request) -> Option<String> {
    let reference = ObjectRef::new(request.secret.as_str()).within(request.app_namespace.as_str());
    ctx.stores.app_secrets.get(&reference)?.resource_version()
}

/// One look at the server. On a server that was never used before, the ownership table is made first.
pub async fn look(session: &mut Pooled, request: &Request) -> Result<ServerView, SqlError> {
    let statement = look::statement(request);
    let rows = match session.query(&statement).await {
        Err(error) if error.class() == SqlClass::NotFound => {
            for create in ledger::create_table() {
                session.execute(&create).await?;
            }
            session.query(&statement).await?
        }
        result => result?,
    };
    Ok(look::view(&rows))
}

/// What the plan needs to know beyond the look.
pub async fn inputs(
    ctx: &Context,
    session: &mut Pooled,
    request: &Request,
    view: ServerView,
    cluster: &str,
) -> Result<Inputs, Error> {
    Ok(Inputs {
        empty: is_empty(session, request, &view).await.map_err(|error| Error::statement(cluster, error))?,
        secret: secret(ctx, request).await?,
        fresh: Password::generate()?,
        view,
    })
}

/// Whether the database is there, nobody's, and holds nothing. Asked only where the answer matters.
async fn is_empty(session: &mut Pooled, request: &Request, view: &ServerView) -> Result<bool, SqlError> {
    if view.database.is_none() || view.claim(Kind::Database).is_some() {
        return Ok(false);
    }
    let rows = session.query(&look::count_contents(request)).await?;
    Ok(rows.first().and_then(|row| row.integer(0)) == Some(0))
}
