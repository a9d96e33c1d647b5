//! What one AppDatabase asks for, of which server, and whose it will be: the same for a pass, a look for drift and a
//! deletion. Pure but for the versions of Secrets, which it takes from the watches' stores.

use api_types::AppDatabase;
use kube::ResourceExt as _;

use crate::context::{Context, Mark};
use crate::gather;
use crate::ledger::Owner;
use crate::plan::owner_annotation;
use crate::servers::Server;
use crate::validate::{Invalid, Request, Surroundings, validate};

/// What an AppDatabase asks for, of which server, and whose it will be.
pub struct Target {
    /// The server.
    pub server: Server,
    /// What is asked of it.
    pub request: Request,
    /// Whose it will be.
    pub owner: Owner,
    /// The AppDatabase, as `namespace/name`.
    pub object: String,
}

impl Target {
    /// What the spec asks of the server that serves it.
    pub fn new(app: &AppDatabase, ctx: &Context, server: Server) -> Result<Self, Invalid> {
        let (namespace, name) = (app.namespace().unwrap_or_default(), app.name_any());
        let request = validate(&app.spec, Surroundings::of(&ctx.home, &server))?;
        let owner = Owner::new(&ctx.installation, &namespace, &name, &request.app_namespace);
        Ok(Self { server, request, owner, object: owner_annotation(&namespace, &name) })
    }

    /// What must not change for a verification to hold.
    #[must_use]
    pub fn mark(&self, app: &AppDatabase, ctx: &Context) -> Mark {
        Mark {
            generation: app.metadata.generation,
            secret: gather::secret_versions(ctx, &self.request),
            server: self.server.version.clone(),
        }
    }
}
