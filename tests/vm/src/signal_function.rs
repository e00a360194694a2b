//! The signal function, as the guest's helper reaches it: Lambda's `Invoke` on this machine's loopback,
//! which QEMU shows the guest at 10.0.2.2. READY is always answered with yes; what happens at FROZEN is the
//! scenario's business, and then it is answered with a cut of every ordered volume that is attached.

use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use stillframe_wire::{
    Answer, Cut, CutSnapshot, FileSystem, Ready, ReadyAnswer, Signal, SnapshotId, VolumeId, WorkOrder,
};

/// A function for one freeze at a time.
#[derive(Debug)]
pub(crate) struct SignalFunction {
    port: u16,
    frozen: Receiver<Frozen>,
}

/// A FROZEN that waits for its answer.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// What the helper says is frozen.
    pub(crate) filesystems: Vec<FileSystem>,
    detached: Mutex<Vec<VolumeId>>,
    answer: Sender<Vec<VolumeId>>,
}

impl Frozen {
    /// The volume is not attached any more: `CreateSnapshots`, which is asked for an instance's volumes,
    /// does not find it.
    pub(crate) fn is_detached(&self, volume: &VolumeId) {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner).push(volume.clone());
    }

    /// Answers: every ordered volume that is attached was cut.
    pub(crate) fn answer(self) {
        let _ = self.answer.send(self.detached.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
}

impl SignalFunction {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen on loopback")?;
        let port = listener.local_addr()?.port();
        let (sender, frozen) = channel();
        // Ends with the program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    if let Err(error) = serve(&stream, &sender) {
                        eprintln!("vm: the signal function: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port, frozen })
    }

    /// Where the guest finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://10.0.2.2:{}", self.port)
    }

    /// The next FROZEN; nothing when none comes within `limit`.
    pub(crate) fn frozen(&self, limit: std::time::Duration) -> Option<Frozen> {
        self.frozen.recv_timeout(limit).ok()
    }
}

fn serve(mut stream: &TcpStream, frozen: &Sender<Frozen>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(body) = request(&mut reader)? {
        let text = serde_json::to_string(&answer(&body, frozen)?)?;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let sent = stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        if sent.is_err() {
            // The helper did not wait for it: its deadline, or its death.
            return Ok(());
        }
    }
    Ok(())
}

fn answer(body: &[u8], frozen: &Sender<Frozen>) -> anyhow::Result<Answer> {
    match Signal::read(body)? {
        Signal::Ready(Ready { order, .. }) => {
            Ok(Answer::Ready(ReadyAnswer { run: WorkOrder::read_unverified(&order)?.run }))
        }
        Signal::Frozen(signal) => {
            let order = WorkOrder::read_unverified(&signal.order)?;
            let (answer, answered) = channel();
            frozen
                .send(Frozen { filesystems: signal.filesystems, detached: Mutex::default(), answer })
                .context("nobody waits for FROZEN")?;
            // An error is a scenario that wants no answer given.
            let detached = answered.recv().context("a scenario left FROZEN unanswered")?;
            let snapshot = |id: &str| SnapshotId::new(id.replacen("vol-", "snap-", 1));
            let attached = order.volumes.into_iter().filter(|volume| !detached.contains(&volume.id));
            let snapshots = attached
                .map(|volume| Ok(CutSnapshot { snapshot: snapshot(volume.id.as_str())?, volume: volume.id }));
            Ok(Answer::Cut(Cut {
                run: order.run,
                snapshots: snapshots.collect::<anyhow::Result<_>>()?,
                asked_at: "2026-11-22T01:00:00.000Z".to_owned(),
                answered_at: "2026-11-22T01:00:00.400Z".to_owned(),
            }))
        }
    }
}

/// A request's body; nothing when the other side has closed.
fn request(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    // A reset is an end like any other.
    if !matches!(reader.read_line(&mut line), Ok(1..)) {
        return Ok(None);
    }
    if !line.starts_with("POST /2015-03-31/functions/signal/invocations") {
        bail!("{} is no Invoke of it", line.trim());
    }
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}
