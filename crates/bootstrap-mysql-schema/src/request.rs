//! Turns the command line into an AppDatabase, and compares it with one that is there. Pure.

use api_types::{AppDatabase, AppDatabaseSpec, DeletionPolicy};
use serde_json::{Value, json};

use crate::args::Args;

/// The AppDatabase to create. Fields without a flag have the defaults of the kind.
pub fn app_database(args: &Args) -> serde_json::Result<AppDatabase> {
    serde_json::from_value(manifest(args))
}

/// The AppDatabase as a person would write it, who leaves defaults to the API server.
pub fn manifest(args: &Args) -> Value {
    let policy = args.deletion_policy.map(DeletionPolicy::from).unwrap_or_default();
    json!({
        "apiVersion": "db.stillwaters.io/v1",
        "kind": "AppDatabase",
        "metadata": { "name": object_name(&args.name), "namespace": args.concierge_namespace },
        "spec": {
            "clusterRef": args.cluster,
            "dbName": args.name,
            "appNamespace": args.namespace,
            "deletionPolicy": policy,
        },
    })
}

/// Kubernetes takes neither capitals nor underscores, and no dash at either end.
pub fn object_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned()
}

/// What differs from the command line in an AppDatabase of that name; empty when nothing does. A policy that was not
/// asked for may be any.
pub fn differences(args: &Args, existing: &AppDatabase) -> String {
    let AppDatabaseSpec { cluster_ref, db_name, app_namespace, deletion_policy, .. } = &existing.spec;
    let policy = args.deletion_policy.map(DeletionPolicy::from);
    let fields = [
        ("clusterRef", cluster_ref.clone(), args.cluster.clone()),
        ("dbName", db_name.clone(), args.name.clone()),
        ("appNamespace", app_namespace.clone(), args.namespace.clone()),
        ("deletionPolicy", format!("{deletion_policy:?}"), format!("{:?}", policy.unwrap_or(*deletion_policy))),
    ];
    let differing = fields.into_iter().filter(|(_, there, asked)| there != asked);
    differing.map(|(field, there, asked)| format!("{field} is {there}, not {asked}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &str) -> Args {
        crate::args::parse(&format!("--namespace shop {flags}")).unwrap()
    }

    fn created(flags: &str) -> AppDatabase {
        app_database(&args(flags)).unwrap()
    }

    #[test]
    fn an_object_is_named_as_kubernetes_wants_it() {
        let app = created("--name My_App");
        assert_eq!(app.metadata.name.as_deref(), Some("my-app"));
        assert_eq!(app.spec.db_name, "My_App");
        assert_eq!(object_name("_private_"), "private");
    }

    #[test]
    fn a_manifest_is_what_a_person_would_write() {
        let yaml = serde_norway::to_string(&manifest(&args("--name My_App"))).unwrap();
        insta::assert_snapshot!(yaml, @"
        apiVersion: db.stillwaters.io/v1
        kind: AppDatabase
        metadata:
          name: my-app
          namespace: db-concierge
        spec:
          appNamespace: shop
          clusterRef: cluster1-haproxy
          dbName: My_App
          deletionPolicy: Retain
        ");
    }

    #[test]
    fn the_same_command_again_is_no_difference() {
        for flags in ["--name shop", "--name shop --deletion-policy Delete"] {
            assert_eq!(differences(&args(flags), &created(flags)), "");
        }
        let deleting = created("--name shop --deletion-policy Delete");
        assert_eq!(differences(&args("--name shop"), &deleting), "", "a policy that was not asked for");
    }

    #[test]
    fn every_difference_is_named() {
        let there = created("--name shop --cluster prod");
        let asked = args("--name Shop --deletion-policy Delete");
        insta::assert_snapshot!(differences(&asked, &there), @"clusterRef is prod, not cluster1-haproxy; dbName is shop, not Shop; deletionPolicy is Retain, not Delete");
    }
}
