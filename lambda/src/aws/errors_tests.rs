//! The real client against a scripted server on loopback: what each kind of answer is taken for, and
//! how often a call that must be sent once is sent.

use super::{super::*, *};
use aws_config::Region;
use aws_sdk_ec2::config::Credentials;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use stillframe_plan::InstanceId;

/// What the server does with every request.
#[derive(Clone, Copy)]
enum Script {
    Answer(u16, &'static str),
    HangUp,
    Silence,
}

/// A server that plays the script for every connection, and how many requests it has seen.
fn serve(script: Script) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 65_536];
            // The requests of these tests fit into one read or have their head in the first.
            if stream.read(&mut request).unwrap_or(0) == 0 {
                continue;
            }
            counter.fetch_add(1, Ordering::SeqCst);
            match script {
                Script::HangUp => {}
                Script::Silence => kept.push(stream),
                Script::Answer(status, body) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes());
                    let _ = stream.write_all(body.as_bytes());
                }
            }
        }
    });
    (endpoint, seen)
}

async fn account(endpoint: &str) -> Account {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"))
        .load()
        .await;
    Account::new(&config)
}

fn set() -> SetRequest {
    SetRequest {
        instance: InstanceId::from("i-0aaaaaaaaaaaaaaa1"),
        exclude_boot: true,
        exclude_volumes: vec![],
        tags: BTreeMap::new(),
        copy_volume_tags: true,
        description: String::new(),
    }
}

async fn cut(script: Script, limit: Duration) -> (Result<Vec<MadeSnapshot>, CallError>, usize) {
    let (endpoint, seen) = serve(script);
    let answer = CreateSnapshots::new(&account(&endpoint).await).call(&set(), limit).await;
    (answer, seen.load(Ordering::SeqCst))
}

macro_rules! ec2_error {
    ($code:literal) => {
        concat!(
            "<Response><Errors><Error><Code>",
            $code,
            "</Code><Message>no</Message></Error></Errors></Response>"
        )
    };
}

#[tokio::test]
async fn every_answer_is_taken_for_what_it_proves_and_asked_for_once() {
    for (script, cause) in [
        (Script::Answer(503, ec2_error!("RequestLimitExceeded")), Cause::Throttled),
        (Script::Answer(400, ec2_error!("RequestLimitExceeded")), Cause::Throttled),
        (Script::Answer(400, ec2_error!("ThrottlingException")), Cause::Throttled),
        (Script::Answer(400, ec2_error!("SnapshotCreationPerVolumeRateExceeded")), Cause::PendingLimit),
        (Script::Answer(400, ec2_error!("ConcurrentSnapshotLimitExceeded")), Cause::PendingLimit),
        (Script::Answer(400, ec2_error!("InvalidInstanceID.NotFound")), Cause::Refused),
        (Script::Answer(403, ec2_error!("UnauthorizedOperation")), Cause::Refused),
        (Script::Answer(500, ec2_error!("InternalError")), Cause::Unknown),
        (Script::Answer(503, ec2_error!("Unavailable")), Cause::Unknown),
        (Script::Answer(502, "<html>bad gateway</html>"), Cause::Unknown),
        (Script::Answer(404, "nothing here"), Cause::Unknown),
        (Script::Answer(200, "this is no XML"), Cause::Unknown),
        (
            Script::Answer(
                200,
                "<CreateSnapshotsResponse><snapshotSet><item><volumeId>vol-1</volumeId></item></snapshotSet></CreateSnapshotsResponse>",
            ),
            Cause::Unknown,
        ),
        (Script::HangUp, Cause::Unknown),
    ] {
        let (answer, requests) = cut(script, Duration::from_secs(10)).await;
        let error = answer.unwrap_err();
        assert_eq!(error.cause(), cause, "{error}");
        assert_eq!(requests, 1, "{error}");
    }
}

#[tokio::test]
async fn a_call_ends_within_its_limit_and_its_outcome_is_unknown() {
    let started = std::time::Instant::now();
    let (answer, requests) = cut(Script::Silence, Duration::from_millis(300)).await;
    assert_eq!(answer.unwrap_err().cause(), Cause::Unknown);
    assert_eq!(requests, 1);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_error_names_operation_code_and_sentence() {
    let (answer, _) =
        cut(Script::Answer(400, ec2_error!("InvalidInstanceID.NotFound")), Duration::from_secs(10)).await;
    assert_eq!(
        answer.unwrap_err().to_string(),
        "CreateSnapshots was refused (InvalidInstanceID.NotFound: no)"
    );
}

#[tokio::test]
async fn a_command_is_sent_once() {
    for script in [Script::HangUp, Script::Answer(500, r#"{"__type": "InternalServerError"}"#)] {
        let (endpoint, seen) = serve(script);
        let answer = SendCommand::new(&account(&endpoint).await, "Stillframe")
            .call(
                &InstanceId::from("i-0aaaaaaaaaaaaaaa1"),
                Document::Thaw,
                &[],
                "run",
                Duration::from_secs(30),
            )
            .await;
        assert_eq!(answer.unwrap_err().cause(), Cause::Unknown);
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn deleting_what_is_gone_is_done_and_what_is_in_use_is_kept() {
    for (code, expected) in [
        (ec2_error!("InvalidSnapshot.NotFound"), Deleted::WasGone),
        (
            ec2_error!("InvalidSnapshot.InUse"),
            Deleted::Kept { code: "InvalidSnapshot.InUse".to_owned(), message: "no".to_owned() },
        ),
    ] {
        let (endpoint, _) = serve(Script::Answer(400, code));
        let answer =
            DeleteSnapshot::new(&account(&endpoint).await).call(&"snap-0123456789abcdef0".into()).await;
        assert_eq!(answer, Ok(expected));
    }
}
