//! The CRDs as files: which there are, what they are called, and their YAML-ready content.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;

use crate::{AppDatabase, DBHubInstance, Database};

/// One CRD and the name of the file that carries it.
#[derive(Clone, Debug)]
pub struct CrdManifest {
    /// `<group>_<plural>.yaml`
    pub file_name: String,
    /// The definition, as the API server accepts it.
    pub crd: CustomResourceDefinition,
}

/// Every CRD of this workspace, in a stable order.
#[must_use]
pub fn crd_manifests() -> Vec<CrdManifest> {
    [AppDatabase::crd(), Database::crd(), DBHubInstance::crd()].into_iter().map(manifest).collect()
}

fn manifest(mut crd: CustomResourceDefinition) -> CrdManifest {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            strip_unsigned_formats(schema);
        }
    }
    CrdManifest { file_name: format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural), crd }
}

/// The API server warns of every format it does not know, and it knows no unsigned integers.
fn strip_unsigned_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        strip_unsigned_formats(property);
    }
}
