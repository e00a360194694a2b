//! The plan for people: the table that a dry run prints.

use crate::backup::{Plan, PlannedVolume, Way};
use crate::text;
use std::fmt;

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(_) => f.write_str("instance stopped"),
            Self::Detached => f.write_str("volume detached"),
            Self::Crash(reason) => write!(f, "crash: {reason}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dry = match (self.dry_run, self.rehearsal) {
            (true, _) => ", dry run",
            (_, true) => ", rehearsal",
            _ => "",
        };
        writeln!(
            f,
            "policy {}, slot {}, asks for {}, run {}{dry}",
            self.policy, self.slot, self.consistency, self.run
        )?;

        let mut rows = Vec::new();
        let set = |instance: &str, volumes: &[PlannedVolume], how: &str| -> Vec<[String; 5]> {
            volumes
                .iter()
                .map(|volume| {
                    let boot = if volume.boot { " (boot)" } else { "" };
                    [
                        instance.to_owned(),
                        volume.id.to_string(),
                        format!("{}{boot}", volume.device),
                        format!("{} GiB", volume.size_gib),
                        how.to_owned(),
                    ]
                })
                .collect()
        };
        for order in &self.orders {
            rows.extend(set(order.call.instance.as_str(), &order.call.volumes, "freeze"));
        }
        for direct in &self.sets {
            rows.extend(set(direct.call.instance.as_str(), &direct.call.volumes, &direct.way.to_string()));
        }
        for direct in &self.volumes {
            let instance = direct.instance.as_ref().map_or("-", |instance| instance.as_str());
            rows.push([
                instance.to_owned(),
                direct.volume.to_string(),
                if direct.device.is_empty() { "-".to_owned() } else { direct.device.clone() },
                format!("{} GiB", direct.size_gib),
                format!("by itself, {}", direct.way),
            ]);
        }
        for skipped in &self.skipped {
            let instance = skipped.instance.as_ref().map_or("-", |instance| instance.as_str());
            let how = format!("skip: {}", skipped.reason);
            rows.push([instance, skipped.volume.as_str(), "", "", &how].map(str::to_owned));
        }
        if !rows.is_empty() {
            writeln!(f, "{}", text::table(["instance", "volume", "device", "size", "how"], rows))?;
        }
        for unsettled in &self.unsettled {
            let count = unsettled.snapshots.len();
            writeln!(
                f,
                "settle first: {count} snapshots of {} from run {}",
                unsettled.target, unsettled.run
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let brief = self.brief();
        write!(
            f,
            "{} volumes selected: {} by freeze, {} directly, {} done, {} skipped",
            brief.selected, brief.by_order, brief.direct, brief.done, brief.skipped
        )
    }
}
