//! The system calls that no library wraps safely: loop devices, thawing, shutting a file system down, a
//! mount namespace of one's own, the scheduler, and how a connection ends. The only file of the package with `unsafe` in it.
//!
//! Each function is one call and knows nothing of volumes or instances.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use rustix::io;
use rustix::ioctl::{self, IntegerSetter, Opcode, Setter};
use rustix::thread::UnshareFlags;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `_IOWR('X', 120, int)`.
const FITHAW: Opcode = ioctl::opcode::read_write::<libc::c_int>(b'X', 120);

/// `XFS_IOC_GOINGDOWN` and `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
const GOING_DOWN: Opcode = ioctl::opcode::read::<u32>(b'X', 125);

/// `BTRFS_IOC_FORGET_DEV`, `_IOW(0x94, 5, struct btrfs_ioctl_vol_args)`.
const BTRFS_FORGET: Opcode = ioctl::opcode::write::<BtrfsDevice>(0x94, 5);

/// `struct btrfs_ioctl_vol_args` of `linux/btrfs.h`.
#[repr(C)]
struct BtrfsDevice {
    fd: i64,
    name: [u8; 4088],
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Default)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [[u8; 32]; 2],
    crypt_name: [[u8; 32]; 2],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
#[derive(Default)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// Has btrfs forget what it saw on a device, unless that is mounted. `control` is `/dev/btrfs-control`.
///
/// # Errors
/// As ioctl(2); ENOENT when there is nothing to forget.
pub fn btrfs_forget(control: impl AsFd, device: &Path) -> io::Result<()> {
    let path = device.as_os_str().as_bytes();
    let mut named = BtrfsDevice { fd: 0, name: [0; 4088] };
    // One byte stays zero; no name at all would stand for every device of the machine.
    match named.name.get_mut(..path.len()) {
        Some(name) if !path.is_empty() && path.len() < 4088 => name.copy_from_slice(path),
        _ => return Err(io::Errno::INVAL),
    }
    // SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args`, whose layout `BtrfsDevice` has.
    unsafe { ioctl::ioctl(control, Setter::<BTRFS_FORGET, BtrfsDevice>::new(named)) }
}

/// Gives the calling thread a copy of its mount namespace, and a root and working directory of its own.
///
/// # Errors
/// As unshare(2).
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: only unsharing the table of files can harm other threads' file descriptors; this does not.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

/// The number of a loop device that nobody used a moment ago.
///
/// # Errors
/// As ioctl(2) on `/dev/loop-control`.
pub fn loop_free(control: impl AsFd) -> io::Result<u32> {
    struct GetFree;
    // SAFETY: the call takes no argument and returns the number as its result.
    unsafe impl ioctl::Ioctl for GetFree {
        type Output = u32;
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> Opcode {
            LOOP_CTL_GET_FREE
        }
        fn as_ptr(&mut self) -> *mut libc::c_void {
            std::ptr::null_mut()
        }
        unsafe fn output_from_ptr(out: ioctl::IoctlOutput, _: *mut libc::c_void) -> io::Result<u32> {
            u32::try_from(out).map_err(|_| io::Errno::RANGE)
        }
    }
    // SAFETY: the opcode fits the type above; on another kind of file the kernel answers ENOTTY.
    unsafe { ioctl::ioctl(control, GetFree) }
}

/// Binds a loop device to a file, with sectors of 512 bytes and past the page cache where the file allows
/// it; the device lets go of it when its last user closes it.
///
/// # Errors
/// `EBUSY`: somebody else has just taken the device. Others as ioctl(2).
pub fn loop_configure(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let config = LoopConfig {
        fd: u32::try_from(file.as_fd().as_raw_fd()).map_err(|_| io::Errno::BADF)?,
        block_size: 512,
        info: LoopInfo { flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, ..LoopInfo::default() },
        ..LoopConfig::default()
    };
    // SAFETY: the opcode takes a `struct loop_config`, which the kernel only reads.
    unsafe { ioctl::ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }
}

/// Thaws the file system that the open file lies on.
///
/// # Errors
/// `EINVAL`: it is not frozen.
pub fn thaw(file: impl AsFd) -> io::Result<()> {
    // SAFETY: the kernel ignores the argument of this opcode.
    unsafe { ioctl::ioctl(file, IntegerSetter::<FITHAW>::new_usize(0)) }
}

/// Shuts the file system down that the open file lies on, as if its disk were gone: XFS and ext4. Nothing
/// that is not on the disk yet comes there any more.
///
/// # Errors
/// `ENOTTY`: its type has no such call. Others as ioctl(2).
pub fn shut_down(file: impl AsFd) -> io::Result<()> {
    /// Neither the log nor data is written first.
    const NO_LOG_FLUSH: u32 = 2;
    // SAFETY: the opcode takes a pointer to a 32-bit word, which the kernel only reads.
    unsafe { ioctl::ioctl(file, Setter::<GOING_DOWN, u32>::new(NO_LOG_FLUSH)) }
}

/// Lets the calling thread run before all ordinary ones and the helper's. Best effort: without the right to
/// it, nothing changes. Its children start as ordinary ones.
pub fn run_first() {
    // SAFETY: `sched_param` is plain data, for which zero is valid.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = 2;
    // SAFETY: `param` outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const param) };
}

/// Has a connection end with a reset instead of in peace when its last descriptor is closed.
///
/// # Errors
/// As setsockopt(2).
pub fn reset_on_close(socket: impl AsFd) -> std::io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = u32::try_from(size_of::<libc::linger>()).unwrap_or_default();
    // SAFETY: the kernel reads one `struct linger`, which outlives the call.
    let outcome = unsafe {
        let socket = socket.as_fd().as_raw_fd();
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }

    #[test]
    fn a_file_is_no_loop_device() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(loop_configure(&file, &file), Err(io::Errno::NOTTY));
    }
}
