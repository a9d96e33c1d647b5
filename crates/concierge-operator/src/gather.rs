//! Every read: from the watches' stores, the API server and the database server. It returns owned, typed inputs and
//! decides nothing but whether the application's namespace may be written to. A read that fails is an error, never
//! "absent".

use api_types::AppDatabase;
use api_types::names::{ALLOWED_NAMESPACES, lists_namespace};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::core::SelectorExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_runtime::error::call;
use sql_client::{ConnectClass, Row, SqlClass, SqlError, Statement};

use crate::admin;
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Error;
use crate::ledger::{self, Kind};
use crate::look::{self, ServerView};
use crate::plan::{Inputs, Password, Salt};
use crate::pool::{PoolError, Pooled};
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
    if !ctx.app_namespaces.matches(found.labels()) {
        return Err(Error::NamespaceLeftOut { namespace });
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
            for create in ledger::create_table(request.engine) {
                make(session, &create).await?;
            }
            session.query(&statement).await?
        }
        result => result?,
    };
    Ok(look::view(request, &rows))
}

/// Of two that make the same at the same time, one is told that it exists.
async fn make(session: &mut Pooled, statement: &Statement) -> Result<(), SqlError> {
    match session.execute(statement).await {
        Err(error) if error.class() == SqlClass::AlreadyExists => Ok(()),
        result => result.map(drop),
    }
}

/// What the plan needs to know beyond the look.
pub async fn inputs(
    ctx: &Context,
    session: &mut Pooled,
    (server, request): (&Server, &Request),
    view: ServerView,
    cluster: &str,
) -> Result<Inputs, Error> {
    Ok(Inputs {
        empty: is_empty(session, server, request, &view).await.map_err(|error| Error::session(cluster, error))?,
        secret: secret(ctx, request).await?,
        fresh: Password::generate()?,
        salt: Salt::generate()?,
        view,
    })
}

/// Whether the database is there, nobody's, and holds nothing. Asked only where the answer matters.
async fn is_empty(
    session: &mut Pooled,
    server: &Server,
    request: &Request,
    view: &ServerView,
) -> Result<bool, PoolError> {
    if !view.exists(Kind::Database) || view.claim(Kind::Database).is_some() {
        return Ok(false);
    }
    let rows = match request.engine {
        Engine::Mysql => session.query(&look::mysql::count_contents(request)).await?,
        Engine::Postgres => match contents(server, request).await {
            // It cannot be looked into, so nobody can say that it is empty.
            Err(PoolError::Connect(error)) if error.class() == ConnectClass::AccessDenied => return Ok(false),
            result => result?,
        },
    };
    Ok(rows.first().and_then(|row| row.integer(0)) == Some(0))
}

/// A PostgreSQL server shows what a database holds only inside it.
async fn contents(server: &Server, request: &Request) -> Result<Vec<Row>, PoolError> {
    let mut inside = admin::open_in(server, request.database.as_str()).await?;
    let rows = inside.query(&look::postgres::count_contents()).await?;
    inside.close().await;
    Ok(rows)
}
