//! Installs the chart with this workspace's images, and gives the concierge the servers it works on.

use anyhow::{Context, Result};
use secrecy::ExposeSecret;

use crate::cache::workspace_root;
use crate::images::ImageFile;
use crate::progress::Progress;
use crate::testing::Harness;

/// The release and its namespace, which is the concierge's home.
pub const RELEASE: &str = "db-operators";
/// The namespace of the release.
pub const NAMESPACE: &str = "db-concierge";

const ADMIN_SECRETS: &str = include_str!("../files/cluster/admin-secrets.yaml");

/// Namespaces so labelled get no databases; the others do.
const APP_NAMESPACES: &str =
    r#"{"matchExpressions": [{"key": "e2e-databases", "operator": "NotIn", "values": ["none"]}]}"#;

/// The chart's section for each operator's image.
const SECTIONS: [(&str, &str); 3] =
    [("db-probe", "dbProbe"), ("dbhub-operator", "dbhubOperator"), ("concierge-operator", "conciergeOperator")];

/// Installs or upgrades the release and waits until every operator is ready. Operators whose image has changed start
/// anew, the others stay.
pub async fn install(harness: &Harness, images: &[ImageFile], progress: Progress) -> Result<()> {
    progress.step("namespace and admin Secrets", prepare(harness)).await?;
    progress.step("helm install", helm_install(harness, images)).await
}

async fn prepare(harness: &Harness) -> Result<()> {
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    harness.kubectl.apply(None, &namespace).await?;
    let password = harness.servers().concierge_password()?;
    harness.servers().ensure_postgres_concierge().await?;
    let secrets = ADMIN_SECRETS.replace("{{CONCIERGE_PASSWORD}}", password.expose_secret());
    harness.kubectl.apply(None, &secrets).await.map(drop)
}

async fn helm_install(harness: &Harness, images: &[ImageFile]) -> Result<()> {
    let chart = workspace_root().join("charts/db-operators");
    let bundle = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    std::fs::write(bundle.path(), harness.servers().ca_pem()?)?;
    let mut arguments: Vec<String> = ["upgrade", "--install", RELEASE].iter().map(|&word| word.to_owned()).collect();
    arguments.push(chart.to_string_lossy().into_owned());
    arguments.extend(["--namespace", NAMESPACE, "--take-ownership", "--wait", "--timeout=120s"].map(str::to_owned));
    arguments.push(format!("--set-file=trustBundle.pem={}", bundle.path().display()));
    arguments.extend(["--set=image.registry=localhost", "--set=image.tag=dev"].map(str::to_owned));
    arguments.push(format!("--set-json=conciergeOperator.appNamespaceSelector={APP_NAMESPACES}"));
    arguments.extend(image_keys(images));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    harness.helm.run(&arguments).await.map(drop)
}

/// An annotation with the image's key makes a Deployment roll when, and only when, its image has changed.
fn image_keys(images: &[ImageFile]) -> Vec<String> {
    let section = |name: &str| SECTIONS.iter().find(|(image, _)| *image == name).map(|(_, section)| *section);
    let keyed = images.iter().filter_map(|image| Some((section(&image.name)?, &image.key)));
    keyed.map(|(section, key)| format!("--set-string={section}.podAnnotations.e2e-image-key={key}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_get_their_keys_and_other_images_none() {
        let image = |name: &str| ImageFile { name: name.into(), file: "x".into(), key: "0a".into() };
        let set = image_keys(&[image("db-probe"), image("pause")]);
        assert_eq!(set, ["--set-string=dbProbe.podAnnotations.e2e-image-key=0a"]);
    }
}
