//! Signal, answer and report: what is read once is written and read again the same, and a report's first
//! line always fits into what Run Command carries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillframe_wire::{Answer, REPORT_LIMIT, Report, Signal};

fuzz_target!(|data: &[u8]| {
    if let Ok(signal) = Signal::read(data) {
        let text = serde_json::to_vec(&signal).expect("a signal can be written");
        assert_eq!(Signal::read(&text), Ok(signal));
    }
    if let Ok(answer) = Answer::read(data) {
        let text = serde_json::to_vec(&answer).expect("an answer can be written");
        assert_eq!(Answer::read(&text), Ok(answer));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(report) = Report::read(text) {
        let text = report.render();
        let first = text.lines().next().expect("a line");
        assert!(first.len() <= REPORT_LIMIT, "{} bytes", first.len());
        assert_eq!(Report::read(&text), Ok(report));
    }
});
