//! Promise 5, and its like for the functions: what each role may do, and what not. `rights.txt` is the table.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use stack::iam::{Call, Decision, Statement, decide, rights_of};
use stack::infra;
use stack::template::Template;
use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = include_str!("rights.txt");
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/k1";

fn template() -> Template {
    Template::read(&std::fs::read_to_string(infra().join("template.yaml")).unwrap()).unwrap()
}

/// The role of somebody of the table, and the parameters that give it what it has.
fn role(who: &str) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match who {
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
    }
}

fn rights(template: &Template, who: &str) -> Vec<Statement> {
    let (role, parameters) = role(who);
    let mut rights = rights_of(&template.deployed(parameters).unwrap(), role).unwrap();
    if who == "instance+ssm" {
        let all = serde_json::json!({"Sid": "All", "Effect": "Allow", "Action": "ssm:*", "Resource": "*"});
        rights.push(Statement::read(&all).unwrap());
    }
    rights
}

/// A line of the table.
struct Line {
    text: &'static str,
    who: &'static str,
    may: bool,
    call: Call,
}

fn table() -> Vec<Line> {
    let read = |text: &'static str| {
        let who = text.split(' ').next().unwrap();
        let (verdict, call) = text[who.len()..].trim().split_once(' ').unwrap();
        let may = match verdict {
            "may" => true,
            "may-not" => false,
            other => panic!("{other} is no verdict"),
        };
        let call = Call::read(call).unwrap_or_else(|error| panic!("{text}: {error}"));
        Line { text, who, may, call }
    };
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(read).collect()
}

#[test]
fn every_call_of_the_table_is_decided_as_the_table_says() {
    let (template, lines) = (template(), table());
    let mut wrong = Vec::new();
    for Line { text, who, may, call } in &lines {
        let decision = decide(&rights(&template, who), call).unwrap();
        if (decision == Decision::Allowed) != *may {
            wrong.push(format!("{text}\n    {decision:?}"));
        }
    }
    let all = lines.len();
    assert!(wrong.is_empty(), "{} of {all} are decided otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all >= 60, "the table has {all} calls");
}

/// Without any one statement, one call at least is decided otherwise: nothing is there that nobody needs, and
/// nothing can get lost without a test that fails.
#[test]
fn every_statement_of_every_role_decides_a_call_of_the_table() {
    let (template, lines) = (template(), table());
    let whos: BTreeSet<&str> = lines.iter().map(|line| line.who).collect();
    let mut decides: BTreeMap<(&str, String), bool> = BTreeMap::new();
    for who in whos {
        let rights = rights(&template, who);
        // AWS's own policy has no names for its statements, and that of the generous owner is not ours.
        let named = rights.iter().enumerate().filter(|(_, one)| !one.sid.is_empty() && one.sid != "All");
        for (n, statement) in named {
            let mut without = rights.clone();
            without.remove(n);
            let mut own = lines.iter().filter(|line| line.who == who);
            let changed =
                own.any(|line| (decide(&without, &line.call).unwrap() == Decision::Allowed) != line.may);
            *decides.entry((role(who).0, statement.sid.clone())).or_default() |= changed;
        }
    }
    let idle: Vec<_> =
        decides.iter().filter(|(_, decides)| !**decides).map(|(statement, _)| statement).collect();
    assert!(idle.is_empty(), "no call of the table is decided by {idle:?}");
    assert!(decides.len() >= 40, "{} statements", decides.len());
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
            if *effect == stack::iam::Effect::Deny {
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
