//! The logins of a request: which password each has, and how its Secret must change. Pure. A password is kept wherever
//! there is one to keep.

use k8s_openapi::api::core::v1::Secret;

use super::{Inputs, Intent, NoRandomness, Password, Refusal, Salt, SecretChange, Stated, secret};
use crate::ledger::{Kind, Origin};
use crate::validate::Account;

/// The Secret of a login as it was found, and what a new one would hold.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The Secret of that name, whoever's it is.
    pub secret: Option<Secret>,
    /// The password to use if there is none to keep.
    pub fresh: Password,
    /// For the server that is told a verifier instead of a password.
    pub salt: Salt,
}

/// One login.
#[derive(Clone, Debug)]
pub struct Login {
    /// Whose it is.
    pub account: Account,
    /// What it is tried with.
    pub password: Password,
    /// What the server is told of the password.
    pub stated: Stated,
    /// How its Secret must change.
    pub secret: Option<SecretChange>,
    /// Whether the user, if it exists, may have another password.
    pub unknown: bool,
}

/// The logins that are wanted.
#[derive(Clone, Debug)]
pub struct Logins {
    /// The application's own.
    pub application: Login,
    /// The one that can only read.
    pub reader: Option<Login>,
}

impl Credentials {
    /// With a new password and salt at hand.
    pub fn new(secret: Option<Secret>) -> Result<Self, NoRandomness> {
        Ok(Self { secret, fresh: Password::generate()?, salt: Salt::generate()? })
    }
}

impl Logins {
    /// Of a request whose `claims` are still to be made.
    pub fn plan(intent: &Intent<'_>, inputs: &Inputs, claims: &[(Kind, Origin)]) -> Result<Self, Refusal> {
        let login = |account, credentials| Login::plan(intent, account, credentials, claims);
        let reader = intent.request.wanted_reader();
        Ok(Self {
            application: login(&intent.request.application, &inputs.application)?,
            reader: reader.map(|reader| login(reader, &inputs.reader)).transpose()?,
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Login> {
        [Some(&self.application), self.reader.as_ref()].into_iter().flatten()
    }

    /// What the server is told of the password of an account among them.
    #[must_use]
    pub fn stated(&self, account: &Account) -> &Stated {
        let reader = self.reader.as_ref().filter(|reader| reader.account.kind == account.kind);
        &reader.unwrap_or(&self.application).stated
    }
}

impl Login {
    fn plan(
        intent: &Intent<'_>,
        account: &Account,
        credentials: &Credentials,
        claims: &[(Kind, Origin)],
    ) -> Result<Self, Refusal> {
        let found = credentials.secret.as_ref();
        let kept = secret::read_password(intent, account, found)?.filter(|_| !intent.rotate);
        let renewed = kept.is_none();
        let password = kept.unwrap_or_else(|| credentials.fresh.clone());
        Ok(Self {
            account: account.clone(),
            stated: Stated::to(intent.request.engine, &password, credentials.salt),
            secret: secret::change(intent, account, found, &password),
            // An adopted user has a password that nobody here knows.
            unknown: renewed || claims.contains(&(account.kind, Origin::Adopted)),
            password,
        })
    }
}
