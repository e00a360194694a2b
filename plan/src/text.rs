//! Tables for people.

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets};

/// A table without borders, as wide as its content wants to be.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// An instant, to the minute.
pub(crate) fn minute(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// A length of time, its two largest units: `3d 4h`, `12m`.
pub(crate) fn age(seconds: i64) -> String {
    let minutes = seconds.max(0) / 60;
    let (days, hours, rest) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{rest}m"),
        (0, hours) => format!("{hours}h {rest}m"),
        (days, hours) => format!("{days}d {hours}h"),
    }
}
