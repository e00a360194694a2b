use super::*;

fn order(text: &str) -> FaultOrder {
    serde_json::from_str(text).unwrap()
}

fn backup() -> Caller {
    Caller::Function { name: "backup".to_owned(), environment: 1 }
}

fn call<'a>(operation: &str, caller: &'a Caller, function: Option<&'a str>) -> Call<'a> {
    Call { operation: operation::named(operation).unwrap(), caller, function, event: None }
}

#[test]
fn a_fault_hits_as_often_as_ordered_and_only_its_operation() {
    let faults = Faults::default();
    faults.add(order(r#"{"op": "CreateSnapshots", "fault": "throttle", "times": 2}"#)).unwrap();
    let caller = backup();
    assert_eq!(faults.take(call("CreateTags", &caller, None)), None);
    assert_eq!(faults.take(call("CreateSnapshots", &caller, None)), Some(Fault::Throttle));
    assert_eq!(faults.take(call("CreateSnapshots", &caller, None)), Some(Fault::Throttle));
    assert_eq!(faults.take(call("CreateSnapshots", &caller, None)), None);
}

#[test]
fn some_calls_pass_first() {
    let faults = Faults::default();
    faults.add(order(r#"{"op": "PutParameter", "fault": "kill-caller", "after": 2}"#)).unwrap();
    let caller = backup();
    let hits = [(); 4].map(|()| faults.take(call("PutParameter", &caller, None)));
    assert_eq!(hits, [None, None, Some(Fault::KillCaller), None]);
}

#[test]
fn a_fault_may_be_for_one_function_or_one_caller() {
    let faults = Faults::default();
    faults.add(order(r#"{"op": "Invoke", "fault": "hang", "function": "signal"}"#)).unwrap();
    faults.add(order(r#"{"op": "CreateTags", "fault": "delay-ms:250", "caller": "backup"}"#)).unwrap();
    let (operator, backup) = (Caller::Operator, backup());
    assert_eq!(faults.take(call("Invoke", &operator, Some("backup"))), None);
    assert_eq!(faults.take(call("Invoke", &operator, Some("signal"))), Some(Fault::Hang));
    assert_eq!(faults.take(call("CreateTags", &operator, None)), None);
    let delay = Fault::Delay(Duration::from_millis(250));
    assert_eq!(faults.take(call("CreateTags", &backup, None)), Some(delay));
}

#[test]
fn faults_of_one_operation_come_in_their_order() {
    let faults = Faults::default();
    faults.add(order(r#"{"op": "SendCommand", "fault": "error500"}"#)).unwrap();
    faults.add(order(r#"{"op": "SendCommand", "fault": "drop-response"}"#)).unwrap();
    let caller = Caller::Operator;
    let hits = [(); 3].map(|()| faults.take(call("SendCommand", &caller, None)));
    assert_eq!(hits, [Some(Fault::Error500), Some(Fault::DropResponse), None]);
}

#[test]
fn what_does_not_exist_is_refused_by_name() {
    let faults = Faults::default();
    let refusal = |text: &str| faults.add(order(text)).unwrap_err().to_string();
    assert!(refusal(r#"{"op": "CreateSnapshotz", "fault": "hang"}"#).contains("CreateSnapshotz"));
    assert!(refusal(r#"{"op": "CreateTags", "fault": "sulk"}"#).contains("sulk"));
    assert!(refusal(r#"{"op": "CreateTags", "fault": "delay-ms:soon"}"#).contains("delay-ms:soon"));
    let unknown = serde_json::from_str::<FaultOrder>(r#"{"op": "CreateTags", "fault": "hang", "time": 1}"#);
    assert!(unknown.unwrap_err().to_string().contains("time"));
}

#[test]
fn a_fault_may_be_for_one_kind_of_event() {
    let faults = Faults::default();
    faults.add(order(r#"{"op": "Invoke", "fault": "at-deadline-us:-1500", "event": "frozen"}"#)).unwrap();
    let caller = Caller::Instance("i-0aaaaaaaaaaaaaaa1".to_owned());
    let signal = |event| Call { event: Some(event), ..call("Invoke", &caller, Some("signal")) };
    assert_eq!(faults.take(signal("ready")), None);
    assert_eq!(faults.take(signal("frozen")), Some(Fault::Spoil(Spoil::AtDeadline(-1500))));
}

#[test]
fn calls_are_counted_by_caller() {
    let calls = Calls::default();
    calls.count(call("CreateTags", &backup(), None));
    calls.count(call("CreateTags", &Caller::Operator, None));
    calls.count(call("PutParameter", &backup(), None));
    assert_eq!(calls.by_operation(None), BTreeMap::from([("CreateTags", 2), ("PutParameter", 1)]));
    assert_eq!(calls.by_operation(Some("operator")), BTreeMap::from([("CreateTags", 1)]));
}
