//! Which Databases an instance serves: its selector against names and labels, nothing else. Pure.

use std::collections::BTreeMap;

use api_types::{DatabaseSelector, LabelExpression, LabelOperator};

/// Whether a Database of the instance's namespace is selected. Absent selects all; what is given must all hold.
#[must_use]
pub fn selects(selector: Option<&DatabaseSelector>, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else { return true };
    let named = selector.match_names.is_empty() || selector.match_names.iter().any(|wanted| wanted == name);
    named
        && selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(|expression| holds(expression, labels))
}

/// As in Kubernetes' own selectors, `NotIn` holds for an absent label too.
fn holds(expression: &LabelExpression, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&expression.key);
    match expression.operator {
        LabelOperator::Exists => value.is_some(),
        LabelOperator::DoesNotExist => value.is_none(),
        LabelOperator::In => value.is_some_and(|value| expression.values.contains(value)),
        LabelOperator::NotIn => value.is_none_or(|value| !expression.values.contains(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(selector: &str) -> Vec<&'static str> {
        let selector: Option<DatabaseSelector> = serde_norway::from_str(selector).unwrap();
        let databases = [("orders", "env=prod"), ("users", "env=prod,team=data"), ("scratch", "env=dev"), ("bare", "")];
        let labels = |text: &str| {
            text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        databases
            .iter()
            .filter(|(name, text)| selects(selector.as_ref(), name, &labels(text)))
            .map(|(n, _)| *n)
            .collect()
    }

    #[test]
    fn absent_and_empty_select_all() {
        assert_eq!(selected("null").len(), 4);
        assert_eq!(selected("{}").len(), 4);
    }

    #[test]
    fn names_and_labels_and_expressions_must_all_hold() {
        assert_eq!(selected("matchLabels: {env: prod}"), ["orders", "users"]);
        assert_eq!(selected("{matchLabels: {env: prod}, matchNames: [users, scratch]}"), ["users"]);
        assert_eq!(
            selected("{matchLabels: {env: prod}, matchExpressions: [{key: team, operator: DoesNotExist}]}"),
            ["orders"]
        );
        assert!(selected("{matchNames: [nobody]}").is_empty());
    }

    #[test]
    fn each_operator_means_what_kubernetes_means() {
        assert_eq!(selected("matchExpressions: [{key: env, operator: In, values: [prod]}]"), ["orders", "users"]);
        assert_eq!(selected("matchExpressions: [{key: env, operator: NotIn, values: [prod]}]"), ["scratch", "bare"]);
        assert_eq!(selected("matchExpressions: [{key: team, operator: Exists}]"), ["users"]);
        assert_eq!(selected("matchExpressions: [{key: env, operator: DoesNotExist}]"), ["bare"]);
    }
}
