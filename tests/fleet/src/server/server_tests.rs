use super::*;
use crate::client::{Client, ClientError};
use crate::diskless::Diskless;
use crate::spec::Spec;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const SPEC: &str = r#"
    disks = false
    [latency_ms]
    Describe = 0
    SendCommand = 0
    others = 0
    CreateSnapshots = 0
    [[instance]]
    id = "i-0aaaaaaaaaaaaaaa1"
    tags = { role = "db" }
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa01"
    [[instance]]
    id = "i-0bbbbbbbbbbbbbbb2"
    agent = "offline"
    [[instance]]
    id = "i-0ccccccccccccccc3"
    agent = "none"
"#;
const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

struct Rig {
    client: Client,
    region: Arc<Region>,
    _listener: Listener,
    runtime: Runtime,
}

impl Rig {
    fn new() -> Self {
        let spec = Spec::read(SPEC).unwrap();
        let runtime = Runtime::new().unwrap();
        let (region, listener) = runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", socket.local_addr().unwrap());
            let machines = Arc::new(Diskless::new(&spec));
            let region = Arc::new(Region::new(&spec, &endpoint, machines, None).unwrap());
            let listener = listen(socket, router(Arc::clone(&region)));
            (region, listener)
        });
        Self { client: Client::new(&region.endpoint), region, _listener: listener, runtime }
    }

    fn fault(&self, operation: &str, fault: &str) {
        self.client.fault(&json!({"op": operation, "fault": fault})).unwrap();
    }

    fn snapshots(&self) -> usize {
        self.client.snapshots().unwrap().len()
    }

    fn create_snapshots(&self) -> Result<String, ClientError> {
        self.client.ec2("CreateSnapshots", &[("InstanceSpecification.InstanceId", INSTANCE)])
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.runtime.block_on(self.region.shutdown());
    }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Refused { status, body, .. }) => (status, body),
        other => panic!("no refusal but {other:?}"),
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_lost_answer_is_a_closed_connection_and_the_effect_has_happened() {
    let rig = Rig::new();
    rig.fault("CreateSnapshots", "drop-response");
    assert!(matches!(rig.create_snapshots(), Err(ClientError::Http { .. })));
    assert_eq!(rig.snapshots(), 1);
}

#[test]
fn throttled_and_failed_calls_have_no_effect_and_the_codes_of_their_service() {
    let rig = Rig::new();
    rig.fault("CreateSnapshots", "throttle");
    rig.fault("CreateSnapshots", "error500");
    let (status, body) = refusal(rig.create_snapshots());
    assert!(status == 503 && body.contains("<Code>RequestLimitExceeded</Code>"), "{status} {body}");
    let (status, body) = refusal(rig.create_snapshots());
    assert!(status == 500 && body.contains("<Code>InternalError</Code>"), "{status} {body}");
    assert_eq!(rig.snapshots(), 0);
    assert!(rig.create_snapshots().is_ok());

    rig.fault("PutParameter", "throttle");
    let parameter = json!({"Name": "/a", "Value": "x", "Type": "String"});
    let (status, body) = refusal(rig.client.ssm("PutParameter", &parameter));
    assert!(status == 400 && body.contains("ThrottlingException"), "{status} {body}");
    assert!(rig.client.ssm("PutParameter", &parameter).is_ok());

    rig.fault("Invoke", "throttle");
    assert_eq!(refusal(rig.client.invoke("backup", &json!({}))).0, 429);
}

#[test]
fn a_delayed_effect_happens_though_the_client_has_gone() {
    let rig = Rig::new();
    rig.fault("CreateSnapshots", "delay-ms:200");
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(50))).build();
    let agent: ureq::Agent = config.into();
    let form = [("Action", "CreateSnapshots"), ("InstanceSpecification.InstanceId", INSTANCE)];
    assert!(agent.post(rig.client.endpoint()).send_form(form).is_err());
    assert!(!rig.client.quiet().unwrap(), "a call is under way");
    wait_until("the snapshot", || rig.snapshots() == 1);
    wait_until("quiet", || rig.client.quiet().unwrap());
}

#[test]
fn a_hanging_call_never_answers_and_has_no_effect() {
    let rig = Rig::new();
    rig.fault("CreateSnapshots", "hang");
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(100))).build();
    let agent: ureq::Agent = config.into();
    let form = [("Action", "CreateSnapshots"), ("InstanceSpecification.InstanceId", INSTANCE)];
    assert!(agent.post(rig.client.endpoint()).send_form(form).is_err());
    assert_eq!(rig.snapshots(), 0);
    assert!(rig.create_snapshots().is_ok(), "the next one is served");
}

#[test]
fn an_instance_may_not_do_what_it_needs_no_right_for() {
    let rig = Rig::new();
    let (key, secret, token) = rig.client.instance_credentials(INSTANCE).unwrap();
    assert!(key.starts_with("ASIA") && !secret.is_empty() && !token.is_empty());
    let (status, body) = refusal(rig.client.invoke_as(Some(&key), "backup", &json!({})));
    assert!(status == 403 && body.contains(INSTANCE), "{status} {body}");
    assert_eq!(rig.client.instance_credentials(INSTANCE).unwrap().0, key, "one identity per instance");
    assert!(rig.client.instance_credentials("i-0ffffffffffffffff").is_err());
}

#[test]
fn metadata_needs_a_token_of_that_instance() {
    let rig = Rig::new();
    let at = |instance: &str, path: &str| format!("{}/imds/{instance}/latest/{path}", rig.client.endpoint());
    let token = |instance: &str| {
        let request =
            ureq::put(at(instance, "api/token")).header("X-aws-ec2-metadata-token-ttl-seconds", "60");
        request.send_empty().unwrap().body_mut().read_to_string().unwrap()
    };
    let get = |path: &str, token: &str| {
        let request = ureq::get(at(INSTANCE, path)).header("X-aws-ec2-metadata-token", token);
        request.call().map(|mut answer| answer.body_mut().read_to_string().unwrap())
    };
    let own = token(INSTANCE);
    assert_eq!(get("meta-data/instance-id", &own).unwrap(), INSTANCE);
    assert_eq!(get("meta-data/placement/region", &own).unwrap(), "eu-central-1");
    assert_eq!(get("meta-data/tags/instance/role", &own).unwrap(), "db");
    assert!(matches!(get("meta-data/nothing", &own), Err(ureq::Error::StatusCode(404))));
    assert!(matches!(get("meta-data/instance-id", "made up"), Err(ureq::Error::StatusCode(401))));
    let foreign = token("i-0bbbbbbbbbbbbbbb2");
    assert!(matches!(get("meta-data/instance-id", &foreign), Err(ureq::Error::StatusCode(401))));
}

#[test]
fn a_command_goes_to_agents_that_are_online_and_to_nobody_else() {
    let rig = Rig::new();
    let send = |instances: Value| {
        rig.client.ssm("SendCommand", &json!({"DocumentName": "Stillframe-Thaw", "InstanceIds": instances}))
    };
    for unreachable in ["i-0bbbbbbbbbbbbbbb2", "i-0ccccccccccccccc3", "i-0ffffffffffffffff"] {
        let (_, body) = refusal(send(json!([INSTANCE, unreachable])));
        assert!(body.contains("InvalidInstanceId") && body.contains(unreachable), "{body}");
    }
    let sent = send(json!([INSTANCE])).unwrap();
    let one = json!({"CommandId": sent["Command"]["CommandId"], "InstanceId": INSTANCE});
    wait_until("the end of the command", || {
        rig.client.ssm("GetCommandInvocation", &one).unwrap()["Status"] == "Success"
    });
    let agents = rig.client.ssm("DescribeInstanceInformation", &json!({})).unwrap();
    let seen: Vec<(&str, &str)> = agents["InstanceInformationList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| (agent["InstanceId"].as_str().unwrap(), agent["PingStatus"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [(INSTANCE, "Online"), ("i-0bbbbbbbbbbbbbbb2", "ConnectionLost")]);
    rig.client.set_agent(INSTANCE, "offline").unwrap();
    assert!(send(json!([INSTANCE])).is_err());
}

#[test]
fn a_stop_and_a_start_leave_their_marks() {
    let rig = Rig::new();
    let describe = || rig.client.ec2("DescribeInstances", &[("InstanceId.1", INSTANCE)]).unwrap();
    let launched =
        |xml: &str| xml.split_once("<launchTime>").unwrap().1.split('<').next().unwrap().to_owned();
    let first_launch = launched(&describe());
    rig.client.ec2("StopInstances", &[("InstanceId.1", INSTANCE), ("Force", "true")]).unwrap();
    wait_until("stopped", || describe().contains("<name>stopped</name>"));
    assert!(describe().contains("User initiated"), "{}", describe());
    rig.client.ec2("StartInstances", &[("InstanceId.1", INSTANCE)]).unwrap();
    wait_until("running", || describe().contains("<name>running</name>"));
    assert_ne!(launched(&describe()), first_launch);
    assert!(!describe().contains("User initiated"));
}

#[test]
fn calls_are_counted_refused_or_not_and_control_endpoints_are_not() {
    let rig = Rig::new();
    rig.fault("CreateSnapshots", "throttle");
    let _ = rig.create_snapshots();
    let _ = rig.create_snapshots();
    let (key, ..) = rig.client.instance_credentials(INSTANCE).unwrap();
    let _ = rig.client.invoke_as(Some(&key), "backup", &json!({}));
    let calls = rig.client.calls().unwrap();
    assert_eq!(calls.get("CreateSnapshots"), Some(&2));
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(rig.client.calls_of(INSTANCE).unwrap().get("Invoke"), Some(&1));
}

#[test]
fn what_the_fleet_does_not_have_is_refused_by_name() {
    let rig = Rig::new();
    assert!(refusal(rig.client.ec2("DescribeRegions", &[])).1.contains("DescribeRegions"));
    assert!(refusal(rig.client.ssm("CreateDocument", &json!({}))).1.contains("CreateDocument"));
    assert_eq!(refusal(rig.client.invoke("reports", &json!({}))).0, 404);
    assert!(rig.client.fault(&json!({"op": "Nothing", "fault": "hang"})).is_err());
    assert!(rig.client.set_snapshot_state("snap-0ffffffffffffffff", "error").is_err());
}

#[test]
fn time_passes_on_request() {
    let rig = Rig::new();
    let before = rig.client.now().unwrap();
    rig.create_snapshots().unwrap();
    assert_eq!(rig.client.snapshots().unwrap()[0].state, "pending");
    rig.client.advance(3_600).unwrap();
    assert!(rig.client.now().unwrap() >= before + 3_600);
    assert_eq!(rig.client.snapshots().unwrap()[0].state, "completed");
}
