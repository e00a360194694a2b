//! What is written down while the protocol runs, and the report made of it: pure, but for the record's
//! instants, which are given to it.

use super::Prepared;
use super::state::{Fault, Member, Phase, Standing, State};
use super::threads::{Done, Task};
use crate::clock::Boottime;
use crate::volumes::{Judgement, Target, judge_target};
use rustix::io::Errno;
use stillframe_wire::{
    CutSnapshot, FileSystemReport, FileSystemVerdict, Flush, Phases, RanHook, Reason, Report, SnapshotReport,
    ThirdLine, Verdict, VolumeId,
};

/// What the report needs to know and the protocol does not.
#[derive(Debug)]
pub(super) struct Record {
    /// The first thing that went wrong, for people.
    pub(super) error: Option<String>,
    /// The flush so far.
    pub(super) flush: Flush,
    /// The hooks that ran before.
    pub(super) hooks: Vec<RanHook>,
    /// What FROZEN's answer named.
    pub(super) snapshots: Vec<CutSnapshot>,
    /// Who would thaw if worker and guardian died together.
    pub(super) third_line: Option<ThirdLine>,
    /// How many pages had been read from a disk when the first FIFREEZE was called, and since then.
    faults_before: Option<u64>,
    major_faults: Option<u64>,
    phases: Phases,
    /// The phase under way, and since when.
    since: (Phase, Boottime),
    /// Per member: from FIFREEZE's return to FITHAW's.
    frozen: Vec<(Option<Boottime>, Option<Boottime>)>,
    /// First call to last return of FIFREEZE, of `syncfs` while frozen, of FITHAW.
    freezes: Option<Span>,
    syncs: Option<Span>,
    thaws: Option<Span>,
}

/// The time that several calls took together.
#[derive(Debug, Clone, Copy)]
struct Span {
    began: Boottime,
    ended: Boottime,
}

impl Span {
    fn extend(span: &mut Option<Self>, done: &Done) {
        let (began, ended) = span.map_or((done.began, done.ended), |span| (span.began, span.ended));
        *span = Some(Self { began: began.min(done.began), ended: ended.max(done.ended) });
    }

    fn micros(span: Option<Self>) -> u64 {
        span.map_or(0, |span| span.ended.micros_since(span.began))
    }
}

impl Record {
    pub(super) fn new(prepared: &Prepared, resolve_us: u64) -> Self {
        Self {
            error: None,
            flush: Flush::default(),
            hooks: Vec::new(),
            snapshots: Vec::new(),
            third_line: None,
            faults_before: None,
            major_faults: None,
            phases: Phases { resolve_us, ..Phases::default() },
            since: (Phase::Ready, Boottime::now()),
            frozen: vec![(None, None); prepared.members.len()],
            freezes: None,
            syncs: None,
            thaws: None,
        }
    }

    /// Keeps the first error: the others follow from it.
    pub(super) fn fault(&mut self, error: impl FnOnce() -> String) {
        if self.error.is_none() {
            self.error = Some(error());
        }
    }

    /// The same for a call that the kernel refused. A type without freeze is no error.
    pub(super) fn fault_at(&mut self, task: Task, fault: Fault, errno: Errno, mount_point: &str) {
        let verb = match task {
            Task::Prime | Task::Freeze => "freeze",
            Task::Sync => "sync",
            Task::Thaw => "thaw",
        };
        let cause = match fault {
            Fault::Unsupported => return,
            Fault::Foreign => "already frozen by another process".to_owned(),
            Fault::ThawedByOther => "already thawed by another process".to_owned(),
            Fault::ThawUncertain => format!("{errno}; run stillframe-helper thaw"),
            Fault::Failed | Fault::WriteLost => errno.to_string(),
        };
        self.fault(|| format!("failed to {verb} {mount_point}: {cause}"));
    }

    /// The window opens, `faults` pages having been read from a disk so far.
    pub(super) fn window_opens(&mut self, faults: u64) {
        self.faults_before = self.faults_before.or(Some(faults));
    }

    /// The window is closed, or as good as.
    pub(super) fn window_closed(&mut self, faults: u64) {
        self.major_faults = self.faults_before.map(|before| faults.saturating_sub(before));
    }

    /// A phase has ended and another begins.
    pub(super) fn enter(&mut self, phase: Phase, now: Boottime) {
        let (before, began) = std::mem::replace(&mut self.since, (phase, now));
        let took = now.micros_since(began);
        let phases = &mut self.phases;
        match before {
            Phase::Ready | Phase::Again { .. } => phases.ready_us += took,
            Phase::Flush => phases.flush_us += took,
            Phase::Hooks => phases.hooks_us += took,
            Phase::Prime => phases.prime_us += took,
            Phase::Cut => phases.signal_us += took,
            // Told by the calls themselves.
            Phase::Freeze | Phase::Sync | Phase::Thaw | Phase::Over => {}
        }
    }

    /// A task on member `m` is done.
    pub(super) fn done(&mut self, m: usize, done: &Done) {
        let Some((froze, thawed)) = self.frozen.get_mut(m) else { return };
        match done.task {
            Task::Freeze => {
                Span::extend(&mut self.freezes, done);
                *froze = done.result.is_ok().then_some(done.ended);
            }
            Task::Sync => Span::extend(&mut self.syncs, done),
            Task::Thaw => {
                Span::extend(&mut self.thaws, done);
                *thawed = Some(done.ended);
            }
            Task::Prime => {}
        }
    }

    fn phases(&self) -> Phases {
        let window = self.freezes.zip(self.thaws);
        Phases {
            freeze_us: Span::micros(self.freezes),
            sync_us: Span::micros(self.syncs),
            thaw_us: Span::micros(self.thaws),
            window_us: window.map_or(0, |(freezes, thaws)| thaws.ended.micros_since(freezes.began)),
            ..self.phases
        }
    }
}

/// The report of a protocol that is over.
pub(super) fn write(prepared: &Prepared, state: &State, record: &Record) -> Report {
    let mut report = Report::new(verdict(state));
    report.run = Some(prepared.order.run.clone());
    report.instance = Some(prepared.order.instance.clone());
    report.reason = if report.verdict == Verdict::Consistent { None } else { state.cause };
    report.error = record.error.clone().filter(|_| report.verdict != Verdict::Consistent);
    report.phases = record.phases();
    report.flush = record.flush;
    report.hooks.clone_from(&record.hooks);
    report.major_faults = record.major_faults;
    report.third_line = record.third_line;
    report.filesystems = filesystems(prepared, state, record);
    report.volumes = prepared.notes.clone();
    report.snapshots = record
        .snapshots
        .iter()
        .map(|cut| SnapshotReport {
            volume: cut.volume.clone(),
            snapshot: cut.snapshot.clone(),
            frozen: state.is_proved() && was_frozen(prepared, state, &cut.volume),
        })
        .collect();
    report
}

fn verdict(state: &State) -> Verdict {
    if state.only_hangs() || state.members.iter().any(|member| member.fault == Some(Fault::ThawUncertain)) {
        return Verdict::ThawUncertain;
    }
    if state.is_proved() {
        return Verdict::Consistent;
    }
    if state.begun {
        return Verdict::Unproved;
    }
    match state.cause {
        None if state.rehearsal => Verdict::Rehearsed,
        Some(Reason::RefusedBySignal | Reason::Throttled | Reason::PendingLimit) => Verdict::Refused,
        _ => Verdict::NotFrozen,
    }
}

/// Whether every file system on the volume was frozen, or is one that nothing can write to, and there
/// is one, and nothing else on the volume could be written meanwhile.
fn was_frozen(prepared: &Prepared, state: &State, volume: &VolumeId) -> bool {
    if prepared.notes.iter().any(|note| note.volume == *volume && note.holds.hinders()) {
        return false;
    }
    let on_volume = prepared.targets.iter().enumerate().filter(|(_, target)| target.volumes.contains(volume));
    let verdicts: Vec<bool> = on_volume
        .map(|(n, _)| {
            let verdict = target_verdict(prepared, state, n);
            matches!(verdict, FileSystemVerdict::Frozen | FileSystemVerdict::NeverWritten)
        })
        .collect();
    !verdicts.is_empty() && verdicts.iter().all(|frozen| *frozen)
}

fn member<'a>(prepared: &Prepared, state: &'a State, target: usize) -> Option<&'a Member> {
    let m = prepared.members.iter().position(|n| *n == target)?;
    state.members.get(m)
}

fn filesystems(prepared: &Prepared, state: &State, record: &Record) -> Vec<FileSystemReport> {
    prepared
        .kept
        .iter()
        .enumerate()
        .map(|(n, kept)| {
            let m = prepared.members.iter().position(|member| *member == n);
            let frozen_us = match m.and_then(|m| record.frozen.get(m)) {
                Some((Some(froze), Some(thawed))) => thawed.micros_since(*froze),
                _ => 0,
            };
            FileSystemReport {
                mount_point: kept.mount_point.to_string_lossy().into_owned(),
                frozen_us,
                verdict: target_verdict(prepared, state, n),
            }
        })
        .collect()
}

/// How target `n` fared, or why it was left alone.
fn target_verdict(prepared: &Prepared, state: &State, n: usize) -> FileSystemVerdict {
    if let Some(member) = member(prepared, state, n) {
        let would_be = state.rehearsal && state.cause.is_none();
        return if would_be { FileSystemVerdict::Rehearsed } else { member_verdict(member) };
    }
    let verdict = |target: &Target| verdict_untouched(target, prepared.order.freeze_root);
    prepared.targets.get(n).map_or(FileSystemVerdict::NotTried, verdict)
}

fn verdict_untouched(target: &Target, freeze_root: bool) -> FileSystemVerdict {
    match judge_target(target, freeze_root) {
        Judgement::NotFreezable(why) => why.verdict(),
        Judgement::Freezable => FileSystemVerdict::NotTried,
    }
}

/// What is reported of a file system when nothing is frozen at all.
pub(super) fn left_alone(target: &Target, freeze_root: bool) -> FileSystemReport {
    FileSystemReport {
        mount_point: target.mount_point().to_string_lossy().into_owned(),
        frozen_us: 0,
        verdict: verdict_untouched(target, freeze_root),
    }
}

fn member_verdict(member: &Member) -> FileSystemVerdict {
    match member.fault {
        Some(Fault::Unsupported) => FileSystemVerdict::NotFreezable,
        Some(Fault::Foreign) => FileSystemVerdict::ForeignFreeze,
        Some(Fault::Failed) => FileSystemVerdict::FreezeFailed,
        Some(Fault::WriteLost) => FileSystemVerdict::WriteLost,
        Some(Fault::ThawedByOther) => FileSystemVerdict::ThawedByOther,
        Some(Fault::ThawUncertain) => FileSystemVerdict::ThawUncertain,
        None if member.standing == Standing::Thawed => FileSystemVerdict::Frozen,
        None if matches!(member.standing, Standing::Freezing | Standing::Priming) => {
            FileSystemVerdict::FreezeHangs
        }
        // It lies on one whose FIFREEZE hangs, and can be thawed only after that.
        None if matches!(member.standing, Standing::Frozen | Standing::Synced) => {
            FileSystemVerdict::ThawUncertain
        }
        None => FileSystemVerdict::NotTried,
    }
}
