use super::*;
use std::io::Write;

fn disk(folder: &Path, size: usize) -> Options {
    let device = folder.join("disk");
    File::create(&device).unwrap().write_all(&vec![7; size]).unwrap();
    Options {
        device,
        identity: "vol-1".to_owned(),
        depth: 4,
        block: 64 << 10,
        rate: None,
        state: Some(folder.join("notes/state")),
        first: vec![],
    }
}

#[test]
fn all_is_read_once_and_nothing_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = disk(folder.path(), (1 << 20) + 700);
    let warmed = warm(&options).unwrap();
    assert_eq!((warmed.size, warmed.read, warmed.resumed_at), ((1 << 20) + 700, (1 << 20) + 700, 0));
    let again = warm(&options).unwrap();
    assert!(again.resumed_at >= 1 << 20 && again.read <= 700, "{again:?}");
    options.identity = "vol-2".to_owned();
    assert_eq!(warm(&options).unwrap().resumed_at, 0, "another volume's notes are not taken");
}

#[test]
fn it_goes_on_where_it_was_and_not_when_the_volume_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let options = disk(folder.path(), 1 << 20);
    note(options.state.as_deref().unwrap(), &options, 1 << 20, (512 << 10) + 5).unwrap();
    let warmed = warm(&options).unwrap();
    assert_eq!((warmed.resumed_at, warmed.read), (512 << 10, 512 << 10), "at the beginning of a block");
    note(options.state.as_deref().unwrap(), &options, 1 << 19, 1 << 19).unwrap();
    assert_eq!(warm(&options).unwrap().resumed_at, 0);
}

#[test]
fn files_that_come_first_are_read_and_one_that_is_missing_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = disk(folder.path(), 256 << 10);
    let hot = folder.path().join("hot");
    std::fs::write(&hot, vec![1; 100_000]).unwrap();
    options.first = vec![hot, folder.path().join("none")];
    let warmed = warm(&options).unwrap();
    assert_eq!((warmed.read_first, warmed.read, warmed.failed.len()), (100_000, 256 << 10, 1), "{warmed:?}");
    assert!(warmed.failed[0].contains("none"));
}

#[test]
fn the_rate_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = disk(folder.path(), 1 << 20);
    options.rate = Some(4 << 20);
    let warmed = warm(&options).unwrap();
    // Sixteen turns, the first at once.
    assert!(warmed.ms >= 230, "{warmed:?}");
}

#[test]
fn a_block_that_no_direct_read_can_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = disk(folder.path(), 4096);
    options.block = 1000;
    assert!(matches!(warm(&options), Err(WarmError::Options(_))));
}
