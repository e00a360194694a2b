//! `warm` beside fio: the same device, the same depth, the same size of requests, in turns. Ends with an
//! error when `warm` reads less than 90 % of what fio reads. Needs root, loop devices and fio.
//!
//! `cargo bench -p stillframe-helper --bench warm -- [MIB [DEVICE]]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use stillframe_helper::warm::{Options, warm};

const RUNS: usize = 7;
const BLOCK: usize = 1 << 20;
const DEPTHS: [usize; 3] = [1, 8, 32];
const LEAST: f64 = 0.9;

/// A loop device that ends with the bench.
struct Disk(PathBuf, Option<tempfile::TempDir>);

impl Disk {
    fn new(mib: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        let mut file = std::fs::File::create(&image).unwrap();
        let mut part = vec![0; 1 << 20];
        for n in 0..mib {
            part[..8].copy_from_slice(&n.to_le_bytes());
            file.write_all(&part).unwrap();
        }
        file.sync_all().unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show", "--direct-io=on"])
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().into(), Some(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.1.is_some() {
            let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
        }
    }
}

fn fio(device: &Path, depth: usize) -> f64 {
    let output = Command::new("fio")
        .args([
            "--name=w",
            "--rw=read",
            "--ioengine=libaio",
            "--direct=1",
            "--output-format=json",
            "--readonly",
        ])
        .arg(format!("--filename={}", device.display()))
        .arg(format!("--bs={BLOCK}"))
        .arg(format!("--iodepth={depth}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    text["jobs"][0]["read"]["bw_bytes"].as_f64().unwrap() / f64::from(1 << 20)
}

fn ours(device: &Path, depth: usize) -> f64 {
    let options = Options {
        device: device.to_owned(),
        identity: "bench".to_owned(),
        depth,
        block: BLOCK,
        rate: None,
        state: None,
        first: vec![],
    };
    warm(&options).unwrap().mib_per_s
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let mib = arguments.first().map_or(512, |mib| mib.parse().unwrap());
    let disk = match arguments.get(1) {
        Some(device) => Disk(device.into(), None),
        None => Disk::new(mib),
    };
    let mut is_well = true;
    println!("{RUNS} runs in turns, requests of {} KiB, medians in MiB/s", BLOCK >> 10);
    for depth in DEPTHS {
        let (mut theirs, mut own) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            theirs.push(fio(&disk.0, depth));
            own.push(ours(&disk.0, depth));
        }
        let (theirs, own) = (median(theirs), median(own));
        let ratio = own / theirs;
        is_well &= ratio >= LEAST;
        println!("depth {depth:>2}: fio {theirs:>6.0}, warm {own:>6.0}, {:.0} %", ratio * 100.0);
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
