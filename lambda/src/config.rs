//! What the environment tells a function about its surroundings, read once at its start.

use crate::clock::{BadOffset, Clock, OFFSET_VARIABLE};

/// The surroundings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The function's clock.
    pub clock: Clock,
    /// Name or ARN of the signal function, which the helpers invoke: `STILLFRAME_SIGNAL_FUNCTION`,
    /// default `signal`.
    pub signal_function: String,
    /// Name of this function, which it invokes to go on: Lambda's own `AWS_LAMBDA_FUNCTION_NAME`.
    pub own_function: String,
    /// The region that it runs in: Lambda's own `AWS_REGION`.
    pub region: Option<String>,
    /// Where the parameters live: `STILLFRAME_PARAMETER_PREFIX`, default `/stillframe`.
    pub parameter_prefix: String,
    /// What the names of the SSM documents begin with: `STILLFRAME_DOCUMENT_PREFIX`, default `Stillframe`.
    pub document_prefix: String,
    /// The metrics' namespace: `STILLFRAME_METRICS_NAMESPACE`, default `Stillframe`.
    pub metrics_namespace: String,
}

impl Config {
    /// Reads the variables through `variable`.
    ///
    /// # Errors
    /// The clock's offset is not a number.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadOffset> {
        let or = |name: &str, default: &str| {
            variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            clock: Clock::new(variable(OFFSET_VARIABLE).as_deref())?,
            signal_function: or("STILLFRAME_SIGNAL_FUNCTION", "signal"),
            own_function: or("AWS_LAMBDA_FUNCTION_NAME", "backup"),
            region: variable("AWS_REGION").filter(|name| !name.is_empty()),
            parameter_prefix: or("STILLFRAME_PARAMETER_PREFIX", "/stillframe"),
            document_prefix: or("STILLFRAME_DOCUMENT_PREFIX", "Stillframe"),
            metrics_namespace: or("STILLFRAME_METRICS_NAMESPACE", "Stillframe"),
        })
    }

    /// Name of the parameter that holds the signing key.
    #[must_use]
    pub fn key_parameter(&self) -> String {
        format!("{}/signing-key", self.parameter_prefix)
    }

    /// Name of the parameter that holds a restore's spec.
    #[must_use]
    pub fn restore_parameter(&self, name: &str) -> String {
        format!("{}/restore/{name}", self.parameter_prefix)
    }

    /// Path of the leases of a policy's copying.
    #[must_use]
    pub fn copy_lease_path(&self, policy: &str) -> String {
        format!("{}/copies", self.lease_path(policy))
    }

    /// Path of a policy's leases.
    #[must_use]
    pub fn lease_path(&self, policy: &str) -> String {
        format!("{}/lease/{policy}", self.parameter_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_or_empty_has_a_default() {
        let config = Config::read(|name| (name == "STILLFRAME_SIGNAL_FUNCTION").then(String::new)).unwrap();
        assert_eq!(config.signal_function, "signal");
        assert_eq!(config.key_parameter(), "/stillframe/signing-key");
        assert_eq!(config.lease_path("daily"), "/stillframe/lease/daily");
        assert_eq!(
            (config.document_prefix.as_str(), config.metrics_namespace.as_str()),
            ("Stillframe", "Stillframe")
        );
        assert_eq!(config.copy_lease_path("daily"), "/stillframe/lease/daily/copies");
    }

    #[test]
    fn what_is_set_is_taken() {
        let config = Config::read(|name| match name {
            "STILLFRAME_PARAMETER_PREFIX" => Some("/team-a".to_owned()),
            "AWS_LAMBDA_FUNCTION_NAME" => Some("team-a-backup".to_owned()),
            _ => None,
        })
        .unwrap();
        assert_eq!(config.lease_path("hourly"), "/team-a/lease/hourly");
        assert_eq!(config.own_function, "team-a-backup");
    }
}
