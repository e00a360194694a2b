//! What the doctor finds: pure. Each finding is a sentence, and what to do about it where something is to
//! be done.

use super::seen::{FunctionSeen, LockSeen, MountSeen, Seen};
use crate::volumes::{Judgement, note_sentence};
use serde::Serialize;
use stillframe_wire::{Holds, VolumeId, VolumeNote};

/// The first kernel on which mount numbers, pidfds and expedited freezes all behave as the helper counts
/// on; older ones are gone round.
const KERNEL: (u32, u32) = (5, 10);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// A freeze works, with something missing.
    Warning,
    /// A freeze does not work, or would leave out what somebody may count on.
    Problem,
}

impl Grade {
    /// The grade in the table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at: `kernel`, a mount point.
    pub about: String,
    /// How it is.
    pub sentence: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Judges what was seen.
#[must_use]
pub fn findings(seen: &Seen) -> Vec<Finding> {
    let mut all = vec![rights(seen), kernel(seen), run(seen), lock(seen), third_line(seen), agent(seen)];
    all.extend(seen.function.as_ref().map(function));
    all.extend(seen.unreadable.iter().map(|cause| {
        problem("mounts", format!("they cannot be read: {cause}"), "mount /proc and /sys as usual")
    }));
    if !seen.has_volumes {
        all.push(problem(
            "volumes",
            "no EBS volume is attached that can be recognised".to_owned(),
            "on an instance without NVMe, udev must make the links in /dev/disk/by-id",
        ));
    }
    all.extend(seen.mounts.iter().map(mount));
    // A file system that is not frozen has been told of as a mount.
    all.extend(seen.notes.iter().filter(|note| note.holds != Holds::NotFrozen).map(beside));
    all
}

fn rights(seen: &Seen) -> Finding {
    match seen.may_freeze {
        Some(true) => ok("rights", "this process may freeze file systems"),
        Some(false) => problem(
            "rights",
            "this process may not freeze file systems (it lacks CAP_SYS_ADMIN)".to_owned(),
            "run it as root, as the SSM agent does",
        ),
        None => warning("rights", "it cannot be told whether this process may freeze".to_owned(), None),
    }
}

fn kernel(seen: &Seen) -> Finding {
    let Some(release) = &seen.kernel else {
        return warning("kernel", "its version cannot be read".to_owned(), None);
    };
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= KERNEL => ok("kernel", release),
        _ => warning(
            "kernel",
            format!("{release} is older than {}.{}", KERNEL.0, KERNEL.1),
            Some("keep freezes short (max_freeze_ms): old kernels of XFS can block a thaw"),
        ),
    }
}

fn run(seen: &Seen) -> Finding {
    match seen.run_is_in_memory {
        Some(true) => ok("/run", "it is in memory and takes writes whatever is frozen"),
        Some(false) => problem(
            "/run",
            "it is no tmpfs, so that lock and lease could lie on what is frozen".to_owned(),
            "mount a tmpfs there, as every current system does",
        ),
        None => problem("/run", "there is none".to_owned(), "mount a tmpfs there"),
    }
}

fn lock(seen: &Seen) -> Finding {
    match &seen.lock {
        LockSeen::Free => ok("freeze", "none is under way, and none was left behind"),
        LockSeen::Busy => ok("freeze", "one is under way"),
        LockSeen::Left(run) => problem(
            "freeze",
            format!("run {run} ended without thawing; file systems may be frozen"),
            "run stillframe-helper thaw now",
        ),
        LockSeen::Unknown(cause) => problem("freeze", cause.clone(), "run this as root"),
    }
}

fn third_line(seen: &Seen) -> Finding {
    if seen.has_systemd {
        return ok("third line", "systemd runs: a timer thaws if worker and guardian die together");
    }
    warning(
        "third line",
        "systemd does not run: nobody here thaws if worker and guardian die together".to_owned(),
        Some("the backup function then sends Stillframe-Thaw, as soon as it learns of it"),
    )
}

fn agent(seen: &Seen) -> Finding {
    if seen.has_agent {
        return ok("SSM agent", "it runs");
    }
    problem(
        "SSM agent",
        "it does not run: no work order can reach this instance".to_owned(),
        "install and start amazon-ssm-agent 3.3.2746.0 or later",
    )
}

fn function(seen: &FunctionSeen) -> Finding {
    match seen {
        FunctionSeen::Answers => ok("signal function", "it answers; region, role and network are in order"),
        FunctionSeen::Fails(cause) => problem(
            "signal function",
            cause.clone(),
            "check the instance profile (lambda:InvokeFunction), the function's name and the network",
        ),
    }
}

fn mount(seen: &MountSeen) -> Finding {
    let volumes: Vec<&str> = seen.volumes.iter().map(VolumeId::as_str).collect();
    let about = seen.mount_point.display().to_string();
    let sentence = format!("{} of {}: {}", seen.layout, volumes.join(", "), seen.judgement);
    match (&seen.judgement, seen.takes_writes) {
        (_, Some(false)) => problem(
            &about,
            format!("{sentence}; it takes no writes now"),
            "somebody else has frozen it, or its disk hangs; fsfreeze --unfreeze thaws it",
        ),
        (Judgement::Freezable, _) => ok(&about, &sentence),
        (Judgement::NotFreezable(_), _) => {
            warning(&about, sentence, Some("its volume's snapshots stay crash-consistent"))
        }
    }
}

fn beside(note: &VolumeNote) -> Finding {
    let (about, sentence) = (note.volume.as_str(), note_sentence(note));
    if note.holds.hinders() || note.holds == Holds::Nothing {
        return warning(about, sentence, Some("its snapshots stay crash-consistent"));
    }
    ok(about, &sentence)
}

fn ok(about: &str, sentence: &str) -> Finding {
    Finding { grade: Grade::Ok, about: about.to_owned(), sentence: sentence.to_owned(), advice: None }
}

fn warning(about: &str, sentence: String, advice: Option<&str>) -> Finding {
    let advice = advice.map(str::to_owned);
    Finding { grade: Grade::Warning, about: about.to_owned(), sentence, advice }
}

fn problem(about: &str, sentence: String, advice: &str) -> Finding {
    Finding { grade: Grade::Problem, about: about.to_owned(), sentence, advice: Some(advice.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::WhyNot;

    fn healthy() -> Seen {
        Seen {
            kernel: Some("6.1.0-18-cloud-amd64".to_owned()),
            may_freeze: Some(true),
            has_systemd: true,
            has_agent: true,
            run_is_in_memory: Some(true),
            has_volumes: true,
            mounts: vec![MountSeen {
                mount_point: "/data".into(),
                layout: "xfs on disk".to_owned(),
                volumes: vec![VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap()],
                judgement: Judgement::Freezable,
                takes_writes: Some(true),
            }],
            ..Seen::default()
        }
    }

    fn worst(seen: &Seen) -> (Grade, Vec<Finding>) {
        let all = findings(seen);
        let grade = all.iter().map(|finding| finding.grade).max().unwrap();
        (grade, all.into_iter().filter(|finding| finding.grade > Grade::Ok).collect())
    }

    #[test]
    fn a_healthy_machine_has_nothing_to_be_done() {
        assert_eq!(worst(&healthy()), (Grade::Ok, vec![]));
    }

    #[test]
    fn everything_that_can_be_wrong_is_found_alone_and_says_what_to_do() {
        type Break = fn(&mut Seen);
        let cases: [(Break, Grade, &str); 13] = [
            (|seen| seen.may_freeze = Some(false), Grade::Problem, "rights"),
            (|seen| seen.kernel = Some("4.14.1-amzn2".to_owned()), Grade::Warning, "kernel"),
            (|seen| seen.kernel = Some("odd".to_owned()), Grade::Warning, "kernel"),
            (|seen| seen.run_is_in_memory = Some(false), Grade::Problem, "/run"),
            (|seen| seen.run_is_in_memory = None, Grade::Problem, "/run"),
            (|seen| seen.lock = LockSeen::Left("daily/x/y".to_owned()), Grade::Problem, "freeze"),
            (|seen| seen.lock = LockSeen::Unknown("failed".to_owned()), Grade::Problem, "freeze"),
            (|seen| seen.has_systemd = false, Grade::Warning, "third line"),
            (|seen| seen.has_agent = false, Grade::Problem, "SSM agent"),
            (
                |seen| seen.function = Some(FunctionSeen::Fails("no".to_owned())),
                Grade::Problem,
                "signal function",
            ),
            (|seen| seen.has_volumes = false, Grade::Problem, "volumes"),
            (|seen| seen.mounts[0].takes_writes = Some(false), Grade::Problem, "/data"),
            (
                |seen| seen.mounts[0].judgement = Judgement::NotFreezable(WhyNot::Root),
                Grade::Warning,
                "/data",
            ),
        ];
        for (break_it, grade, about) in cases {
            let mut seen = healthy();
            break_it(&mut seen);
            let (worst, found) = worst(&seen);
            assert_eq!((worst, found.len(), found[0].about.as_str()), (grade, 1, about), "{found:?}");
            assert!(found[0].advice.is_some(), "{found:?}");
        }
    }

    #[test]
    fn a_freeze_under_way_and_a_function_that_answers_are_fine() {
        let mut seen = healthy();
        seen.lock = LockSeen::Busy;
        seen.function = Some(FunctionSeen::Answers);
        assert_eq!(worst(&seen).0, Grade::Ok);
    }

    #[test]
    fn what_else_lies_on_a_volume_is_told_and_what_hinders_is_a_warning() {
        for (holds, grade) in [
            (Holds::Raw, Grade::Warning),
            (Holds::Unknown, Grade::Warning),
            (Holds::Nothing, Grade::Warning),
            (Holds::Swap, Grade::Ok),
            (Holds::NotMounted, Grade::Ok),
            (Holds::NotFrozen, Grade::Ok),
        ] {
            let mut seen = healthy();
            let volume = VolumeId::new("vol-0aaaaaaaaaaaaaa02").unwrap();
            seen.notes.push(VolumeNote { volume, holds, detail: "there".to_owned() });
            assert_eq!(worst(&seen).0, grade, "{holds:?}");
        }
    }
}
