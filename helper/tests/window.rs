//! What the helper does while something is frozen, as the kernel sees it: one request, and nothing that
//! could wait for a frozen disk, a name server or memory.

// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::SignalFunction;
use common::instance::{Instance, token};
use common::{alone, have, have_devices};
use stillframe_wire::Verdict;

/// Opens a file, looks a name up, makes a connection, a process or a thread, or asks for memory.
const FORBIDDEN: [&str; 20] = [
    "open", "openat", "openat2", "creat", "socket", "connect", "bind", "clone", "clone3", "fork", "vfork",
    "execve", "mmap", "brk", "rename", "renameat", "unlink", "unlinkat", "fsync", "sendmmsg",
];

#[test]
fn one_request_and_nothing_else_happens_in_the_window() {
    if !have_devices() || !have("strace") {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("btrfs", "c")]);
    let function = SignalFunction::willing();
    let trace = instance.inside("trace");
    let mut command = instance.command("strace");
    command.args(["-f", "-o", &trace, env!("CARGO_BIN_EXE_stillframe-helper")]);
    let (_, report) = instance.start_freeze(command, &token(&instance.order()), &function.url()).finish();
    assert_eq!(report.verdict, Verdict::Consistent, "{}", report.render());
    let trace = std::fs::read_to_string(instance.path(&trace)).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    // The prime freezes too; the freeze that counts comes after its name.
    let named = lines.iter().position(|line| line.contains("sf:freeze")).unwrap();
    let first = named + lines[named..].iter().position(|line| line.contains("FIFREEZE")).unwrap();
    let last = lines.iter().rposition(|line| line.contains("FITHAW")).unwrap();
    let window = &lines[first..=last];
    assert_eq!(window.iter().filter(|line| line.contains("FIFREEZE")).count(), 3);
    // A line is `pid call(...`; the second half of a call that was interrupted is `pid <... call`.
    let calls: Vec<&str> = window
        .iter()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('(').map(|(call, _)| call))
        .collect();
    for (call, line) in calls.iter().zip(window) {
        assert!(!FORBIDDEN.contains(call), "{line}");
    }
    let requests = window.iter().filter(|line| line.contains("POST /2015-03-31")).count();
    assert_eq!(requests, 1, "{window:#?}");
}

#[test]
fn a_name_is_looked_up_without_the_c_library() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    // An nsswitch that names modules that no static program can load.
    let more = "echo '127.0.0.1 signal.test' > hosts; mount --bind hosts /etc/hosts\n\
                echo 'hosts: myhostname resolve [!UNAVAIL=return] files' > nsswitch\n\
                [ ! -e /etc/nsswitch.conf ] || mount --bind nsswitch /etc/nsswitch.conf";
    let instance = Instance::start_with(&[("ext4", "a")], more);
    let function = SignalFunction::willing();
    let command = instance.command(env!("CARGO_BIN_EXE_stillframe-helper"));
    let helper = instance.start_freeze(command, &token(&instance.order()), &function.url_at("signal.test"));
    let (_, report) = helper.finish();
    assert_eq!(report.verdict, Verdict::Consistent, "{}", report.render());
    let command = instance.command(env!("CARGO_BIN_EXE_stillframe-helper"));
    let helper = instance.start_freeze(command, &token(&instance.order()), &function.url_at("localhost"));
    assert_eq!(helper.finish().1.verdict, Verdict::Consistent);
}
