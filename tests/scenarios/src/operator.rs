//! What an operator does in the region: with the AWS CLI, and with the same calls made directly where the
//! CLI's half a second each would be the test.

use crate::region::Region;
use serde_json::{Value, json};
use std::process::Command;

const ADMIN: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAADMINADMINADMIN0"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
];

impl Region {
    /// Runs the AWS CLI against the region as an administrator; its JSON, or what it said.
    pub fn aws(&self, arguments: &str) -> Result<Value, String> {
        self.aws_with(arguments, &ADMIN)
    }

    /// Runs the AWS CLI with the credentials that an instance has from its metadata service.
    pub fn aws_as_instance(&self, instance: &str, arguments: &str) -> Result<Value, String> {
        // What an instance is refused is the answer that such a test looks at.
        self.expect_denials();
        let (id, secret, token) = self.client().instance_credentials(instance).expect("credentials");
        self.aws_with(
            arguments,
            &[
                ("AWS_ACCESS_KEY_ID", &id),
                ("AWS_SECRET_ACCESS_KEY", &secret),
                ("AWS_SESSION_TOKEN", &token),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
            ],
        )
    }

    fn aws_with(&self, arguments: &str, credentials: &[(&str, &str)]) -> Result<Value, String> {
        let output = Command::new("aws")
            .args(["--endpoint-url", self.endpoint(), "--output", "json"])
            .args(arguments.split_whitespace())
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(credentials.iter().copied())
            .output()
            .map_err(|error| format!("aws: {error}"))?;
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Stops an instance and waits until it is stopped.
    pub fn stop_instance(&self, instance: &str, force: bool) {
        let force = if force { "true" } else { "false" };
        self.ec2("StopInstances", &[("InstanceId.1", instance), ("Force", force)]);
        self.wait_for_state(instance, "stopped");
    }

    /// Starts an instance and waits until it runs.
    pub fn start_instance(&self, instance: &str) {
        self.ec2("StartInstances", &[("InstanceId.1", instance)]);
        self.wait_for_state(instance, "running");
    }

    /// Terminates an instance and waits until it is gone.
    pub fn terminate_instance(&self, instance: &str) {
        self.ec2("TerminateInstances", &[("InstanceId.1", instance)]);
        self.wait_for_state(instance, "terminated");
    }

    /// Reboots an instance; it runs again afterwards.
    pub fn reboot_instance(&self, instance: &str) {
        self.ec2("RebootInstances", &[("InstanceId.1", instance)]);
    }

    /// Runs a shell script on an instance, as an operator with Systems Manager does; what it printed.
    ///
    /// # Panics
    /// It does not end well.
    pub fn run_on(&self, instance: &str, script: &str) -> String {
        let step = json!({
            "action": "aws:runShellScript", "name": "shell", "inputs": {"runCommand": [script]},
        });
        let document = json!({"schemaVersion": "2.2", "mainSteps": [step]});
        self.client().put_document("Shell", &document).expect("the region takes a document");
        let end = self.run_document(instance, "Shell", &json!({}));
        assert_eq!(end["Status"], "Success", "{script}: {end}");
        end["StandardOutputContent"].as_str().unwrap_or_default().to_owned()
    }

    fn wait_for_state(&self, instance: &str, state: &str) {
        self.wait_until(state, || {
            let found = self.ec2("DescribeInstances", &[("InstanceId.1", instance)]);
            found.contains(&format!("<name>{state}</name>"))
        });
    }

    /// Makes a blank volume and returns its id.
    #[must_use]
    pub fn create_volume(&self, size_gib: u32) -> String {
        let made = self
            .ec2("CreateVolume", &[("AvailabilityZone", "eu-central-1a"), ("Size", &size_gib.to_string())]);
        let (_, rest) = made.split_once("<volumeId>").expect("an id");
        rest.split('<').next().expect("an end").to_owned()
    }

    /// Volumes that restores have made: how many there are, and how many of them are attached.
    #[must_use]
    pub fn restored_volumes(&self) -> (usize, usize) {
        let filter = [("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "stillframe:restored-for")];
        let found = self.ec2("DescribeVolumes", &filter);
        (found.matches("<volumeType>").count(), found.matches("<status>attached</status>").count())
    }

    /// Writes a parameter.
    pub fn put_parameter(&self, name: &str, value: &Value) {
        self.ssm("PutParameter", &json!({"Name": name, "Value": value.to_string(), "Type": "String"}));
    }

    /// Attaches a volume.
    pub fn attach_volume(&self, instance: &str, volume: &str, device: &str) {
        self.ec2("AttachVolume", &[("InstanceId", instance), ("VolumeId", volume), ("Device", device)]);
    }

    /// Unmounts and detaches a volume, as a careful operator does.
    pub fn detach_volume(&self, instance: &str, volume: &str) {
        self.ec2("DetachVolume", &[("InstanceId", instance), ("VolumeId", volume)]);
        self.wait_until("a detached volume", || {
            self.ec2("DescribeVolumes", &[("VolumeId.1", volume)]).contains("<status>available</status>")
        });
    }

    /// Deletes a snapshot, as somebody does who knows of no policy.
    pub fn delete_snapshot(&self, snapshot: &str) {
        self.ec2("DeleteSnapshot", &[("SnapshotId", snapshot)]);
    }

    /// Copies a snapshot within the region, with these tags.
    pub fn copy_to_home(&self, snapshot: &str, tags: &[(&str, &str)]) {
        let mut parameters = vec![
            ("SourceRegion".to_owned(), "eu-central-1"),
            ("SourceSnapshotId".to_owned(), snapshot),
            ("TagSpecification.1.ResourceType".to_owned(), "snapshot"),
        ];
        for (n, (key, value)) in tags.iter().enumerate() {
            parameters.push((format!("TagSpecification.1.Tag.{}.Key", n + 1), key));
            parameters.push((format!("TagSpecification.1.Tag.{}.Value", n + 1), value));
        }
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        self.ec2("CopySnapshot", &parameters);
    }

    pub(crate) fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.client().ec2(action, parameters).unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    pub(crate) fn ssm(&self, operation: &str, body: &Value) -> Value {
        self.client().ssm(operation, body).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Cancels every command that runs.
    pub(crate) fn cancel_commands(&self) {
        let running = self.ssm("ListCommandInvocations", &json!({}));
        for invocation in running["CommandInvocations"].as_array().into_iter().flatten() {
            if invocation["Status"] == "InProgress" {
                self.ssm("CancelCommand", &json!({"CommandId": invocation["CommandId"]}));
            }
        }
    }
}
