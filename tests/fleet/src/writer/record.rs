//! One record: what it is on the disk.
//!
//! ```text
//! "SFR1"  sequence u64  time u64  length u32  payload  crc32 u32      (little endian)
//! ```
//! The checksum covers everything before it; the payload follows from the sequence, so that a record that
//! was torn or mixed with another one is told from a whole one.

const MAGIC: [u8; 4] = *b"SFR1";
const HEAD: usize = 24;
const TAIL: usize = 4;
/// No record is larger; what claims to be is none.
const PAYLOAD_LIMIT: usize = 64 * 1024;

/// A record without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its number; the first is 1, and none is left out.
    pub sequence: u64,
    /// When it was written, [`crate::boottime`].
    pub time_ns: u64,
}

impl Record {
    /// Its bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let payload = payload(self.sequence);
        let mut bytes = Vec::with_capacity(HEAD + payload.len() + TAIL);
        bytes.extend(MAGIC);
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.time_ns.to_le_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap_or_default().to_le_bytes());
        bytes.extend(payload);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The record at the beginning of `bytes`, and what follows it; `None` if there is no whole one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (magic, fields) = head.split_first_chunk::<4>()?;
        let (sequence, fields) = fields.split_first_chunk::<8>()?;
        let (time, fields) = fields.split_first_chunk::<8>()?;
        let length = usize::try_from(u32::from_le_bytes(*fields.first_chunk::<4>()?)).ok()?;
        if *magic != MAGIC || length > PAYLOAD_LIMIT {
            return None;
        }
        let (covered, _) = bytes.split_at_checked(HEAD + length)?;
        let (crc, rest) = rest.split_at_checked(length)?.1.split_first_chunk::<TAIL>()?;
        let record = Self { sequence: u64::from_le_bytes(*sequence), time_ns: u64::from_le_bytes(*time) };
        let whole = crc32fast::hash(covered) == u32::from_le_bytes(*crc);
        (whole && covered.ends_with(&payload(record.sequence))).then_some((record, rest))
    }
}

/// 200 to 455 bytes that follow from the sequence (a linear congruential generator).
fn payload(sequence: u64) -> Vec<u8> {
    let mut state = sequence.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let length = 200 + usize::from(state.to_le_bytes()[7]);
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    })
    .take(length)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record { sequence: 7, time_ns: 42 };

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = RECORD.encode();
        bytes.extend(b"next");
        assert_eq!(Record::decode(&bytes), Some((RECORD, &b"next"[..])));
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_none() {
        let bytes = RECORD.encode();
        for length in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn a_record_with_any_byte_changed_is_none() {
        let bytes = RECORD.encode();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert_eq!(Record::decode(&damaged), None, "changed at {place}");
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Record::decode(&[0; 4096]), None);
    }
}
