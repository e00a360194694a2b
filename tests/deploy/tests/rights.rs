//! Promise 5, and its like for the functions: what each role may do, and what not. `rights.txt` is the table.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use deploy::iam::{Call, Decision, Statement, decide, rights_of};
use deploy::infra;
use deploy::template::Template;

const TABLE: &str = include_str!("rights.txt");
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/k1";

fn template() -> Template {
    Template::read(&std::fs::read_to_string(infra().join("template.yaml")).unwrap()).unwrap()
}

fn rights(template: &Template, who: &str) -> Vec<Statement> {
    let (role, parameters): (_, &[(&str, &str)]) = match who {
        "signal" => ("SignalRole", &[]),
        "backup" => ("BackupRole", &[]),
        "restore" => ("RestoreRole", &[]),
        // The second is one whose owner was generous with parameters.
        "instance" | "instance+ssm" => ("InstanceRole", &[]),
        "schedule" => ("ScheduleRole", &[]),
        "backup+copy" => ("BackupRole", &[("CopyRegions", "eu-west-1,eu-central-1")]),
        "restore+key" => ("RestoreRole", &[("KmsKeyArns", KEY)]),
        "team-a" => ("BackupRole", &[("Prefix", "team-a")]),
        other => panic!("nobody is called {other}"),
    };
    let mut rights = rights_of(&template.deployed(parameters).unwrap(), role).unwrap();
    if who == "instance+ssm" {
        let all = serde_json::json!({"Sid": "All", "Effect": "Allow", "Action": "ssm:*", "Resource": "*"});
        rights.push(Statement::read(&all).unwrap());
    }
    rights
}

#[test]
fn every_call_of_the_table_is_decided_as_the_table_says() {
    let template = template();
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ').map(str::trim);
        let who = words.next().unwrap();
        let rest = line[who.len()..].trim();
        let (verdict, call) = rest.split_once(' ').unwrap();
        let call = Call::read(call).unwrap_or_else(|error| panic!("{line}: {error}"));
        let decision = decide(&rights(&template, who), &call).unwrap();
        let may = match verdict {
            "may" => true,
            "may-not" => false,
            other => panic!("{other} is no verdict"),
        };
        if (decision == Decision::Allowed) != may {
            wrong.push(format!("{line}\n    {decision:?}"));
        }
        lines += 1;
    }
    assert!(wrong.is_empty(), "{} of {lines} are decided otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(lines >= 60, "the table has {lines} calls");
}

/// What the table cannot show: that there is no statement so wide that a call nobody thought of passes.
#[test]
fn no_statement_allows_a_whole_service_or_all_of_everything() {
    let template = template();
    // Reading, and what AWS gives no resource for.
    let without_resource = [
        "cloudtrail:LookupEvents",
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeLockedSnapshots",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ssm:DescribeInstanceInformation",
        "ssm:GetCommandInvocation",
        "ssm:ListCommandInvocations",
    ];
    for who in ["signal", "backup", "restore", "schedule", "backup+copy", "restore+key"] {
        for statement in rights(&template, who) {
            let Statement { sid, actions, resources, effect, .. } = &statement;
            assert!(!sid.is_empty(), "{who}: {statement:?}");
            if *effect == deploy::iam::Effect::Deny {
                continue;
            }
            assert!(!actions.is_except && !resources.is_except, "{who} {sid}");
            for action in &actions.patterns {
                assert!(!action.contains('*'), "{who} {sid} allows {action}");
                let is_everywhere = resources.patterns.iter().any(|resource| resource == "*");
                assert!(
                    !is_everywhere || without_resource.contains(&action.as_str()),
                    "{who} {sid} allows {action} on everything"
                );
            }
        }
    }
}

/// Which role trusts whom: each its own service, and schedules only those of the stack.
#[test]
fn each_role_can_be_assumed_by_its_own_service_only() {
    let stack = template().deployed(&[]).unwrap();
    for (role, service) in [
        ("SignalRole", "lambda"),
        ("BackupRole", "lambda"),
        ("RestoreRole", "lambda"),
        ("ScheduleRole", "scheduler"),
        ("InstanceRole", "ec2"),
    ] {
        let statements = stack.property(role, "/AssumeRolePolicyDocument/Statement").unwrap();
        assert_eq!(statements.as_array().unwrap().len(), 1, "{role}");
        let principal = statements.pointer("/0/Principal").unwrap();
        assert_eq!(*principal, serde_json::json!({"Service": format!("{service}.amazonaws.com")}), "{role}");
    }
    let condition = stack
        .property("ScheduleRole", "/AssumeRolePolicyDocument/Statement/0/Condition/StringEquals")
        .unwrap();
    assert_eq!(
        condition["aws:SourceArn"],
        "arn:aws:scheduler:us-east-1:123456789012:schedule-group/stillframe"
    );
    assert_eq!(stack.of_type("AWS::IAM::Role").count(), 5, "a role that this test does not know");
}

/// The reason beside each statement: a comment right above it.
#[test]
fn a_sentence_of_reason_stands_above_every_statement() {
    let text = std::fs::read_to_string(infra().join("template.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let statements = lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("- Sid: "));
    let mut count = 0;
    for (number, line) in statements {
        let above = lines[number - 1].trim_start();
        assert!(above.starts_with("# ") && above.ends_with('.'), "line {}: {line}", number + 1);
        count += 1;
    }
    assert!(count >= 40, "{count} statements");
}
