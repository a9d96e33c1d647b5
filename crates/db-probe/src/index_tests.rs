use k8s_openapi::api::core::v1::Secret;

use super::*;
use crate::fixtures::database;

fn named(name: &str, secret: &str) -> Database {
    let mut database = database(&format!("credentialsRef: {{name: {secret}}}"));
    database.metadata.name = Some(name.to_owned());
    database.metadata.uid = Some(format!("uid-of-{name}"));
    database
}

fn secret(namespace: &str, name: &str, version: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.namespace = Some(namespace.to_owned());
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.resource_version = Some(version.to_owned());
    secret
}

fn index_of(databases: &[Database]) -> Index {
    let mut index = Index::default();
    list_databases(&mut index, databases);
    index
}

fn list_databases(index: &mut Index, databases: &[Database]) {
    index.database_event(&Event::Init);
    for database in databases {
        index.database_event(&Event::InitApply(database.clone()));
    }
    index.database_event(&Event::InitDone);
}

fn list_secrets(index: &mut Index, secrets: &[Secret]) -> Vec<String> {
    let mut concerned = names(index.object_event(CaKind::Secret, &Event::<Secret>::Init));
    for secret in secrets {
        concerned.extend(names(index.object_event(CaKind::Secret, &Event::InitApply(secret.clone()))));
    }
    concerned.extend(names(index.object_event(CaKind::Secret, &Event::<Secret>::InitDone)));
    concerned
}

fn apply(index: &mut Index, secret: Secret) -> Vec<String> {
    names(index.object_event(CaKind::Secret, &Event::Apply(secret)))
}

fn delete(index: &mut Index, secret: Secret) -> Vec<String> {
    names(index.object_event(CaKind::Secret, &Event::Delete(secret)))
}

fn names(databases: Vec<DatabaseRef>) -> Vec<String> {
    let mut names: Vec<_> = databases.into_iter().map(|database| database.name).collect();
    names.sort();
    names
}

#[test]
fn a_changed_secret_concerns_every_database_that_refers_to_it_and_no_other() {
    let mut foreign = named("foreign", "creds");
    foreign.spec.credentials_ref.as_mut().unwrap().namespace = Some("vault".to_owned());
    let mut index = index_of(&[named("a", "creds"), named("b", "creds"), named("c", "other"), foreign]);
    assert_eq!(apply(&mut index, secret("acme", "creds", "1")), ["a", "b"]);
    assert_eq!(apply(&mut index, secret("vault", "creds", "1")), ["foreign"]);
    assert!(apply(&mut index, secret("acme", "nobody", "1")).is_empty());
}

#[test]
fn a_config_map_of_that_name_is_another_object() {
    let mut index = index_of(&[named("a", "creds")]);
    let object = secret("acme", "creds", "1");
    assert!(index.object_event(CaKind::ConfigMap, &Event::Apply(object)).is_empty());
}

#[test]
fn a_revision_that_was_used_is_no_news() {
    let mut index = index_of(&[named("a", "creds"), named("b", "creds")]);
    let object = References::of(&named("a", "creds")).unwrap().credentials.unwrap();
    index.used(&ObjectRef::from_obj(&named("a", "creds")), &object, Some("7".to_owned()));
    assert_eq!(apply(&mut index, secret("acme", "creds", "7")), ["b"], "b has not used it");
    assert!(apply(&mut index, secret("acme", "creds", "7")).is_empty());
    assert_eq!(apply(&mut index, secret("acme", "creds", "8")), ["a", "b"]);
}

#[test]
fn a_deletion_is_news_once() {
    let mut index = index_of(&[named("a", "creds")]);
    assert_eq!(apply(&mut index, secret("acme", "creds", "1")), ["a"]);
    assert_eq!(delete(&mut index, secret("acme", "creds", "2")), ["a"]);
    assert!(delete(&mut index, secret("acme", "creds", "2")).is_empty());
    assert_eq!(apply(&mut index, secret("acme", "creds", "3")), ["a"]);
}

#[test]
fn the_first_listing_concerns_nobody() {
    let mut index = index_of(&[named("a", "creds"), named("b", "missing")]);
    assert!(list_secrets(&mut index, &[secret("acme", "creds", "1")]).is_empty());
}

#[test]
fn a_later_listing_tells_what_the_watch_missed() {
    let all = [named("a", "kept"), named("b", "changed"), named("c", "deleted"), named("d", "created")];
    let mut index = index_of(&all);
    let before = ["kept", "changed", "deleted"].map(|name| secret("acme", name, "1"));
    assert!(list_secrets(&mut index, &before).is_empty());
    let now = [secret("acme", "kept", "1"), secret("acme", "changed", "2"), secret("acme", "created", "3")];
    let mut concerned = list_secrets(&mut index, &now);
    concerned.sort();
    assert_eq!(concerned, ["b", "c", "d"]);
    assert!(list_secrets(&mut index, &now).is_empty());
}

#[test]
fn a_listing_of_one_kind_says_nothing_about_another() {
    let spec = "{sslMode: verify-ca, tls: {caRef: {kind: ConfigMap, name: ca}}}";
    let mut index = index_of(&[database(spec)]);
    let ca = secret("acme", "ca", "1");
    assert_eq!(index.object_event(CaKind::ConfigMap, &Event::Apply(ca.clone())).len(), 1);
    assert!(list_secrets(&mut index, &[]).is_empty());
    assert!(index.object_event(CaKind::ConfigMap, &Event::Apply(ca)).is_empty());
}

#[test]
fn a_changed_reference_moves_and_nothing_is_left_behind() {
    let mut index = index_of(&[named("a", "old")]);
    index.database_event(&Event::Apply(named("a", "new")));
    assert!(apply(&mut index, secret("acme", "old", "1")).is_empty());
    assert_eq!(apply(&mut index, secret("acme", "new", "1")), ["a"]);
    index.database_event(&Event::Delete(named("a", "new")));
    assert!(index.databases.is_empty() && index.users.is_empty());
}

#[test]
fn a_listing_forgets_the_databases_it_lacks() {
    let mut index = index_of(&[named("a", "creds"), named("b", "creds")]);
    list_databases(&mut index, &[named("b", "creds")]);
    assert_eq!(apply(&mut index, secret("acme", "creds", "1")), ["b"]);
    list_databases(&mut index, &[]);
    assert!(index.databases.is_empty() && index.users.is_empty() && index.listed_databases.is_empty());
}

#[test]
fn an_unchanged_database_keeps_what_it_has_seen() {
    let mut index = index_of(&[named("a", "creds")]);
    assert_eq!(apply(&mut index, secret("acme", "creds", "1")), ["a"]);
    index.database_event(&Event::Apply(named("a", "creds")));
    assert!(apply(&mut index, secret("acme", "creds", "1")).is_empty());
}

fn with_message(message: &str, version: &str) -> Database {
    let mut database = named("a", "creds");
    database.status = Some(DatabaseStatus { message: Some(message.to_owned()), ..DatabaseStatus::default() });
    database.metadata.resource_version = Some(version.to_owned());
    database
}

fn message(index: &Index, shown: &Database) -> Option<String> {
    index.past(shown).and_then(|past| past.status.message)
}

#[test]
fn what_was_written_counts_until_the_watch_shows_it() {
    let (old, new) = (with_message("old", "1"), with_message("new", "2"));
    let mut index = index_of(std::slice::from_ref(&old));
    assert_eq!(index.past(&old), None, "not looked at yet");
    index.looked(&old, 1, Some(new.clone()));
    assert_eq!(message(&index, &old).as_deref(), Some("new"), "the store lags behind");
    index.database_event(&Event::Apply(new.clone()));
    assert_eq!(message(&index, &new).as_deref(), Some("new"));
    let edited = with_message("edited by somebody", "3");
    assert_eq!(message(&index, &edited).as_deref(), Some("edited by somebody"));
    assert_eq!(index.past(&edited).map(|past| past.failures), Some(1));
}

#[test]
fn a_write_that_the_watch_showed_before_it_returned_is_not_kept() {
    let (old, new) = (with_message("old", "1"), with_message("new", "2"));
    let mut index = index_of(std::slice::from_ref(&old));
    index.database_event(&Event::Apply(new.clone()));
    index.looked(&old, 0, Some(new.clone()));
    assert_eq!(message(&index, &old).as_deref(), Some("old"), "nothing but the store speaks");
}

#[test]
fn a_look_without_a_write_keeps_what_is_not_shown_yet() {
    let (old, new) = (with_message("old", "1"), with_message("new", "2"));
    let mut index = index_of(std::slice::from_ref(&old));
    index.looked(&old, 0, Some(new));
    index.looked(&old, 0, None);
    assert_eq!(message(&index, &old).as_deref(), Some("new"));
}

#[test]
fn a_database_made_again_under_its_name_starts_over() {
    let old = with_message("old", "1");
    let mut index = index_of(std::slice::from_ref(&old));
    index.looked(&old, 1, None);
    let mut again = named("a", "creds");
    again.metadata.uid = Some("another".to_owned());
    assert_eq!(index.past(&again), None);
    index.database_event(&Event::Apply(again.clone()));
    assert_eq!(index.past(&again), None);
}

#[test]
fn the_last_success_outlives_the_status_that_told_it() {
    use crate::fixtures::at;
    let with = |ready: &str, second| {
        let mut database = named("orders", "creds");
        let ready = crate::fixtures::ready(ready);
        let status =
            DatabaseStatus { conditions: vec![ready], last_checked: Some(at(second).into()), ..Default::default() };
        database.status = Some(status);
        database
    };
    let second = |second| Some(at(second).as_second());
    let (new, up, down) = (named("orders", "creds"), with("True", 10), with("False", 20));
    let mut index = index_of(std::slice::from_ref(&new));
    assert_eq!(index.last_success(&new), None);
    assert_eq!(index.last_success(&up), second(10), "as the status tells after a restart");
    assert_eq!(index.last_success(&down), None, "a failed look is no success");
    index.looked(&up, 1, Some(down.clone()));
    index.database_event(&Event::Apply(down.clone()));
    assert_eq!(index.last_success(&down), second(10));
    index.looked(&down, 2, None);
    assert_eq!(index.last_success(&down), second(10));
    index.looked(&down, 0, Some(with("True", 30)));
    assert_eq!(index.last_success(&down), second(30));
}
