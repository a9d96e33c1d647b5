//! What the concierge does for one AppDatabase, learned by watching it do so once: the statements from the server's own
//! log, the Secret and the status from the API server. Filled with another name and password it is what the script
//! does, so that the two cannot drift apart.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use api_types::AppDatabase;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::app_databases::{is_ready, manifest};
use super::place::Place;
use super::watched::Watched;

/// The concierge's login on the server.
pub(super) const ADMIN: &str = "concierge_admin";

/// The statements and objects of one creation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// Of the AppDatabase and of the database.
    pub(super) name: String,
    pub(super) password: String,
    /// Up to the claim of the names.
    pub(super) before_secret: Vec<String>,
    pub(super) after_secret: Vec<String>,
    pub(super) secret: Secret,
    pub(super) status: Value,
}

impl Recipe {
    /// Has the operator make two AppDatabases: one that makes it connect and prepare the server, and one to learn from.
    pub(super) async fn learn(place: &Place) -> Result<Self> {
        create_model(place, &place.name("first", 0)).await?;
        let name = place.name("model", 0);
        let statements = statements_of(place, async { create_model(place, &name).await }).await?;
        let app = place.api::<AppDatabase>().get(&name).await?;
        let secret = place.api::<Secret>().get(&format!("{name}-mysql-creds")).await?;
        Self::new(name, statements, &secret, serde_json::to_value(&app.status)?)
    }

    fn new(name: String, mut statements: Vec<String>, secret: &Secret, status: Value) -> Result<Self> {
        statements.retain(|statement| statement.contains(&name) || statement.contains(&hexadecimal(&name)));
        let claim = statements.iter().position(|statement| statement.starts_with("INSERT"));
        let after_secret = statements.split_off(claim.context("the concierge claimed no name")? + 1);
        let texts = texts(secret)?;
        let password = texts.get("password").context("the Secret has no password")?.clone();
        let creates_user = |text: &String| text.starts_with("CREATE USER") && text.contains(&password);
        ensure!(after_secret.iter().any(creates_user), "the server's log does not show how the user was created");
        let secret = Secret { metadata: portable(&secret.metadata), string_data: Some(texts), ..Secret::default() };
        Ok(Self { name, password, before_secret: statements, after_secret, secret, status })
    }

    /// The same for another name and password; both must consist of letters and digits.
    pub(super) fn fill(&self, name: &str, password: &str) -> Result<Self> {
        let text = serde_json::to_string(self)?;
        let named = text.replace(&self.name, name).replace(&hexadecimal(&self.name), &hexadecimal(name));
        let text = named.replace(&self.password, password);
        serde_json::from_str(&text).context("the name or the password breaks the recipe")
    }
}

/// As the concierge writes texts in SQL.
fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |digits, byte| digits + &format!("{byte:02X}"))
}

/// What the concierge sends to the server meanwhile.
async fn statements_of(place: &Place, work: impl Future<Output = Result<()>>) -> Result<Vec<String>> {
    let mut admin = place.harness.servers().mariadb_admin().await?;
    for statement in ["SET GLOBAL log_output = 'TABLE'", "TRUNCATE mysql.general_log", "SET GLOBAL general_log = 1"] {
        admin.query_drop(statement).await?;
    }
    let done = work.await;
    admin.query_drop("SET GLOBAL general_log = 0").await?;
    done?;
    let logged = format!(
        "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
         WHERE command_type = 'Query' AND user_host LIKE '{ADMIN}%'"
    );
    let statements = admin.query(logged).await?;
    admin.disconnect().await?;
    Ok(statements)
}

async fn create_model(place: &Place, name: &str) -> Result<()> {
    let mut apps = Watched::<AppDatabase>::open(place.api()).await?;
    place.create::<AppDatabase>(manifest(place, name, "Retain")).await?;
    apps.applied("Ready", |app| is_ready(app, name)).await
}

fn texts(secret: &Secret) -> Result<BTreeMap<String, String>> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| Ok((key.clone(), String::from_utf8(value.0.clone())?))).collect()
}

/// Name, labels and annotations. The labels' values are not the operator's, which would watch the script's Secrets.
fn portable(metadata: &ObjectMeta) -> ObjectMeta {
    let labels = metadata.labels.iter().flatten().map(|(key, _)| (key.clone(), "bench".to_owned())).collect();
    ObjectMeta {
        name: metadata.name.clone(),
        labels: Some(labels),
        annotations: metadata.annotations.clone(),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn recipe(statements: &[&str]) -> Result<Recipe> {
        let data = BTreeMap::from([("password".to_owned(), ByteString(b"pw0".to_vec()))]);
        let secret = Secret { data: Some(data), ..Secret::default() };
        let statements = statements.iter().map(|&text| text.to_owned()).collect();
        Recipe::new("model".to_owned(), statements, &secret, json!({"message": "model is ready"}))
    }

    #[test]
    fn a_recipe_is_split_at_the_claim_and_filled_everywhere() {
        let logged = [
            "SET autocommit=1",
            "SELECT X'6D6F64656C'",
            "INSERT X'6D6F64656C'",
            "CREATE DATABASE `model`",
            "CREATE USER 'model_app' IDENTIFIED BY 'pw0'",
        ];
        let filled = recipe(&logged).unwrap().fill("other", "pw1").unwrap();
        assert_eq!(filled.before_secret, ["SELECT X'6F74686572'", "INSERT X'6F74686572'"]);
        assert_eq!(filled.after_secret[1], "CREATE USER 'other_app' IDENTIFIED BY 'pw1'");
        assert_eq!(filled.secret.string_data.as_ref().unwrap()["password"], "pw1");
        assert_eq!(filled.status["message"], "other is ready");
    }

    #[test]
    fn a_log_without_the_claim_or_the_password_is_refused() {
        assert!(recipe(&["CREATE USER 'model_app' IDENTIFIED BY 'pw0'"]).is_err());
        assert!(recipe(&["INSERT X'6D6F64656C'", "CREATE USER 'model_app' IDENTIFIED BY <secret>"]).is_err());
    }
}
