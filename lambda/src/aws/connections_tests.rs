//! How many connections calls open: a real listener counts.
#![allow(clippy::unwrap_used)]

use super::*;
use aws_config::Region;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stillframe_plan::InstanceId;

/// An EC2 that answers every request with an empty answer, and counts connections.
fn listen() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || serve(stream));
        }
    });
    (endpoint, connections)
}

fn serve(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let action = body.strip_prefix("Action=")?.split('&').next()?;
        let body = format!("<{action}Response></{action}Response>");
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
        (&stream).write_all((head + &body).as_bytes()).ok()?;
    }
}

#[tokio::test]
async fn a_cut_uses_the_connection_that_was_opened_before_whatever_time_it_has() {
    let (endpoint, connections) = listen();
    let key = Credentials::new("AKIDTEST", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(key))
        .sleep_impl(SharedAsyncSleep::new(Tokio))
        .build();
    let account = Account::new(&config);
    WarmUp::new(&account).call(Duration::from_secs(2)).await;
    let request = SetRequest {
        instance: InstanceId::from("i-0aaaaaaaaaaaaaaa1"),
        exclude_boot: true,
        exclude_volumes: vec![],
        tags: BTreeMap::new(),
        copy_volume_tags: true,
        description: String::new(),
    };
    for limit_ms in [9_871, 1_234, 29_000] {
        let made = CreateSnapshots::new(&account).call(&request, Duration::from_millis(limit_ms)).await;
        assert_eq!(made.map(|made| made.len()).map_err(|error| error.to_string()), Ok(0));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// Sleeps, so that the SDK has timeouts.
#[derive(Debug)]
struct Tokio;

impl AsyncSleep for Tokio {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}
