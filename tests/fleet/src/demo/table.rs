//! The backup function's summary as tables for people.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A table without borders, so that a line can be picked out with `grep` and `awk`.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Every snapshot of a summary's restore points: instance, volume, mount, file system, frozen
/// milliseconds, snapshot, label.
#[must_use]
pub fn restore_points(summary: &Value) -> String {
    let mut table = table(&["instance", "volume", "mount", "file system", "frozen ms", "snapshot", "label"]);
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (instance, snapshot) in snapshots(summary) {
        let frozen = snapshot["frozen_us"].as_u64().map_or_else(|| "-".to_owned(), milliseconds);
        table.add_row([
            instance,
            text(&snapshot["volume"]),
            text(&snapshot["mount_point"]),
            text(&snapshot["fs_type"]),
            frozen,
            text(&snapshot["snapshot"]),
            text(&snapshot["label"]),
        ]);
    }
    table.to_string()
}

/// What a summary left alone, and why.
#[must_use]
pub fn skipped(summary: &Value) -> String {
    let mut table = table(&["instance", "volume", "reason", "message"]);
    for skipped in summary["skipped"].as_array().into_iter().flatten() {
        table.add_row([
            text(&skipped["instance"]),
            text(&skipped["volume"]),
            text(&skipped["reason"]),
            text(&skipped["message"]),
        ]);
    }
    table.to_string()
}

/// Every snapshot of a summary with the instance it belongs to.
pub fn snapshots(summary: &Value) -> impl Iterator<Item = (String, &Value)> {
    summary["restore_points"].as_array().into_iter().flatten().flat_map(|point| {
        let instance = text(&point["instance"]);
        point["snapshots"].as_array().into_iter().flatten().map(move |snapshot| (instance.clone(), snapshot))
    })
}

/// Microseconds as milliseconds with one decimal.
#[must_use]
pub fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1_000, us % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_snapshot_without_a_mount_has_a_row_too() {
        let summary = json!({"restore_points": [{"instance": "i-1", "snapshots": [
            {"volume": "vol-1", "snapshot": "snap-1", "label": "crash"},
            {"volume": "vol-2", "snapshot": "snap-2", "label": "filesystem", "frozen_us": 412_345,
             "mount_point": "/srv/pg data", "fs_type": "ext4"}
        ]}]});
        let text = restore_points(&summary);
        assert!(text.contains("snap-1") && text.contains("/srv/pg data") && text.contains("412.3"), "{text}");
    }
}
