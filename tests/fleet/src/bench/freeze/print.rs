//! The figures as tables for people.

use super::figures::{CellFigures, Scale, marks as mark_texts};
use super::ways::Way;

/// One cell.
pub(super) fn cell(cell: &CellFigures) {
    println!(
        "\n{} x {}, {}; limit {} ms; idle writers' longest stall {:.1} ms, worst {:.1}",
        cell.count,
        cell.fs.name(),
        cell.disk.name(),
        cell.limit_ms,
        cell.idle_ms.median,
        cell.idle_ms.worst
    );
    println!(
        "{:<26} {:>5} {:>9} {:>6} {:>9} {:>6} {:>9} {:>8} {:>16} {:>16}",
        "",
        "turns",
        "stall ms",
        "ratio",
        "worst",
        "ratio",
        "window ms",
        "flush ms",
        "outside, worst",
        "synced, worst"
    );
    for (way, figures) in &cell.ways {
        let flush =
            figures.phases_ms.get("flush_us").map_or_else(String::new, |f| format!("{:.0}", f.median));
        println!(
            "{:<26} {:>5} {:>9.1} {:>6.3} {:>9.1} {:>6.3} {:>9.1} {flush:>8} {:>8.1} {:>7.1} {:>8.1} {:>7.1}",
            way.name(),
            figures.turns,
            figures.stall_ms.median,
            cell.ratio(figures.stall_ms.median),
            figures.stall_ms.worst,
            cell.ratio(figures.stall_ms.worst),
            figures.window_ms.median,
            figures.outside_ms.median,
            figures.outside_ms.worst,
            figures.synced_outside_ms.median,
            figures.synced_outside_ms.worst,
        );
    }
    for (way, figures) in cell.ways.iter().filter(|(_, figures)| figures.not_frozen > 0) {
        println!("  {}: {} turns did not come to a freeze", way.name(), figures.not_frozen);
    }
    for way in [Way::Ours, Way::Plain] {
        if let Some(figures) = cell.ways.get(&way) {
            let parts = figures.phases_ms.iter().map(|(name, spread)| {
                format!("{} {:.1}/{:.1}", name.trim_end_matches("_us"), spread.median, spread.worst)
            });
            println!("  {}, median/worst: {}", way.name(), parts.collect::<Vec<_>>().join(", "));
        }
    }
    println!("  median {}, worst {}", word(cell.median_met), word(cell.worst_met));
}

/// Many beside one.
pub(super) fn scales(scales: &[Scale]) {
    for scale in scales {
        println!(
            "\n{} on a {}: one {:.1} ms, sixteen {:.1} ms, ratio {:.3}: {}",
            scale.fs.name(),
            scale.disk.name(),
            scale.one_ms,
            scale.many_ms,
            scale.ratio,
            word(scale.met)
        );
    }
}

/// What was met and what was not.
pub(super) fn marks(cells: &[CellFigures], scales: &[Scale]) {
    let count = |met: &dyn Fn(&CellFigures) -> bool| cells.iter().filter(|cell| met(cell)).count();
    println!(
        "\n{}\nmedian met in {} of {} cells, worst in {} of {}, scale in {} of {}",
        mark_texts(),
        count(&|cell| cell.median_met),
        cells.len(),
        count(&|cell| cell.worst_met),
        cells.len(),
        scales.iter().filter(|scale| scale.met).count(),
        scales.len()
    );
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
