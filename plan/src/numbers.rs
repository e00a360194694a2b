//! Numbers for names, so that a million records are grouped by comparing integers.

#![expect(
    clippy::disallowed_types,
    reason = "names are looked up and never iterated, and the hash has no seed"
)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// A look-up table that is the same in every run. It is never iterated.
pub(crate) type Lookup<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Numbers from 0 in the order in which the names are first seen. That order is an accident: numbers
/// group, they never sort what a decision depends on.
#[derive(Debug, Default)]
pub(crate) struct Numbers<'a> {
    by_name: Lookup<&'a str, u32>,
    names: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    /// The number of a name.
    pub(crate) fn of(&mut self, name: &'a str) -> u32 {
        *self.by_name.entry(name).or_insert_with(|| {
            self.names.push(name);
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The number of a name that was seen.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|number| *number as usize)
    }

    /// All names, by number.
    pub(crate) fn names(&self) -> &[&'a str] {
        &self.names
    }
}
