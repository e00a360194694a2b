//! How slow the region is told to be, and what follows from it for a restore that loses no time.

use std::fmt;

/// How long calls take, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    /// `CreateVolume` until the volume is available, and `AttachVolume` until it is attached.
    volume_ms: u64,
    invoke_ms: u64,
    describe_ms: u64,
    others_ms: u64,
    delivery_ms: u64,
}

impl Latency {
    /// Those of the fleet, but for the volumes.
    pub(super) fn with(volume_ms: u64) -> Self {
        Self { volume_ms, invoke_ms: 15, describe_ms: 60, others_ms: 80, delivery_ms: 300 }
    }

    /// The lines of a region's spec.
    pub(super) fn spec(&self) -> String {
        let Self { volume_ms, invoke_ms, describe_ms, others_ms, delivery_ms } = self;
        format!(
            "[latency_ms]\nCreateVolume = {volume_ms}\nAttachVolume = {volume_ms}\nInvoke = {invoke_ms}\n\
             Describe = {describe_ms}\nothers = {others_ms}\nSendCommand = {delivery_ms}\n\n"
        )
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { volume_ms, invoke_ms, describe_ms, others_ms, delivery_ms } = self;
        write!(
            f,
            "latencies: a volume made {volume_ms} ms, attached {volume_ms} ms, Invoke {invoke_ms} ms, \
             Describe... {describe_ms} ms, a command's way {delivery_ms} ms, others {others_ms} ms"
        )
    }
}

/// The calls that follow each other from the event to the helper's start, however many volumes there are.
pub(super) fn critical_path(latency: &Latency) -> f64 {
    let calls = [
        // The event reaches the function half-way through the call that brings it.
        latency.invoke_ms as f64 / 2.0,
        // Instance, snapshots and volumes, at the same time.
        latency.describe_ms as f64,
        // CreateVolume, and the look whether it is available.
        (latency.volume_ms + latency.describe_ms) as f64,
        // AttachVolume, and the look whether it is attached.
        (latency.volume_ms + latency.describe_ms) as f64,
        // ModifyInstanceAttribute: what becomes of the volumes.
        latency.others_ms as f64,
        // CreateTags: they are in use from now on.
        latency.others_ms as f64,
        // DescribeInstanceInformation: the agent.
        latency.describe_ms as f64,
        // SendCommand, and the command's way.
        (latency.others_ms + latency.delivery_ms) as f64,
    ];
    calls.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    #[test]
    fn the_region_is_as_slow_as_the_path_says() {
        let latency = Latency::with(100);
        let spec = Spec::read(&latency.spec()).unwrap();
        let ms = |name: &str| spec.latency_ms[name] as f64;
        let path = ms("Invoke") / 2.0
            + 4.0 * ms("Describe")
            + ms("CreateVolume")
            + ms("AttachVolume")
            + 3.0 * ms("others")
            + ms("SendCommand");
        assert_eq!(critical_path(&latency), path);
    }
}
