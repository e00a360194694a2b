//! Filters of describing calls: names are joined by "and", values of one by "or"; `*` and `?` are
//! wildcards, a backslash takes their meaning away. Values are compared with case.

use super::query::Filter;
use crate::api_error::ApiError;
use std::collections::BTreeMap;

/// Something that can be described.
pub trait Describable {
    /// Its id; pages are in the order of ids.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &BTreeMap<String, String>;
    /// Its values under a filter's name; `None` when there is no such filter for its kind.
    fn values(&self, filter: &str) -> Option<Vec<String>>;
}

/// Whether a filter's name exists for a kind of resource. Asked before any resource is looked at, so
/// that a misspelt filter is refused in an empty region too.
pub fn check(filters: &[Filter], known: &[&str]) -> Result<(), ApiError> {
    for filter in filters {
        let name = filter.name.as_str();
        if !(name == "tag-key" || name.starts_with("tag:") || known.contains(&name)) {
            return Err(ApiError::new("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        }
        if filter.values.is_empty() {
            return Err(ApiError::new("InvalidParameterValue", format!("The filter '{name}' has no value")));
        }
    }
    Ok(())
}

/// Whether all filters match.
pub fn matches(resource: &impl Describable, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        let matches = |value: &String| filter.values.iter().any(|pattern| wildcard(pattern, value));
        if filter.name == "tag-key" {
            resource.tags().keys().any(matches)
        } else if let Some(key) = filter.name.strip_prefix("tag:") {
            resource.tags().get(key).is_some_and(matches)
        } else {
            resource.values(&filter.name).unwrap_or_default().iter().any(matches)
        }
    })
}

/// Whether a value matches a pattern.
pub fn wildcard(pattern: &str, value: &str) -> bool {
    // Most have none of these, and hundreds of thousands of records are compared.
    if !(pattern.contains('*') || pattern.contains('?') || pattern.contains('\\')) {
        return pattern == value;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let value: Vec<char> = value.chars().collect();
    matches_from(&pattern, &value)
}

fn matches_from(pattern: &[char], value: &[char]) -> bool {
    match pattern {
        [] => value.is_empty(),
        ['*', rest @ ..] => {
            (0..=value.len()).any(|skipped| matches_from(rest, value.get(skipped..).unwrap_or_default()))
        }
        ['?', rest @ ..] => value.split_first().is_some_and(|(_, tail)| matches_from(rest, tail)),
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            value.split_first().is_some_and(|(first, tail)| first == literal && matches_from(rest, tail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, value, matching) in [
            ("daily", "daily", true),
            ("daily", "Daily", false),
            ("dai*", "daily", true),
            ("*", "", true),
            ("*ly", "daily", true),
            ("d*l?", "daily", true),
            ("d?y", "daily", false),
            ("", "x", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a\\?", "ab", false),
            ("*a*b*", "xxaxxbxx", true),
            ("d*", "täglich", false),
            ("t?glich", "täglich", true),
        ] {
            assert_eq!(wildcard(pattern, value), matching, "{pattern:?} on {value:?}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused_by_name() {
        let filter = |name: &str| vec![Filter { name: name.to_owned(), values: vec!["x".to_owned()] }];
        assert_eq!(check(&filter("volume-id"), &["volume-id"]), Ok(()));
        assert_eq!(check(&filter("tag:anything at all"), &[]), Ok(()));
        assert_eq!(check(&filter("tag-key"), &[]), Ok(()));
        let error = check(&filter("volume-colour"), &["volume-id"]).unwrap_err();
        assert_eq!(error.code, "InvalidParameterValue");
        assert!(error.message.contains("volume-colour"));
    }
}
