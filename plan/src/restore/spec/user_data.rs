//! Finds the spec in an instance's user data, which is written for cloud-init as a rule: JSON alone, JSON in
//! one part of a MIME multipart, or the JSON value of a key `stillframe` in a `#cloud-config`:
//!
//! ```text
//! #cloud-config
//! packages: [postgresql]
//! stillframe: {"role": "db", "volumes": [{"mount_point": "/srv/pg"}]}
//! ```
//! Each may be packed with gzip or written in Base64, as cloud-init takes it. What belongs to somebody else
//! is no error: there is no spec here, and what was found instead.

use super::{Spec, SpecError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::io::Read as _;

/// Most bytes that packed user data may become: EC2 takes 16 KiB of it.
const MOST_UNPACKED: u64 = 1 << 20;
/// How many wrappings are undone, one within the other.
const DEEPEST: u8 = 5;
/// Our key in a cloud-config, and around a spec in JSON that others use as well.
const KEY: &str = "stillframe";

/// What user data holds for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// A spec.
    Spec(Box<Spec>),
    /// None.
    None(NoSpec),
}

/// What user data without a spec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoSpec {
    /// Nothing.
    Empty,
    /// A script.
    Script,
    /// A cloud-config without our key.
    CloudConfig,
    /// Several parts, none of them ours.
    Multipart,
    /// JSON without any field of ours.
    OtherJson,
    /// Something else that cloud-init knows by its first line.
    OtherDirective,
}

impl fmt::Display for NoSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the user data is empty",
            Self::Script => "the user data is a script",
            Self::CloudConfig => "the user data is a cloud-config without a key `stillframe`",
            Self::Multipart => "no part of the user data is a restore spec",
            Self::OtherJson => "the user data is JSON without a field of a restore spec",
            Self::OtherDirective => "the user data is a directive for cloud-init",
        })
    }
}

impl UserData {
    /// Reads user data as the instance gets it.
    ///
    /// # Errors
    /// It is like nothing that user data can be, or our part of it is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, SpecError> {
        read(bytes, DEEPEST)
    }
}

fn read(bytes: &[u8], depth: u8) -> Result<UserData, SpecError> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(document(format!("packed more than {DEEPEST} times")));
    };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return read(&unpack(bytes)?, deeper);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| document(format!("it is no text: {error}")))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let first_line = text.lines().next().unwrap_or_default().trim_end();
    if text.is_empty() {
        Ok(UserData::None(NoSpec::Empty))
    } else if text.starts_with(['{', '[']) {
        json(text)
    } else if is_header(first_line) {
        multipart(text, deeper)
    } else if first_line == "#cloud-config" {
        cloud_config(text)
    } else if text.starts_with("#!") {
        Ok(UserData::None(NoSpec::Script))
    } else if text.starts_with('#') {
        Ok(UserData::None(NoSpec::OtherDirective))
    } else if let Some(decoded) = base64(text) {
        read(&decoded, deeper)
    } else {
        let begin: String = first_line.chars().take(40).collect();
        Err(document(format!("{begin:?}... is neither JSON nor anything that cloud-init knows")))
    }
}

fn document(cause: String) -> SpecError {
    SpecError::Document { cause: format!("the user data: {cause}") }
}

fn json(text: &str) -> Result<UserData, SpecError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| document(format!("it is no JSON: {error}")))?;
    match value.as_object() {
        Some(fields) => match fields.get(KEY) {
            Some(ours) => spec(ours),
            None if Spec::is_known_by(fields) => spec(&value),
            None => Ok(UserData::None(NoSpec::OtherJson)),
        },
        None => spec(&value),
    }
}

fn spec(value: &Value) -> Result<UserData, SpecError> {
    Spec::read(value).map(|spec| UserData::Spec(Box::new(spec)))
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, SpecError> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(MOST_UNPACKED + 1);
    reader.read_to_end(&mut unpacked).map_err(|error| document(format!("it cannot be unpacked: {error}")))?;
    if unpacked.len() as u64 > MOST_UNPACKED {
        return Err(document(format!("unpacked it is larger than {MOST_UNPACKED} bytes")));
    }
    Ok(unpacked)
}

/// Base64 over any number of lines.
fn base64(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(joined).ok().filter(|decoded| !decoded.is_empty())
}

/// The value of our key: the rest of its line and the lines that are indented below it.
fn cloud_config(text: &str) -> Result<UserData, SpecError> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("stillframe:"));
    let Some(first) = lines.next() else { return Ok(UserData::None(NoSpec::CloudConfig)) };
    let mut value = first.strip_prefix("stillframe:").unwrap_or_default().trim().to_owned();
    // A block of text (`|` or `>`) is its indented lines.
    if value.starts_with(['|', '>']) {
        value.clear();
    }
    for line in lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '}', ']'])) {
        value.push('\n');
        value.push_str(line);
    }
    let value: Value = serde_json::from_str(&value).map_err(|error| {
        document(format!("the value of `stillframe` in the cloud-config is no JSON: {error}"))
    })?;
    spec(&value)
}

/// Whether a line is one of a MIME message's head.
fn is_header(line: &str) -> bool {
    ["content-type:", "mime-version:"].iter().any(|name| header(line, name).is_some())
}

/// The value of a header, if the line is that one. `name` ends with its colon.
fn header<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let head = line.get(..name.len())?;
    head.eq_ignore_ascii_case(name).then(|| line.get(name.len()..).unwrap_or_default().trim())
}

/// A MIME message or part of one.
struct Part<'a> {
    kind: Cow<'a, str>,
    encoding: Cow<'a, str>,
    body: &'a str,
}

impl<'a> Part<'a> {
    fn read(text: &'a str) -> Self {
        let text = text.trim_start_matches(['\r', '\n']);
        let end = ["\r\n\r\n", "\n\n"].iter().filter_map(|gap| Some((text.find(gap)?, gap.len()))).min();
        let (head, body) = match end {
            Some((at, gap)) => (text.get(..at).unwrap_or_default(), text.get(at + gap..).unwrap_or_default()),
            None => ("", text),
        };
        // A header goes on in the lines that begin with a blank.
        let head = head.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
        let value = |name| head.lines().find_map(|line| header(line, name)).unwrap_or_default().to_owned();
        Self {
            kind: value("content-type:").into(),
            encoding: value("content-transfer-encoding:").into(),
            body,
        }
    }

    fn boundary(&self) -> Option<&str> {
        let mut parameters = self.kind.split(';').skip(1);
        let value = parameters.find_map(|parameter| header(parameter.trim(), "boundary="))?;
        Some(value.trim_matches('"')).filter(|boundary| !boundary.is_empty())
    }

    fn is(&self, kinds: &[&str]) -> bool {
        let kind = self.kind.split(';').next().unwrap_or_default().trim();
        kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
    }

    fn decoded(&self) -> Result<Cow<'a, [u8]>, String> {
        match self.encoding.to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" => Ok(Cow::Borrowed(self.body.as_bytes())),
            "base64" => base64(self.body).map(Cow::Owned).ok_or_else(|| "it is no Base64".to_owned()),
            other => Err(format!("the transfer encoding {other:?} is not known")),
        }
    }
}

fn multipart(text: &str, depth: u8) -> Result<UserData, SpecError> {
    let whole = Part::read(text);
    let Some(boundary) = whole.boundary() else {
        // A message of one part.
        let body = whole.decoded().map_err(document)?;
        return read(&body, depth);
    };
    let delimiter = format!("--{boundary}");
    let mut found: Option<(usize, UserData)> = None;
    // What comes before the first delimiter is for mail readers of the past; the last part ends with `--`.
    for (at, part) in parts(whole.body, &delimiter).into_iter().enumerate() {
        let part = Part::read(part);
        let ours = part.is(&["application/json", "text/json", "application/vnd.stillframe+json"]);
        let nested = part.boundary().is_some();
        let read = if nested { multipart_within(&part, depth) } else { part_alone(&part, depth) };
        match read {
            Ok(UserData::None(_)) => {}
            Ok(spec) => {
                if let Some((earlier, _)) = &found {
                    return Err(document(format!(
                        "parts {} and {} are both restore specs",
                        earlier + 1,
                        at + 1
                    )));
                }
                found = Some((at, spec));
            }
            // Only of a part that says what it is can be said that it is wrong.
            Err(error) if ours || nested || matches!(error, SpecError::Field { .. }) => {
                return Err(in_part(at, error));
            }
            Err(error) if part.is(&["text/cloud-config"]) => return Err(in_part(at, error)),
            Err(_) => {}
        }
    }
    Ok(found.map_or(UserData::None(NoSpec::Multipart), |(_, spec)| spec))
}

fn part_alone(part: &Part<'_>, depth: u8) -> Result<UserData, SpecError> {
    read(&part.decoded().map_err(document)?, depth)
}

fn multipart_within(part: &Part<'_>, depth: u8) -> Result<UserData, SpecError> {
    let Some(deeper) = depth.checked_sub(1) else { return Err(document("parts lie too deep".to_owned())) };
    multipart(&format!("Content-Type: {}\n\n{}", part.kind, part.body), deeper)
}

fn in_part(at: usize, error: SpecError) -> SpecError {
    match error {
        SpecError::Document { cause } => SpecError::Document { cause: format!("part {}: {cause}", at + 1) },
        field @ SpecError::Field { .. } => field,
    }
}

fn parts<'a>(body: &'a str, delimiter: &str) -> Vec<&'a str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == delimiter || bare.strip_suffix("--") == Some(delimiter) {
            starts.push((at, at + line.len()));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([body.len()]);
    let mut parts: Vec<&str> =
        starts.iter().zip(ends).filter_map(|((_, start), end)| body.get(*start..end)).collect();
    // What follows the closing delimiter is no part.
    if starts.len() > 1 {
        parts.pop();
    }
    parts
}

#[cfg(test)]
#[path = "user_data_tests.rs"]
mod tests;
