//! Large fleets and EC2's limits: what the account's buckets and a volume's own limits make of a run.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, daily};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// A call of EC2's that somebody else makes; its answer.
fn somebody(region: &Region, form: &str) -> String {
    let address = region.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("the region listens");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(head.as_bytes()).expect("the region takes the call");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the region answers");
    answer
}

#[test]
fn a_volume_of_which_ec2_takes_no_further_snapshot_now_is_left_to_a_later_firing() {
    // The order is long enough on its way for somebody to be faster.
    let region = Region::without_disks(&format!("latency_ms = {{ SendCommand = 2000 }}\n{ONE_INSTANCE}"));
    let volume = region.backup(daily());
    let volume = volume["restore_points"][0]["snapshots"][0]["volume"].as_str().expect("a volume").to_owned();
    region.advance(86_400);
    let made = region.snapshots().len();
    let run = region.backup_while(daily(), "SendCommand", || {
        let answer = somebody(&region, &format!("Action=CreateSnapshot&VolumeId={volume}"));
        assert!(answer.contains("<snapshotId>"), "{answer}");
    });
    assert_eq!(run["failures"].as_array().map(Vec::len), Some(0), "{run}");
    let later = run["warnings"].as_array().expect("warnings").iter().filter(|one| one["reason"] == "later");
    assert_eq!(later.count(), 1, "{run}");
    assert!(run.to_string().contains("SnapshotCreationPerVolumeRateExceeded"), "{run}");
    assert_eq!(region.snapshots().len(), made + 1, "no set was made, crash-consistent ones neither");

    region.advance(3_600);
    let next = region.backup(daily());
    assert_eq!(next["status"], "done", "{next}");
    assert_eq!(next["restore_points"].as_array().map(Vec::len), Some(1), "{next}");
}

#[test]
fn a_hundred_instances_with_faults_are_all_backed_up_once_on_the_fleets_own_clock() {
    let program = std::env::current_exe().expect("a test has a path");
    let program = program.parent().and_then(|deps| deps.parent()).expect("a directory").join("fleet");
    assert!(program.exists(), "{} is not built: run `make build`", program.display());
    let arguments = "bench scale --instances 100 --faults 5 --seed 7 --alone --without-memory --json";
    let output = Command::new(program).args(arguments.split(' ')).output().expect("the fleet runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().last().unwrap_or_default();
    let found: serde_json::Value = serde_json::from_str(line).expect("one line of JSON");
    let figures = &found["figures"];
    assert_eq!(found["kept"], true, "{figures}");
    assert_eq!((&figures["without"], &figures["duplicates"]), (&0.into(), &0.into()), "{figures}");
    assert!(figures["faults"].as_object().is_some_and(|kinds| kinds.len() == 4), "{figures}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
