use super::*;
use crate::retention::{Rule, Within};
use proptest::prelude::*;
use serde_json::{Value, json};

fn smallest() -> Value {
    json!({"policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"last": 5}})
}

#[test]
fn what_is_not_said_has_its_default() {
    let policy = Policy::read(&smallest()).unwrap();
    assert_eq!(policy.name, "daily");
    assert_eq!(policy.every, Every::Day);
    assert_eq!(policy.timezone, Tz::UTC);
    assert_eq!(policy.consistency, Consistency::Filesystem);
    assert_eq!(policy.on_failure, OnFailure::Crash);
    assert_eq!(policy.max_freeze_ms, 10_000);
    assert_eq!(policy.min, 1);
    assert_eq!(policy.lineage, ["role", "cluster", "environment"]);
    assert_eq!(policy.keep, Keep::last(5));
    assert!(!policy.freeze_root && !policy.dry_run && !policy.allow_mass_delete);
}

#[test]
fn the_policy_of_the_design_is_read_whole() {
    let text = br#"{"policy": "daily", "every": "day", "timezone": "Europe/Berlin",
        "select": {"tag:stillframe": "daily"},
        "consistency": "filesystem", "on_failure": "skip", "max_freeze_ms": 5000, "freeze_root": true,
        "keep": {"last": 5, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 3, "within": "2d"}, "min": 2,
        "lineage": ["role"], "tags": {"team": "search"}, "description": "nightly", "dry_run": true,
        "of_a_later_version": {"anything": [1]}}"#;
    let policy = Policy::read_text(text).unwrap();
    assert_eq!(policy.timezone, Tz::Europe__Berlin);
    assert_eq!(policy.on_failure, OnFailure::Skip);
    assert_eq!(policy.keep.within, Some(Within { days: 2, ..Within::default() }));
    assert_eq!(Rule::ALL.map(|rule| policy.keep.count(rule)), [5, 0, 7, 4, 12, 3]);
    assert_eq!((policy.min, policy.max_freeze_ms), (2, 5_000));
    assert!(policy.freeze_root && policy.dry_run);
    assert_eq!(Policy::read(&serde_json::to_value(&policy).unwrap()), Ok(policy));
}

/// What is put into a field, and what the one error has to name.
#[test]
fn a_wrong_field_gets_one_error_that_names_it_and_its_value() {
    let many: Value =
        (0..30).map(|n| (format!("key{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for (field, value, named) in [
        ("policy", json!(7), &["`policy`", "7", "string"][..]),
        ("policy", json!(""), &["`policy`", "\"\""]),
        ("policy", json!("a/b"), &["`policy`", "a/b"]),
        ("policy", json!("täglich"), &["`policy`", "täglich"]),
        ("policy", json!("x".repeat(65)), &["`policy`", "64"]),
        ("every", json!("fortnight"), &["`every`", "fortnight"]),
        ("timezone", json!("Mars/Olympus"), &["`timezone`", "Mars/Olympus"]),
        ("timezone", json!(1), &["`timezone`", "1"]),
        ("select", json!({}), &["`select`", "{}", "selects nothing"]),
        ("select", json!({"stillframe": "daily"}), &["`select", "stillframe", "tag:<key>"]),
        ("select", json!({"tag:": "daily"}), &["`select", "tag:<key>"]),
        ("select", json!({"tag:a": 5}), &["`select", "5"]),
        ("select", json!("tag:a"), &["`select`", "tag:a"]),
        ("consistency", json!("application"), &["`consistency`", "application", "filesystem"]),
        ("consistency", json!("offline"), &["`consistency`", "offline"]),
        ("consistency", json!("perfect"), &["`consistency`", "perfect"]),
        ("on_failure", json!("panic"), &["`on_failure`", "panic"]),
        ("max_freeze_ms", json!(0), &["`max_freeze_ms`", "0", "30000"]),
        ("max_freeze_ms", json!(30_001), &["`max_freeze_ms`", "30001"]),
        ("max_freeze_ms", json!(-1), &["`max_freeze_ms`", "-1"]),
        ("max_freeze_ms", json!("10s"), &["`max_freeze_ms`", "10s"]),
        ("freeze_root", json!("yes"), &["`freeze_root`", "yes"]),
        ("keep", json!({}), &["`keep`", "an empty keep would delete everything"]),
        ("keep", json!({"last": 0, "daily": 0}), &["`keep`", "an empty keep would delete everything"]),
        ("keep", json!({"for_ever": true}), &["`keep`", "an empty keep would delete everything"]),
        ("keep", json!({"last": "five"}), &["`keep.last`", "five"]),
        ("keep", json!({"last": -5}), &["`keep.last`", "-5"]),
        ("keep", json!({"last": 1.5}), &["`keep.last`", "1.5"]),
        ("keep", json!({"within": "2 weeks"}), &["`keep.within`", "2 weeks"]),
        ("keep", json!(null), &["`keep`", "null"]),
        ("min", json!(0), &["`min`", "0"]),
        ("lineage", json!("role"), &["`lineage`", "role"]),
        ("lineage", json!(["role", "role"]), &["`lineage`", "role", "twice"]),
        ("lineage", json!([""]), &["`lineage`", "\"\""]),
        ("lineage", json!(["k".repeat(120)]), &["`lineage`", "128"]),
        ("tags", json!({"aws:x": "1"}), &["`tags`", "aws:x"]),
        ("tags", json!({"stillframe:policy": "mine"}), &["`tags`", "stillframe:policy"]),
        ("tags", json!({"": "1"}), &["`tags`", "\"\""]),
        ("tags", json!({"team": "x".repeat(257)}), &["`tags`", "team", "256"]),
        ("tags", json!({"team": 1}), &["`tags", "1"]),
        ("tags", many, &["`tags`", "30"]),
        ("description", json!("x".repeat(256)), &["`description`", "255"]),
        ("dry_run", json!(1), &["`dry_run`", "1"]),
    ] {
        let mut event = smallest();
        event[field] = value.clone();
        let error = Policy::read(&event).expect_err(&format!("{field} = {value}")).to_string();
        for name in named {
            assert!(error.contains(name), "{field} = {value} gave {error:?}, which lacks {name:?}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_missing_field_is_named() {
    for field in ["policy", "select", "keep"] {
        let mut event = smallest();
        event.as_object_mut().unwrap().remove(field);
        let error = Policy::read(&event).unwrap_err().to_string();
        assert!(error.contains(&format!("missing field `{field}`")), "{error}");
    }
    for event in [json!([]), json!("daily"), json!(null), json!({})] {
        assert!(Policy::read(&event).is_err(), "{event}");
    }
    assert!(Policy::read_text(b"{\"policy\": ").is_err());
}

proptest! {
    #[test]
    fn no_input_panics(text in ".{0,200}", field in "(policy|every|timezone|select|keep|min|tags|lineage)") {
        let _ = Policy::read_text(text.as_bytes());
        let mut event = smallest();
        event[&field] = json!(text);
        let _ = Policy::read(&event);
    }

    #[test]
    fn a_name_that_is_taken_is_safe_in_a_path_and_a_tag(name in ".{0,70}") {
        let mut event = smallest();
        event["policy"] = json!(name);
        let fits = !name.is_empty() && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        prop_assert_eq!(Policy::read(&event).is_ok(), fits);
    }
}
