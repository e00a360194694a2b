use super::*;
use crate::spec::Spec;

const VOLUME: &str = "vol-0aaaaaaaaaaaaaa01";
const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

fn inventory() -> Inventory {
    let spec = format!(
        "[[instance]]\nid = \"{INSTANCE}\"\n[[instance.volume]]\nid = \"{VOLUME}\"\ntags = {{ a = \"1\", b = \"2\" }}"
    );
    Inventory::new(&Spec::read(&spec).unwrap(), chrono::DateTime::from_timestamp(0, 0).unwrap())
}

fn query(resources: &[&str], tags: &[(&str, Option<&str>)]) -> Query {
    let mut fields = Vec::new();
    for (n, resource) in resources.iter().enumerate() {
        fields.push((format!("ResourceId.{}", n + 1), (*resource).to_owned()));
    }
    for (n, (key, value)) in tags.iter().enumerate() {
        fields.push((format!("Tag.{}.Key", n + 1), (*key).to_owned()));
        fields.extend(value.map(|value| (format!("Tag.{}.Value", n + 1), value.to_owned())));
    }
    Query::new(fields)
}

fn keys(inventory: &Inventory, id: &str) -> Vec<String> {
    inventory.tags_of(id).unwrap().keys().cloned().collect()
}

#[test]
fn tags_are_added_and_overwritten_on_every_resource() {
    let mut inventory = inventory();
    create(&mut inventory, query(&[VOLUME, INSTANCE], &[("a", Some("9")), ("c", None)])).unwrap();
    assert_eq!(keys(&inventory, VOLUME), ["a", "b", "c"]);
    assert_eq!(inventory.tags_of(VOLUME).unwrap()["a"], "9");
    assert_eq!(keys(&inventory, INSTANCE), ["a", "c"]);
}

#[test]
fn one_unknown_resource_changes_nothing() {
    let mut inventory = inventory();
    let error =
        create(&mut inventory, query(&[VOLUME, "snap-0ffffffffffffffff"], &[("x", None)])).unwrap_err();
    assert_eq!(error.code, "InvalidSnapshot.NotFound");
    assert_eq!(create(&mut inventory, query(&["subnet-1"], &[("x", None)])).unwrap_err().code, "InvalidID");
    assert_eq!(keys(&inventory, VOLUME), ["a", "b"]);
}

#[test]
fn tags_are_deleted_by_key_and_where_given_by_value() {
    let mut inventory = inventory();
    delete(&mut inventory, query(&[VOLUME], &[("a", Some("other")), ("b", None)])).unwrap();
    assert_eq!(keys(&inventory, VOLUME), ["a"]);
    delete(&mut inventory, query(&[VOLUME], &[])).unwrap();
    assert!(keys(&inventory, VOLUME).is_empty());
}

#[test]
fn what_no_tag_may_be_is_refused() {
    let mut inventory = inventory();
    let mut code = |key: &str, value: &str| {
        create(&mut inventory, query(&[VOLUME], &[(key, Some(value))]))
            .map(|_| ())
            .map_err(|error| error.code)
    };
    assert_eq!(code("aws:x", ""), Err("InvalidParameterValue"));
    assert_eq!(code(&"k".repeat(129), ""), Err("InvalidParameterValue"));
    assert_eq!(code("k", &"v".repeat(257)), Err("InvalidParameterValue"));
    assert_eq!(code(&"ü".repeat(128), &"ü".repeat(256)), Ok(()), "characters, not bytes");
    let twice = query(&[VOLUME], &[("k", Some("1")), ("k", Some("2"))]);
    assert!(create(&mut inventory, twice).unwrap_err().message.contains("Duplicate tag key 'k'"));
}

#[test]
fn fifty_tags_are_the_limit_and_a_thousand_resources() {
    let mut inventory = inventory();
    let names: Vec<String> = (0..49).map(|n| format!("k{n}")).collect();
    let tags: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), None)).collect();
    assert_eq!(create(&mut inventory, query(&[VOLUME], &tags)).unwrap_err().code, "TagLimitExceeded");
    assert!(create(&mut inventory, query(&[VOLUME], &tags[..48])).is_ok());
    let many = vec![VOLUME; 1_001];
    assert_eq!(
        create(&mut inventory, query(&many, &[("k", None)])).unwrap_err().code,
        "InvalidParameterValue"
    );
}
