//! Events and a volume's tags: whatever somebody wrote, it is read or refused in one line; what is read says
//! the same when it is written and read again; and a tag that cannot be read leaves the policy's word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillframe_plan::{Action, Event, Keep, Policy, PolicyError, Slot, layout, tags};

fuzz_target!(|data: &[u8]| {
    // A first byte that begins no JSON says what the rest is: the value of a tag.
    match data.split_first() {
        Some((b'k', rest)) => keep_tag(rest),
        Some((b'l', rest)) => layout_tag(rest),
        _ => event(data),
    }
});

fn event(data: &[u8]) {
    let event = match Event::read_text(data) {
        Ok(event) => event,
        Err(error) => return refused(&error),
    };
    let policy = serde_json::to_vec(&event.policy).expect("a policy can be written");
    assert_eq!(Policy::read_text(&policy), Ok(event.policy.clone()));
    if let Action::Explain { keep_instead: Some(keep) } = &event.action {
        assert_eq!(keep.to_string().parse(), Ok(keep.clone()));
    }
    if let Some(at) = &event.continuation {
        let again = Event::read(event.continued(at)).expect("a continuation goes on");
        assert_eq!((again.policy, again.continuation.as_ref()), (event.policy.clone(), Some(at)));
        let slot = Slot::of(event.policy.every, event.policy.timezone, at.began_at);
        assert!(slot.start <= at.began_at && at.began_at < slot.end, "{slot:?}");
    }
}

fn refused(error: &PolicyError) {
    let said = error.to_string();
    assert!(!said.contains('\n'), "{said:?}");
    if let PolicyError::Field { field, .. } = error {
        assert!(!field.is_empty() && said.contains(field.as_str()), "{said:?}");
    }
}

fn keep_tag(value: &[u8]) {
    let Ok(value) = std::str::from_utf8(value) else { return };
    if let Ok(keep) = value.parse::<Keep>() {
        assert_eq!(keep.to_string().parse(), Ok(keep));
    }
}

fn layout_tag(value: &[u8]) {
    let Ok(value) = std::str::from_utf8(value) else { return };
    let tags = [(format!("{}0", tags::LAYOUT), value.to_owned())].into();
    if let Ok(records) = layout::decode(&tags) {
        assert_eq!(layout::decode(&layout::encode(&records)), Ok(records));
    }
}
