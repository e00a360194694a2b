//! What a scenario needs of the machine. Where it is missing the scenario is skipped, visibly; under
//! `STILLFRAME_REQUIRE=1` it fails.

/// Whether scenarios with real file systems can run here. Says so when they cannot.
///
/// # Panics
/// They cannot, and `STILLFRAME_REQUIRE=1` asks for them.
#[must_use]
pub fn disks() -> bool {
    met(fleet::disks::missing())
}

/// Whether a program is there. Says so when it is not.
///
/// # Panics
/// It is not, and `STILLFRAME_REQUIRE=1` asks for it.
#[must_use]
pub fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    met((!there).then(|| format!("this scenario needs the program {name}")))
}

fn met(missing: Option<String>) -> bool {
    let Some(missing) = missing else { return true };
    assert!(
        std::env::var_os("STILLFRAME_REQUIRE").is_none_or(|value| value != "1"),
        "cannot run, and STILLFRAME_REQUIRE=1: {missing}"
    );
    eprintln!("skipped: {missing}");
    false
}
