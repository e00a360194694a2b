//! Numbers for names, so that a million records are grouped and sorted by comparing integers.

#![expect(
    clippy::disallowed_types,
    reason = "names are looked up and never iterated, and the hash has no seed"
)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// A look-up table that is the same in every run. It is never iterated.
pub(crate) type Lookup<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Numbers from 0 in the order in which the names are first seen. That order is an accident: [`Numbers::ranks`]
/// makes the order of the names of it.
#[derive(Debug, Default)]
pub(crate) struct Numbers<'a> {
    by_name: Lookup<&'a str, u32>,
    names: Vec<&'a str>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Numbers<'a> {
    /// The number of a name.
    pub(crate) fn of(&mut self, name: &'a str) -> u32 {
        // Neighbours tend to share their words.
        if let Some((last, number)) = self.last
            && std::ptr::eq(last, name)
        {
            return number;
        }
        let names = &mut self.names;
        let number = *self.by_name.entry(name).or_insert_with(|| {
            names.push(name);
            u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
        });
        self.last = Some((name, number));
        number
    }

    /// The number of a name that was seen.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|number| *number as usize)
    }

    /// The names in their own order, and the place in it for each number.
    pub(crate) fn ranks(&self) -> (Vec<&'a str>, Vec<u32>) {
        let mut order: Vec<(&str, usize)> = self.names.iter().copied().zip(0..).collect();
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
