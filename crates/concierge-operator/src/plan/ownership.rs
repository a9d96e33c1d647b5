//! Decides what may be touched: ours, free to be claimed, to be adopted, or somebody else's. Pure.

use super::{Inputs, Intent, Refusal};
use crate::ledger::{Kind, Origin, Owner};
use crate::look::ServerView;
use crate::validate::{Account, Request};

/// The claims that are still to be made, or the reason why one of the names is out of reach.
pub fn claims(intent: &Intent<'_>, inputs: &Inputs) -> Result<Vec<(Kind, Origin)>, Refusal> {
    let mut claims = Vec::new();
    let users = intent.request.accounts().map(|account| account.kind);
    for kind in std::iter::once(Kind::Database).chain(users) {
        if let Some(origin) = claim(intent, inputs, kind)? {
            claims.push((kind, origin));
        }
    }
    Ok(claims)
}

/// `None` when the name is ours already.
fn claim(intent: &Intent<'_>, inputs: &Inputs, kind: Kind) -> Result<Option<Origin>, Refusal> {
    let name = || kind.name(intent.request).to_owned();
    match inputs.view.claim(kind) {
        Some(claim) if claim.owner == intent.owner.as_str() => Ok(None),
        Some(_) => Err(Refusal::Conflict { kind, name: name() }),
        None if !inputs.view.exists(intent.request, kind) => Ok(Some(Origin::Created)),
        None if may_adopt(intent, inputs, kind) => Ok(Some(Origin::Adopted)),
        None => Err(Refusal::AdoptionNotAllowed { kind, name: name() }),
    }
}

/// An object that was Ready takes back what it had: the table was lost. Whether we had created it is then unknown,
/// so it counts as adopted and is never dropped.
fn may_adopt(intent: &Intent<'_>, inputs: &Inputs, kind: Kind) -> bool {
    let empty = kind == Kind::Database && inputs.empty;
    empty || intent.provisioned || intent.server.may_adopt(kind.name(intent.request))
}

/// Where something of ours came from; `None` for what is not ours.
#[must_use]
pub fn standing(view: &ServerView, owner: &Owner, kind: Kind) -> Option<Origin> {
    view.claim(kind).filter(|claim| claim.owner == owner.as_str()).map(|claim| claim.origin)
}

/// The login that can only read, where we made it and it is no longer wanted. An adopted one stays.
#[must_use]
pub fn unwanted_reader<'a>(request: &'a Request, owner: &Owner, view: &ServerView) -> Option<&'a Account> {
    let made = standing(view, owner, Kind::Reader) == Some(Origin::Created);
    request.reader.as_ref().filter(|_| made && !request.wants_reader)
}
