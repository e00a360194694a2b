//! Everything that can be written wrongly, one row each: policies, events, tags. Each gets an error, or a
//! reason in the plan, that names the field and shows the value; and nothing is deleted for it.

#![allow(clippy::disallowed_macros, reason = "a test tells its figures")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed expectation is a failed test"
)]

use serde_json::{Value, json};
use stillframe_plan::{
    Attachment, AttachmentState, Event, Instance, InstanceState, LastStop, Limits, Observed, Policy, RunId,
    Snapshot, SnapshotState, Tags, Tier, Verdict, Volume, VolumeState, dry_run, explain, plan, prune, status,
};

fn event() -> Value {
    json!({"policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"last": 2}})
}

/// What an event says in a field, and what the error has to name besides the field.
fn events() -> Vec<(&'static str, Value, &'static str)> {
    let long = "x".repeat(300);
    vec![
        // The policy.
        ("policy", json!(7), "7"),
        ("policy", json!(null), "null"),
        ("policy", json!(["daily"]), "[\"daily\"]"),
        ("policy", json!({"name": "daily"}), "{\"name\":\"daily\"}"),
        ("policy", json!(""), "\"\""),
        ("policy", json!("../../etc"), "../../etc"),
        ("policy", json!("a b"), "a b"),
        ("every", json!("fortnight"), "fortnight"),
        ("every", json!("Day"), "Day"),
        ("every", json!(24), "24"),
        ("every", json!(["day"]), "[\"day\"]"),
        ("timezone", json!("Mars/Olympus"), "Mars/Olympus"),
        ("timezone", json!("+02:00"), "+02:00"),
        ("timezone", json!({"zone": "UTC"}), "{\"zone\":\"UTC\"}"),
        ("select", json!({}), "{}"),
        ("select", json!([]), "[]"),
        ("select", json!("tag:stillframe"), "tag:stillframe"),
        ("select", json!({"stillframe": "daily"}), "stillframe"),
        ("select", json!({"tag:": "daily"}), "tag:"),
        ("select", json!({"tag:a": ["daily"]}), "[\"daily\"]"),
        ("select", json!({"tag:a": null}), "null"),
        ("consistency", json!("perfect"), "perfect"),
        ("consistency", json!("application"), "application"),
        ("consistency", json!("offline"), "offline"),
        ("consistency", json!(true), "true"),
        ("on_failure", json!("panic"), "panic"),
        ("on_failure", json!(false), "false"),
        ("max_freeze_ms", json!(0), "0"),
        ("max_freeze_ms", json!(30_001), "30001"),
        ("max_freeze_ms", json!(-1), "-1"),
        ("max_freeze_ms", json!(1e9), "1000000000"),
        ("max_freeze_ms", json!("10s"), "10s"),
        ("freeze_root", json!("yes"), "yes"),
        ("expedite_rcu", json!(1), "1"),
        ("rehearse", json!("true"), "true"),
        ("dry_run", json!("no"), "no"),
        ("dry_run", json!({}), "{}"),
        ("allow_mass_delete", json!("yes, all"), "yes, all"),
        ("keep", json!({}), "{}"),
        ("keep", json!(null), "null"),
        ("keep", json!(5), "5"),
        ("keep", json!("last=5"), "last=5"),
        ("keep", json!([5]), "[5]"),
        ("keep", json!({"last": 0, "daily": 0}), "{\"daily\":0,\"last\":0}"),
        ("keep", json!({"lasst": 5}), "{\"lasst\":5}"),
        ("keep.last", json!("five"), "five"),
        ("keep.daily", json!(-7), "-7"),
        ("keep.weekly", json!(1.5), "1.5"),
        ("keep.monthly", json!(4_294_967_296_u64), "4294967296"),
        ("keep.yearly", json!([3]), "[3]"),
        ("keep.hourly", json!(null), "null"),
        ("keep.within", json!("2 weeks"), "2 weeks"),
        ("keep.within", json!("0d"), "0d"),
        ("keep.within", json!(2), "2"),
        ("keep.within", json!({"days": 2}), "{\"days\":2}"),
        ("min", json!(0), "0"),
        ("min", json!("one"), "one"),
        ("min", json!(-1), "-1"),
        ("lineage", json!("role"), "role"),
        ("lineage", json!(["role", "role"]), "role"),
        ("lineage", json!([""]), "\"\""),
        ("lineage", json!([7]), "7"),
        ("tags", json!({"aws:x": "1"}), "aws:x"),
        ("tags", json!({"stillframe:policy": "mine"}), "stillframe:policy"),
        ("tags", json!({"team": 1}), "1"),
        ("tags", json!({"team": &long}), "{\"team\":\"xxx"),
        ("tags", json!({&long: "x"}), "xxx"),
        ("tags", json!(["team"]), "[\"team\"]"),
        ("description", json!(&long), "xxx"),
        ("description", json!(12), "12"),
        // What to do with it.
        ("action", json!("explian"), "explian"),
        ("action", json!(""), "\"\""),
        ("action", json!("delete"), "delete"),
        ("action", json!(7), "7"),
        ("action", json!(["status"]), "[\"status\"]"),
        ("action", json!({"explain": {}}), "{\"explain\":{}}"),
        ("keep_instead", json!({"last": 5}), "{\"last\":5}"),
        // Where a run stands.
        ("continue", json!(7), "7"),
        ("continue", json!("hop"), "hop"),
        ("continue", json!({}), "run"),
        (
            "continue",
            json!(["daily/2026-11-22/x", 1, 1, "2026-11-22T01:00:00Z"]),
            "[\"daily/2026-11-22/x\",1,1,\"2026-11-22T01:00:00Z\"]",
        ),
        ("continue", json!({"run": "daily/2026-11-22/x", "hop": 1}), "generation"),
        ("continue.hop", json!("x"), "x"),
        ("continue.hop", json!(-1), "-1"),
        ("continue.generation", json!(1.5), "1.5"),
        ("continue.generation", json!({}), "{}"),
        ("continue.began_at", json!("yesterday"), "yesterday"),
        ("continue.began_at", json!(1_795_000_000), "1795000000"),
        ("continue.began_at", json!("+262142-01-01T00:00:00Z"), "262142"),
        ("continue.run", json!(""), "\"\""),
        ("continue.run", json!("weekly/2026-W47/x"), "weekly/2026-W47/x"),
        ("continue.run", json!("daily/2026-11-22"), "daily/2026-11-22"),
        ("continue.run", json!(["daily"]), "[\"daily\"]"),
    ]
}

/// Rows of an event that asks for an explanation.
fn questions() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("keep_instead", json!({}), "{}"),
        ("keep_instead", json!("last=5"), "last=5"),
        ("keep_instead", json!([5]), "[5]"),
        ("keep_instead", json!({"last": 0}), "{\"last\":0}"),
        ("keep_instead.last", json!("five"), "five"),
        ("keep_instead.within", json!("for ever"), "for ever"),
        ("keep_instead.within", json!({}), "{}"),
        ("continue", json!({"run": "daily/2026-11-22/x"}), "daily/2026-11-22/x"),
    ]
}

/// Tags of a volume: key, value, and what the warning has to name besides both.
const TAGS: [(&str, &str, &str); 24] = [
    ("stillframe:keep", "", "keeps nothing"),
    ("stillframe:keep", " ", "keeps nothing"),
    ("stillframe:keep", "last=0", "keeps nothing"),
    ("stillframe:keep", "0", "rule=count"),
    ("stillframe:keep", "none", "rule=count"),
    ("stillframe:keep", "delete", "rule=count"),
    ("stillframe:keep", "last", "rule=count"),
    ("stillframe:keep", "last 1", "rule=count"),
    ("stillframe:keep", "last=", "whole number"),
    ("stillframe:keep", "last=-1", "whole number"),
    ("stillframe:keep", "last=one", "whole number"),
    ("stillframe:keep", "last=1,daily=7", "whole number"),
    ("stillframe:keep", "last=4294967296", "whole number"),
    ("stillframe:keep", "LAST=1", "none of last"),
    ("stillframe:keep", "minutely=1", "none of last"),
    ("stillframe:keep", "=1", "none of last"),
    ("stillframe:keep", "last=1 last=1", "twice"),
    ("stillframe:keep", "within=", "span"),
    ("stillframe:keep", "within=1", "span"),
    ("stillframe:keep", "within=1w", "span"),
    ("stillframe:hooks", "", "neither \"on\" nor \"off\""),
    ("stillframe:hooks", "OFF", "neither \"on\" nor \"off\""),
    ("stillframe:hooks", "no", "neither \"on\" nor \"off\""),
    ("stillframe:hooks", "off ", "neither \"on\" nor \"off\""),
];

#[test]
fn the_table_is_as_long_as_it_should_be() {
    let rows = events().len() + questions().len() + TAGS.len() + 1;
    assert!(rows >= 60, "{rows} rows");
    println!("{rows} rows of bad input");
}

/// Puts a value into a field, `keep.last` into the object of `keep`.
fn with(mut event: Value, field: &str, value: &Value) -> Value {
    match field.split_once('.') {
        Some((outer, inner)) => {
            if outer == "continue" {
                event[outer] = json!({
                    "run": "daily/2026-11-22/k3v9x2", "hop": 1, "generation": 1,
                    "began_at": "2026-11-22T01:00:00Z"
                });
            } else if event.get(outer).is_none() {
                event[outer] = json!({});
            }
            event[outer][inner] = value.clone();
        }
        None => event[field] = value.clone(),
    }
    event
}

fn check(start: &Value, rows: &[(&str, Value, &str)]) {
    for (field, value, named) in rows {
        let event = with(start.clone(), field, value);
        let row = format!("{field} = {value}");
        let error = Event::read(event.clone()).expect_err(&format!("{row} is accepted")).to_string();
        // Of a list or a map the error may name the entry: `lineage[0]`, `select.tag:a`.
        let named_so = |end: &str| error.contains(&format!("field `{field}{end}"));
        assert!(
            ["`", ".", "["].into_iter().any(named_so),
            "{row} gives {error:?}, which does not name the field"
        );
        assert!(error.contains(named), "{row} gives {error:?}, which does not show {named}");
        assert!(!error.contains('\n') && error.len() < 700, "{row} gives {error:?}");
        let text = serde_json::to_vec(&event).unwrap();
        assert_eq!(Event::read_text(&text).err().map(|error| error.to_string()), Some(error), "{row}");
    }
}

#[test]
fn a_wrong_event_gets_one_error_that_names_the_field_and_the_value() {
    check(&event(), &events());
}

#[test]
fn a_wrong_question_too() {
    let mut ask = event();
    ask["action"] = json!("explain");
    check(&ask, &questions());
}

#[test]
fn a_missing_field_and_what_is_no_event_are_named() {
    for field in ["policy", "select", "keep"] {
        let mut event = event();
        event.as_object_mut().unwrap().remove(field);
        let error = Event::read(event).unwrap_err().to_string();
        assert!(error.contains(&format!("missing field `{field}`")), "{error}");
    }
    for (text, named) in
        [("[]", "[]"), ("\"daily\"", "\"daily\""), ("null", "null"), ("7", "7"), ("{\"policy\": ", "EOF")]
    {
        let error = Event::read_text(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(named), "{text} gives {error:?}");
    }
}

fn time(text: &str) -> chrono::DateTime<chrono::Utc> {
    text.parse().unwrap()
}

/// A volume with a tag, and five good restore points of it: the policy keeps two.
fn account(key: &str, value: &str) -> Observed {
    let tags: Tags =
        [("stillframe", "daily"), (key, value)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let snapshot = |day: u32| Snapshot {
        id: format!("snap-{day}").into(),
        volume: "vol-1".into(),
        state: SnapshotState::Completed,
        started_at: time(&format!("2026-11-{day}T01:00:00Z")),
        tags: [
            ("stillframe:policy", "daily".to_owned()),
            ("stillframe:run", format!("daily/2026-11-{day}/x")),
            ("stillframe:slot", format!("2026-11-{day}")),
            ("stillframe:instance", "i-1".to_owned()),
            ("stillframe:consistency", "filesystem".to_owned()),
            (key, value.to_owned()),
        ]
        .into_iter()
        .collect(),
        size_gib: 8,
        tier: Tier::Standard,
        description: "stillframe daily".into(),
    };
    Observed {
        now: time("2026-11-23T00:30:00Z"),
        instances: vec![Instance {
            id: "i-1".into(),
            state: InstanceState::Running,
            launched_at: time("2026-11-01T00:00:00Z"),
            last_stop: LastStop::Unknown,
            tags: Tags::new(),
            root_device: None,
            hibernation_configured: false,
        }],
        volumes: vec![Volume {
            id: "vol-1".into(),
            size_gib: 8,
            kind: "gp3".to_owned(),
            tags,
            attachment: Some(Attachment {
                instance: "i-1".into(),
                device: "/dev/sdf".to_owned(),
                state: AttachmentState::Attached,
                since: None,
            }),
            created_at: time("2026-11-01T00:00:00Z"),
            state: VolumeState::InUse,
            multi_attach: false,
        }],
        snapshots: (18..23).map(snapshot).collect(),
        agents: [("i-1".into(), stillframe_plan::Agent::Online)].into(),
        orders_under_way: Default::default(),
        used_by_images: Default::default(),
        locked: Default::default(),
        guards_unseen: None,
    }
}

fn verdicts(policy: &Policy, observed: &Observed) -> Vec<bool> {
    prune(policy, observed).points.iter().map(|point| matches!(point.verdict, Verdict::Keep(_))).collect()
}

#[test]
fn a_wrong_tag_is_reported_and_the_policys_word_holds() {
    let policy = Policy::read(&event()).unwrap();
    let run = RunId::from("daily/2026-11-23/x");
    let untagged = account("colour", "blue");
    let plain = plan(&policy, &run, &untagged, &Limits::default());
    for (key, value, named) in TAGS {
        let observed = account(key, value);
        let row = format!("{key} = {value:?}");
        let made = plan(&policy, &run, &observed, &Limits::default());
        let pruned = prune(&policy, &observed);
        let told = [
            made.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            status(&policy, &observed).to_string(),
            dry_run(&made, &pruned, &observed).to_string(),
        ];
        for said in told {
            for name in [key, "vol-1", &format!("{value:?}"), named] {
                assert!(said.contains(name), "{row} is told as {said:?}, which does not name {name}");
            }
        }
        // The volume is backed up as it would be, and kept as the policy says: never less, never more.
        assert_eq!(made.orders.len(), plain.orders.len(), "{row}");
        assert!(made.orders[0].hooks, "{row}");
        assert_eq!(verdicts(&policy, &observed), [true, true, false, false, false], "{row}");
        let explained = explain(&policy, None, &observed);
        assert_eq!(explained.totals.kept, 2, "{row}");
        assert!(explained.snapshots.iter().all(|one| !one.own_rules), "{row}");
        // Of a volume that is gone the newest snapshot's tag is read, and is no better.
        let gone = Observed { volumes: vec![], ..observed };
        assert_eq!(verdicts(&policy, &gone), [true, true, false, false, false], "{row}, volume gone");
    }
}

#[test]
fn the_skip_tag_has_no_wrong_value() {
    // Whoever writes `false` there may mean the opposite; the volume is left alone, and that is told.
    let policy = Policy::read(&event()).unwrap();
    for value in ["", "true", "false", "no", "off", "0"] {
        let observed = account("stillframe:skip", value);
        let made = plan(&policy, &RunId::from("daily/2026-11-23/x"), &observed, &Limits::default());
        assert!(made.is_idle(), "{value:?}");
        let said = made.skipped[0].reason.to_string();
        assert!(said.contains("stillframe:skip"), "{value:?}: {said}");
        assert!(
            dry_run(&made, &prune(&policy, &observed), &observed).to_string().contains("stillframe:skip")
        );
        // To leave a volume alone is not to delete its history.
        assert_eq!(verdicts(&policy, &observed)[0..2], [true, true], "{value:?}");
    }
}

#[test]
fn an_error_is_one_line_whatever_somebody_wrote() {
    for event in [r#"{"name":"daily","every":"a\nday\r"}"#, r#"{"name":"daily","select":{"a\nb":7}}"#] {
        let error = Event::read_text(event.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains(['\n', '\r']), "{error:?}");
    }
}
