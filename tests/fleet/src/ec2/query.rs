//! Requests of the EC2 query API: form fields with numbered names, `Filter.1.Value.2=x`.
//!
//! Each operation takes the fields that it knows; what is left over is refused as EC2 does, so that no
//! parameter is silently ignored.

use crate::api_error::ApiError;
use std::collections::BTreeMap;

/// The fields of one request that nobody has taken yet.
#[derive(Debug, Clone, Default)]
pub struct Query {
    action: String,
    fields: BTreeMap<String, String>,
}

/// One filter of a describing call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Its name.
    pub name: String,
    /// Patterns, of which one must match.
    pub values: Vec<String>,
}

impl Query {
    /// Takes the form's pairs.
    #[must_use]
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut fields: BTreeMap<String, String> = pairs.into_iter().collect();
        fields.remove("Version");
        let action = fields.remove("Action").unwrap_or_default();
        Self { action, fields }
    }

    /// The operation's name.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The instance that the request is about, where it is about one. Takes nothing.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        let names = ["InstanceSpecification.InstanceId", "InstanceId", "InstanceId.1"];
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    /// The names of all fields that nobody has taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// A field, if it is there.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.fields.remove(name)
    }

    /// A field that must be there.
    pub fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            ApiError::new("MissingParameter", format!("The request must contain the parameter {name}"))
        })
    }

    /// A field that is `true` or `false`; `false` when left out.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(value) => Err(invalid(name, value)),
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        self.take(name).map(|value| value.parse().map_err(|_| invalid(name, &value))).transpose()
    }

    /// The values of `name.1`, `name.2`, ...
    pub fn list(&mut self, name: &str) -> Vec<String> {
        self.numbers(name).into_iter().filter_map(|n| self.take(&format!("{name}.{n}"))).collect()
    }

    /// The `Filter.N` of a describing call.
    pub fn filters(&mut self) -> Result<Vec<Filter>, ApiError> {
        let filters: Vec<Filter> = self
            .numbers("Filter")
            .into_iter()
            .map(|n| {
                let name = self.required(&format!("Filter.{n}.Name"))?;
                Ok(Filter { name, values: self.list(&format!("Filter.{n}.Value")) })
            })
            .collect::<Result<_, ApiError>>()?;
        let values: usize = filters.iter().map(|filter| filter.values.len()).sum();
        if values > 200 {
            return Err(ApiError::new(
                "FilterLimitExceeded",
                format!("The maximum number of filter values is 200, the request has {values}"),
            ));
        }
        Ok(filters)
    }

    /// Tags of `<prefix>.N.Key` and `<prefix>.N.Value`.
    pub fn tags(&mut self, prefix: &str) -> Result<Vec<(String, String)>, ApiError> {
        self.numbers(prefix)
            .into_iter()
            .map(|n| {
                let key = self.required(&format!("{prefix}.{n}.Key"))?;
                Ok((key, self.take(&format!("{prefix}.{n}.Value")).unwrap_or_default()))
            })
            .collect()
    }

    /// The tags that `TagSpecification.N` has for a resource type.
    pub fn tag_specification(&mut self, resource_type: &str) -> Result<Vec<(String, String)>, ApiError> {
        let mut tags = Vec::new();
        for n in self.numbers("TagSpecification") {
            let given = self.required(&format!("TagSpecification.{n}.ResourceType"))?;
            if given != resource_type {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("'{given}' is not a valid taggable resource type for this operation."),
                ));
            }
            tags.extend(self.tags(&format!("TagSpecification.{n}.Tag"))?);
        }
        Ok(tags)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// A field was not taken.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(ApiError::new("UnknownParameter", format!("The parameter {name} is not recognized")))
            }
        }
    }

    /// The numbers `n` for which a field `name.n` or `name.n.*` exists, in order.
    pub fn numbers(&self, name: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .fields
            .keys()
            .filter_map(|field| field.strip_prefix(name)?.strip_prefix('.')?.split('.').next()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// The error for a value that a parameter cannot have.
pub fn invalid(name: &str, value: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("Value ({value}) for parameter {name} is invalid."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn numbered_fields_come_in_the_order_of_their_numbers() {
        let pairs: Vec<(String, String)> =
            (1..=12).rev().map(|n| (format!("VolumeId.{n}"), format!("v{n}"))).collect();
        let mut query = Query::new(pairs);
        assert_eq!(query.list("VolumeId"), (1..=12).map(|n| format!("v{n}")).collect::<Vec<_>>());
        assert_eq!(query.finish(), Ok(()));
    }

    #[test]
    fn filters_and_tag_specifications_are_read() {
        let mut query = query(&[
            ("Filter.1.Name", "tag:a"),
            ("Filter.1.Value.1", "x*"),
            ("Filter.1.Value.2", "y"),
            ("TagSpecification.1.ResourceType", "snapshot"),
            ("TagSpecification.1.Tag.1.Key", "k"),
            ("TagSpecification.1.Tag.1.Value", "v"),
            ("TagSpecification.1.Tag.2.Key", "empty"),
        ]);
        let filters = query.filters().unwrap();
        assert_eq!(filters, [Filter { name: "tag:a".into(), values: vec!["x*".into(), "y".into()] }]);
        let tags = query.tag_specification("snapshot").unwrap();
        assert_eq!(tags, [("k".to_owned(), "v".to_owned()), ("empty".to_owned(), String::new())]);
        assert_eq!(query.finish(), Ok(()));
    }

    #[test]
    fn what_nobody_takes_is_refused_by_name() {
        let mut query = query(&[("Action", "DescribeVolumes"), ("Version", "2016-11-15"), ("Flavour", "x")]);
        assert_eq!(query.list("VolumeId"), Vec::<String>::new());
        let error = query.finish().unwrap_err();
        assert_eq!(error.code, "UnknownParameter");
        assert!(error.message.contains("Flavour"));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let mut query = query(&[("DryRun", "perhaps"), ("MaxResults", "-1")]);
        assert!(query.flag("DryRun").unwrap_err().message.contains("DryRun"));
        assert!(query.number("MaxResults").unwrap_err().message.contains("MaxResults"));
        assert_eq!(query.required("VolumeId").unwrap_err().code, "MissingParameter");
    }

    #[test]
    fn too_many_filter_values_are_refused() {
        let mut pairs = vec![("Filter.1.Name".to_owned(), "volume-id".to_owned())];
        pairs.extend((1..=201).map(|n| (format!("Filter.1.Value.{n}"), n.to_string())));
        assert_eq!(Query::new(pairs).filters().unwrap_err().code, "FilterLimitExceeded");
    }
}
