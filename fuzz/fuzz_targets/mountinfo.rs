//! `/proc/*/mountinfo`: whatever it says, what is read of it is well formed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillframe_fuzz::volumes::mountinfo::{DeviceNumber, parse};

fuzz_target!(|text: &[u8]| {
    let mounts = parse(text);
    assert!(mounts.len() <= text.split(|byte| *byte == b'\n').count());
    for mount in mounts {
        assert!(mount.mount_point.is_absolute() && !mount.fs_type.is_empty());
        assert!(mount.upper.is_none_or(|upper| upper.is_absolute()));
        assert_eq!(DeviceNumber::parse(&mount.device.to_string()), Some(mount.device));
    }
});
