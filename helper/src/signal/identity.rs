//! What the environment and the instance say of AWS: region, credentials, endpoint. Not the SDK's whole
//! chain: a root process on an EC2 instance has neither profiles nor a container's role, and the code for
//! those would be a twentieth of the helper.

use super::SignalError;
use crate::describe;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_lambda::config::{Builder, Credentials, ProvideCredentials, Region, SharedHttpClient};

/// Region and credentials.
pub(super) struct Identity {
    pub(super) region: Region,
    pub(super) credentials: Credentials,
}

impl Identity {
    /// Asks the environment first and then the instance's metadata.
    ///
    /// # Errors
    /// Neither says where, or who.
    pub(super) async fn find(function: &str, http: SharedHttpClient) -> Result<Self, SignalError> {
        let metadata = ProviderConfig::without_region().with_http_client(http);
        let region = match known_region(function, variable) {
            Some(region) => Some(region),
            None => ImdsRegionProvider::builder().configure(&metadata).build().region().await,
        };
        let chain =
            CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("Instance", ImdsCredentialsProvider::builder().configure(&metadata).build());
        let credentials = chain.provide_credentials();
        Ok(Self {
            region: region.ok_or(SignalError::NoRegion)?,
            credentials: credentials.await.map_err(|error| SignalError::Credentials(describe(&error)))?,
        })
    }
}

/// An endpoint that is not the region's usual one, by the SDKs' variables.
pub(super) fn with_endpoint(config: Builder) -> Builder {
    let is_set = |name: &str| variable(name).map(|value| value.eq_ignore_ascii_case("true"));
    let mut config = config;
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL_LAMBDA").or_else(|| variable("AWS_ENDPOINT_URL")));
    config.set_use_fips(is_set("AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(is_set("AWS_USE_DUALSTACK_ENDPOINT"));
    config
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The region, as far as it can be had without asking the instance's metadata: what the environment says
/// before what the function's name says, and the agent at last.
fn known_region(function: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Region> {
    let said = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    said.map(Region::new)
        .or_else(|| region_of(function))
        .or_else(|| variable("AWS_SSM_REGION_NAME").map(Region::new))
}

/// The region of a function that is named by its ARN.
fn region_of(function: &str) -> Option<Region> {
    let mut parts = function.split(':');
    (parts.next() == Some("arn")).then(|| parts.nth(2))?.map(|region| Region::new(region.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_region() {
        let region = region_of("arn:aws:lambda:eu-north-1:123456789012:function:signal");
        assert_eq!(region, Some(Region::new("eu-north-1")));
        assert_eq!(region_of("signal"), None);
        assert_eq!(region_of("123456789012:function:signal"), None);
    }

    #[test]
    fn the_environment_comes_before_the_function_and_the_agent_last() {
        let agent = |name: &str| (name == "AWS_SSM_REGION_NAME").then(|| "us-east-1".to_owned());
        let arn = "arn:aws:lambda:eu-north-1:123456789012:function:signal";
        assert_eq!(known_region("signal", agent), Some(Region::new("us-east-1")));
        assert_eq!(known_region(arn, agent), Some(Region::new("eu-north-1")));
        assert_eq!(known_region(arn, |_| Some("eu-west-1".to_owned())), Some(Region::new("eu-west-1")));
        assert_eq!(known_region("signal", |_| None), None);
    }
}
