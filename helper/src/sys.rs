//! What the kernel offers and no safe library wraps: the freeze ioctls, `fork`, shared memory, the
//! scheduler's and the allocator's knobs, asynchronous reads, and signals as a file. It decides nothing.
//!
//! The one file of the helper with `unsafe` in it.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::ioctl::{Getter, NoArg, Opcode, opcode};
use rustix::mm::{MapFlags, MlockAllFlags, ProtFlags, mlockall, mmap_anonymous};
use rustix::process::Pid;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `FIFREEZE`, `_IOWR('X', 119, int)`; the argument is not looked at.
const FIFREEZE: Opcode = opcode::read_write::<libc::c_int>(b'X', 119);
/// `FITHAW`, `_IOWR('X', 120, int)`.
const FITHAW: Opcode = opcode::read_write::<libc::c_int>(b'X', 120);
/// `FS_IOC_GETFSUUID`, `_IOR(0x15, 0, struct fsuuid2)`: Linux 6.9 and later.
const FS_IOC_GETFSUUID: Opcode = opcode::read::<FsUuid>(0x15, 0);

/// How long `fork` waits for threads that are just ending.
const FORK_TRIES: usize = 100;
const FORK_PAUSE: Duration = Duration::from_millis(2);

/// `struct fsuuid2` of the kernel.
#[repr(C)]
struct FsUuid {
    len: u8,
    uuid: [u8; 16],
}

/// Freezes the file system that `fd` lies on. Returns when every write that had begun is on the
/// disk, however long that takes; no signal ends it.
///
/// # Errors
/// EBUSY: it is frozen already. EOPNOTSUPP: its type cannot be frozen. EPERM: no `CAP_SYS_ADMIN`.
pub fn freeze(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: FIFREEZE takes no argument and touches no memory of the caller.
    unsafe { rustix::ioctl::ioctl(fd, NoArg::<FIFREEZE>::new()) }
}

/// Thaws the file system that `fd` lies on.
///
/// # Errors
/// EINVAL: it is not frozen, or not yet.
pub fn thaw(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: FITHAW takes no argument and touches no memory of the caller.
    unsafe { rustix::ioctl::ioctl(fd, NoArg::<FITHAW>::new()) }
}

/// The UUID of the file system that `fd` lies on, where the kernel tells it.
#[must_use]
pub fn filesystem_uuid(fd: BorrowedFd<'_>) -> Option<[u8; 16]> {
    // SAFETY: the kernel writes one `struct fsuuid2`, whose layout `FsUuid` has, and every bit
    // pattern of it is valid.
    let answer = unsafe { rustix::ioctl::ioctl(fd, Getter::<FS_IOC_GETFSUUID, FsUuid>::new()) }.ok()?;
    (answer.len == 16 && answer.uuid != [0; 16]).then_some(answer.uuid)
}

/// Forks. The child drops `parents`, runs `child` and ends with the code that it returns; it never
/// comes back. The parent has `parents` back, and drops what `child` owns.
///
/// # Errors
/// `fork` failed, or this process has more than one thread: the child would inherit their locks,
/// held by nobody.
pub fn fork<T>(parents: T, child: impl FnOnce() -> u8) -> io::Result<(Pid, T)> {
    let mut threads = std::fs::read_dir("/proc/self/task")?.count();
    for _ in 0..FORK_TRIES {
        if threads == 1 {
            break;
        }
        // One that was joined is listed for a moment longer.
        std::thread::sleep(FORK_PAUSE);
        threads = std::fs::read_dir("/proc/self/task")?.count();
    }
    if threads != 1 {
        return Err(io::Error::other(format!("this process has {threads} threads, only one may fork")));
    }
    // SAFETY: the process has a single thread, so the child's copy of every lock is free and the
    // child may use all of the library.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(parents);
            // An unwinding child would run the parent's code a second time.
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: `_exit` ends this process; nothing of the parent is flushed twice.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok((pid, parents)),
            None => Err(io::Error::other("fork returned no process id")),
        },
    }
}

/// Closes every descriptor of this process from 3 up, but for `keep`. For a child that must not hold
/// what its parent had open.
pub fn close_all_but(keep: BorrowedFd<'_>) {
    let Ok(keep) = u32::try_from(keep.as_raw_fd()) else { return };
    for (first, last) in [(3, keep.saturating_sub(1)), (keep.saturating_add(1), u32::MAX)] {
        if first <= last {
            // SAFETY: only the forked child of one thread calls this; it uses no descriptor but
            // `keep` and the standard streams afterwards, and ends with `_exit`.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

/// Puts `/dev/null` in the place of stdin, stdout and stderr, for a process that must not keep the
/// helper's caller waiting.
pub fn leave_standard_streams() {
    use rustix::fs::{Mode, OFlags, open};
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// Zeroed words that this process and its later children share, for as long as they live.
///
/// # Errors
/// No memory.
pub fn shared_words(count: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes = count.max(1) * size_of::<AtomicU64>();
    // SAFETY: a new anonymous mapping, which overlaps nothing.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    }?;
    // SAFETY: the mapping is page aligned, zeroed (a valid `AtomicU64`), long enough, never unmapped,
    // and reached through atomics only.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), count) })
}

/// Keeps all memory of this process in RAM, what it maps later included.
///
/// # Errors
/// The limit on locked memory is too low.
pub fn lock_memory() -> Result<(), Errno> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
}

/// Has the allocator use one arena for all threads: each further one would be locked memory.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` may be called at any time; it changes how memory is found, not what is valid.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets this thread run before all ordinary ones (true), or as an ordinary one again (false). Best
/// effort: without the right to it, nothing changes. Children start as ordinary ones.
pub fn run_first(first: bool) {
    let (policy, priority) = if first { (libc::SCHED_FIFO, 1) } else { (libc::SCHED_OTHER, 0) };
    // SAFETY: `sched_param` is plain data, for which zero is valid.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = priority;
    // SAFETY: `param` outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const param) };
}

/// A copy of `fd` on which the runtime can wait until `fd` is readable. Needs the runtime.
///
/// # Errors
/// No descriptor left, or one that cannot be waited for.
pub fn readable(fd: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = fd.as_fd().try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open and names the same file for as long as it lives, and the `AsyncFd`
    // owns it.
    Ok(unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }?)
}

/// `struct iocb` of the kernel, for a read (`IOCB_CMD_PREAD`, which is 0).
#[repr(C)]
#[derive(Default)]
struct ReadRequest {
    data: u64,
    key_and_flags: [u32; 2],
    opcode: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_file: u32,
}

/// `struct io_event` of the kernel.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct ReadEnded {
    data: u64,
    request: u64,
    result: i64,
    further: i64,
}

/// Several reads of one file under way at once, each into a buffer of its own. Only past the page cache are
/// they really at once. The kernel's older interface, which every kernel has and no policy switches off.
#[derive(Debug)]
pub struct Reads<'f> {
    context: libc::c_ulong,
    file: BorrowedFd<'f>,
    memory: Vec<u8>,
    /// Where the first buffer begins in `memory`.
    start: usize,
    length: usize,
    busy: Vec<bool>,
}

/// What direct reads want buffers to begin at.
const PAGE: usize = 4096;

impl<'f> Reads<'f> {
    /// Room for `depth` reads of `length` bytes.
    ///
    /// # Errors
    /// The kernel has none left, or `length` is no whole number of pages.
    pub fn new(file: BorrowedFd<'f>, depth: usize, length: usize) -> io::Result<Self> {
        if !length.is_multiple_of(PAGE) || depth == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // No zeros: they would be no memory before the first read wants it.
        let memory = vec![0xff; depth * length + PAGE];
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes one word, which outlives the call.
        let made = unsafe { libc::syscall(libc::SYS_io_setup, depth, &raw mut context) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { context, file, memory, start, length, busy: vec![false; depth] })
    }

    /// A buffer that no read is under way into.
    #[must_use]
    pub fn free(&self) -> Option<usize> {
        self.busy.iter().position(|busy| !busy)
    }

    /// Begins a read at `offset`, which fills the whole buffer where the file is long enough.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn begin(&mut self, buffer: usize, offset: u64) -> io::Result<()> {
        if self.busy.get(buffer) != Some(&false) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let at = self.start + buffer * self.length;
        let Some(target) = self.memory.get_mut(at..at + self.length) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut request = ReadRequest {
            data: buffer as u64,
            file: u32::try_from(self.file.as_raw_fd()).unwrap_or(u32::MAX),
            buffer: target.as_mut_ptr() as u64,
            length: self.length as u64,
            offset: i64::try_from(offset).map_err(io::Error::other)?,
            ..ReadRequest::default()
        };
        let mut list = [&raw mut request];
        // SAFETY: the request is read during the call. Its buffer is `memory`'s, which is neither moved nor
        // freed nor handed out before `Drop` has waited for every read.
        let taken = unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, list.as_mut_ptr()) };
        match taken {
            1 => {
                if let Some(busy) = self.busy.get_mut(buffer) {
                    *busy = true;
                }
                Ok(())
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits for the end of a read, `limit` at most: its buffer, and how many bytes were read. Nothing when
    /// the time is over.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn ended(&mut self, limit: Duration) -> io::Result<Option<(usize, io::Result<usize>)>> {
        let mut ended = [ReadEnded::default()];
        let mut limit = libc::timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // SAFETY: the kernel writes at most one event, into memory that outlives the call.
        let count = unsafe {
            libc::syscall(libc::SYS_io_getevents, self.context, 1, 1, ended.as_mut_ptr(), &raw mut limit)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(None) } else { Err(error) };
        }
        let Some(ended) = ended.first().filter(|_| count == 1) else { return Ok(None) };
        let buffer = usize::try_from(ended.data).map_err(io::Error::other)?;
        if let Some(busy) = self.busy.get_mut(buffer) {
            *busy = false;
        }
        let failed = |_| io::Error::from_raw_os_error(i32::try_from(-ended.result).unwrap_or(libc::EIO));
        Ok(Some((buffer, usize::try_from(ended.result).map_err(failed))))
    }
}

impl Drop for Reads<'_> {
    fn drop(&mut self) {
        // SAFETY: returns when no read is under way any more; `memory` is freed after it.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// How many pages this process has had to read from a disk.
#[must_use]
pub fn major_faults() -> u64 {
    // SAFETY: `rusage` is plain data, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call, which fills it.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    u64::try_from(usage.ru_majflt).unwrap_or(0)
}

/// Blocks these signals, for this thread and all that it starts, and opens the file that tells of them.
fn signal_file(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: a zeroed `sigset_t` is valid memory for `sigemptyset`, which makes a set of it; all
    // pointers live through the calls.
    let raw = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `signalfd` just made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Readable as soon as the thread that forked this process ends. That is earlier than a pidfd of its
/// process tells: a process that was killed inside FIFREEZE is dead only when FIFREEZE has returned, but
/// its other threads end at once.
#[derive(Debug)]
pub struct ParentEnds(OwnedFd);

impl ParentEnds {
    /// Has the kernel tell of it. Takes SIGUSR1 for that.
    ///
    /// # Errors
    /// No descriptor left, or the kernel refuses.
    pub fn watch() -> io::Result<Self> {
        let file = signal_file(&[libc::SIGUSR1])?;
        // SAFETY: the call only sets an attribute of this process; its argument is a signal's number.
        let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) };
        if set == 0 { Ok(Self(file)) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for ParentEnds {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGTERM, SIGINT and SIGHUP as something to read instead of something that kills.
#[derive(Debug)]
pub struct EndSignals(OwnedFd);

impl EndSignals {
    /// Blocks the three signals, for this thread and all that it starts (a guardian too, which so
    /// ends only when it is done), and opens the file that tells of them.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn hold() -> io::Result<Self> {
        Ok(Self(signal_file(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?))
    }

    /// Takes every signal that has arrived.
    pub fn take(&self) {
        let mut infos = [0_u8; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.0, &mut infos).is_ok_and(|read| read > 0) {}
    }
}

impl AsFd for EndSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
