//! The merge patch (RFC 7396) that turns one status into another. Pure.

use serde_json::Value;

/// The patch that makes `live` equal `desired`: all of `desired`, and a null for each field that only `live` has.
/// `None` when they are equal already. It repeats what seems unchanged, so that it is right for an older or newer
/// object too.
pub(super) fn merge_patch(live: &Value, mut desired: Value) -> Option<Value> {
    drop_nulls(&mut desired);
    (*live != desired).then(|| {
        add_removals(live, &mut desired);
        desired
    })
}

fn add_removals(live: &Value, patch: &mut Value) {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else { return };
    for (key, old) in live {
        match patch.get_mut(key) {
            Some(new) => add_removals(old, new),
            None => {
                patch.insert(key.clone(), Value::Null);
            }
        }
    }
}

/// Removes object members that are null: an absent field and a null are the same to Kubernetes, except in a patch.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    /// RFC 7396, section 2: what the API server does with the patch.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(members) = patch else { return *target = patch.clone() };
        if !target.is_object() {
            *target = Value::Object(Map::new());
        }
        let Value::Object(target) = target else { return };
        for (key, value) in members {
            if value.is_null() {
                target.remove(key);
            } else {
                apply(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3i64).prop_map(Value::from)];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn status() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[abc]", json_value(), 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_patch_leads_from_any_status_to_any_other(mut live in status(), mut desired in status()) {
            drop_nulls(&mut live);
            let patch = merge_patch(&live, desired.clone());
            drop_nulls(&mut desired);
            prop_assert_eq!(patch.is_none(), live == desired);
            if let Some(patch) = patch {
                apply(&mut live, &patch);
            }
            prop_assert_eq!(live, desired);
        }
    }

    #[test]
    fn a_field_that_is_gone_is_removed_and_a_list_is_replaced() {
        let live = json!({"phase": "Failed", "message": "no", "conditions": [1, 2]});
        let desired = json!({"phase": "Ready", "message": null, "conditions": [3]});
        assert_eq!(merge_patch(&live, desired), Some(json!({"phase": "Ready", "message": null, "conditions": [3]})));
    }
}
