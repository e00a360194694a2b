//! Answers that have to fit: what a function returns may have 6 MB.

use serde::Serialize;

/// Leaves entries out until the rest takes no more than so many bytes as JSON; the most urgent (the least by
/// `urgency`) stay, in the order in which they stood. Whether any was left out.
pub(crate) fn fit<T: Serialize, K: Ord>(
    entries: &mut Vec<T>,
    bytes: usize,
    urgency: impl Fn(&T) -> K,
) -> bool {
    let length = |entry: &T| {
        let mut count = Count(0);
        // What cannot be written takes no room, and is told as it fails when the whole is written.
        let _ = serde_json::to_writer(&mut count, entry);
        count.0 + 1
    };
    let lengths: Vec<usize> = entries.iter().map(length).collect();
    if lengths.iter().sum::<usize>() <= bytes {
        return false;
    }
    let mut by_urgency: Vec<(K, usize)> = entries.iter().map(urgency).zip(0..).collect();
    by_urgency.sort();
    let mut stays = vec![false; entries.len()];
    let mut left = bytes;
    for (_, at) in by_urgency {
        let length = lengths.get(at).copied().unwrap_or(usize::MAX);
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
        if let Some(stays) = stays.get_mut(at) {
            *stays = true;
        }
    }
    let mut stays = stays.into_iter();
    entries.retain(|_| stays.next().unwrap_or(false));
    true
}

/// The lines of a text that fit; how many are left out is the last line then.
#[must_use]
pub fn fitting_lines(text: &str, bytes: usize) -> String {
    let written = |line: &str| serde_json::to_string(line).map_or(0, |json| json.len());
    let mut fits = String::new();
    let mut left = bytes;
    for (at, line) in text.lines().enumerate() {
        let Some(rest) = left.checked_sub(written(line)) else {
            let more = text.lines().count() - at;
            fits.push_str(&format!("... and {more} lines more"));
            return fits;
        };
        left = rest;
        fits.push_str(line);
        fits.push('\n');
    }
    fits.truncate(fits.trim_end().len());
    fits
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_stay_in_their_order() {
        let mut numbers = vec![50, 10, 40, 20, 30];
        assert!(!fit(&mut numbers, 15, |number| *number));
        assert!(fit(&mut numbers, 9, |number| *number));
        assert_eq!(numbers, [10, 20, 30]);
        assert!(fit(&mut numbers, 0, |number| *number));
        assert!(numbers.is_empty());
    }

    #[test]
    fn lines_are_left_out_whole_and_counted() {
        assert_eq!(fitting_lines("a\nb\n", 100), "a\nb");
        assert_eq!(fitting_lines("aa\nbb\ncc", 9), "aa\nbb\n... and 1 lines more");
        assert_eq!(fitting_lines("\"\"\"\"", 9), "... and 1 lines more");
    }
}
