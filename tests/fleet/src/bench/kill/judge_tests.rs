use super::*;
use crate::verify::Journal;

const MS: u64 = 1_000_000;

fn stall(from_ms: u64, to_ms: u64) -> Stall {
    Stall { since_ns: (from_ms - 2) * MS, from_ns: from_ms * MS, to_ns: to_ms * MS }
}

fn bytes(journal: Journal) -> Option<Verification> {
    let evidence = String::new();
    Some(Verification { fs: "ext4".into(), journal, journal_evidence: evidence, records: None, error: None })
}

/// Frozen from 1,000 to 1,500 ms, cut at 1,200, everything dead at 1,510.
fn seen(disturbance: Disturbance) -> Seen {
    let number = (0..).find(|number| Plan::of(1, *number).disturbance == disturbance).unwrap();
    let cut = CutRecord {
        snapshot: "snap-1".into(),
        volume: "vol-1".into(),
        begun_ns: 1_200 * MS,
        ended_ns: 1_201 * MS,
        writer_log: "log".into(),
    };
    let label = "filesystem".to_owned();
    let clean = bytes(Journal::Clean);
    let snapshot = SeenSnapshot { id: "snap-1".into(), label, cut: Some(cut), bytes: clean };
    Seen {
        plan: Plan::of(1, number),
        hit: None,
        max_freeze_ns: 1_000 * MS,
        volumes: vec![SeenVolume {
            name: "/srv".into(),
            stalls: vec![stall(1_000, 1_500)],
            calls: vec![],
            read_only: false,
            snapshots: vec![snapshot],
        }],
        helpers: vec![Deaths { worker_ns: Some(1_510 * MS), guardian_ns: Some(1_505 * MS) }],
        lags: vec![],
    }
}

fn hit(at_ms: u64, phase: &str, then: &str, told: bool) -> Option<Hit> {
    Some(Hit { at_ns: at_ms * MS, phase: phase.into(), then: then.into(), told, note: String::new() })
}

fn violations(seen: &Seen) -> Vec<String> {
    judge(seen).violations
}

#[test]
fn a_freeze_as_it_should_be_breaks_nothing() {
    let judgement = judge(&seen(Disturbance::Nothing));
    assert_eq!(judgement, Judgement { stall_ns: 502 * MS, frozen_ns: 502 * MS, ..Judgement::default() });
}

#[test]
fn frozen_too_long_is_a_violation_that_names_the_file_system() {
    let mut seen = seen(Disturbance::Nothing);
    seen.helpers.clear();
    seen.volumes[0].stalls = vec![stall(1_000, 2_098)];
    assert_eq!(violations(&seen), Vec::<String>::new(), "1,100 ms at most");
    seen.volumes[0].stalls = vec![stall(1_000, 2_099)];
    assert!(violations(&seen)[0].contains("/srv frozen for 1101.0 ms at most, 1100.0 ms allowed"));
}

#[test]
fn before_fifreeze_has_returned_nothing_counts_as_frozen() {
    let mut seen = seen(Disturbance::Nothing);
    seen.helpers.clear();
    seen.volumes[0].stalls = vec![stall(1_000, 2_120)];
    let call = |ioctl, last_ms| Call {
        mount: "/srv".into(),
        ioctl,
        first_ns: 1_000 * MS,
        last_ns: last_ms * MS,
        waits_in: String::new(),
    };
    seen.volumes[0].calls = vec![call(Ioctl::Freeze, 1_020), call(Ioctl::Thaw, 2_110)];
    let judgement = judge(&seen);
    assert_eq!((judgement.frozen_ns, judgement.stall_ns), (1_100 * MS, 1_122 * MS));
    assert_eq!((judgement.violations.len(), judgement.explained.len()), (0, 1));
    seen.volumes[0].calls = vec![call(Ioctl::Freeze, 1_019), call(Ioctl::Thaw, 2_110)];
    assert_eq!(violations(&seen).len(), 1);
}

#[test]
fn a_thaw_that_was_asked_for_in_time_and_waits_for_the_disk_is_explained_and_told() {
    let mut seen = seen(Disturbance::WorkerKilled);
    seen.volumes[0].snapshots.clear();
    seen.helpers[0].worker_ns = Some(1_399 * MS);
    let thaw = |first_ms: u64, last_ms: u64| Call {
        mount: "/srv".into(),
        ioctl: Ioctl::Thaw,
        first_ns: first_ms * MS,
        last_ns: last_ms * MS,
        waits_in: "folio_wait_bit".into(),
    };
    seen.volumes[0].calls = vec![thaw(1_401, 1_496)];
    let judgement = judge(&seen);
    assert_eq!((judgement.violations.len(), judgement.after_death_ns), (0, 101 * MS), "told as it is");
    assert!(judgement.explained[0].contains("FITHAW was asked for 2.0 ms after"), "{judgement:?}");
    seen.volumes[0].calls = vec![thaw(1_401, 1_450)];
    assert_eq!(violations(&seen).len(), 1, "it had returned long before");
    seen.volumes[0].calls = vec![thaw(1_460, 1_496)];
    assert_eq!(violations(&seen).len(), 1, "it was asked for late");
}

#[test]
fn what_the_machine_did_not_run_is_explained_and_told() {
    let mut seen = seen(Disturbance::Nothing);
    seen.helpers.clear();
    seen.volumes[0].stalls = vec![stall(1_000, 2_120)];
    seen.lags = vec![stall(2_099, 2_130)];
    assert_eq!(violations(&seen).len(), 1);
    seen.lags = vec![stall(2_098, 2_130)];
    assert_eq!((violations(&seen).len(), judge(&seen).explained.len()), (0, 1));
}

#[test]
fn after_the_workers_death_a_tenth_of_a_second_is_left() {
    let mut seen = seen(Disturbance::WorkerKilled);
    seen.volumes[0].snapshots.clear();
    seen.helpers[0].worker_ns = Some(1_400 * MS);
    assert_eq!(judge(&seen).after_death_ns, 100 * MS);
    assert_eq!(violations(&seen), Vec::<String>::new());
    seen.helpers[0].worker_ns = Some(1_399 * MS);
    assert!(violations(&seen)[0].contains("frozen 101.0 ms after the worker's death"));
}

#[test]
fn with_nobody_left_it_is_the_third_lines_time() {
    let mut seen = seen(Disturbance::BothKilled);
    seen.volumes[0].snapshots.clear();
    seen.volumes[0].stalls = vec![stall(1_000, 9_000)];
    seen.helpers[0] = Deaths { worker_ns: Some(1_401 * MS), guardian_ns: Some(1_402 * MS) };
    assert!(!violations(&seen).is_empty(), "without a hit it is no third line's");
    seen.hit = hit(1_400, "sf:frozen", "", false);
    let judgement = judge(&seen);
    assert_eq!(judgement.third_line_ns, Some(7_598 * MS));
    assert_eq!(judgement.violations, Vec::<String>::new());
    seen.helpers[0].worker_ns = Some(2_000 * MS);
    assert_eq!(judge(&seen).third_line_ns, Some(7_000 * MS), "killed inside FIFREEZE, which took its time");
    seen.helpers[0].guardian_ns = Some(1_900 * MS);
    assert!(!violations(&seen).is_empty(), "the guardian was not killed with it");
}

#[test]
fn a_label_that_the_bytes_deny_is_a_lie() {
    let mut seen = seen(Disturbance::Nothing);
    seen.volumes[0].snapshots[0].bytes = bytes(Journal::Dirty);
    assert!(violations(&seen)[0].contains("its bytes say otherwise"));
    seen.volumes[0].snapshots[0].label = "crash".into();
    assert_eq!(violations(&seen), Vec::<String>::new(), "crash promises nothing");
}

#[test]
fn a_label_from_a_broken_window_is_a_lie_whatever_the_bytes_say() {
    let says = |seen: &Seen, what: &str| {
        let violations = violations(seen);
        assert!(violations.iter().any(|violation| violation.contains(what)), "{what}: {violations:?}");
    };
    for disturbance in [Disturbance::WrongRun, Disturbance::MissingVolume, Disturbance::AnswerTooLate] {
        says(&seen(disturbance), "no answer that counts");
    }
    let mut one = seen(Disturbance::ThawedByOther);
    one.hit = hit(1_300, "sf:frozen", "sf:frozen", false);
    assert_eq!(violations(&one), Vec::<String>::new(), "it had nothing to thaw");
    one.hit = hit(1_300, "sf:frozen", "sf:frozen", true);
    says(&one, "another process thawed");
    let mut one = seen(Disturbance::GuardianKilled);
    one.helpers[0].guardian_ns = Some(1_100 * MS);
    says(&one, "guardian was dead");
    let mut one = seen(Disturbance::GroupKilled);
    one.hit = hit(1_490, "sf:frozen", "", false);
    says(&one, "worker was killed");
    for phase in ["sf:thaw", "sf:report"] {
        one.hit = hit(1_505, phase, phase, false);
        assert_eq!(violations(&one), Vec::<String>::new(), "it may have proved and reported all by then");
    }
    let mut one = seen(Disturbance::Nothing);
    one.volumes[0].stalls = vec![stall(1_201, 1_500)];
    says(&one, "not seen frozen around the cut");
    one.volumes[0].read_only = true;
    assert_eq!(violations(&one), Vec::<String>::new(), "nothing could write anyway");
}

#[test]
fn a_verdict_is_told_with_its_reason() {
    assert_eq!(verdict_of(r#"{"verdict": "unproved", "reason": "deadline"}"#), "unproved (deadline)");
    assert_eq!(verdict_of("{\"verdict\": \"consistent\"}\nmore"), "consistent");
    assert_eq!(verdict_of(""), "no report");
}
