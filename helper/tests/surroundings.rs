//! A freeze in odd surroundings: streams that nobody reads, a program that lies on what it freezes, too
//! little memory, and again and again.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, yes};
use common::instance::{Instance, children, is_alive, name, token};
use common::{alone, have_devices, skip, within};
use rustix::process::Signal as Kill;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use stillframe_wire::{Exit, Report, Verdict};

#[test]
fn a_report_that_nobody_reads_changes_nothing() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::willing();
    let mut helper = instance.freeze(&instance.order(), &function);
    drop(helper.child.stdout.take());
    let status = helper.child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "the exit code holds");
    assert_eq!(function.frozen_signals(), 1);
    assert!(!instance.anything_frozen() && !instance.has_lease());
}

#[test]
fn a_broken_pipe_is_no_end() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::at_frozen(|signal| Reply::Late(Duration::from_millis(300), yes(signal)));
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    helper.signal(Kill::PIPE);
    let (code, report) = helper.finish();
    assert_eq!((code, report.verdict), (0, Verdict::Consistent), "{}", report.render());
    assert!(!instance.anything_frozen());
}

#[test]
fn a_full_pipe_holds_up_the_end_and_not_the_thaw() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::willing();
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::write(&writer, &[b'\n'; 4096]).unwrap();
    let mut command = instance.command(env!("CARGO_BIN_EXE_stillframe-helper"));
    command.stdout(Stdio::from(writer));
    let mut child = instance
        .freeze_command(&mut command, &[], &token(&instance.order()), &function.url())
        .spawn()
        .unwrap();
    drop(command);
    assert!(within(Duration::from_secs(10), || name(child.id()).as_deref() == Some("sf:report")));
    assert!(instance.is_free(0), "frozen while it waits for its reader");
    assert!(within(Duration::from_secs(3), || !instance.has_lease()));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(Report::read(&text).unwrap().verdict, Verdict::Consistent);
}

#[test]
fn standard_streams_and_folders_on_the_frozen_file_system_do_not_hang_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    for mount in ["a", "b"] {
        let folder = instance.inside(mount);
        let here = instance.path(&folder);
        let function =
            SignalFunction::at_frozen(|signal| Reply::Late(Duration::from_millis(50), yes(signal)));
        // The shell goes there in the instance, and has both streams there.
        let script = "cd \"$1\" && export TMPDIR=\"$1\" && shift && exec \"$@\" >out 2>err";
        let mut command = instance.command("sh");
        command.args(["-c", script, "sh", &folder, env!("CARGO_BIN_EXE_stillframe-helper")]);
        let mut helper = instance.start_freeze(command, &token(&instance.order()), &function.url());
        let status = helper.child.wait().unwrap();
        let text = std::fs::read_to_string(here.join("out")).unwrap();
        assert_eq!(status.code(), Some(0), "{mount}: {text}");
        assert_eq!(Report::read(&text).unwrap().verdict, Verdict::Consistent, "{text}");
        assert!(!instance.anything_frozen());
    }
}

#[test]
fn a_helper_that_runs_out_of_memory_leaves_nothing_frozen() {
    const MEMORY: &str = "/sys/fs/cgroup/memory";
    if !have_devices() {
        return;
    }
    if !Path::new(MEMORY).join("memory.limit_in_bytes").exists() {
        skip("a memory limit needs the memory controller of cgroup v1");
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let group = Path::new(MEMORY).join(format!("stillframe-test-{}", std::process::id()));
    let _ = std::fs::create_dir(&group);
    let mut ends = Vec::new();
    // From far too little to enough: it dies at different places.
    for kib in (1_024..4_096).step_by(192).chain([65_536]) {
        std::fs::write(group.join("memory.limit_in_bytes"), format!("{}", kib << 10)).unwrap();
        let function = SignalFunction::willing();
        let script = "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"";
        let mut command = instance.command("sh");
        command.args(["-c", script, "sh", group.to_str().unwrap()]);
        command.arg(env!("CARGO_BIN_EXE_stillframe-helper"));
        let mut helper = instance.start_freeze(command, &token(&instance.order()), &function.url());
        let status = helper.child.wait().unwrap();
        ends.push((kib, status.code()));
        assert!(!instance.anything_frozen(), "{kib} KiB: left frozen");
        assert!(within(Duration::from_secs(3), || !instance.has_lease()), "{kib} KiB: the lease stays");
    }
    assert!(within(Duration::from_secs(5), || std::fs::remove_dir(&group).is_ok()), "a process stays");
    eprintln!("{ends:?}");
    assert!(ends.iter().any(|(_, code)| code.is_none()), "no limit was low enough: {ends:?}");
    assert_eq!(ends.last(), Some(&(65_536, Some(0))));
}

#[test]
fn a_hundred_freezes_leave_nothing_behind() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("btrfs", "c")]);
    let function = SignalFunction::willing();
    let before = children(std::process::id());
    for n in 0..100 {
        let (code, report) = instance.freeze(&instance.order(), &function).finish();
        assert_eq!(code, i32::from(Exit::Done.code()), "{n}: {}", report.render());
        assert_eq!(report.major_faults, Some(0), "{n}: it read from a disk while it held it frozen");
    }
    assert!(!instance.anything_frozen() && !instance.has_lease());
    let left: Vec<u32> = children(std::process::id())
        .into_iter()
        .filter(|pid| !before.contains(pid) && is_alive(*pid))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
