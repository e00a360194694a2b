//! For tests: a region without disks that holds one volume and its snapshots.

use super::inventory::Inventory;
use super::query::Query;
use super::snapshots::Request;
use super::xml::{self, Element};
use crate::api_error::ApiError;
use crate::spec::Spec;
use chrono::{DateTime, Utc};

/// The volume.
pub(super) const VOLUME: &str = "vol-0aaaaaaaaaaaaaa01";

/// So many seconds after the region began.
pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

/// A request's fields.
pub(super) fn query(pairs: &[(&str, &str)]) -> Query {
    Query::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// A region with one volume and so many snapshots of it, one each minute, all complete; their ids.
pub(super) fn region(snapshots: i64) -> (Inventory, Vec<String>) {
    let spec = Spec::read(&format!("[[volume]]\nid = \"{VOLUME}\"")).unwrap();
    let mut inventory = Inventory::new(&spec, at(0));
    let request = Request::of_volume(query(&[("VolumeId", VOLUME)])).unwrap();
    let mut cut = |n: i64| {
        let reservation = inventory.reserve(&request, at(60 * n)).unwrap();
        inventory.record(reservation, at(60 * n))[0].id.clone()
    };
    let ids = (0..snapshots).map(&mut cut).collect();
    (inventory, ids)
}

/// An answer as it goes out.
pub(super) fn written(answer: Result<Vec<Element>, ApiError>) -> String {
    xml::response("X", "r", &answer.unwrap_or_else(|error| panic!("{error}")))
}
