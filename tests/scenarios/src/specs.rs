//! The regions that scenarios start from. Their instances carry the tag `stillframe`: the template's roles let no
//! order be sent to others.

use serde_json::{Value, json};

/// One database server with two volumes, ext4 and XFS.
pub const ONE_INSTANCE: &str = r#"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
tags = { role = "db", cluster = "main", environment = "prod", stillframe = "volumes" }
agent = "online"

[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa01"
device = "/dev/sdf"
size_mib = 400
fs = "ext4"
mount = "/srv/pg data"
tags = { stillframe = "daily" }
writer = true

[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa02"
device = "/dev/sdg"
size_mib = 400
fs = "xfs"
mount = "/srv/wal"
tags = { stillframe = "daily" }
writer = true
"#;

/// Two instances, four volumes: the demo's region.
pub const TWO_INSTANCES: &str = include_str!("../../fleet/specs/two-instances.toml");

/// What goes before a region without disks whose services are quick and whose snapshots are complete at once:
/// for histories of many days.
pub const PROMPT: &str = "
snapshot_completes_after_ms = 0
latency_ms = { CreateSnapshots = 1, Invoke = 1, SendCommand = 1, Describe = 1, others = 1 }
";

/// Three replicas of one database: same tags, same mount point, alive at the same time.
pub const REPLICAS: &str = r#"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
tags = { role = "db", cluster = "main", environment = "prod", stillframe = "volumes" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa01"
device = "/dev/sdf"
size_mib = 300
fs = "ext4"
mount = "/srv/pg"
tags = { stillframe = "daily" }

[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
tags = { role = "db", cluster = "main", environment = "prod", stillframe = "volumes" }
[[instance.volume]]
id = "vol-0bbbbbbbbbbbbbb01"
device = "/dev/sdf"
size_mib = 300
fs = "ext4"
mount = "/srv/pg"
tags = { stillframe = "daily" }

[[instance]]
id = "i-0ccccccccccccccc3"
tags = { role = "db", cluster = "main", environment = "prod", stillframe = "volumes" }
[[instance.volume]]
id = "vol-0cccccccccccccc01"
device = "/dev/sdf"
size_mib = 300
fs = "ext4"
mount = "/srv/pg"
tags = { stillframe = "daily" }
"#;

/// The policy that most scenarios run.
#[must_use]
pub fn daily() -> Value {
    json!({
        "policy": "daily", "every": "day", "timezone": "UTC",
        "select": {"tag:stillframe": "daily"},
        "consistency": "filesystem", "on_failure": "crash",
        "keep": {"last": 5}
    })
}
