//! The template, read as CloudFormation reads it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use serde_json::{Value, json};
use stack::infra;
use stack::parameters;
use stack::rule;
use stack::template::{Stack, Template};
use stillframe_plan::{Action, Event, Policy};

fn template() -> Template {
    Template::read(&std::fs::read_to_string(infra().join("template.yaml")).unwrap()).unwrap()
}

/// Everything that a parameter can switch on, and the defaults.
const VARIANTS: [&[(&str, &str)]; 6] = [
    &[],
    &[("CopyRegions", "eu-west-1,eu-central-1"), ("CopyKeepDaily", "30")],
    &[(
        "KmsKeyArns",
        "arn:aws:kms:us-east-1:123456789012:key/k1,arn:aws:kms:eu-west-1:123456789012:key/mrk-2",
    )],
    &[("AlarmEmail", "ops@example.org"), ("AlarmTopicArn", "arn:aws:sns:us-east-1:123456789012:ops")],
    &[("HelperSource", "https://example.org/stillframe"), ("DailyState", "DISABLED")],
    &[("Prefix", "team-a"), ("Architecture", "x86_64"), ("TimeZone", "America/Argentina/Buenos_Aires")],
];

fn stacks() -> Vec<Stack> {
    let template = template();
    VARIANTS.iter().map(|parameters| template.deployed(parameters).unwrap()).collect()
}

#[test]
fn every_reference_resolves_whatever_the_parameters_switch_on() {
    for (stack, parameters) in stacks().iter().zip(VARIANTS) {
        assert!(stack.resources.len() >= 30, "{parameters:?}: {}", stack.resources.len());
        let text = json!(stack.resources).to_string();
        for left in ["\"Ref\"", "Fn::", "${", "AWS::NoValue"] {
            // A document's script has variables of its own.
            let elsewhere = stack
                .of_type("AWS::SSM::Document")
                .map(|(_, document)| document.to_string().matches(left).count())
                .sum::<usize>();
            assert_eq!(text.matches(left).count(), elsewhere, "{left} is left with {parameters:?}");
        }
    }
}

#[test]
fn every_name_has_the_prefix_so_that_two_stacks_fit_into_one_account() {
    const NAMED: [&str; 10] = [
        "AlarmName",
        "AssociationName",
        "DashboardName",
        "FunctionName",
        "GroupName",
        "LogGroupName",
        "Name",
        "QueueName",
        "RoleName",
        "TopicName",
    ];
    let everything: &[(&str, &str)] = &[
        ("Prefix", "team-a"),
        ("CopyRegions", "eu-west-1"),
        ("AlarmEmail", "ops@example.org"),
        ("HelperSource", "https://example.org/stillframe"),
    ];
    let stack = template().deployed(everything).unwrap();
    for (logical, resource) in &stack.resources {
        for (property, value) in resource["Properties"].as_object().unwrap() {
            if NAMED.contains(&property.as_str()) {
                let name = value.as_str().unwrap();
                assert!(
                    name.starts_with("team-a") || name.starts_with("/aws/lambda/team-a-"),
                    "{logical}.{property} is {name}"
                );
                assert_ne!(property, "RoleName", "{logical}: roles are named by CloudFormation");
            }
        }
    }
    let text = json!(stack.resources).to_string();
    assert!(!text.contains("parameter/stillframe") && !text.contains("document/Stillframe"));
}

#[test]
fn the_policy_of_the_schedule_is_one_that_the_function_takes() {
    for (stack, parameters) in stacks().iter().zip(VARIANTS) {
        let input = stack.property("DailySchedulePolicy", "/Target/Input").unwrap().as_str().unwrap();
        let input: Value = serde_json::from_str(input).unwrap_or_else(|error| panic!("{error}: {input}"));
        let policy = Policy::read(&input).unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
        assert_eq!(policy.name, "daily");
        assert_eq!(input["max_freeze_ms"], 10_000);
        if parameters.contains(&("CopyKeepDaily", "30")) {
            assert_eq!(input["copy_to"], json!([{"region": "eu-west-1", "keep": {"daily": 30}}]));
            // The rule starts the same policy, to copy.
            let target = stack.property("SnapshotsComplete", "/Targets/0").unwrap();
            let mut copy: Value = serde_json::from_str(&rule::delivered(target, &json!({"id": 1}))).unwrap();
            assert_eq!(copy.as_object_mut().unwrap().remove("action"), Some(json!("copy")));
            assert_eq!(copy.as_object_mut().unwrap().remove("event"), Some(json!({"id": 1})));
            assert_eq!(copy, input);
        } else {
            assert_eq!(input.get("copy_to"), None);
            assert!(!stack.resources.contains_key("SnapshotsComplete"));
        }
    }
}

/// What EBS's guide shows of its event is what the rule is for, and what the rule makes of it is what the function
/// reads: the policy, and which snapshots are complete where.
#[test]
fn what_the_rule_delivers_of_a_completed_set_is_what_the_function_reads() {
    let event: Value = serde_json::from_str(include_str!("events/multi-volume-snapshots.json")).unwrap();
    let stack = template().deployed(&[("CopyRegions", "eu-west-1")]).unwrap();
    let pattern = stack.property("SnapshotsComplete", "/EventPattern").unwrap();
    assert!(rule::matches(pattern, &event));
    let mut failed = event.clone();
    failed["detail"]["result"] = json!("failed");
    assert!(!rule::matches(pattern, &failed), "nothing is complete");

    let target = stack.property("SnapshotsComplete", "/Targets/0").unwrap();
    let read = Event::read_text(rule::delivered(target, &event).as_bytes()).unwrap();
    assert_eq!(read.policy.name, "daily");
    let Action::Copy { completion: Some(completion) } = read.action else { panic!("{:?}", read.action) };
    assert_eq!(completion.region, "us-east-1");
    let snapshots: Vec<&str> = completion.snapshots.iter().map(|snapshot| snapshot.as_str()).collect();
    assert_eq!(snapshots, ["snap-0123456789abcdef0", "snap-0123456789abcdef1"]);
}

#[test]
fn the_automation_restores_with_the_stacks_own_function() {
    for prefix in ["stillframe", "team-a"] {
        let stack = template().deployed(&[("Prefix", prefix)]).unwrap();
        let default = stack.property("RestoreDocument", "/Content/parameters/FunctionName/default").unwrap();
        assert_eq!(default, stack.property("RestoreFunction", "/FunctionName").unwrap());
        let pattern = stack
            .property("RestoreDocument", "/Content/parameters/FunctionName/allowedPattern")
            .unwrap()
            .as_str()
            .unwrap();
        let pattern = fancy_regex::Regex::new(pattern).unwrap();
        assert!(pattern.is_match(default.as_str().unwrap()).unwrap());
    }
}

/// The ends of each parameter's range: taken, and just beyond refused, by the template itself.
#[test]
fn a_parameter_out_of_range_is_refused_and_the_last_in_range_is_not() {
    let template = template();
    let table: [(&str, &[&str], &[&str]); 22] = [
        (
            "Prefix",
            &["stillframe", "a-1", "abc"],
            &[
                "",
                "ab",
                "Team",
                "1ab",
                "a_b",
                "ab-",
                "aws-x",
                "amazonia",
                "ssmx",
                "a234567890123456789012345",
            ],
        ),
        ("Architecture", &["arm64", "x86_64"], &["", "x86", "ARM64"]),
        ("BackupMemory", &["256", "10240"], &["255", "10241", "much", ""]),
        ("LogRetentionDays", &["7", "3653"], &["0", "8", "never"]),
        ("DailyState", &["ENABLED", "DISABLED"], &["enabled", ""]),
        (
            "DailySchedule",
            &["cron(15 2-23 * * ? *)", "rate(1 hour)", "rate(30 minutes)"],
            &["", "hourly", "rate(0 hours)", "rate(1 year)", "cron()", "at(2026-11-25T00:00:00)"],
        ),
        (
            "TimeZone",
            &["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT-14"],
            &["", "Europe/", "+02:00", "a\"b"],
        ),
        ("DailyTagValue", &["daily", "Gold tier"], &["", " daily", "a\"b", "a*", "ä"]),
        ("DailyConsistency", &["crash", "filesystem"], &["application", ""]),
        ("DailyOnFailure", &["crash", "skip"], &["ignore", ""]),
        ("MaxFreezeMilliseconds", &["1", "30000"], &["0", "-1", "30001", "10s"]),
        ("KeepDaily", &["1", "366"], &["0", "367"]),
        ("KeepWeekly", &["0", "520"], &["-1", "521"]),
        ("KeepMonthly", &["0", "120"], &["-1", "121"]),
        (
            "CopyRegions",
            &["", "eu-west-1", "us-gov-east-1,ap-southeast-2"],
            &["Europe", "eu-west", "eu-west-1;eu-west-2", "eu-west-1,x"],
        ),
        ("CopyKeepDaily", &["1", "366"], &["0", "367"]),
        (
            "KmsKeyArns",
            &["", "arn:aws:kms:us-east-1:123456789012:key/0a1b-2c"],
            &["alias/x", "arn:aws:kms:us-east-1:123456789012:alias/x", "*"],
        ),
        (
            "AlarmTopicArn",
            &["", "arn:aws:sns:us-east-1:123456789012:ops"],
            &["ops", "arn:aws:sqs:us-east-1:123456789012:ops"],
        ),
        ("AlarmEmail", &["", "ops@example.org"], &["ops", "ops@example", "a b@example.org"]),
        ("OldestRestorePointHours", &["2", "720"], &["1", "721"]),
        (
            "HelperSource",
            &["", "https://example.org/stillframe", "s3://bucket/stillframe"],
            &["http://example.org/x", "https://example.org/$(reboot)", "file:///x", "https://example.org/x/"],
        ),
        ("HelperVersion", &["0.1.0", "10.20.30-rc.1"], &["", "1.0", "v1.0.0", "1.0.0;x"]),
    ];
    let definitions = template.section("Parameters");
    for (name, good, bad) in table {
        for value in good {
            parameters::check(name, &definitions[name], value).unwrap();
        }
        for value in bad {
            assert!(parameters::check(name, &definitions[name], value).is_err(), "{name} takes {value:?}");
            assert!(template.deployed(&[(name, *value)]).is_err());
        }
    }
    let digests = ["HelperSha256Arm64", "HelperSha256X8664"];
    for name in digests {
        let digest = "0123456789abcdef".repeat(4);
        parameters::check(name, &definitions[name], &digest).unwrap();
        for value in ["", &digest[1..], &digest.to_uppercase()] {
            assert!(parameters::check(name, &definitions[name], value).is_err(), "{name} takes {value:?}");
        }
    }
    let tested: Vec<&str> = table.iter().map(|(name, ..)| *name).chain(digests).collect();
    for name in definitions.keys() {
        assert!(tested.contains(&name.as_str()), "the range of {name} is not tested");
        let constraint = ["AllowedValues", "AllowedPattern", "MinValue"];
        assert!(constraint.iter().any(|one| definitions[name].get(one).is_some()), "{name} takes anything");
    }
}

/// Promise 7: a schedule that stopped firing is seen, by every alarm on what each firing says.
#[test]
fn silence_alarms() {
    let stack = template().deployed(&[("AlarmTopicArn", "arn:aws:sns:us-east-1:123456789012:ops")]).unwrap();
    let mut silent = Vec::new();
    for (name, alarm) in stack.of_type("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!(properties["AlarmActions"], json!(["arn:aws:sns:us-east-1:123456789012:ops"]), "{name}");
        assert!(properties["AlarmDescription"].as_str().unwrap().len() > 20, "{name}");
        let metric = properties
            .get("MetricName")
            .or_else(|| properties.pointer("/Metrics/1/MetricStat/Metric/MetricName"));
        if properties["TreatMissingData"] == "breaching" {
            silent.push(metric.unwrap().as_str().unwrap());
        } else {
            assert_eq!(properties["TreatMissingData"], "notBreaching", "{name}");
        }
    }
    silent.sort_unstable();
    assert_eq!(silent, ["Failures", "RestorePointAge", "RunDuration", "SelectsNothing", "VolumesOverdue"]);
    // Nobody is woken by a policy that was switched off.
    let off = template().deployed(&[("DailyState", "DISABLED")]).unwrap();
    let left: Vec<_> = off.of_type("AWS::CloudWatch::Alarm").map(|(_, alarm)| &alarm["Properties"]).collect();
    assert!(left.iter().all(|alarm| alarm["TreatMissingData"] == "notBreaching"));
}

#[test]
fn the_dashboard_is_json_and_shows_every_metric_of_a_run() {
    for stack in stacks() {
        let body = stack.property("Dashboard", "/DashboardBody").unwrap().as_str().unwrap();
        let dashboard: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert!(dashboard["widgets"].as_array().unwrap().len() >= 6);
        for metric in [
            "RestorePointAge",
            "VolumesOverdue",
            "RestorePointsMade",
            "CrashConsistentFallbacks",
            "FrozenMilliseconds",
            "PruneBlocked",
            "RunDuration",
        ] {
            assert!(body.contains(metric), "{metric}");
        }
    }
}

/// The functions learn from their environment what the stack calls its own.
#[test]
fn environment_alarms_and_rights_agree_on_names() {
    for (prefix, documents, namespace) in
        [("stillframe", "Stillframe", "Stillframe"), ("team-a", "team-a", "Stillframe/team-a")]
    {
        let stack = template().deployed(&[("Prefix", prefix)]).unwrap();
        let environment = stack.property("BackupFunction", "/Environment/Variables").unwrap();
        assert_eq!(
            *environment,
            json!({
                "STILLFRAME_PARAMETER_PREFIX": format!("/{prefix}"),
                "STILLFRAME_SIGNAL_FUNCTION": format!("{prefix}-signal"),
                "STILLFRAME_DOCUMENT_PREFIX": documents,
                "STILLFRAME_METRICS_NAMESPACE": namespace,
            })
        );
        for name in ["Freeze", "Thaw", "Mount", "Unmount", "Install"] {
            let document = stack.property(&format!("{name}Document"), "/Name").unwrap();
            assert_eq!(*document, json!(format!("{documents}-{name}")));
        }
        let ours: Vec<&str> = stack
            .of_type("AWS::CloudWatch::Alarm")
            .filter_map(|(_, alarm)| alarm["Properties"]["Namespace"].as_str())
            .filter(|name| !name.starts_with("AWS/"))
            .collect();
        assert!(ours.len() >= 7 && ours.iter().all(|name| *name == namespace), "{ours:?}");
    }
}

/// What can be tagged says which stack it belongs to.
#[test]
fn everything_that_takes_tags_is_tagged() {
    let untaggable_or_tagged_by_its_stack = [
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::Events::Rule",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::Permission",
        "AWS::SQS::QueuePolicy",
        "AWS::SSM::Association",
        "AWS::Scheduler::Schedule",
    ];
    let template = template();
    let function_tags = &template.section("Globals")["Function"]["Tags"];
    assert_eq!(*function_tags, json!({"stillframe:stack": {"Ref": "AWS::StackName"}}));
    for stack in stacks() {
        for (name, resource) in &stack.resources {
            let kind = resource["Type"].as_str().unwrap();
            if !untaggable_or_tagged_by_its_stack.contains(&kind) && kind != "AWS::Serverless::Function" {
                assert_eq!(
                    resource.pointer("/Properties/Tags"),
                    Some(&json!([{"Key": "stillframe:stack", "Value": "stack"}])),
                    "{name}"
                );
            }
        }
    }
}
