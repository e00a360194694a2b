//! The operations that the region serves, by the names that AWS gives them. Latencies, faults and
//! counts go by these names, and a name that is not among them is refused rather than ignored.

/// Every operation of every service.
pub const ALL: &[&str] = &[
    // EC2
    "AttachVolume",
    "CopySnapshot",
    "CreateSnapshot",
    "CreateSnapshots",
    "CreateTags",
    "CreateVolume",
    "DeleteSnapshot",
    "DeleteTags",
    "DeleteVolume",
    "DeregisterImage",
    "DescribeImages",
    "DescribeInstanceAttribute",
    "DescribeInstances",
    "DescribeLockedSnapshots",
    "DescribeSnapshots",
    "DescribeVolumes",
    "DetachVolume",
    "DisableImage",
    "ListSnapshotsInRecycleBin",
    "LockSnapshot",
    "ModifyInstanceAttribute",
    "ModifySnapshotTier",
    "RebootInstances",
    "RegisterImage",
    "RestoreSnapshotFromRecycleBin",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
    "UnlockSnapshot",
    // SSM
    "CancelCommand",
    "DeleteParameter",
    "DeleteParameters",
    "DescribeInstanceInformation",
    "GetCommandInvocation",
    "GetParameter",
    "GetParameters",
    "GetParametersByPath",
    "ListCommandInvocations",
    "PutParameter",
    "SendCommand",
    // Lambda
    "Invoke",
    // CloudTrail
    "LookupEvents",
];

/// The operation of that name, as a name that lives as long as the program.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    ALL.iter().copied().find(|known| *known == name)
}
