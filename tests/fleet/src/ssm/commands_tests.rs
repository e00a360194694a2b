use super::*;
use crate::machine::ScriptEnd;
use std::sync::atomic::{AtomicBool, Ordering};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn add(commands: &Commands, n: usize) -> Handle {
    let request = Request {
        command: format!("c-{n}"),
        instance: format!("i-{n:08}"),
        document: "Stillframe-Freeze".to_owned(),
        step: "freeze".to_owned(),
        parameters: Parameters::new(),
        comment: String::new(),
    };
    commands.add(request, at(i64::try_from(n).unwrap()))
}

fn list(commands: &Commands, body: Value) -> Result<Value, ApiError> {
    commands.list(&serde_json::from_value(body).unwrap())
}

fn ids(answer: &Value) -> Vec<String> {
    let all = answer["CommandInvocations"].as_array().unwrap();
    all.iter().map(|one| one["CommandId"].as_str().unwrap().to_owned()).collect()
}

fn ended(stdout: &str, end: ScriptEnd) -> ScriptResult {
    ScriptResult { end, stdout: stdout.to_owned(), stderr: String::new() }
}

#[test]
fn a_listing_is_paged_and_newest_first() {
    let commands = Commands::default();
    (0..120).for_each(|n| {
        add(&commands, n);
    });
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = list(&commands, json!({"NextToken": token})).unwrap();
        assert!(ids(&page).len() <= 50);
        seen.extend(ids(&page));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    let wanted: Vec<String> = (0..120).rev().map(|n| format!("c-{n}")).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_listing_is_filtered_by_time_document_and_status() {
    let commands = Commands::default();
    for n in 0..4 {
        let handle = add(&commands, n);
        if n == 2 {
            commands.begin(handle, at(9));
            commands.end(handle, ended("{}", ScriptEnd::Exited(0)), at(9));
        }
    }
    let by = |key: &str, value: &str| {
        list(&commands, json!({"Filters": [{"key": key, "value": value}]})).map(|answer| ids(&answer).len())
    };
    assert_eq!(by("InvokedAfter", &crate::clock::iso(at(1))), Ok(3));
    assert_eq!(by("InvokedBefore", &crate::clock::iso(at(1))), Ok(1));
    assert_eq!(by("DocumentName", "Stillframe-Thaw"), Ok(0));
    assert_eq!(by("Status", "Success"), Ok(1));
    assert_eq!(by("InvokedAfter", "yesterday").unwrap_err().code, "ValidationException");
    assert_eq!(by("Mood", "x").unwrap_err().code, "ValidationException");
    assert_eq!(ids(&list(&commands, json!({"CommandId": "c-1"})).unwrap()), ["c-1"]);
}

#[test]
fn a_listing_carries_2500_characters_and_the_invocation_24000() {
    let commands = Commands::default();
    let handle = add(&commands, 1);
    commands.begin(handle, at(2));
    commands.end(handle, ended(&"é".repeat(30_000), ScriptEnd::Exited(0)), at(3));
    let listed = list(&commands, json!({"Details": true})).unwrap();
    let output = listed["CommandInvocations"][0]["CommandPlugins"][0]["Output"].as_str().unwrap();
    assert_eq!(output.chars().count(), 2_500);
    let get = serde_json::from_value(json!({"CommandId": "c-1", "InstanceId": "i-00000001"})).unwrap();
    let whole = commands.get(&get).unwrap();
    assert_eq!(whole["StandardOutputContent"].as_str().unwrap().chars().count(), 24_000);
    let other = serde_json::from_value(json!({"CommandId": "c-2", "InstanceId": "i-00000001"})).unwrap();
    assert_eq!(commands.get(&other).unwrap_err().code, "InvocationDoesNotExist");
}

#[test]
fn every_end_has_its_status() {
    for (end, status, details, code) in [
        (ScriptEnd::Exited(0), "Success", "Success", 0),
        (ScriptEnd::Exited(12), "Failed", "Failed", 12),
        (ScriptEnd::TimedOut, "TimedOut", "ExecutionTimedOut", 137),
        (ScriptEnd::Killed, "Cancelled", "Cancelled", 137),
    ] {
        let commands = Commands::default();
        let handle = add(&commands, 1);
        commands.begin(handle, at(2));
        commands.end(handle, ended("", end), at(3));
        let one = list(&commands, json!({"Details": true})).unwrap()["CommandInvocations"][0].clone();
        assert_eq!((&one["Status"], &one["StatusDetails"]), (&json!(status), &json!(details)));
        assert_eq!(one["CommandPlugins"][0]["ResponseCode"], code);
    }
}

struct Script(AtomicBool);

impl RunningScript for Script {
    fn wait(&self) -> ScriptResult {
        ended("", ScriptEnd::Killed)
    }
    fn kill(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
    fn process_group(&self) -> Option<i32> {
        None
    }
}

#[test]
fn a_cancelled_command_is_killed_whenever_the_cancel_comes() {
    let cancel: Cancel = serde_json::from_value(json!({"CommandId": "c-1"})).unwrap();
    // On its way: it never runs.
    let commands = Commands::default();
    let handle = add(&commands, 1);
    commands.cancel(&cancel, at(2)).unwrap();
    assert!(!commands.wanted(handle));
    // Running.
    let commands = Commands::default();
    let handle = add(&commands, 1);
    commands.begin(handle, at(2));
    let script = Arc::new(Script(AtomicBool::new(false)));
    commands.running(handle, Arc::clone(&script) as Arc<dyn RunningScript>);
    commands.cancel(&cancel, at(2)).unwrap();
    assert!(script.0.load(Ordering::SeqCst));
    // Between the two.
    let commands = Commands::default();
    let handle = add(&commands, 1);
    commands.begin(handle, at(2));
    commands.cancel(&cancel, at(2)).unwrap();
    let script = Arc::new(Script(AtomicBool::new(false)));
    commands.running(handle, Arc::clone(&script) as Arc<dyn RunningScript>);
    assert!(script.0.load(Ordering::SeqCst));

    let unknown = serde_json::from_value(json!({"CommandId": "c-9"})).unwrap();
    assert_eq!(commands.cancel(&unknown, at(2)).unwrap_err().code, "InvalidCommandId");
}
