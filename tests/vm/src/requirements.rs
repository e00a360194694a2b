//! What a guest needs of this machine.

/// Program and Debian package.
const PROGRAMS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("lz4", "lz4"),
    ("mke2fs", "e2fsprogs"),
    ("setpriv", "util-linux"),
    ("dpkg-deb", "dpkg"),
];

/// Why there can be no guest here, in one sentence; `None` if there can.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the guest is an x86-64 machine, and its programs are built here".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("building the guest's image needs root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |program: &str| {
        let own = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
        std::env::split_paths(&path).chain(own).any(|dir| dir.join(program).is_file())
    };
    let (program, package) = PROGRAMS.iter().find(|(program, _)| !installed(program))?;
    Some(format!("the guest needs the program {program}: install {package}"))
}
