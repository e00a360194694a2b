use super::*;
use proptest::prelude::*;

fn report(volumes: usize, frozen: bool) -> Report {
    let mut report = Report::new(Verdict::Consistent);
    report.run = Some(RunId::new("daily/2026-11-22/k3v9x2").unwrap());
    report.instance = Some(InstanceId::new("i-0aaaaaaaaaaaaaaa1").unwrap());
    for n in 0..volumes {
        report.snapshots.push(SnapshotReport {
            volume: VolumeId::new(format!("vol-{n:017x}")).unwrap(),
            snapshot: SnapshotId::new(format!("snap-{n:017x}")).unwrap(),
            frozen,
        });
        report.filesystems.push(FileSystemReport {
            mount_point: format!("/srv/a mount point of some length/{n}"),
            frozen_us: 412_345,
            verdict: FileSystemVerdict::Frozen,
        });
        report.volumes.push(VolumeNote {
            volume: VolumeId::new(format!("vol-{n:017x}")).unwrap(),
            holds: Holds::Swap,
            detail: format!("/dev/nvme{n}n1p2"),
        });
    }
    report
}

#[test]
fn a_small_report_is_one_line_that_survives() {
    let report = report(4, true);
    let text = report.render();
    assert_eq!(text.lines().count(), 1);
    assert!(text.len() <= REPORT_LIMIT);
    assert_eq!(Report::read(&text), Ok(report));
}

#[test]
fn a_large_report_keeps_the_exceptions_in_its_first_line() {
    let mut large = report(40, true);
    large.filesystems[17].verdict = FileSystemVerdict::ThawedByOther;
    large.volumes[9].holds = Holds::Raw;
    let text = large.render();
    let first = text.lines().next().unwrap();
    assert!(first.len() < REPORT_LIMIT);
    let brief = Report::read(first).unwrap();
    assert!(brief.truncated);
    assert_eq!(brief.filesystems, vec![large.filesystems[17].clone()]);
    assert_eq!(brief.volumes, vec![large.volumes[9].clone()]);
    assert_eq!(Report::read(&text), Ok(large.clone()), "the second line is the whole");
    assert_eq!(Report::read(&text[..2_500]), Ok(brief), "a cut second line is not read");
}

#[test]
fn what_a_later_helper_found_is_taken_for_the_worst() {
    let note = r#"{"volume": "vol-0aaaaaaaaaaaaaa01", "holds": "moon-dust"}"#;
    let note: VolumeNote = serde_json::from_str(note).unwrap();
    assert!(note.holds.hinders());
    let verdict: FileSystemVerdict = serde_json::from_str(r#""moon-dust""#).unwrap();
    assert_eq!(verdict, FileSystemVerdict::Other);
}

#[test]
fn a_missing_field_is_named() {
    let error = Report::read(r#"{"v": 1}"#).unwrap_err().to_string();
    assert!(error.contains("verdict"), "{error}");
    assert!(Report::read("").unwrap_err().to_string().contains("printed nothing"));
}

proptest! {
    #[test]
    fn the_first_line_always_fits(volumes in 0_usize..130, frozen: bool, error in ".{0,4000}") {
        let mut report = report(volumes, frozen);
        report.error = Some(error);
        let text = report.render();
        prop_assert!(text.lines().next().unwrap().len() <= REPORT_LIMIT);
        prop_assert_eq!(Report::read(&text).unwrap(), report);
    }

    #[test]
    fn reading_never_panics(text in ".{0,300}") {
        let _ = Report::read(&text);
    }
}

#[test]
fn a_report_of_another_version_is_refused_before_its_words_are_judged() {
    for text in [r#"{"v": 2}"#, r#"{"v": 2, "verdict": "excellent"}"#] {
        let error = Report::read(text).unwrap_err().to_string();
        assert_eq!(error, "report: field v: 2 is not the version that this reader knows (1)");
    }
}

#[test]
fn a_second_line_of_another_version_is_not_believed() {
    let mut first = Report::new(Verdict::Consistent);
    first.truncated = true;
    let second = r#"{"v":2,"verdict":"refused"}"#;
    let stdout = format!("{}\n{second}\n", serde_json::to_string(&first).unwrap());
    assert_eq!(Report::read(&stdout), Ok(first));
}
