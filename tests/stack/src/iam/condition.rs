//! Conditions: operators over the keys of a request.

use super::wildcard::{arn_matches, matches};
use serde_json::Value;
use std::collections::BTreeMap;

/// The keys of a request, in lower case (IAM does not tell them apart by case), each with its values.
pub type Context = BTreeMap<String, Vec<String>>;

/// A condition that is not known here: the template uses more than the evaluator can judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition operator {0} is not known here")]
pub struct ConditionError(pub String);

/// All operators of a statement's `Condition`; every one has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(Vec<Test>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    operator: String,
    key: String,
    values: Vec<String>,
}

impl Condition {
    /// Reads `{"StringEquals": {"key": ["value"]}}`.
    #[must_use]
    pub fn read(condition: &Value) -> Self {
        let operators = condition.as_object().into_iter().flatten();
        let tests = operators.flat_map(|(operator, keys)| {
            keys.as_object().into_iter().flatten().map(|(key, values)| Test {
                operator: operator.clone(),
                key: key.to_lowercase(),
                values: super::policy::texts(values),
            })
        });
        Self(tests.collect())
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// An operator is not known here.
    pub fn holds(&self, context: &Context) -> Result<bool, ConditionError> {
        self.0.iter().try_fold(true, |all, test| Ok(test.holds(context)? && all))
    }
}

impl Test {
    fn holds(&self, context: &Context) -> Result<bool, ConditionError> {
        let present = context.get(&self.key).filter(|values| !values.is_empty());
        if self.operator == "Null" {
            let wants_absent = self.values.iter().any(|value| value == "true");
            return Ok(present.is_none() == wants_absent);
        }
        let (set, operator) = match self.operator.split_once(':') {
            Some((set, operator)) => (Some(set), operator),
            None => (None, self.operator.as_str()),
        };
        let (operator, if_exists) =
            operator.strip_suffix("IfExists").map_or((operator, false), |operator| (operator, true));
        let (negated, compare): (bool, fn(&str, &str) -> bool) = match operator {
            "StringEquals" => (false, |wanted, is| wanted == is),
            "StringNotEquals" => (true, |wanted, is| wanted == is),
            "StringEqualsIgnoreCase" | "Bool" => (false, str::eq_ignore_ascii_case),
            "StringLike" => (false, matches),
            "StringNotLike" => (true, matches),
            "ArnEquals" | "ArnLike" => (false, arn_matches),
            _ => return Err(ConditionError(self.operator.clone())),
        };
        let fits = |is: &String| self.values.iter().any(|wanted| compare(wanted, is)) != negated;
        Ok(match (set, present) {
            // Of no values all fit: why a Null test belongs beside it.
            (Some("ForAllValues"), values) => values.into_iter().flatten().all(fits),
            (Some("ForAnyValue"), values) => values.into_iter().flatten().any(fits),
            (Some(_), _) => return Err(ConditionError(self.operator.clone())),
            (None, None) => if_exists || negated,
            (None, Some(values)) => values.iter().all(fits),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(condition: &Value, context: &[(&str, &[&str])]) -> bool {
        let context = context
            .iter()
            .map(|(key, values)| (key.to_lowercase(), values.iter().map(|one| (*one).to_owned()).collect()))
            .collect();
        Condition::read(condition).holds(&context).unwrap()
    }

    #[test]
    fn operators_decide_as_iam_says_of_keys_that_are_there_and_of_such_that_are_not() {
        let there: &[(&str, &[&str])] = &[("aws:RequestTag/a", &["x"])];
        for (condition, with, without) in [
            (json!({"StringEquals": {"aws:requesttag/A": ["x", "y"]}}), true, false),
            (json!({"StringEquals": {"aws:RequestTag/a": "y"}}), false, false),
            (json!({"StringNotEquals": {"aws:RequestTag/a": "y"}}), true, true),
            (json!({"StringNotEquals": {"aws:RequestTag/a": "x"}}), false, true),
            (json!({"StringEqualsIfExists": {"aws:RequestTag/a": "y"}}), false, true),
            (json!({"StringLike": {"aws:RequestTag/a": "*"}}), true, false),
            (json!({"StringEqualsIgnoreCase": {"aws:RequestTag/a": "X"}}), true, false),
            (json!({"Null": {"aws:RequestTag/a": "false"}}), true, false),
            (json!({"Null": {"aws:RequestTag/a": "true"}}), false, true),
            (
                json!({"Null": {"aws:RequestTag/a": "false"}, "StringEquals": {"aws:RequestTag/a": "y"}}),
                false,
                false,
            ),
        ] {
            assert_eq!((holds(&condition, there), holds(&condition, &[])), (with, without), "{condition}");
        }
    }

    #[test]
    fn for_all_values_holds_of_none_and_breaks_by_one() {
        let condition = json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}});
        assert!(holds(&condition, &[]));
        assert!(holds(&condition, &[("aws:TagKeys", &["a"])]));
        assert!(!holds(&condition, &[("aws:TagKeys", &["a", "c"])]));
        let condition = json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}});
        assert!(!holds(&condition, &[]));
        assert!(holds(&condition, &[("aws:TagKeys", &["a", "c"])]));
    }

    #[test]
    fn an_operator_that_is_not_known_is_no_guess() {
        let condition = Condition::read(&json!({"NumericLessThan": {"s3:max-keys": "1"}}));
        assert_eq!(condition.holds(&Context::new()), Err(ConditionError("NumericLessThan".to_owned())));
    }
}
