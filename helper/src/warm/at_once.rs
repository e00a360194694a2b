//! Many reads in flight from one thread, by the kernel's asynchronous reads. With one request in flight, reads
//! that are waited for one by one made a third of what fio's asynchronous ones make of the same device, and as
//! much as its synchronous ones; more threads may not make up for it, since each is one more request.

use super::pace::Pace;
use super::passed::Passed;
use super::progress::Progress;
use super::{Buffer, NOTE_EVERY, Options, note};
use crate::clock::Boottime;
use crate::say;
use crate::sys::Reads;
use rustix::fd::AsFd;
use rustix::fs::{OFlags, fcntl_getfl};
use std::fs::File;

/// What the reads need. Nothing when the kernel does not do it for this file. It takes the kernel a while to
/// take it back, too, which is not the device's time.
pub(super) fn prepare<'f>(file: &'f File, options: &Options) -> Option<Reads<'f>> {
    // Through the page cache each would be waited for when it begins.
    let is_direct = fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT));
    is_direct.then(|| Reads::new(file.as_fd(), options.depth.max(1), options.block).ok()).flatten()
}

/// Reads all blocks; what could not be read.
pub(super) fn read(
    reads: &mut Reads<'_>,
    file: &File,
    size: u64,
    start: u64,
    options: &Options,
    pace: &Pace,
    passed: &Passed,
) -> Vec<String> {
    let mut at_work: Vec<Option<u64>> = vec![None; options.depth.max(1)];
    let mut progress = Progress::new(start, size);
    let mut noted = Boottime::now();
    let mut errors = Vec::new();
    let mut spare = None;
    let mut blocks = true;
    loop {
        while blocks && let Some(free) = reads.free() {
            let Some(at) = passed.next() else {
                blocks = false;
                break;
            };
            pace.wait((size - at).min(options.block as u64));
            match reads.begin(free, at) {
                Ok(()) => {
                    if let Some(slot) = at_work.get_mut(free) {
                        *slot = Some(at);
                    }
                }
                Err(error) => {
                    errors.push(told(options, at, &error));
                    passed.done(at);
                }
            }
        }
        if at_work.iter().all(Option::is_none) {
            return errors;
        }
        match reads.ended(NOTE_EVERY) {
            Ok(None) => {}
            Ok(Some((buffer, result))) => {
                let Some(at) = at_work.get_mut(buffer).and_then(Option::take) else { continue };
                let wanted = (size - at).min(options.block as u64);
                let result = match result {
                    Ok(read) if read as u64 >= wanted => Ok(()),
                    // Less than there is: the rest is asked for until it comes or is refused.
                    Ok(_) => spare.get_or_insert_with(|| Buffer::new(options.block)).read(file, at, size),
                    Err(error) => Err(error),
                };
                if let Err(error) = result {
                    errors.push(told(options, at, &error));
                }
                passed.done(at);
            }
            Err(error) => {
                errors.push(format!("{}: {error}", options.device.display()));
                return errors;
            }
        }
        if Boottime::now().since(noted) >= NOTE_EVERY {
            noted = Boottime::now();
            let below = passed.below();
            if let Some(line) = progress.line(below) {
                say(&line);
            }
            // The notes never name what was not read.
            if let Some(state) = options.state.as_deref().filter(|_| errors.is_empty())
                && let Err(error) = note(state, options, size, below)
            {
                say(&crate::describe(&error));
            }
        }
    }
}

fn told(options: &Options, at: u64, error: &std::io::Error) -> String {
    format!("{} at byte {at}: {error}", options.device.display())
}
