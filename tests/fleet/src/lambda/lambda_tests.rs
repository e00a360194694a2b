//! The function's program is this very test binary, which polls the Runtime API as `poller` below when a
//! script calls it so.

use super::*;
use crate::client::{Client, ClientError};
use crate::diskless::Diskless;
use crate::server;
use crate::spec::Spec;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A region without instances whose `backup` and `signal` are pollers.
struct Rig {
    runtime: Runtime,
    region: Arc<Region>,
    client: Client,
    _listener: server::Listener,
    _programs: TempDir,
}

impl Rig {
    fn new(function: &str) -> Self {
        let programs = tempfile::tempdir().unwrap();
        let test = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nexec '{}' --ignored --exact lambda::tests::poller --nocapture\n",
            test.display()
        );
        for name in NAMES {
            let path = programs.path().join(name);
            std::fs::write(&path, &script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = format!(
            "disks = false\n[latency_ms]\nInvoke = 0\n[function]\n{function}\ndir = {:?}",
            programs.path()
        );
        let spec = Spec::read(&text).unwrap();
        let runtime = Runtime::new().unwrap();
        let (region, listener) = runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", socket.local_addr().unwrap());
            let machines = Arc::new(Diskless::new(&spec));
            let region = Arc::new(Region::new(&spec, &endpoint, machines, None).unwrap());
            let listener = server::listen(socket, server::router(Arc::clone(&region)));
            (region, listener)
        });
        let client = Client::new(&region.endpoint);
        Self { runtime, region, client, _listener: listener, _programs: programs }
    }

    fn invoke(&self, event: &Value) -> Result<Value, ClientError> {
        self.client.invoke("backup", event)
    }

    fn pid(&self) -> u64 {
        self.invoke(&json!({"do": "tell"})).unwrap()["pid"].as_u64().unwrap()
    }

    fn failure(&self, event: &Value) -> Value {
        match self.invoke(event) {
            Err(ClientError::Function { payload, .. }) => serde_json::from_str(&payload).unwrap(),
            other => panic!("no function error but {other:?}"),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.runtime.block_on(self.region.shutdown());
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not a test: the program of the functions in the tests below.
#[test]
#[ignore = "a program that the other tests start"]
fn poller() {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else { return };
    let at = |path: &str| format!("http://{api}/2018-06-01/runtime/{path}");
    println!("poller starts");
    if std::env::var("POLLER").as_deref() == Ok("broken") {
        let _ = ureq::post(at("init/error")).send(r#"{"errorType": "Init", "errorMessage": "no config"}"#);
        std::thread::park();
    }
    loop {
        let mut next = ureq::get(at("invocation/next")).call().unwrap();
        let id = next.headers()["Lambda-Runtime-Aws-Request-Id"].to_str().unwrap().to_owned();
        let deadline: u128 = next.headers()["Lambda-Runtime-Deadline-Ms"].to_str().unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let event: Value = next.body_mut().read_json().unwrap();
        match event["do"].as_str() {
            Some("exit") => std::process::exit(3),
            Some("sleep") => std::thread::park(),
            Some("fail") => {
                println!("failing");
                let error = json!({"errorType": "Own", "errorMessage": "as asked"});
                ureq::post(at(&format!("invocation/{id}/error"))).send_json(error).unwrap();
            }
            _ => {
                let left_ms = deadline.saturating_sub(now.as_millis());
                let answer = json!({
                    "pid": std::process::id(),
                    "offset": std::env::var("STILLFRAME_CLOCK_OFFSET_S").unwrap(),
                    "left_ms": u64::try_from(left_ms).unwrap(),
                    "secret": std::env::var("CARGO_MANIFEST_DIR").is_ok(),
                });
                ureq::post(at(&format!("invocation/{id}/response"))).send_json(answer).unwrap();
            }
        }
    }
}

#[test]
fn a_warm_environment_is_used_again_and_knows_its_deadline() {
    let rig = Rig::new("timeout_s = 30");
    let first = rig.invoke(&json!({"do": "tell"})).unwrap();
    assert_eq!(rig.pid(), first["pid"].as_u64().unwrap());
    let left = first["left_ms"].as_u64().unwrap();
    assert!((20_000..=30_000).contains(&left), "{left}");
    assert_eq!(first["secret"], false, "nothing of the fleet's own environment is handed on");
}

#[test]
fn invocations_at_once_have_an_environment_each() {
    let rig = Rig::new("timeout_s = 3");
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| rig.failure(&json!({"do": "sleep"})));
        wait_until("the busy one", || rig.region.functions.under_way() == 1);
        assert!(rig.pid() > 0, "the other one answers while the first is busy");
        let error = busy.join().unwrap();
        assert_eq!(error["errorType"], "Sandbox.Timedout", "{error}");
        assert!(error["errorMessage"].as_str().unwrap().contains("Task timed out after 3.00 seconds"));
    });
}

#[test]
fn more_than_the_concurrency_allows_answers_429() {
    let rig = Rig::new("concurrency = 1\ntimeout_s = 3");
    std::thread::scope(|scope| {
        scope.spawn(|| rig.failure(&json!({"do": "sleep"})));
        wait_until("the busy one", || rig.region.functions.under_way() == 1);
        let refused = rig.invoke(&json!({}));
        assert!(matches!(refused, Err(ClientError::Refused { status: 429, .. })), "{refused:?}");
    });
}

#[test]
fn a_program_that_fails_or_ends_is_a_function_error_and_the_next_call_gets_another() {
    let rig = Rig::new("");
    let pid = rig.pid();
    assert_eq!(rig.failure(&json!({"do": "fail"}))["errorMessage"], "as asked");
    assert_eq!(rig.pid(), pid, "an error it reported itself does not end it");
    let error = rig.failure(&json!({"do": "exit"}));
    assert_eq!(error["errorType"], "Runtime.ExitError", "{error}");
    assert_ne!(rig.pid(), pid);
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let rig = Rig::new("env = { POLLER = \"broken\" }");
    assert_eq!(rig.failure(&json!({}))["errorMessage"], "no config");
}

#[test]
fn an_environment_of_another_time_is_not_used() {
    let rig = Rig::new("");
    let before = rig.pid();
    rig.client.advance(86_400).unwrap();
    let after = rig.invoke(&json!({"do": "tell"})).unwrap();
    assert_ne!(after["pid"].as_u64(), Some(before));
    assert_eq!(after["offset"], "86400");
}

#[test]
fn an_asynchronous_invocation_that_fails_is_tried_three_times() {
    let rig = Rig::new("retry_delays_ms = [1, 1]");
    rig.client.invoke_async("backup", &json!({"do": "fail"})).unwrap();
    wait_until("three attempts", || rig.client.quiet().unwrap());
    let logs = rig.client.function_logs("backup").unwrap();
    assert_eq!(logs.matches("failing").count(), 3, "{logs}");
    rig.client.invoke_async("backup", &json!({"do": "tell"})).unwrap();
    wait_until("one attempt", || rig.client.quiet().unwrap());
    assert_eq!(rig.client.calls().unwrap()["Invoke"], 2, "retries are no calls of the API");
}

#[test]
fn the_log_of_an_environment_that_has_ended_is_kept() {
    let rig = Rig::new("");
    rig.failure(&json!({"do": "exit"}));
    rig.pid();
    let logs = rig.client.function_logs("backup").unwrap();
    assert_eq!(logs.matches("poller starts").count(), 2, "{logs}");
    assert_eq!(rig.client.function_logs("signal").unwrap(), "");
}

#[test]
fn a_function_is_known_by_name_and_by_arn() {
    let functions = Functions::new(FunctionSpec::default(), PathBuf::new(), None);
    let named = |name: &str| functions.named(&Caller::Operator, name);
    assert_eq!(named("signal"), Some("signal"));
    assert_eq!(named("arn:aws:lambda:eu-central-1:123456789012:function:signal"), Some("signal"));
    assert_eq!(named("arn:aws:lambda:eu-central-1:123456789012:function:signal:live"), Some("signal"));
    assert_eq!(named("restore"), Some("restore"));
    assert_eq!(named("reports"), None);
}

#[test]
fn a_template_says_what_functions_are_called_and_only_the_operator_may_call_them_otherwise() {
    let mut functions = Functions::new(FunctionSpec::default(), PathBuf::new(), None);
    let timeout = Duration::from_secs(40);
    let deployed =
        Deployed { name: "team-a-signal".to_owned(), environment: BTreeMap::new(), timeout, memory_mib: 512 };
    functions.deployed.insert("signal", deployed);
    let instance = Caller::Instance("i-0aaaaaaaaaaaaaaa1".to_owned());
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:team-a-signal";
    for name in ["team-a-signal", arn] {
        assert_eq!(functions.named(&instance, name), Some("signal"));
    }
    assert_eq!(functions.named(&instance, "signal"), None);
    assert_eq!(functions.named(&Caller::Operator, "signal"), Some("signal"));
    assert_eq!(functions.timeout_of("signal"), timeout);
    assert_eq!(functions.name_of("signal"), "team-a-signal");
}

#[test]
fn events_that_lambda_refuses_are_refused() {
    assert_eq!(check_event(b"", false), Ok(()));
    assert_eq!(check_event(b"{}", true), Ok(()));
    assert_eq!(check_event(b"{", false).unwrap_err().status, 400);
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    assert_eq!(check_event(large.as_bytes(), false), Ok(()));
    assert_eq!(check_event(large.as_bytes(), true).unwrap_err().status, 413);
}
