//! A signal function for tests: Lambda's `Invoke` over HTTP on loopback, answering what the test
//! decides for each signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillframe_wire::{
    Answer, Cut, CutSnapshot, ReadyAnswer, Refusal, RefusalReason, Signal, SnapshotId, WorkOrder,
};

/// What comes back for one signal.
pub enum Reply {
    Answer(Answer),
    /// After so long.
    Late(Duration, Answer),
    /// The function failed.
    FunctionError,
    /// An HTTP error.
    Status(u16),
    /// The connection breaks without an answer.
    Reset,
    /// No answer for so long, then the connection closes.
    Silence(Duration),
    /// Text that is no answer.
    Text(&'static str),
}

type Decide = dyn Fn(&Signal) -> Reply + Send + Sync;

pub struct SignalFunction {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    signals: Mutex<Vec<(usize, Signal)>>,
}

impl SignalFunction {
    /// A function that says yes to everything.
    pub fn willing() -> Self {
        Self::deciding(|signal| Reply::Answer(yes(signal)))
    }

    /// A function that says yes to READY and decides about FROZEN.
    pub fn at_frozen(decide: impl Fn(&Signal) -> Reply + Send + Sync + 'static) -> Self {
        Self::deciding(move |signal| match signal {
            Signal::Ready(_) => Reply::Answer(yes(signal)),
            Signal::Frozen(_) => decide(signal),
        })
    }

    pub fn deciding(decide: impl Fn(&Signal) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (decide, record): (Arc<Decide>, _) = (Arc::new(decide), Arc::clone(&seen));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = record.connections.fetch_add(1, SeqCst);
                let (decide, record) = (Arc::clone(&decide), Arc::clone(&record));
                std::thread::spawn(move || serve(stream, number, &*decide, &record));
            }
        });
        Self { port, seen }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same under another name for this machine.
    pub fn url_at(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }

    /// Every signal received, with the number of its connection.
    pub fn signals(&self) -> Vec<(usize, Signal)> {
        self.seen.signals.lock().unwrap().clone()
    }

    pub fn frozen_signals(&self) -> usize {
        self.signals().iter().filter(|(_, signal)| matches!(signal, Signal::Frozen(_))).count()
    }
}

/// The order that came with a signal.
pub fn order_of(signal: &Signal) -> WorkOrder {
    let (Signal::Ready(stillframe_wire::Ready { order, .. })
    | Signal::Frozen(stillframe_wire::Frozen { order, .. })) = signal;
    WorkOrder::read_unverified(order).unwrap()
}

/// The answer that a signal hopes for.
pub fn yes(signal: &Signal) -> Answer {
    let order = order_of(signal);
    match signal {
        Signal::Ready(_) => Answer::Ready(ReadyAnswer { run: order.run }),
        Signal::Frozen(_) => Answer::Cut(Cut {
            run: order.run,
            snapshots: order
                .volumes
                .iter()
                .map(|volume| CutSnapshot {
                    volume: volume.id.clone(),
                    snapshot: SnapshotId::new(volume.id.as_str().replace("vol-", "snap-")).unwrap(),
                })
                .collect(),
            asked_at: "2026-11-22T01:00:00.000Z".to_owned(),
            answered_at: "2026-11-22T01:00:00.400Z".to_owned(),
        }),
    }
}

pub fn no(reason: RefusalReason) -> Reply {
    Reply::Answer(Answer::Refused(Refusal { reason, message: "because the test says so".to_owned() }))
}

fn serve(stream: TcpStream, connection: usize, decide: &Decide, seen: &Seen) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(body) = request(&mut reader) {
        let signal = Signal::read(&body).unwrap();
        seen.signals.lock().unwrap().push((connection, signal.clone()));
        let sent = match decide(&signal) {
            Reply::Answer(answer) => respond(&mut writer, 200, "", &to_json(&answer)),
            Reply::Late(delay, answer) => {
                std::thread::sleep(delay);
                respond(&mut writer, 200, "", &to_json(&answer))
            }
            Reply::FunctionError => {
                let head = "X-Amz-Function-Error: Unhandled\r\n";
                respond(&mut writer, 200, head, r#"{"errorMessage":"boom","errorType":"Runtime"}"#)
            }
            Reply::Status(code) => respond(&mut writer, code, "", r#"{"Message":"no"}"#),
            Reply::Text(text) => respond(&mut writer, 200, "", text),
            Reply::Reset => return,
            Reply::Silence(time) => {
                std::thread::sleep(time);
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn to_json(answer: &Answer) -> String {
    serde_json::to_string(answer).unwrap()
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(line.starts_with("POST /2015-03-31/functions/signal/invocations"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn respond(writer: &mut TcpStream, code: u16, head: &str, body: &str) -> std::io::Result<()> {
    let text = format!(
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    writer.write_all(text.as_bytes())
}
