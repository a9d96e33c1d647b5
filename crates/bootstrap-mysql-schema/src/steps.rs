//! The story: create the AppDatabase or find the same one, wait, print.

use anyhow::Context as _;
use api_types::AppDatabase;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use crate::args::{Args, Output};
use crate::console::{self, Console, Progress};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::{output, request, wait};

const MANAGER: &str = "bootstrap-mysql-schema";

/// Does what the command line asks for.
pub async fn run(args: &Args, client: Client) -> Result<(), Error> {
    let console = Console { machine: args.output() != Output::Text };
    let api: Api<AppDatabase> = Api::namespaced(client.clone(), &args.concierge_namespace);
    console.say(&output::header(args))?;
    let (app, verb) = create(args, &api).await?;
    console.say(&format!("appdatabase.db.stillwaters.io/{} {verb}\n", app.name_any()))?;
    if args.no_wait {
        let (name, namespace) = (app.name_any(), &args.concierge_namespace);
        return Ok(console.say(&format!("Follow it with:\n  kubectl get appdatabase {name} -n {namespace} -w"))?);
    }
    console.say("Waiting for database provisioning...")?;
    let progress = Progress::start();
    let ready = wait::until_ready(api, &app, args.wait(), &progress).await;
    progress.end();
    let ready = ready?;
    console.say("\u{2713} Database provisioned successfully!\n")?;
    console.say(&output::summary(&ready).ok_or_else(|| incomplete(&ready, "a part of its status"))?)?;
    if args.output() != Output::Text {
        console::result(&credentials(args, client, &ready).await?)?;
    }
    Ok(())
}

/// The AppDatabase that would be created, as YAML.
pub fn manifest(args: &Args) -> anyhow::Result<String> {
    let yaml = serde_norway::to_string(&request::manifest(args));
    yaml.context("the AppDatabase cannot be represented")
}

/// Creates it, or finds it as it was created before.
async fn create(args: &Args, api: &Api<AppDatabase>) -> Result<(AppDatabase, &'static str), Error> {
    let wanted = request::app_database(args)?;
    let name = request::object_name(&args.name);
    let action = format!("create AppDatabase {}/{name}", args.concierge_namespace);
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &wanted).await {
        Ok(app) => Ok((app, "created")),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let existing = api.get(&name).await.map_err(|error| Error::api(action, error))?;
            same(args, &existing)?;
            Ok((existing, "unchanged"))
        }
        Err(error) => Err(Error::api(action, error)),
    }
}

fn same(args: &Args, existing: &AppDatabase) -> Result<(), Error> {
    let object = object(existing);
    if existing.metadata.deletion_timestamp.is_some() {
        return Err(Error::Deleted { object });
    }
    let differences = request::differences(args, existing);
    if differences.is_empty() { Ok(()) } else { Err(Error::Different { object, differences }) }
}

/// What the Secret holds, as the machine that reads it wants it.
async fn credentials(args: &Args, client: Client, app: &AppDatabase) -> Result<String, Error> {
    let namespace = &app.spec.app_namespace;
    let status = app.status.as_ref();
    let name = status.and_then(|status| status.secret_name.as_deref()).ok_or_else(|| incomplete(app, "its Secret"))?;
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let secret =
        secrets.get(name).await.map_err(|error| Error::api(format!("get Secret {namespace}/{name}"), error))?;
    let data = secret.data.unwrap_or_default();
    let credentials = Credentials::read(&data).map_err(|key| incomplete(app, &format!("key {key} of its Secret")))?;
    match args.output() {
        Output::Json => Ok(format!("{:#}\n", credentials.json((namespace, name)))),
        Output::Text | Output::Env => Ok(credentials.script()),
    }
}

fn object(app: &AppDatabase) -> String {
    format!("{}/{}", app.namespace().unwrap_or_default(), app.name_any())
}

fn incomplete(app: &AppDatabase, what: &str) -> Error {
    Error::Incomplete { object: object(app), what: what.to_owned() }
}
