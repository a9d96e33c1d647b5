//! What agents may do with one database: the stricter of what the instance and the Database say, field by field. Pure.

use api_types::{DatabasePolicy, Operation, Policy};

/// The policy of an instance. An empty list of operations means both, and an order or repetition means nothing.
#[must_use]
pub fn of_instance(policy: Option<&Policy>) -> Policy {
    let mut policy = policy.cloned().unwrap_or_default();
    if policy.allowed_operations.is_empty() {
        policy.allowed_operations = Operation::all();
    }
    sorted(policy)
}

/// The policy of a Database, where what it leaves out restricts nothing. It is asked for to restrict, so an empty list
/// of operations, which admission refuses, allows none.
#[must_use]
pub fn of_database(policy: Option<&DatabasePolicy>) -> Policy {
    let DatabasePolicy { readonly, max_rows, allowed_operations } = policy.cloned().unwrap_or_default();
    sorted(Policy {
        readonly: readonly.unwrap_or(false),
        max_rows: max_rows.unwrap_or(i32::MAX),
        allowed_operations: allowed_operations.unwrap_or_else(Operation::all),
    })
}

/// The stricter of both, field by field. Its operations may be none.
#[must_use]
pub fn stricter(one: &Policy, other: &Policy) -> Policy {
    let both = |operation: &Operation| other.allowed_operations.contains(operation);
    sorted(Policy {
        readonly: one.readonly || other.readonly,
        max_rows: one.max_rows.min(other.max_rows),
        allowed_operations: one.allowed_operations.iter().copied().filter(both).collect(),
    })
}

fn sorted(mut policy: Policy) -> Policy {
    policy.allowed_operations.sort_unstable();
    policy.allowed_operations.dedup();
    policy
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that can stand in a policy, in any order and twice.
    fn any_policy() -> impl Strategy<Value = Policy> {
        let operations = prop::sample::select(Operation::all());
        let fields = (any::<bool>(), 1..2000_i32, prop::collection::vec(operations, 0..4));
        fields.prop_map(|(readonly, max_rows, allowed_operations)| {
            sorted(Policy { readonly, max_rows, allowed_operations })
        })
    }

    fn any_database_policy() -> impl Strategy<Value = DatabasePolicy> {
        let operations = prop::collection::vec(prop::sample::select(Operation::all()), 0..4);
        let fields = (any::<Option<bool>>(), prop::option::of(1..2000_i32), prop::option::of(operations));
        fields.prop_map(|(readonly, max_rows, allowed_operations)| DatabasePolicy {
            readonly,
            max_rows,
            allowed_operations,
        })
    }

    fn is_as_strict(policy: &Policy, than: &Policy) -> bool {
        (policy.readonly || !than.readonly)
            && policy.max_rows <= than.max_rows
            && policy.allowed_operations.iter().all(|operation| than.allowed_operations.contains(operation))
    }

    proptest! {
        #[test]
        fn the_order_means_nothing(a in any_policy(), b in any_policy(), c in any_policy()) {
            prop_assert_eq!(stricter(&a, &b), stricter(&b, &a));
            prop_assert_eq!(stricter(&stricter(&a, &b), &c), stricter(&a, &stricter(&b, &c)));
        }

        #[test]
        fn saying_it_twice_means_nothing(a in any_policy(), b in any_policy()) {
            prop_assert_eq!(stricter(&a, &a), a.clone());
            let both = stricter(&a, &b);
            prop_assert_eq!(stricter(&both, &b), both);
        }

        #[test]
        fn nothing_is_looser_than_either_side_nor_stricter_than_both(a in any_policy(), b in any_policy()) {
            let both = stricter(&a, &b);
            prop_assert!(is_as_strict(&both, &a) && is_as_strict(&both, &b));
            prop_assert!(both.readonly == a.readonly || both.readonly == b.readonly);
            prop_assert!(both.max_rows == a.max_rows || both.max_rows == b.max_rows);
        }

        #[test]
        fn a_database_restricts_by_what_it_says_alone(instance in any_policy(), own in any_database_policy()) {
            let both = stricter(&instance, &of_database(Some(&own)));
            prop_assert!(is_as_strict(&both, &instance));
            if own.readonly != Some(true) {
                prop_assert_eq!(both.readonly, instance.readonly);
            }
            if own.max_rows.is_none() {
                prop_assert_eq!(both.max_rows, instance.max_rows);
            }
            if own.allowed_operations.is_none() {
                prop_assert_eq!(&both.allowed_operations, &instance.allowed_operations);
            }
            prop_assert_eq!(stricter(&instance, &of_database(None)), instance);
        }
    }
}
