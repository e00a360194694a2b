//! Packs the relocations of the static helper: a quarter of a megabyte of the file, and as much that
//! need not be locked in memory.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let cfg = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // A static program relocates itself, with the C library that it was built with; a dynamic one would
    // need such a library where it runs.
    if cfg("FEATURE").split(',').any(|feature| feature == "crt-static") && cfg("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
