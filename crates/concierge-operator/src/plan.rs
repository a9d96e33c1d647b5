//! Turns a request, its owner and what is there into a [`Plan`]: the claim, the Secret and the statements that are
//! missing, or the reason why nothing may be done. Pure; a plan of something that is as it should be is empty.

mod mysql;
mod ownership;
mod password;
mod postgres;
mod scram;
mod secret;

#[cfg(test)]
pub mod fixtures;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Secret;
use sql_client::Statement;

use crate::engine::Engine;
use crate::ledger::{self, Kind, Origin, Owner};
use crate::look::{Found, ServerView};
use crate::servers::Server;
use crate::validate::Request;

pub use ownership::standing;
pub use password::{NoRandomness, Password, Stated};
pub use scram::Salt;
pub use secret::{SecretChange, connection_template, owner_annotation};

/// Who asks for what, and which of the concierge's freedoms this pass has.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// The server it is asked of.
    pub server: &'a Server,
    /// Whose it will be.
    pub owner: &'a Owner,
    /// The AppDatabase, as `namespace/name`.
    pub object: &'a str,
    /// Its UID, for the record.
    pub uid: &'a str,
    /// Whether a status says that it was Ready once: then a missing database is a loss, not a beginning.
    pub provisioned: bool,
    /// Whether a person asked for a full pass.
    pub forced: bool,
    /// Whether a person asked for a new password.
    pub rotate: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The server's side.
    pub view: ServerView,
    /// Whether the database is there and holds nothing.
    pub empty: bool,
    /// The application's Secret, if there is one of that name, whoever's it is.
    pub secret: Option<Secret>,
    /// The password to use if there is none to keep.
    pub fresh: Password,
    /// For the server that is told a verifier instead of a password.
    pub salt: Salt,
}

/// What is missing, in the order in which it must be done.
#[derive(Debug)]
pub struct Plan {
    /// First of all: the names become ours or the plan is void.
    pub claim: Option<Statement>,
    /// What it claims. All else was claimed by an earlier pass, whose statements may take effect at any time.
    pub claimed: Vec<Kind>,
    /// Before any user has the password that it holds.
    pub secret: Option<SecretChange>,
    /// On the server.
    pub steps: Vec<Step>,
    /// What the application logs in with.
    pub password: Password,
    /// Gives the user this password; for when the login fails although nothing was missing.
    pub set_password: Statement,
}

/// One statement and what it means for ownership.
#[derive(Debug)]
pub struct Step {
    /// The statement.
    pub statement: Statement,
    /// What it creates under a claim that says it was not there.
    pub creates: Option<Kind>,
}

/// Why nothing may be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else's claim.
    #[error(
        "the {kind} {name} belongs to another AppDatabase: choose another name, or delete the other with deletionPolicy Delete"
    )]
    Conflict {
        /// What is taken.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// It exists and nobody consented to its adoption.
    #[error(
        "the {kind} {name} exists on the server and was not made by the concierge: choose another name, or list it in annotation db.stillwaters.io/adoptable of the server's admin Secret"
    )]
    AdoptionNotAllowed {
        /// What exists.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A Secret of that name that we did not write.
    #[error(
        "a Secret {secret} exists in namespace {namespace} and does not belong to this AppDatabase: delete or rename it, or create the AppDatabase anew with another spec.secretName"
    )]
    SecretConflict {
        /// Its name.
        secret: String,
        /// Where it is.
        namespace: String,
    },
    /// It was there and is gone; its data too.
    #[error(
        "the database {database} was created and is no longer on the server: restore it, or annotate the AppDatabase with reconcile=<any new value> to have an empty one created"
    )]
    DatabaseMissing {
        /// Its name.
        database: String,
    },
    /// Another charset was asked for than the database was created with.
    #[error(
        "the database {database} was created with encoding {encoding} and locale {locale}, which PostgreSQL cannot change: correct spec.charset and spec.collation, or create another AppDatabase and move the data"
    )]
    CharsetFixed {
        /// Its name.
        database: String,
        /// What it has.
        encoding: String,
        /// What it has.
        locale: String,
    },
}

/// Whether a server that looks like this lacks nothing. The application's Secret is not asked here.
#[must_use]
pub fn is_settled(request: &Request, owner: &Owner, view: &ServerView) -> bool {
    let ours = |kind| view.claim(kind).is_some_and(|claim| claim.owner == owner.as_str());
    ours(Kind::Database) && ours(Kind::User) && view.exists(Kind::Database) && lacks_nothing(request, view)
}

fn lacks_nothing(request: &Request, view: &ServerView) -> bool {
    match &view.found {
        Found::Mysql(server) => mysql::missing(request, view, server).is_empty(),
        Found::Postgres(server) => {
            postgres::missing(request, server).is_empty()
                && postgres::refuse_other_charset(request, view, server).is_ok()
        }
    }
}

/// Plans what is missing.
pub fn plan(intent: &Intent<'_>, inputs: &Inputs) -> Result<Plan, Refusal> {
    let claims = ownership::claims(intent, inputs)?;
    refuse_lost_database(intent, &inputs.view)?;
    refuse_other_charset(intent.request, &inputs.view)?;
    let kept = secret::read_password(intent, inputs.secret.as_ref())?.filter(|_| !intent.rotate);
    let renewed = kept.is_none();
    let password = kept.unwrap_or_else(|| inputs.fresh.clone());
    let stated = Stated::to(intent.request.engine, &password, inputs.salt);
    // An adopted user has a password that nobody here knows.
    let unknown = renewed || claims.contains(&(Kind::User, Origin::Adopted));
    Ok(Plan {
        claim: ledger::claim(intent.request, intent.owner, intent.uid, &claims),
        claimed: claims.iter().map(|(kind, _)| *kind).collect(),
        secret: secret::change(intent, inputs.secret.as_ref(), &password),
        steps: steps(intent.request, &inputs.view, &stated, unknown),
        set_password: set_password(intent.request, &stated),
        password,
    })
}

fn refuse_lost_database(intent: &Intent<'_>, view: &ServerView) -> Result<(), Refusal> {
    if intent.provisioned && !intent.forced && !view.exists(Kind::Database) {
        Err(Refusal::DatabaseMissing { database: intent.request.database.to_string() })
    } else {
        Ok(())
    }
}

fn refuse_other_charset(request: &Request, view: &ServerView) -> Result<(), Refusal> {
    match &view.found {
        // It is changed there.
        Found::Mysql(_) => Ok(()),
        Found::Postgres(server) => postgres::refuse_other_charset(request, view, server),
    }
}

fn steps(request: &Request, view: &ServerView, password: &Stated, unknown: bool) -> Vec<Step> {
    let mut steps = missing(request, view, password);
    if unknown && !steps.iter().any(|step| step.creates == Some(Kind::User)) {
        steps.push(Step { statement: set_password(request, password), creates: None });
    }
    steps
}

fn missing(request: &Request, view: &ServerView, password: &Stated) -> Vec<Step> {
    match &view.found {
        Found::Mysql(server) => {
            mysql::missing(request, view, server).into_iter().map(|missing| missing.step(request, password)).collect()
        }
        Found::Postgres(server) => {
            postgres::missing(request, server).into_iter().map(|missing| missing.step(request, password)).collect()
        }
    }
}

fn set_password(request: &Request, password: &Stated) -> Statement {
    match request.engine {
        Engine::Mysql => mysql::set_password(request, password),
        Engine::Postgres => postgres::set_password(request, password),
    }
}

/// The statements that drop what is `ours`, in their order, each with what it is about.
#[must_use]
pub fn drops(request: &Request, view: &ServerView, ours: &[Kind]) -> Vec<(Kind, Statement)> {
    match &view.found {
        Found::Mysql(_) => mysql::drops(request, ours),
        Found::Postgres(server) => postgres::drops(request, server, ours),
    }
}
