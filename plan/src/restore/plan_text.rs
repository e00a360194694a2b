//! A restore plan as a table for people.

use crate::restore::plan::{RestoreNote, RestorePlan, RestoreWay, RestoredVolume};
use crate::text;
use chrono::SecondsFormat;
use std::fmt;

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore onto {} in {}", self.instance, self.zone)?;
        for set in &self.sets {
            let at = set.started_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            writeln!(f, "from {at}, run {}, of {}", set.run, set.target)?;
        }
        for set in &self.passed_over {
            let at = set.started_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            writeln!(f, "passed over {at}, run {}, of {}: {}", set.run, set.target, set.reason)?;
        }
        if !self.volumes.is_empty() {
            let rows = self.volumes.iter().map(row).collect();
            writeln!(f, "{}", text::table(["mount point", "device", "volume", "size", "how"], rows))?;
        }
        for leftover in &self.leftovers {
            let how = if leftover.attached { "detach and delete" } else { "delete" };
            writeln!(f, "{how} {}: an earlier try left it over", leftover.volume)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let count = |wanted: fn(&RestoreWay) -> bool| self.volumes.iter().filter(|v| wanted(&v.way)).count();
        write!(
            f,
            "{} volumes: {} to make, {} to carry on, {} there; {} mounts",
            self.volumes.len(),
            count(|way| matches!(way, RestoreWay::Create(_))),
            count(|way| matches!(way, RestoreWay::Attach { .. } | RestoreWay::Mark { .. })),
            count(|way| matches!(way, RestoreWay::Keep { .. })),
            self.mounts.len()
        )
    }
}

fn row(volume: &RestoredVolume) -> [String; 5] {
    let mount_points =
        if volume.mount_points.is_empty() { "-".to_owned() } else { volume.mount_points.join(", ") };
    let id = volume.way.volume().map_or_else(|| "new".to_owned(), ToString::to_string);
    let (size, how) = match &volume.way {
        RestoreWay::Create(call) => {
            let mut how = match &call.snapshot {
                Some(snapshot) => format!("{} from {snapshot}", call.kind),
                None => format!("{}, blank", call.kind),
            };
            if let Some(iops) = call.iops {
                how.push_str(&format!(", {iops} IOPS"));
            }
            if let Some(throughput) = call.throughput {
                how.push_str(&format!(", {throughput} MiB/s"));
            }
            (format!("{} GiB", call.size_gib), how)
        }
        RestoreWay::Attach { .. } => (String::new(), "attach what an earlier try made".to_owned()),
        RestoreWay::Mark { .. } => (String::new(), "carry on what an earlier try attached".to_owned()),
        RestoreWay::Keep { .. } => (String::new(), "there".to_owned()),
    };
    [mount_points, volume.device.clone(), id, size, how]
}

impl fmt::Display for RestoreNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SizeRaised { mount_point, asked, to } => {
                write!(f, "{mount_point} asks for {asked} GiB and gets {to}: it cannot be smaller")
            }
            Self::IopsRaised { mount_point, asked } => {
                write!(f, "{mount_point} asks for {asked} IOPS and gets 3000, which cost nothing")
            }
            Self::FileSystemDiffers { mount_point, asked, found } => {
                write!(f, "{mount_point} asks for {asked} and is {found} in the set")
            }
            Self::BlankDespiteSets { sets } => {
                write!(f, "blank volumes, though there are {sets} restore points, none of which can be used")
            }
            Self::LeftAlone { volume } => write!(
                f,
                "{volume} was restored and in use, and is attached nowhere: left alone, for what is on it is not known"
            ),
            Self::NoMount { source } => {
                write!(f, "nothing tells where {source} was mounted: its copy is attached only")
            }
        }
    }
}
