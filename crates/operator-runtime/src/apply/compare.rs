//! Whether a live object is as desired. Pure. The API server records in `managedFields` which fields still have the
//! value that we gave them: a field that another writer changed is no longer ours. So the object is current when our
//! record names exactly the desired fields and each has the desired value. Fields that the server filled in or others
//! added are in neither and do not matter.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Top-level and metadata fields that name the object and that nobody owns.
const IDENTITY: [&str; 4] = ["apiVersion", "kind", "name", "namespace"];

/// Whether writing `desired` would change nothing.
pub(super) fn is_current(desired: &Value, live: &Value, records: &[ManagedFieldsEntry], manager: &str) -> bool {
    let Some(fields) = record(records, manager, "Apply").or_else(|| record(records, manager, "Update")) else {
        return false;
    };
    matches(&without_identity(desired), live, fields)
}

/// Our record for the object itself. An `Update` record is what [`super::create`] left.
fn record<'a>(records: &'a [ManagedFieldsEntry], manager: &str, operation: &str) -> Option<&'a Fields> {
    let ours = records.iter().find(|entry| {
        entry.manager.as_deref() == Some(manager)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })?;
    ours.fields_v1.as_ref()?.0.as_object()
}

fn without_identity(desired: &Value) -> Value {
    let mut desired = desired.clone();
    for part in ["/metadata", ""] {
        if let Some(Value::Object(members)) = desired.pointer_mut(part) {
            members
                .retain(|key, value| !IDENTITY.contains(&key.as_str()) && (key != "metadata" || *value != json!({})));
        }
    }
    desired
}

/// Compares one node of the desired object with the live one and with our record of it. A record without children
/// stands for a scalar, an empty container, or a structure that is owned as a whole.
fn matches(desired: &Value, live: &Value, fields: &Fields) -> bool {
    let mut children = fields.iter().filter(|(key, _)| *key != ".").peekable();
    if children.peek().is_none() {
        return contains(live, desired);
    }
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            children.all(|(key, _)| key.strip_prefix("f:").is_some_and(|key| desired.contains_key(key)))
                && desired
                    .iter()
                    .all(|(key, value)| member_matches(value, live.get(key), fields.get(&format!("f:{key}"))))
        }
        (Value::Array(desired), Value::Array(live)) => {
            let children: Vec<_> = children.collect();
            children.len() == desired.len()
                && children.iter().all(|(key, fields)| item_matches(key, desired, live, fields))
        }
        _ => false,
    }
}

/// Most types leave an empty container out when they are stored, although it is recorded as ours; an empty list of
/// keyed items is not even recorded.
fn member_matches(desired: &Value, live: Option<&Value>, fields: Option<&Value>) -> bool {
    let empty_list = desired.as_array().is_some_and(Vec::is_empty);
    let empty_map = desired.as_object().is_some_and(Map::is_empty);
    match (live, fields.and_then(Value::as_object)) {
        (Some(live), Some(fields)) => matches(desired, live, fields),
        (None, Some(_)) => empty_list || empty_map,
        (_, None) => empty_list,
    }
}

/// `v:"x"` records an item of a set; `k:{"name":"x"}` an item of a list that is keyed by some of its members.
fn item_matches(record: &str, desired: &[Value], live: &[Value], fields: &Value) -> bool {
    let Some((kind, key)) = record.split_once(':') else { return false };
    let Ok(key) = serde_json::from_str::<Value>(key) else { return false };
    match (kind, &key) {
        ("v", item) => desired.contains(item) && live.contains(item),
        ("k", Value::Object(key)) => {
            let complete = |item: &&Value| key.iter().all(|(name, value)| item.get(name) == Some(value));
            // A key member may have a default that the desired item leaves out, as a port does with its protocol.
            let defaulted = |item: &&Value| key.iter().all(|(name, value)| item.get(name).is_none_or(|v| v == value));
            let item = desired.iter().find(complete).or_else(|| desired.iter().find(defaulted));
            item.is_some_and(|item| member_matches(item, live.iter().find(complete), Some(fields)))
        }
        _ => false,
    }
}

/// Whether `live` has everything that `desired` has. Lists must agree item by item: nobody adds to a list that is
/// owned as a whole.
fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(key, value)| live.get(key).is_some_and(|live| contains(live, value)))
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(live, desired)| contains(live, desired))
        }
        (live, desired) => live == desired,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;

    use super::*;

    fn record(operation: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some("op".into()),
            operation: Some(operation.into()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    /// A Deployment as we apply it.
    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "namespace": "n", "labels": {"app": "x"}, "ownerReferences": [{"uid": "u", "name": "o"}]},
            "spec": {
                "selector": {"matchLabels": {"app": "x"}},
                "template": {"spec": {
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                    "containers": [{
                        "name": "c", "image": "i", "args": ["a", "b"],
                        "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
                    }],
                }},
            },
        })
    }

    /// The same as the API server stores it: defaults filled in, a sidecar and an annotation of others added.
    fn live() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "x", "namespace": "n", "uid": "9", "labels": {"app": "x", "theirs": "y"},
                "ownerReferences": [{"uid": "u", "name": "o"}],
            },
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "x"}},
                "template": {"spec": {
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                    "containers": [
                        {"name": "sidecar"},
                        {
                            "name": "c", "image": "i", "args": ["a", "b"], "imagePullPolicy": "Always",
                            "ports": [
                                {"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"},
                            ],
                        },
                    ],
                }},
            },
        })
    }

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}},
            "f:spec": {
                "f:selector": {},
                "f:template": {"f:spec": {
                    "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                    "f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": {
                            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
                            "k:{\"containerPort\":80,\"protocol\":\"UDP\"}":
                                {".": {}, "f:containerPort": {}, "f:protocol": {}},
                        },
                    }},
                }},
            },
        })
    }

    fn edited(mut value: Value, path: &str, new: Value) -> Value {
        *value.pointer_mut(path).unwrap() = new;
        value
    }

    fn without(mut value: Value, parent: &str, key: &str) -> Value {
        value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        value
    }

    fn current(desired: &Value, live: &Value, fields: Value) -> bool {
        is_current(desired, live, &[record("Apply", fields)], "op")
    }

    #[test]
    fn defaults_and_the_additions_of_others_need_no_write() {
        assert!(current(&desired(), &live(), fields()));
    }

    #[test]
    fn every_difference_in_what_we_want_needs_a_write() {
        let container = "/spec/template/spec/containers/0";
        let changes = [
            edited(desired(), "/metadata/labels/app", json!("z")),
            edited(desired(), &format!("{container}/image"), json!("j")),
            edited(desired(), &format!("{container}/args"), json!(["a"])),
            edited(desired(), &format!("{container}/ports/1/protocol"), json!("SCTP")),
            edited(desired(), "/spec/selector/matchLabels", json!({"app": "z"})),
            edited(desired(), "/metadata/labels", json!({"app": "x", "more": "1"})),
            without(desired(), "/metadata", "labels"),
            without(desired(), container, "args"),
            edited(desired(), &format!("{container}/ports"), json!([{"containerPort": 80}])),
            edited(desired(), "/spec/template/spec/volumes", json!([])),
        ];
        for changed in changes {
            assert!(!current(&changed, &live(), fields()), "{changed}");
        }
    }

    #[test]
    fn what_others_changed_in_ours_needs_a_write() {
        // Their change took the field out of our record, even when they set the value we want.
        let image = "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"c\"}";
        assert!(!current(&desired(), &live(), without(fields(), image, "f:image")));
        let theirs = edited(live(), "/spec/template/spec/containers/1/image", json!("other"));
        assert!(!current(&desired(), &theirs, fields()));
        let removed = edited(live(), "/spec/template/spec/containers", json!([{"name": "sidecar"}]));
        assert!(!current(&desired(), &removed, fields()));
    }

    #[test]
    fn only_our_own_record_of_the_object_itself_counts() {
        let of_status = ManagedFieldsEntry { subresource: Some("status".into()), ..record("Apply", fields()) };
        assert!(!is_current(&desired(), &live(), &[of_status], "op"));
        assert!(!is_current(&desired(), &live(), &[record("Apply", fields())], "another"));
        assert!(is_current(&desired(), &live(), &[record("Update", fields())], "op"), "left by a create");
        let both = [record("Update", fields()), record("Apply", json!({}))];
        assert!(!is_current(&desired(), &live(), &both, "op"), "an Apply record has the last word");
    }

    #[test]
    fn an_empty_container_is_compared_as_the_server_stores_it() {
        // As seen on Kubernetes 1.35: labels are recorded and not stored, env is neither, emptyDir is both.
        let desired = json!({"metadata": {"labels": {}}, "env": [], "emptyDir": {}});
        let stored = json!({"metadata": {}, "emptyDir": {}});
        let ours = json!({"f:metadata": {"f:labels": {}}, "f:emptyDir": {}});
        assert!(current(&desired, &stored, ours.clone()));
        let replaced = json!({"metadata": {}, "hostPath": {"path": "/"}});
        assert!(!current(&desired, &replaced, without(ours, "", "f:emptyDir")), "another took the place of emptyDir");
    }

    #[test]
    fn a_set_is_compared_by_its_items() {
        let with = |items: Value| json!({"metadata": {"finalizers": items}});
        let fields = json!({"f:metadata": {"f:finalizers": {"v:\"a\"": {}, "v:\"b\"": {}}}});
        let live = with(json!(["theirs", "b", "a"]));
        assert!(current(&with(json!(["a", "b"])), &live, fields.clone()));
        assert!(!current(&with(json!(["a"])), &live, fields.clone()));
        assert!(!current(&with(json!(["a", "b"])), &with(json!(["a"])), fields));
    }
}
