//! Pages of describing calls. As in EC2 a page is cut before the filters are applied: it may hold fewer
//! entries than asked for, even none, and still have a next one.

use super::filter::{self, Describable};
use super::query::{Filter, Query, invalid};
use crate::api_error::ApiError;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What a describing call asks for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Exactly these; empty: all.
    pub ids: Vec<String>,
    /// Filters.
    pub filters: Vec<Filter>,
    /// Most entries of a page.
    pub max_results: Option<usize>,
    /// Where the last page ended.
    pub after: Option<String>,
}

/// One page.
#[derive(Debug)]
pub struct Page<'a, T> {
    /// Its entries.
    pub items: Vec<&'a T>,
    /// The token of the next page.
    pub next_token: Option<String>,
}

const SMALLEST: u64 = 5;
const LARGEST: u64 = 1_000;

impl Selection {
    /// Takes ids (under `id_field`), filters and paging from a request.
    ///
    /// # Errors
    /// A filter that does not exist, ids with `MaxResults`, a bad token or size.
    pub fn take(query: &mut Query, id_field: &str, known_filters: &[&str]) -> Result<Self, ApiError> {
        let ids = query.list(id_field);
        let filters = query.filters()?;
        filter::check(&filters, known_filters)?;
        let max_results = query.number("MaxResults")?;
        if max_results.is_some() && !ids.is_empty() {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                format!("The parameter {id_field} cannot be used with the parameter MaxResults"),
            ));
        }
        if let Some(size) = max_results.filter(|size| *size < SMALLEST) {
            return Err(invalid("MaxResults", &size.to_string()));
        }
        let after = query.take("NextToken").map(|token| read_token(id_field, &token)).transpose()?;
        let max_results = max_results.map(|size| usize::try_from(size.min(LARGEST)).unwrap_or(usize::MAX));
        Ok(Self { ids, filters, max_results, after })
    }

    /// The records that decide what is on the page, in the order of ids: those that were asked for by id, or
    /// as many as fit on it and one more.
    pub fn reach<'a, R>(
        &self,
        records: &'a BTreeMap<String, R>,
        visible: impl Fn(&R) -> bool + 'a,
    ) -> Box<dyn Iterator<Item = &'a R> + 'a> {
        if !self.ids.is_empty() {
            let ids: BTreeSet<String> = self.ids.iter().cloned().collect();
            let found = ids.into_iter().filter_map(|id| records.get(&id));
            return Box::new(found.filter(move |record| visible(record)));
        }
        let from = self.after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let rest = records.range((from, Bound::Unbounded)).map(|(_, record)| record);
        let most = self.max_results.map_or(usize::MAX, |most| most + 1);
        Box::new(rest.filter(move |record| visible(record)).take(most))
    }

    /// The page of `all`, which is in the order of ids, that was asked for.
    pub fn page<'a, T: Describable>(&self, id_field: &str, all: impl Iterator<Item = &'a T>) -> Page<'a, T> {
        let mut rest = all
            .filter(|item| self.ids.is_empty() || self.ids.iter().any(|id| id == item.id()))
            .skip_while(|item| self.after.as_deref().is_some_and(|after| item.id() <= after))
            .peekable();
        let cut: Vec<&T> = rest.by_ref().take(self.max_results.unwrap_or(usize::MAX)).collect();
        let next_token = match (rest.peek(), cut.last()) {
            (Some(_), Some(last)) => Some(write_token(id_field, last.id())),
            _ => None,
        };
        let items = cut.into_iter().filter(|item| filter::matches(*item, &self.filters)).collect();
        Page { items, next_token }
    }
}

fn write_token(kind: &str, last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{kind} {last}"))
}

fn read_token(kind: &str, token: &str) -> Result<String, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(kind)?.strip_prefix(' ').map(str::to_owned))
        .ok_or_else(|| ApiError::new("InvalidPaginationToken", "The token in the request is not valid."))
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
