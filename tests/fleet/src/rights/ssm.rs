//! What a call of Systems Manager is about.

use crate::region::Region;
use crate::sync::lock;
use serde_json::Value;
use stack::iam::{Call, Resource};

/// The question that IAM is asked.
#[must_use]
pub fn asked(region: &Region, operation: &str, body: &[u8]) -> Call {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let texts = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    let bare = |arn: String| Resource::existing(arn, Default::default());
    let Region { name: place, account, .. } = region;
    let parameter = |name: &str| {
        bare(format!("arn:aws:ssm:{place}:{account}:parameter/{}", name.trim_start_matches('/')))
    };
    let resources = match operation {
        "GetParameter" | "PutParameter" | "DeleteParameter" => vec![parameter(text("Name"))],
        "GetParametersByPath" => vec![parameter(text("Path"))],
        "GetParameters" | "DeleteParameters" => {
            texts("Names").filter_map(Value::as_str).map(parameter).collect()
        }
        "SendCommand" => {
            let name = text("DocumentName");
            // AWS's own documents belong to no account.
            let owner = if name.starts_with("AWS-") { "" } else { account.as_str() };
            let inventory = lock(&region.inventory);
            let instances = texts("InstanceIds").filter_map(Value::as_str).map(|id| {
                let tags = inventory.tags_of(id).cloned().unwrap_or_default();
                Resource::existing(format!("arn:aws:ec2:{place}:{account}:instance/{id}"), tags)
            });
            let document = bare(format!("arn:aws:ssm:{place}:{owner}:document/{name}"));
            std::iter::once(document).chain(instances).collect()
        }
        _ => Vec::new(),
    };
    let call =
        Call::new(format!("ssm:{operation}"), resources).with("aws:RequestedRegion", region.name.as_str());
    if operation == "PutParameter" {
        let overwrite = body.get("Overwrite").and_then(Value::as_bool).unwrap_or(false);
        return call.with("ssm:Overwrite", overwrite.to_string());
    }
    call
}
