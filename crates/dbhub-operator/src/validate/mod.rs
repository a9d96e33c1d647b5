//! From what was read to types that nobody needs to check again: [`Request`] is what an instance asks for, each
//! [`source::Source`] a database that DBHub reads as meant. Pure, but for the random values that [`kept`] makes once.

pub mod ca;
pub mod file;
pub mod image;
pub mod login;
pub mod pod_template;
pub mod policy;
pub mod problem;
pub mod rejection;
pub mod room;
pub mod source;
pub mod token;

use api_types::{Auth, AuthMode, DBHubInstance, DBHubInstanceSpec, Policy, Resources, Transport};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use operator_runtime::owner::{controller_reference, is_controlled_by};
use secrecy::SecretString;

use crate::error::Error;
use crate::gather::{Keyed, Live};
use crate::plan::Kept;
use crate::plan::data::SALT_KEY;
use crate::plan::names::Names;
use crate::plan::quantity::exceeds;
use crate::random;
use crate::validate::image::AllowedImages;
use crate::validate::pod_template::PodExtras;
use crate::validate::problem::Problem;
use crate::validate::token::{Token, TokenPlace};

/// What an instance asks for, apart from its databases and the token's value.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names of all its objects.
    pub names: Names,
    /// What makes an object its own.
    pub owner: OwnerReference,
    /// How clients reach it.
    pub access: Access,
    /// What agents may do, whatever a Database allows.
    pub policy: Policy,
    /// What is asked of the pods.
    pub pod: PodExtras,
    /// The rest, which needs no check beyond admission's.
    pub spec: DBHubInstanceSpec,
}

/// How clients reach DBHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Through the Service.
    Http {
        /// Where the bearer token is; `None` lets everyone in.
        token: Option<TokenPlace>,
    },
    /// By attaching to a pod.
    Stdio,
}

impl Access {
    /// Where the token is that clients must send.
    #[must_use]
    pub fn token(&self) -> Option<&TokenPlace> {
        match self {
            Self::Http { token } => token.as_ref(),
            Self::Stdio => None,
        }
    }
}

/// Checks the instance itself.
pub fn request(instance: &DBHubInstance, images: &AllowedImages) -> Result<Request, Problem> {
    let (namespace, name) = (instance.namespace().unwrap_or_default(), instance.name_any());
    let names = Names::new(&namespace, &name).ok_or(Problem::InvalidName)?;
    let access = match instance.spec.transport {
        Transport::Http => Access::Http { token: token_place(instance.spec.auth.as_ref(), &names) },
        Transport::Stdio => Access::Stdio,
        Transport::Sse => return Err(Problem::UnsupportedTransport),
    };
    if !images.includes(&instance.spec.image) {
        return Err(Problem::ImageNotAllowed { image: instance.spec.image.clone(), allowed: images.to_string() });
    }
    resources(instance.spec.resources.as_ref())?;
    Ok(Request {
        access,
        owner: controller_reference(instance).ok_or(Problem::NeverStored)?,
        policy: policy::of_instance(instance.spec.default_policy.as_ref()),
        pod: pod_template::pod_extras(instance.spec.pod_template.as_ref())?,
        spec: instance.spec.clone(),
        names,
    })
}

fn resources(wanted: Option<&Resources>) -> Result<(), Problem> {
    let Some(Resources { requests: Some(requests), limits: Some(limits) }) = wanted else { return Ok(()) };
    let pairs = [("memory", &requests.memory, &limits.memory), ("cpu", &requests.cpu, &limits.cpu)];
    let above = |request: &Option<String>, limit: &Option<String>| {
        request.as_ref().zip(limit.as_ref()).is_some_and(|(request, limit)| exceeds(request, limit))
    };
    match pairs.into_iter().find(|(_, request, limit)| above(request, limit)) {
        Some((resource, ..)) => Err(Problem::RequestAboveLimit { resource }),
        None => Ok(()),
    }
}

fn token_place(auth: Option<&Auth>, names: &Names) -> Option<TokenPlace> {
    let auth = auth.cloned().unwrap_or_default();
    match (auth.mode, auth.token_secret_ref) {
        (AuthMode::None, _) => None,
        (AuthMode::Token, Some(own)) => Some(TokenPlace::brought(own)),
        (AuthMode::Token, None) => Some(TokenPlace::generated(names)),
    }
}

/// What is random and must stay: the token at its place and the salt of the Secret that is ours, each made anew only
/// where there is none.
pub fn kept(request: &Request, live: &Live, token: Option<&Keyed>) -> Result<Kept, Error> {
    let token = match request.access.token() {
        None => None,
        Some(place) => {
            if place.generated && live.token.as_ref().is_some_and(|secret| !is_ours(secret, request)) {
                return Err(Problem::NameConflict { kind: "Secret", name: place.secret.clone() }.into());
            }
            Some(Token::find(place, token)?.map_or_else(Token::generate, Ok)?)
        }
    };
    let salt = live.creds.as_ref().filter(|secret| is_ours(secret, request)).and_then(salt_of);
    Ok(Kept { token, salt: salt.map_or_else(random::hex, Ok)? })
}

fn is_ours(secret: &Secret, request: &Request) -> bool {
    is_controlled_by(&secret.metadata, &request.owner.uid)
}

fn salt_of(creds: &Secret) -> Option<SecretString> {
    let bytes = &creds.data.as_ref()?.get(SALT_KEY)?.0;
    std::str::from_utf8(bytes).ok().filter(|salt| !salt.is_empty()).map(SecretString::from)
}

#[cfg(test)]
mod tests;
