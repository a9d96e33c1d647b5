//! The finalizer of an AppDatabase, which is there exactly while its deletion would have something to drop.

use api_types::names::FINALIZER;
use api_types::{AppDatabase, DeletionPolicy};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator_runtime::ApiError;
use operator_runtime::error::call;
use serde_json::json;

use crate::OPERATOR;
use crate::context::Context;

/// Whether the object carries our finalizer.
#[must_use]
pub fn is_set(app: &AppDatabase) -> bool {
    app.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Follows a changed policy before the server is asked, which may be away. What was never made needs no finalizer yet:
/// [`crate::apply`] sets it before it makes anything.
pub async fn follow_policy(ctx: &Context, app: &AppDatabase, provisioned: bool) -> Result<(), ApiError> {
    let deletes = app.spec.deletion_policy == DeletionPolicy::Delete;
    set(ctx, app, deletes && (provisioned || is_set(app))).await
}

/// Adds or removes the finalizer; writes nothing when it is as wanted. An object that changed meanwhile is a conflict.
pub async fn set(ctx: &Context, app: &AppDatabase, wanted: bool) -> Result<(), ApiError> {
    if is_set(app) == wanted {
        return Ok(());
    }
    let mut finalizers: Vec<_> = app.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    // The list is replaced as a whole, so it must be the one that was read.
    let metadata = json!({ "finalizers": finalizers, "resourceVersion": app.resource_version() });
    let api: Api<AppDatabase> = Api::namespaced(ctx.client.clone(), &app.namespace().unwrap_or_default());
    let (name, params) =
        (app.name_any(), PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() });
    let body = Patch::Merge(json!({ "metadata": metadata }));
    match call(format!("set the finalizer of AppDatabase {name}"), api.patch(&name, &params, &body)).await {
        // It is gone, so nothing holds it.
        Err(ApiError::NotFound { .. }) if !wanted => Ok(()),
        result => result.map(|_| ()),
    }
}
