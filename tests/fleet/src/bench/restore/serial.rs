//! The serial way, as tools before this one restore: each volume is made, waited for, attached, waited for and
//! tagged before the next one is begun. It is spared everything else: it knows its snapshots, and has all
//! volumes mounted by one command at the end.

use super::{BenchError, HOST, PATIENCE_S, ended_well, mounted_at, region, wait};
use crate::client::Client;
use crate::process::FleetProcess;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::time::Instant;

/// Restores one volume after the other; the time to the last mount, milliseconds.
pub(super) fn restore(fleet: &FleetProcess, volumes: u8) -> Result<f64, BenchError> {
    let client = fleet.client();
    let snapshots = client.snapshots().map_err(region("list snapshots"))?;
    let began = Instant::now();
    let mut mounts = Vec::new();
    for (n, snapshot) in snapshots.iter().enumerate() {
        let device = device(n);
        let volume = one(client, &snapshot.id, &device)?;
        mounts.push(json!({"volumes": [volume], "mount_point": format!("/srv/{n:02}")}));
    }
    let order = BASE64_STANDARD.encode(json!({"v": 1, "mounts": mounts}).to_string());
    let command = json!({
        "DocumentName": "Stillframe-Mount", "InstanceIds": [HOST], "Parameters": {"order": [order]},
    });
    let sent = client.ssm("SendCommand", &command).map_err(region("send the mount command"))?;
    let mounted = mounted_at(fleet, volumes, || false);
    wait(PATIENCE_S, "the end of the mount command", || ended_well(client, &sent["Command"]["CommandId"]))?;
    let at = mounted.ok_or(BenchError::Waited(PATIENCE_S, "the mounts"))?;
    Ok((at - began).as_secs_f64() * 1_000.0)
}

fn one(client: &Client, snapshot: &str, device: &str) -> Result<String, BenchError> {
    let ask = |step: &'static str, action: &str, fields: &[(&str, &str)]| {
        client.ec2(action, fields).map_err(region(step))
    };
    let made = ask(
        "make a volume",
        "CreateVolume",
        &[("AvailabilityZone", "eu-central-1a"), ("SnapshotId", snapshot), ("VolumeType", "gp3")],
    )?;
    let id = made.split_once("<volumeId>").and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default();
    let is = |state: &str| -> Result<bool, BenchError> {
        let found = ask("look at a volume", "DescribeVolumes", &[("VolumeId.1", id)])?;
        Ok(found.contains(&format!("<status>{state}</status>")))
    };
    wait(PATIENCE_S, "a volume that is available", || is("available"))?;
    ask("attach a volume", "AttachVolume", &[("VolumeId", id), ("InstanceId", HOST), ("Device", device)])?;
    wait(PATIENCE_S, "a volume that is attached", || is("attached"))?;
    let tag = [("ResourceId.1", id), ("Tag.1.Key", "restored"), ("Tag.1.Value", "yes")];
    ask("tag a volume", "CreateTags", &tag)?;
    Ok(id.to_owned())
}

/// `/dev/sdf` to `/dev/sdz`, then `/dev/xvdba` and so on.
fn device(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap_or_default());
    if n < 21 { format!("/dev/sd{}", letter(n + 5)) } else { format!("/dev/xvdb{}", letter(n - 21)) }
}
