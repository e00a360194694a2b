//! QEMU's own control channel: one command at a time, and the events in between.

use super::GuestError;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No command takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Qmp(Mutex<Channel>);

#[derive(Debug)]
struct Channel {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    /// Takes over a fresh connection.
    pub(super) fn new(stream: UnixStream) -> Result<Self, GuestError> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(GuestError::Channel)?;
        let mut channel = Channel { reader: BufReader::new(stream), events: Vec::new() };
        // The greeting.
        channel.line()?;
        channel.execute("qmp_capabilities", &json!({}))?;
        Ok(Self(Mutex::new(channel)))
    }

    /// Has a command carried out.
    pub(super) fn execute(&self, command: &str, arguments: &Value) -> Result<Value, GuestError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).execute(command, arguments)
    }

    /// Waits for an event about a device.
    pub(super) fn wait(&self, event: &str, device: &str) -> Result<(), GuestError> {
        let mut channel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |seen: &Value| {
            seen.get("event").is_some_and(|name| name == event)
                && seen.pointer("/data/device").is_some_and(|name| name == device)
        };
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = channel.events.iter().position(is_it) {
                channel.events.remove(at);
                return Ok(());
            }
            if Instant::now() > end {
                return Err(GuestError::Late(format!("{event} of {device}")));
            }
            let line = channel.line()?;
            channel.events.push(line);
        }
    }
}

impl Channel {
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, GuestError> {
        let text = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.reader.get_mut().write_all(text.as_bytes()).map_err(GuestError::Channel)?;
        loop {
            let line = self.line()?;
            if let Some(value) = line.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = line.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or_default().to_owned();
                return Err(GuestError::Qemu { command: command.to_owned(), said });
            }
            self.events.push(line);
        }
    }

    fn line(&mut self) -> Result<Value, GuestError> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(GuestError::Ended),
            Ok(_) => serde_json::from_str(&line).map_err(|error| GuestError::Channel(error.into())),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(GuestError::Late("QEMU".to_owned()))
            }
            Err(error) => Err(GuestError::Channel(error)),
        }
    }
}
