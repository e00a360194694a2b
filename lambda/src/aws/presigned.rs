//! The signed URL by which the region of a copy fetches its source. EC2 wants one for encrypted snapshots;
//! the SDK for other languages adds it to every `CopySnapshot`, this one does not.

use super::CallError;
use super::errors::chain;
use aws_config::SdkConfig;
use aws_sdk_ec2::config::{
    ProvideCredentials,
    endpoint::{DefaultResolver, Params, ResolveEndpoint},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use std::{
    error::Error,
    time::{Duration, SystemTime},
};
use stillframe_plan::SnapshotId;

/// Version of EC2's API.
const VERSION: &str = "2016-11-15";
/// How long the URL is good for: EC2 uses it at once.
const VALID: Duration = Duration::from_secs(3_600);

type Failure = Box<dyn Error + Send + Sync>;

/// The URL for the copy of a snapshot of the region `from` in the region `to`.
pub(super) async fn copy_url(
    config: &SdkConfig,
    from: &str,
    to: &str,
    snapshot: &SnapshotId,
) -> Result<String, CallError> {
    let made = async {
        let endpoint = endpoint(config, from).await?;
        let url = format!(
            "{}/?Action=CopySnapshot&Version={VERSION}&SourceRegion={from}&SourceSnapshotId={snapshot}\
             &DestinationRegion={to}",
            endpoint.trim_end_matches('/')
        );
        signed(config, from, &url, crate::timer::system_now()).await
    };
    made.await.map_err(|error: Failure| CallError::Refused {
        operation: "CopySnapshot",
        code: "NotSent".to_owned(),
        message: format!("failed to sign the URL of its source: {}", chain(error.as_ref())),
    })
}

/// EC2's address in a region, or the one that is configured for all.
async fn endpoint(config: &SdkConfig, region: &str) -> Result<String, Failure> {
    if let Some(url) = config.endpoint_url() {
        return Ok(url.to_owned());
    }
    let params = Params::builder().region(region).build()?;
    Ok(DefaultResolver::new().resolve_endpoint(&params).await?.url().to_owned())
}

async fn signed(config: &SdkConfig, region: &str, url: &str, at: SystemTime) -> Result<String, Failure> {
    let provider = config.credentials_provider().ok_or("there are no credentials")?;
    let identity: Identity = provider.provide_credentials().await?.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ec2")
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let mut request = http::Request::builder().uri(url).body(())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_config::Region;
    use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};

    fn config() -> SdkConfig {
        let key = Credentials::new("AKIDTEST", "secret", Some("to/ken+=".to_owned()), None, "test");
        SdkConfig::builder()
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(key))
            .build()
    }

    #[tokio::test]
    async fn the_url_names_source_and_destination_and_is_signed_for_the_source() {
        let url = copy_url(&config(), "eu-central-1", "eu-west-1", &"snap-1".into()).await.unwrap();
        assert!(url.starts_with("https://ec2.eu-central-1.amazonaws.com/?Action=CopySnapshot&"), "{url}");
        for part in [
            "&SourceRegion=eu-central-1",
            "&SourceSnapshotId=snap-1",
            "&DestinationRegion=eu-west-1",
            "%2Feu-central-1%2Fec2%2Faws4_request",
            "X-Amz-Expires=3600",
            "X-Amz-Signature=",
            "X-Amz-Security-Token=to%2Fken%2B%3D",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
    }

    #[tokio::test]
    async fn a_configured_endpoint_and_another_partition_are_heeded() {
        let url = |config: SdkConfig, from: &'static str| async move {
            copy_url(&config, from, "cn-northwest-1", &"snap-1".into()).await.unwrap()
        };
        let elsewhere = config().to_builder().endpoint_url("http://127.0.0.1:9").build();
        assert!(url(elsewhere, "eu-central-1").await.starts_with("http://127.0.0.1:9/?Action="));
        let china = url(config(), "cn-north-1").await;
        assert!(china.starts_with("https://ec2.cn-north-1.amazonaws.com.cn/?"), "{china}");
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_sent() {
        let error = copy_url(&SdkConfig::builder().build(), "eu-central-1", "eu-west-1", &"snap-1".into())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("there are no credentials"), "{error}");
    }
}
