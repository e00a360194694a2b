//! The layouts of many snapshots: the members of a set carry the same one, and so do the sets of an
//! instance from one day to the next. Each is read once.

use crate::layout::{Record, decode_parts};
use crate::numbers::Lookup;
use crate::shared_tags::SharedTags;
use crate::tags;
use std::borrow::Cow;
use std::sync::Arc;

/// What one snapshot says of its set; none where it says something that cannot be read.
pub(crate) type Layout = Option<Vec<Record>>;

/// Those read so far.
#[derive(Default)]
pub(crate) struct Layouts<'a> {
    numbers: Lookup<Cow<'a, str>, u32>,
    layouts: Vec<Arc<Layout>>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Layouts<'a> {
    /// The number of the layout that these tags carry, if they carry any.
    pub(crate) fn number(&mut self, tags: &'a SharedTags) -> Option<u32> {
        let parts = tags.beginning_with(tags::LAYOUT);
        let mut first_two = parts.clone();
        let text = match (first_two.next(), first_two.next()) {
            (None, _) => return None,
            (Some(("0", whole)), None) => match self.last {
                Some((text, number)) if std::ptr::eq(text, whole) => return Some(number),
                _ => Cow::Borrowed(whole),
            },
            // No layout contains a line break, so this is nobody else's text.
            _ => Cow::Owned(parts.clone().flat_map(|(part, value)| ["\n", part, "\n", value]).collect()),
        };
        let borrowed = if let Cow::Borrowed(whole) = text { Some(whole) } else { None };
        let layouts = &mut self.layouts;
        let number = *self.numbers.entry(text).or_insert_with(|| {
            layouts.push(Arc::new(decode_parts(&parts.collect()).ok()));
            u32::try_from(layouts.len() - 1).unwrap_or(u32::MAX)
        });
        self.last = borrowed.map(|whole| (whole, number));
        Some(number)
    }

    /// The layout with this number.
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<Layout>> {
        self.layouts.get(number as usize)
    }
}
