use crate::support::{DB, Region, VOLUMES, possible, spec, wait_until};
use fleet::machine::Machines;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn a_frozen_file_system_is_seen_frozen_and_no_other() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    assert_eq!(region.frozen(), Vec::<String>::new());
    for (_, _, mount) in VOLUMES {
        region.fsfreeze("-f", &[mount]);
        let asked = Instant::now();
        assert_eq!(region.frozen(), [mount]);
        assert!(asked.elapsed() < Duration::from_secs(1), "{mount} took {:?}", asked.elapsed());
        assert_eq!(region.frozen(), [mount], "while the first question still waits");
        region.fsfreeze("-u", &[mount]);
        assert_eq!(region.frozen(), Vec::<String>::new());
    }
    region.end();
}

#[test]
fn a_watch_measures_how_long_writes_waited() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    for (_, _, mount) in VOLUMES {
        let watch = region.disks.watch(DB, Path::new(mount), Duration::from_millis(100)).unwrap();
        let script = format!("sleep 0.2\nfsfreeze -f '{mount}'\nsleep 0.3\nfsfreeze -u '{mount}'");
        assert_eq!(region.run(&script).stderr, "");
        let stalls = watch.finish().unwrap();
        let longest = stalls.iter().map(|stall| stall.to_ns - stall.from_ns).max().unwrap_or_default();
        // On a busy machine the watch may come late to its first write after the freeze.
        assert!(longest >= 200_000_000, "{mount}: {stalls:?}");
        assert!(longest < 5_000_000_000, "{mount}: {stalls:?}");
    }
    region.end();
}

#[test]
fn an_end_thaws_what_is_frozen_while_others_wait() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    let mounts = VOLUMES.map(|(_, _, mount)| mount);
    region.fsfreeze("-f", &mounts);
    let mut frozen = region.frozen();
    frozen.sort();
    assert_eq!(frozen, mounts);
    let blocked = region.start("echo x > '/srv/pg data/x'\necho y > /srv/search/y");
    region.end();
    blocked.wait();
}

#[test]
fn a_file_system_that_was_unmounted_frozen_leaves_no_ghost() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    for (_, _, mount) in VOLUMES {
        let result = region.run(&format!("fsfreeze -f '{mount}' && umount -l '{mount}'"));
        assert_eq!(result.stderr, "");
    }
    wait_until("the unmounts", || region.disks.state().unwrap()[0].mounts.is_empty());
    region.end();
}
