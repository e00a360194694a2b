//! Systems Manager: Run Command, what it knows of agents, and Parameter Store. JSON with the operation's
//! name in a header.

pub mod commands;
pub mod delivery;
pub mod documents;
pub mod invocation;
pub mod parameters;

use crate::api_error::ApiError;
use crate::clock::epoch;
use crate::ec2::inventory::{Instance, InstanceState};
use crate::random;
use crate::region::Region;
use crate::spec::Agent;
use crate::sync::lock;
use delivery::Delivery;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Serves one request.
///
/// # Errors
/// As SSM answers them.
pub fn serve(region: &Arc<Region>, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
    let now = region.clock.now();
    let parameters = || lock(&region.parameters);
    match operation {
        "SendCommand" => send(region, read(body)?),
        "ListCommandInvocations" => region.commands.list(&read(body)?),
        "GetCommandInvocation" => region.commands.get(&read(body)?),
        "CancelCommand" => region.commands.cancel(&read(body)?, now),
        "DescribeInstanceInformation" => agents(region, &read(body)?),
        "PutParameter" => parameters().put(read(body)?, now),
        "GetParameter" => parameters().get(&read(body)?),
        "GetParameters" => parameters().get_several(&read(body)?),
        "GetParametersByPath" => parameters().by_path(&read(body)?),
        "DeleteParameter" => parameters().delete(&read(body)?),
        "DeleteParameters" => parameters().delete_several(&read(body)?),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("The fleet has no SSM operation {operation}."),
        )),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::new("ValidationException", error.to_string()))
}

/// `SendCommand`: refused as a whole when one instance would not take it.
fn send(region: &Arc<Region>, send: commands::Send) -> Result<Value, ApiError> {
    if !(1..=50).contains(&send.instance_ids.len()) {
        return Err(ApiError::new(
            "ValidationException",
            "the fleet takes 1 to 50 InstanceIds, and no Targets",
        ));
    }
    let within = send.timeout_seconds.unwrap_or(3_600);
    if !(30..=2_592_000).contains(&within) {
        return Err(ApiError::new("ValidationException", "TimeoutSeconds is between 30 and 2592000"));
    }
    let prepared = region.documents.get(&send.document_name)?.prepare(&send.parameters)?;
    let inventory = lock(&region.inventory);
    let unreachable: Vec<&str> =
        send.instance_ids.iter().filter(|id| !inventory.takes_commands(id)).map(String::as_str).collect();
    if !unreachable.is_empty() {
        let message = format!("Instances [[{}]] not in a valid state for account", unreachable.join(", "));
        return Err(ApiError::new("InvalidInstanceId", message));
    }
    drop(inventory);
    let command = random::uuid();
    let now = region.clock.now();
    for (n, instance) in send.instance_ids.iter().enumerate() {
        if send.instance_ids.iter().take(n).any(|earlier| earlier == instance) {
            return Err(ApiError::new("DuplicateInstanceId", format!("{instance} is given twice.")));
        }
    }
    for instance in &send.instance_ids {
        let request = invocation::Request {
            command: command.clone(),
            instance: instance.clone(),
            document: send.document_name.clone(),
            step: prepared.step.clone(),
            parameters: send.parameters.clone(),
            comment: send.comment.clone(),
        };
        let delivery = Delivery {
            handle: region.commands.add(request, now),
            command: command.clone(),
            instance: instance.clone(),
            prepared: prepared.clone(),
            within: Duration::from_secs(within),
        };
        tokio::spawn(delivery.run(Arc::clone(region)));
    }
    Ok(json!({"Command": {
        "CommandId": command,
        "DocumentName": send.document_name,
        "DocumentVersion": "1",
        "Comment": send.comment,
        "Parameters": send.parameters,
        "InstanceIds": send.instance_ids,
        "RequestedDateTime": epoch(now),
        "Status": "Pending",
        "StatusDetails": "Pending",
        "TimeoutSeconds": within,
        "TargetCount": send.instance_ids.len(),
        "CompletedCount": 0,
        "ErrorCount": 0,
    }}))
}

/// `DescribeInstanceInformation`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Information {
    #[serde(default)]
    filters: Vec<InformationFilter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InformationFilter {
    key: String,
    values: Vec<String>,
}

fn agents(region: &Region, asked: &Information) -> Result<Value, ApiError> {
    let size = asked.max_results.unwrap_or(10);
    if !(5..=50).contains(&size) {
        return Err(ApiError::new("ValidationException", "MaxResults is between 5 and 50"));
    }
    if let Some(filter) =
        asked.filters.iter().find(|f| !matches!(f.key.as_str(), "InstanceIds" | "PingStatus"))
    {
        return Err(ApiError::new("InvalidFilterKey", format!("The fleet has no filter {}.", filter.key)));
    }
    let wanted = |instance: &Instance| {
        asked.filters.iter().all(|filter| {
            let value = if filter.key == "PingStatus" { ping(instance) } else { instance.id.as_str() };
            filter.values.iter().any(|wanted| wanted == value)
        })
    };
    let inventory = lock(&region.inventory);
    let mut found = inventory
        .instances
        .values()
        .filter(|instance| instance.agent != Agent::None && wanted(instance))
        .filter(|instance| asked.next_token.as_ref().is_none_or(|token| instance.id > *token))
        .peekable();
    let page: Vec<&Instance> = found.by_ref().take(size).collect();
    let now = region.clock.now();
    let items = page.iter().map(|instance| {
        json!({
            "InstanceId": instance.id,
            "PingStatus": ping(instance),
            "LastPingDateTime": epoch(now),
            "AgentVersion": "3.3.2746.0",
            "IsLatestVersion": true,
            "PlatformType": "Linux",
            "PlatformName": "Debian GNU/Linux",
            "PlatformVersion": "12",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.address,
        })
    });
    let mut answer = json!({"InstanceInformationList": items.collect::<Vec<_>>()});
    if let (Some(_), Some(last), Some(answer)) = (found.peek(), page.last(), answer.as_object_mut()) {
        answer.insert("NextToken".to_owned(), json!(last.id));
    }
    Ok(answer)
}

fn ping(instance: &Instance) -> &'static str {
    if instance.agent == Agent::Online && instance.state == InstanceState::Running {
        "Online"
    } else {
        "ConnectionLost"
    }
}
