//! Numbers for names, so that a million records are grouped and sorted by comparing integers.

#![expect(
    clippy::disallowed_types,
    reason = "names are looked up and never iterated, and the hash has no seed"
)]

use smol_str::SmolStr;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::marker::PhantomData;

/// A look-up table that is the same in every run. It is never iterated.
type Lookup<K, V> = HashMap<K, V, BuildHasherDefault<QuickHasher>>;

/// How many addresses of one name are remembered, on average. Beyond that words are not shared, and
/// remembering their addresses saves nothing.
const ADDRESSES: usize = 4;

/// Numbers from 0 in the order in which the names are first seen. That order is an accident: [`Numbers::ranks`]
/// makes the order of the names of it.
///
/// The names are kept here, side by side: where they come from they lie as far apart as the records do, and to
/// compare one with them would be a way into far memory for each of a million records.
#[derive(Debug, Default)]
pub(crate) struct Numbers<'a> {
    by_name: Lookup<SmolStr, u32>,
    /// By where a name lies in memory: shared words are known without being read.
    by_address: Lookup<(usize, usize), u32>,
    names: Vec<SmolStr>,
    /// The words whose addresses are kept stay where they are.
    words: PhantomData<&'a str>,
}

impl<'a> Numbers<'a> {
    /// The number of a name that many records share as one word.
    pub(crate) fn of_shared(&mut self, name: &'a str) -> u32 {
        let address = (name.as_ptr() as usize, name.len());
        if let Some(number) = self.by_address.get(&address) {
            return *number;
        }
        let number = self.of(name);
        if self.by_address.len() < self.names.len() * ADDRESSES {
            self.by_address.insert(address, number);
        }
        number
    }

    /// The number of a name.
    pub(crate) fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(SmolStr::new(name));
        self.by_name.insert(SmolStr::new(name), number);
        number
    }

    /// The number of a name that was seen.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|number| *number as usize)
    }

    /// The names in their own order, and the place in it for each number.
    pub(crate) fn ranks(self) -> (Vec<SmolStr>, Vec<u32>) {
        let mut order: Vec<(SmolStr, usize)> = self.names.into_iter().zip(0..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len()];
        for (rank, (_, number)) in (0..).zip(&order) {
            if let Some(slot) = ranks.get_mut(*number) {
                *slot = rank;
            }
        }
        (order.into_iter().map(|(name, _)| name).collect(), ranks)
    }
}

/// Quick rather than proof against names made up to collide: EC2 makes up the names.
#[derive(Debug, Default)]
struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.write_u64(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        // The table takes its place from the low bits, and the high ones are the mixed ones.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_number_wherever_it_lies() {
        let (b, another_b) = (String::from("b"), String::from("b"));
        let mut numbers = Numbers::default();
        let found: Vec<u32> =
            [&b, "a", &another_b, &b, "a", "c"].map(|name| numbers.of_shared(name)).to_vec();
        assert_eq!(found, [0, 1, 0, 0, 1, 2]);
        assert_eq!((numbers.get("a"), numbers.get("d")), (Some(1), None));
        // A name within another begins where that does, and is another.
        assert_eq!((numbers.of_shared(&"ab"[..1]), numbers.of_shared("ab"), numbers.of("ab")), (1, 3, 3));
        assert_eq!(numbers.ranks(), (["a", "ab", "b", "c"].map(SmolStr::new).to_vec(), vec![2, 0, 3, 1]));
    }

    #[test]
    fn addresses_that_are_not_shared_are_not_collected() {
        let names: Vec<String> = (0..1_000).map(|_| "x".to_owned()).collect();
        let mut numbers = Numbers::default();
        assert!(names.iter().all(|name| numbers.of_shared(name) == 0));
        assert_eq!(numbers.by_address.len(), ADDRESSES);
    }
}
