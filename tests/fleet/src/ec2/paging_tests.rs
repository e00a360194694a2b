use super::*;
use std::collections::BTreeMap;

struct Thing {
    id: String,
    tags: BTreeMap<String, String>,
}

impl Describable for Thing {
    fn id(&self) -> &str {
        &self.id
    }
    fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }
    fn values(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn things(count: u32) -> Vec<Thing> {
    (0..count)
        .map(|n| {
            let parity = if n % 2 == 0 { "even" } else { "odd" };
            Thing {
                id: format!("vol-{n:08}"),
                tags: BTreeMap::from([("parity".to_owned(), parity.to_owned())]),
            }
        })
        .collect()
}

fn selection(pairs: &[(&str, &str)]) -> Result<Selection, ApiError> {
    let mut query = Query::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    Selection::take(&mut query, "VolumeId", &[])
}

/// Follows the tokens to the end; sizes of the pages and ids of all entries.
fn walk(things: &[Thing], pairs: &[(&str, &str)]) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    let mut token = None::<String>;
    loop {
        let mut pairs = pairs.to_vec();
        if let Some(token) = &token {
            pairs.push(("NextToken", token));
        }
        let page = selection(&pairs).unwrap().page("VolumeId", things.iter());
        sizes.push(page.items.len());
        ids.extend(page.items.iter().map(|item| item.id.clone()));
        token = page.next_token;
        if token.is_none() {
            return (sizes, ids);
        }
    }
}

#[test]
fn pages_hold_everything_once() {
    let things = things(23);
    let (sizes, ids) = walk(&things, &[("MaxResults", "10")]);
    assert_eq!(sizes, [10, 10, 3]);
    assert_eq!(ids, things.iter().map(|thing| thing.id.clone()).collect::<Vec<_>>());
    assert_eq!(walk(&things, &[]).0, [23]);
    assert_eq!(walk(&[], &[("MaxResults", "10")]).0, [0]);
}

#[test]
fn a_page_that_ends_the_list_has_no_next() {
    assert_eq!(walk(&things(20), &[("MaxResults", "10")]).0, [10, 10]);
}

#[test]
fn filters_thin_out_pages_and_may_empty_them() {
    let things = things(20);
    let odd = [("MaxResults", "10"), ("Filter.1.Name", "tag:parity"), ("Filter.1.Value.1", "odd")];
    assert_eq!(walk(&things, &odd).0, [5, 5]);
    let none = [("MaxResults", "10"), ("Filter.1.Name", "tag:parity"), ("Filter.1.Value.1", "neither")];
    assert_eq!(walk(&things, &none).0, [0, 0]);
}

#[test]
fn a_page_survives_what_is_deleted_and_made_in_between() {
    let mut things = things(20);
    let first = selection(&[("MaxResults", "10")]).unwrap().page("VolumeId", things.iter());
    let token = first.next_token.unwrap();
    things.remove(9);
    let second = selection(&[("MaxResults", "10"), ("NextToken", &token)]).unwrap();
    let second = second.page("VolumeId", things.iter());
    assert_eq!(second.items.first().map(|thing| thing.id.as_str()), Some("vol-00000010"));
}

#[test]
fn bad_requests_are_refused_as_ec2_does() {
    let code = |pairs: &[(&str, &str)]| selection(pairs).unwrap_err().code;
    assert_eq!(code(&[("MaxResults", "10"), ("VolumeId.1", "vol-1")]), "InvalidParameterCombination");
    assert_eq!(code(&[("MaxResults", "4")]), "InvalidParameterValue");
    assert_eq!(code(&[("MaxResults", "10"), ("NextToken", "garbage!")]), "InvalidPaginationToken");
    let of_another = write_token("SnapshotId", "snap-1");
    assert_eq!(code(&[("MaxResults", "10"), ("NextToken", &of_another)]), "InvalidPaginationToken");
    assert_eq!(selection(&[("MaxResults", "5000")]).unwrap().max_results, Some(1_000));
}
