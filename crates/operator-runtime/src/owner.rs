//! Who owns an object. An object without our controller reference is another's, whatever its name or labels say.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// Whether the object is controlled by the owner with this UID. An owner of the same name that was deleted and made
/// again has another UID and controls nothing.
#[must_use]
pub fn is_controlled_by(object: &ObjectMeta, owner_uid: &str) -> bool {
    object.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == owner_uid)
}

/// The controller reference to put into an owned object. `None` when the owner was never stored: it has no UID.
#[must_use]
pub fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn owner(uid: Option<&str>) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta { name: Some("acme".into()), uid: uid.map(str::to_owned), ..ObjectMeta::default() },
            ..ConfigMap::default()
        }
    }

    fn owned_by(reference: OwnerReference) -> ObjectMeta {
        ObjectMeta { owner_references: Some(vec![reference]), ..ObjectMeta::default() }
    }

    #[test]
    fn the_reference_we_write_is_the_one_we_recognise() {
        let reference = controller_reference(&owner(Some("u1"))).unwrap();
        assert!(is_controlled_by(&owned_by(reference.clone()), "u1"));
        assert!(!is_controlled_by(&owned_by(reference.clone()), "u2"), "recreated owner");
        let plain = OwnerReference { controller: None, ..reference };
        assert!(!is_controlled_by(&owned_by(plain), "u1"), "a mere owner is no controller");
        assert!(!is_controlled_by(&ObjectMeta::default(), "u1"));
    }

    #[test]
    fn an_owner_that_was_never_stored_owns_nothing() {
        assert_eq!(controller_reference(&owner(None)), None);
    }
}
