//! The layouts of many snapshots: the members of a set carry the same one, and so do the sets of an
//! instance from one day to the next. Each is read once.

use crate::history::Numbers;
use crate::layout::{Record, decode_parts};
use crate::observed::SharedTags;
use crate::tags;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one snapshot says of its set; none where it says something that cannot be read.
pub(crate) type Layout = Option<Vec<Record>>;

/// Those read so far, by number. Most consist of one tag and are known by its value; others by their parts.
#[derive(Default)]
pub(crate) struct Layouts<'a> {
    single: Numbers<'a>,
    single_layouts: Vec<Arc<Layout>>,
    others: BTreeMap<Vec<(&'a str, &'a str)>, u32>,
    other_layouts: Vec<Arc<Layout>>,
}

/// The number of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayoutNumber {
    Single(u32),
    Other(u32),
}

impl<'a> Layouts<'a> {
    /// The number of the layout that these tags carry, if they carry any.
    pub(crate) fn number(&mut self, tags: &'a SharedTags) -> Option<LayoutNumber> {
        let parts = tags.beginning_with(tags::LAYOUT);
        let mut first_two = parts.clone();
        match (first_two.next(), first_two.next()) {
            (None, _) => None,
            (Some(("0", whole)), None) => {
                let number = self.single.of_shared(whole);
                if number as usize == self.single_layouts.len() {
                    self.single_layouts.push(Arc::new(decode_parts(&parts.collect()).ok()));
                }
                Some(LayoutNumber::Single(number))
            }
            _ => {
                let layouts = &mut self.other_layouts;
                let number = *self.others.entry(parts.clone().collect()).or_insert_with(|| {
                    layouts.push(Arc::new(decode_parts(&parts.collect()).ok()));
                    u32::try_from(layouts.len() - 1).unwrap_or(u32::MAX)
                });
                Some(LayoutNumber::Other(number))
            }
        }
    }

    /// The layout with this number.
    pub(crate) fn get(&self, number: LayoutNumber) -> Option<&Arc<Layout>> {
        match number {
            LayoutNumber::Single(number) => self.single_layouts.get(number as usize),
            LayoutNumber::Other(number) => self.other_layouts.get(number as usize),
        }
    }
}
