//! Every read: from the watches' stores, the API server and the database server. It returns owned, typed inputs and
//! decides nothing but whether the application's namespace may be written to. A read that fails is an error, never
//! "absent".

use api_types::names::{ALLOWED_NAMESPACES, lists_namespace};
use api_types::{AppDatabase, ScriptRef};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
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
use crate::ledger::scripts::State;
use crate::ledger::{self, Kind};
use crate::look::postgres::Inside;
use crate::look::{self, Found, ServerView};
use crate::plan::{Credentials, Inputs, join};
use crate::pool::{PoolError, Pooled};
use crate::script::Script;
use crate::servers::{self, Server, ServerError};
use crate::validate::{Account, Invalid, Request};

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

/// A login's Secret, whoever's it is.
async fn secret(ctx: &Context, request: &Request, account: &Account) -> Result<Option<Secret>, Error> {
    let name = account.secret.as_str();
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), request.app_namespace.as_str());
    Ok(call(format!("get Secret {name}"), secrets.get_opt(name)).await?)
}

/// The resourceVersions of the Secrets that are wanted, as far as the watch has seen them.
#[must_use]
pub fn secret_versions(ctx: &Context, request: &Request) -> String {
    let version = |account: &Account| {
        let reference = ObjectRef::new(account.secret.as_str()).within(request.app_namespace.as_str());
        ctx.stores.app_secrets.get(&reference)?.resource_version()
    };
    request.accounts().filter_map(version).collect::<Vec<_>>().join(" ")
}

/// The script that the AppDatabase asks to be run. One that was run to its end may be gone.
pub async fn script(
    ctx: &Context,
    app: &AppDatabase,
    request: &Request,
    view: &ServerView,
) -> Result<Option<Script>, Error> {
    let Some(asked) = &app.spec.init_sql else { return Ok(None) };
    let text = match (&asked.inline, &asked.config_map_ref) {
        (Some(inline), None) => inline.clone(),
        (None, Some(reference)) => match script_text(ctx, app, reference).await {
            Err(Error::ScriptMissing { .. }) if was_done(request, view) => return Ok(None),
            result => result?,
        },
        _ => return Err(Invalid::InitSql.into()),
    };
    Ok(Some(Script::parse(&text, request.engine)?))
}

fn was_done(request: &Request, view: &ServerView) -> bool {
    view.exists(request, Kind::Database) && view.script.as_ref().is_some_and(|last| last.state == State::Done)
}

async fn script_text(ctx: &Context, app: &AppDatabase, reference: &ScriptRef) -> Result<String, Error> {
    let ScriptRef { name, key } = reference;
    let config_maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &app.namespace().unwrap_or_default());
    let found = call(format!("get ConfigMap {name}"), config_maps.get_opt(name)).await?;
    let text = found.and_then(|found| found.data?.remove(key));
    text.ok_or_else(|| Error::ScriptMissing { name: name.clone(), key: key.clone() })
}

/// One look at the server. On a server that was never used before, the ownership table is made first.
pub async fn look(session: &mut Pooled, request: &Request) -> Result<ServerView, SqlError> {
    let statement = look::statement(request);
    let rows = match session.query(&statement).await {
        Err(error) if error.class() == SqlClass::NotFound => {
            for create in ledger::create_tables(request.engine) {
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
    mut view: ServerView,
    cluster: &str,
) -> Result<Inputs, Error> {
    let unwanted = || view.claim(Kind::Reader).and(request.reader.as_ref());
    let reader = match request.wanted_reader().or_else(unwanted) {
        Some(reader) => secret(ctx, request, reader).await?,
        None => None,
    };
    Ok(Inputs {
        empty: is_empty(session, server, request, &view).await.map_err(|error| Error::session(cluster, error))?,
        application: Credentials::new(secret(ctx, request, &request.application).await?)?,
        reader: Credentials::new(reader)?,
        inside: inside(session, server, request, &mut view).await.map_err(|error| Error::session(cluster, error))?,
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
    if !view.exists(request, Kind::Database) || view.claim(Kind::Database).is_some() {
        return Ok(false);
    }
    let rows = match request.engine {
        Engine::Mysql => session.query(&look::mysql::count_contents(request)).await?,
        Engine::Postgres => match ask_inside(session, server, request, &look::postgres::count_contents()).await {
            // It cannot be looked into, so nobody can say that it is empty.
            Err(PoolError::Connect(error)) if error.class() == ConnectClass::AccessDenied => return Ok(false),
            result => result?,
        },
    };
    Ok(rows.first().and_then(|row| row.integer(0)) == Some(0))
}

/// What the login that can only read cannot read yet. Only members of the owner's role may connect, so the admin makes
/// itself one, as it does for changes; the plan sees that and takes it back. A database that is not as it should be yet
/// is a new one, in which there is nothing to read, or waits for the next pass.
async fn inside(
    session: &mut Pooled,
    server: &Server,
    request: &Request,
    view: &mut ServerView,
) -> Result<Inside, PoolError> {
    let (Found::Postgres(found), Some(reader)) = (&mut view.found, request.wanted_reader()) else {
        return Ok(Inside::default());
    };
    let owner = request.application.user.as_str();
    let is_ready = found.database.as_ref().is_some_and(|database| database.open && database.owner == owner);
    let Some(role) = found.roles.iter_mut().find(|role| is_ready && role.name == owner) else {
        return Ok(Inside::default());
    };
    session.execute(&join(&request.application).statement).await?;
    role.joined = true;
    let statement = look::postgres::look_inside(request, reader);
    let rows = ask_inside(session, server, request, &statement).await?;
    Ok(look::postgres::inside(&rows))
}

/// A PostgreSQL server shows what a database holds only inside it.
async fn ask_inside(
    session: &mut Pooled,
    server: &Server,
    request: &Request,
    statement: &Statement,
) -> Result<Vec<Row>, PoolError> {
    let mut inside = admin::open_in(server, request.database.as_str()).await?;
    session.count(statement);
    let rows = inside.query(statement).await?;
    inside.close().await;
    Ok(rows)
}
