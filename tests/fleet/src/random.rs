//! Identifiers and secrets, from the operating system's random numbers.

use std::fmt::Write;

/// `digits` hexadecimal digits.
#[must_use]
pub fn hex(digits: usize) -> String {
    let mut bytes = vec![0_u8; digits.div_ceil(2)];
    // The kernel's generator does not fail once it is seeded, and a region starts long after boot. Should
    // it fail, ids collide and the first insert that finds one taken says so.
    let _ = getrandom::fill(&mut bytes);
    let mut text = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.truncate(digits);
    text
}

/// An id as EC2 makes them: `snap-` and 17 hexadecimal digits.
#[must_use]
pub fn id(prefix: &str) -> String {
    format!("{prefix}-{}", hex(17))
}

/// A UUID, as SSM and Lambda name commands and requests.
#[must_use]
pub fn uuid() -> String {
    [8, 4, 4, 4, 12].map(hex).join("-")
}
