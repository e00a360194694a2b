//! `infra/template.yaml` drives the region: its roles decide every call, its schedules start backups, its rules carry
//! events. And every statement of its roles is there because something needs it.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use fleet::rights::Asked;
use scenarios::{ONE_INSTANCE, PROMPT, Region, daily, program};
use serde_json::{Value, json};
use stack::Place;
use stack::iam::{Decision, decide, rights_of};
use stack::template::Template;
use std::collections::BTreeSet;

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";
/// An instance whose tag names a parameter, one whose user data say what it wants, one that is backed up itself.
const BY_PARAMETER: &str = "i-0ccccccccccccccc3";
const BY_USER_DATA: &str = "i-0ddddddddddddddd4";
const ON_DEMAND: &str = "i-0eeeeeeeeeeeeeee5";

/// They have no volumes yet; the first two are to have some when they start.
const REPLACEMENTS: &str = r#"
[[instance]]
id = "i-0ccccccccccccccc3"
state = "stopped"
tags = { role = "db", cluster = "main", environment = "prod", "stillframe:restore" = "db" }

[[instance]]
id = "i-0ddddddddddddddd4"
state = "stopped"
tags = { "stillframe:restore" = "user-data" }
user_data = '{"role": "db", "cluster": "main", "environment": "prod", "volumes": [{"mount_point": "/srv/wal"}]}'

[[instance]]
id = "i-0eeeeeeeeeeeeeee5"
tags = { role = "db", cluster = "main", environment = "prod", stillframe = "volumes" }
"#;

fn put_spec(region: &Region) {
    let spec = json!({
        "role": "db", "cluster": "main", "environment": "prod",
        "volumes": [{"mount_point": "/srv/pg data"}, {"mount_point": "/srv/wal"}],
    });
    region.put_parameter("/stillframe/restore/db", &spec);
}

/// A stopped instance and a detached volume beside those that freeze.
const DIRECT: &str = r#"
[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
state = "stopped"
tags = { role = "search", stillframe = "daily" }
[[instance.volume]]
id = "vol-0bbbbbbbbbbbbbb01"

[[volume]]
id = "vol-0ddddddddddddddd1"
tags = { stillframe = "daily" }
"#;

const BESIDE: &str = "other_regions = [\"eu-west-1\"]\n";

fn template() -> Template {
    let text = std::fs::read_to_string(stack::infra().join("template.yaml")).expect("the template");
    Template::read(&text).expect("YAML")
}

#[test]
fn the_schedule_of_the_template_backs_up() {
    let region = Region::without_disks(&format!("{PROMPT}{ONE_INSTANCE}"));
    region.fire("stillframe-daily");
    region.settle_down();
    let made = region.snapshots();
    assert_eq!(made.len(), 2, "{made:?}\n{}", region.function_logs("backup"));
    assert!(made.iter().all(|one| one.tags["stillframe:policy"] == "daily"), "{made:?}");
    // The template's policy asks for what is frozen; the key is made where the template says.
    region.fire("stillframe-daily");
    region.settle_down();
    assert_eq!(region.snapshots().len(), 2, "the slot is done");
}

#[test]
fn another_prefix_is_another_stack_with_names_of_its_own() {
    let region = Region::with_rules(&format!("{PROMPT}{ONE_INSTANCE}"), &[("Prefix", "team-a")]);
    region.fire("team-a-daily");
    region.settle_down();
    let made = region.snapshots();
    assert_eq!(made.len(), 2, "{made:?}\n{}", region.function_logs("backup"));
    let documents = region.decided().asked;
    assert!(json!(documents).to_string().contains("document/team-a-Freeze"));
    assert!(!json!(documents).to_string().contains("parameter/stillframe/"));
}

#[test]
fn rules_of_the_template_restore_an_instance_that_starts_and_copy_what_is_complete() {
    let spec = format!("{BESIDE}{PROMPT}{ONE_INSTANCE}{REPLACEMENTS}");
    let region = Region::with_rules(&spec, &[]);
    region.fire("stillframe-daily");
    region.wait_until("two copies", || {
        region.snapshots_in("eu-west-1").iter().filter(|one| one.state != "error").count() == 2
    });
    put_spec(&region);
    region.start_instance(BY_PARAMETER);
    region.wait_until("two restored volumes", || region.restored_volumes() == (2, 2));
    region.start_instance(BY_USER_DATA);
    region.wait_until("a third one", || region.restored_volumes() == (3, 3));
    region.settle_down();
}

#[test]
fn what_a_role_does_not_allow_is_refused_in_the_words_of_each_service() {
    if !program("aws") {
        return;
    }
    let region = Region::without_disks(&format!("{PROMPT}{ONE_INSTANCE}"));
    region.backup(daily());
    let snapshot = region.snapshots()[0].id.clone();
    let user =
        format!("User: arn:aws:sts::123456789012:assumed-role/InstanceRole/{INSTANCE} is not authorized");
    for (call, code, why) in [
        (
            format!("ec2 delete-snapshot --snapshot-id {snapshot}"),
            "(UnauthorizedOperation)",
            format!(
                "ec2:DeleteSnapshot on resource: arn:aws:ec2:eu-central-1::snapshot/{snapshot} because no \
                 identity-based policy allows the ec2:DeleteSnapshot action"
            ),
        ),
        (
            "ssm get-parameter --name /stillframe/signing-key --with-decryption".to_owned(),
            "(AccessDeniedException)",
            "ssm:GetParameter with an explicit deny in an identity-based policy".to_owned(),
        ),
        (
            "lambda invoke --function-name stillframe-backup --payload {} /dev/null".to_owned(),
            "(AccessDeniedException)",
            "lambda:InvokeFunction on resource: \
             arn:aws:lambda:eu-central-1:123456789012:function:stillframe-backup because no identity-based \
             policy allows the lambda:InvokeFunction action"
                .to_owned(),
        ),
    ] {
        let error = region.aws_as_instance(INSTANCE, &call).expect_err(&call);
        for part in [code, &user, &why] {
            assert!(error.contains(part), "{call}: {part:?} is not in {error:?}");
        }
    }
}

/// Statements that nothing needs in this test's region, and why they stay. `rights.txt` decides calls by each of them.
const NOT_NEEDED_HERE: [(&str, &str, &str); 10] = [
    ("BackupRole", "GoOn", "a run goes on in another invocation after thirteen minutes"),
    ("BackupRole", "KeepWhatFailed", "Lambda puts into the queue what failed, with the function's role"),
    ("BackupRole", "Log", "Lambda writes the log, with the function's role"),
    ("InstanceRole", "NeverTheKey", "it denies"),
    ("RestoreRole", "DeleteRestored", "only a restore that fails deletes what it made"),
    ("RestoreRole", "KeepWhatFailed", "as above"),
    ("RestoreRole", "Log", "as above"),
    ("RestoreRole", "NoOtherAttribute", "it denies"),
    ("ScheduleRole", "KeepWhatFailed", "Scheduler puts into the queue what it could not start"),
    ("SignalRole", "Log", "as above"),
];

/// Whatever a role was asked in a region in which everything happens once; without any one statement, something
/// that the functions do is refused.
#[test]
fn without_any_one_statement_something_fails() {
    let asked = everything();
    let place = Place { account: "123456789012".to_owned(), region: "eu-central-1".to_owned() };
    let stack = template().deployed_in(&place, &[("CopyRegions", "eu-west-1")]).expect("a stack");
    let mut idle = Vec::new();
    let mut needed = 0;
    for (role, _) in stack.of_type("AWS::IAM::Role") {
        let rights = rights_of(&stack, role).expect("rights");
        let calls: Vec<_> = asked.iter().filter(|one| one.role == *role).collect();
        for (n, statement) in rights.iter().enumerate().filter(|(_, one)| !one.sid.is_empty()) {
            let mut without = rights.clone();
            without.remove(n);
            let is_needed = calls.iter().any(|one| {
                decide(&rights, &one.call).ok() == Some(Decision::Allowed)
                    && decide(&without, &one.call).ok() != Some(Decision::Allowed)
            });
            if is_needed {
                needed += 1;
            } else {
                idle.push((role.clone(), statement.sid.clone()));
            }
        }
    }
    let expected: BTreeSet<(String, String)> =
        NOT_NEEDED_HERE.iter().map(|(role, sid, _)| ((*role).to_owned(), (*sid).to_owned())).collect();
    assert_eq!(idle.into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(needed >= 30, "{needed} statements are needed");
}

/// Backups by order, directly and of detached volumes, promotion, pruning, copies and their pruning, a run that goes
/// on, restores of every kind: what the roles were asked in all of that.
fn everything() -> Vec<Asked> {
    let region = Region::without_disks(&format!("{BESIDE}{PROMPT}{ONE_INSTANCE}{DIRECT}{REPLACEMENTS}"));
    let mut policy = daily();
    policy["keep"] = json!({"last": 1});
    policy["copy_to"] = json!([{"region": "eu-west-1", "keep": {"last": 1}}]);
    region.fire("stillframe-daily");
    region.settle_down();
    for _ in 0..3 {
        region.advance(86_400);
        region.backup(policy.clone());
        region.complete_snapshots();
        region.backup(policy.clone());
    }
    put_spec(&region);
    let started = |instance: &str| {
        json!({
            "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification",
            "detail": {"instance-id": instance, "state": "running"},
        })
    };
    for instance in [BY_PARAMETER, BY_USER_DATA] {
        region.start_instance(instance);
        let result = region.invoke("restore", &started(instance));
        assert_eq!(result["status"], "restored", "{result}");
    }
    let result = region.invoke("restore", &json!({"restore": {"instance": ON_DEMAND}}));
    assert_eq!(result["status"], "restored", "{result}");
    region.decided().asked
}

/// Alarms and dashboard look at metrics that the function really emits, in its namespace, with its dimensions.
#[test]
fn alarms_and_dashboard_look_at_what_the_backup_function_says() {
    let region = Region::without_disks(&format!("{PROMPT}{ONE_INSTANCE}"));
    // The second firing has a restore point to tell the age of.
    for _ in 0..2 {
        region.fire("stillframe-daily");
        region.settle_down();
    }
    let log = region.function_logs("backup");
    let mut said: BTreeSet<(String, String, String)> = BTreeSet::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        for told in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            let namespace = told["Namespace"].as_str().expect("a namespace");
            assert_eq!(told["Dimensions"], json!([["Policy"]]), "{line}");
            for metric in told["Metrics"].as_array().expect("metrics") {
                let name = metric["Name"].as_str().expect("a name");
                let policy = line["Policy"].as_str().expect("a policy");
                said.insert((namespace.to_owned(), policy.to_owned(), name.to_owned()));
            }
        }
    }
    let is_said = |namespace: &str, name: &str| {
        said.contains(&(namespace.to_owned(), "daily".to_owned(), name.to_owned()))
    };
    let stack = template().deployed(&[]).expect("a stack");
    let mut looked_at = 0;
    for (alarm, resource) in stack.of_type("AWS::CloudWatch::Alarm") {
        let at = |pointer: &str| resource["Properties"].pointer(pointer).cloned();
        // Of an alarm on an expression the metric is below it.
        let metric = at("/Metrics/1/MetricStat/Metric").unwrap_or_else(|| resource["Properties"].clone());
        let namespace = metric["Namespace"].as_str().expect("a namespace");
        let name = metric["MetricName"].as_str().expect("a metric");
        let dimensions = &metric["Dimensions"];
        match namespace {
            "AWS/Lambda" => {
                assert!(["Duration", "Errors", "Throttles"].contains(&name), "{alarm}");
                assert_eq!(dimensions[0]["Name"], "FunctionName", "{alarm}");
            }
            "AWS/SQS" => {
                assert_eq!(name, "ApproximateNumberOfMessagesVisible", "{alarm}");
                assert_eq!(dimensions[0]["Name"], "QueueName", "{alarm}");
            }
            ours => {
                assert!(is_said(ours, name), "{alarm} looks at {ours} {name}; said is {said:?}");
                assert_eq!(*dimensions, json!([{"Name": "Policy", "Value": "daily"}]), "{alarm}");
                looked_at += 1;
            }
        }
    }
    assert_eq!(looked_at, 8);
    let body = stack.property("Dashboard", "/DashboardBody").and_then(Value::as_str).expect("a dashboard");
    let searched: Vec<&str> = body.split("SEARCH('{").skip(1).collect();
    assert!(searched.len() >= 9, "{body}");
    for search in searched {
        let (schema, rest) = search.split_once('}').expect("a schema");
        let (namespace, dimensions) = schema.split_once(',').expect("dimensions");
        let name =
            rest.split("MetricName=").nth(1).and_then(|rest| rest.split('"').nth(1)).expect("a metric");
        assert_eq!(dimensions, "Policy", "{search}");
        let name = name.trim_end_matches('\\');
        assert!(is_said(namespace, name), "the dashboard looks at {namespace} {name}; said is {said:?}");
    }
}
