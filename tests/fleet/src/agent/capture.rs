//! What a script prints: read to the end, of which the beginning is kept.

use rustix::io::Errno;
use std::io::Read;

/// One of a script's two outputs.
#[derive(Debug)]
pub struct Capture<R> {
    // `None` after its end.
    source: Option<R>,
    kept: Vec<u8>,
    most_chars: usize,
}

impl<R: Read> Capture<R> {
    /// Keeps at most so many characters of a source that does not block.
    pub fn new(source: R, most_chars: usize) -> Self {
        Self { source: Some(source), kept: Vec::new(), most_chars }
    }

    /// The source, until it ends.
    pub fn source(&self) -> Option<&R> {
        self.source.as_ref()
    }

    /// Reads what is there now.
    pub fn drain(&mut self) {
        let mut buffer = [0u8; 8192];
        // A character has at most four bytes.
        let most_bytes = self.most_chars.saturating_mul(4);
        while let Some(source) = &mut self.source {
            match source.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    let room = most_bytes.saturating_sub(self.kept.len());
                    self.kept.extend(buffer.iter().take(count.min(room)));
                }
                Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => self.source = None,
            }
        }
    }

    /// What was kept, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).chars().take(self.most_chars).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_rest_read() {
        let mut capture = Capture::new("grüße und mehr".as_bytes(), 5);
        capture.drain();
        assert_eq!(capture.text(), "grüße");
        assert!(capture.source().is_none(), "the source was read to its end");
    }

    #[test]
    fn more_than_a_buffer_is_kept_whole() {
        let long = "x".repeat(24_000);
        let mut capture = Capture::new(long.as_bytes(), 24_000);
        capture.drain();
        assert_eq!(capture.text(), long);
    }
}
