use super::*;
use std::os::unix::fs::symlink;

/// A root directory with these hooks, of that mode.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn path(&self, event: Event, name: &str) -> PathBuf {
        self.0.path().join(FOLDER).join(format!("{}.d", event.name())).join(name)
    }

    fn hook(&self, event: Event, name: &str, mode: u32, script: &str) {
        let path = self.path(event, name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn hooks(&self) -> Hooks {
        Hooks::new(self.0.path(), true)
    }
}

fn soon() -> Boottime {
    Boottime::now().after(Duration::from_secs(20))
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        eprintln!("SKIPPED: hooks belong to root");
        assert!(std::env::var("STILLFRAME_REQUIRE").as_deref() != Ok("1"), "hooks belong to root");
    }
    root
}

#[test]
fn every_event_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Event::ALL.iter().map(|event| event.name()).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names.iter().filter(|name| name.starts_with("pre-")).count(), 6);
}

#[test]
fn hooks_run_in_order_with_what_they_are_told_and_nothing_else() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let out = machine.0.path().join("out");
    let script = format!("echo $0 >> {0}; env | grep -v PWD | sort >> {0}", out.display());
    for (name, mode) in
        [("20-b", 0o755), ("10-a", 0o700), ("30-no", 0o644), (".hidden", 0o755), ("x~", 0o755)]
    {
        machine.hook(Event::PreMount, name, mode, &script);
    }
    let facts = Facts::default().with("RUN", "r1").with("DEVICE", "/dev/a").with("DEVICE", "/dev/b");
    let mut ran = Vec::new();
    machine.hooks().before(Event::PreMount, &facts, soon(), &mut ran).unwrap();
    let names: Vec<&str> = ran.iter().map(|hook| hook.name.as_str()).collect();
    assert_eq!(names, ["10-a", "20-b"]);
    assert!(ran.iter().all(|hook| hook.exit == Some(0) && hook.event == "pre-mount"));
    let text = std::fs::read_to_string(out).unwrap();
    assert!(
        text.contains("STILLFRAME_DEVICE=/dev/b\nSTILLFRAME_HOOK=pre-mount\nSTILLFRAME_RUN=r1\n"),
        "{text}"
    );
    assert!(!text.contains("CARGO"), "{text}");
    let mut none = Vec::new();
    Hooks::new(machine.0.path(), false).before(Event::PreMount, &facts, soon(), &mut none).unwrap();
    assert!(none.is_empty(), "they are off");
}

#[test]
fn a_failing_hook_ends_what_comes_before_and_not_what_comes_after() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    for event in [Event::PreUnmount, Event::PostUnmount] {
        machine.hook(event, "1", 0o755, "true");
        machine.hook(event, "2", 0o755, "echo no room >&2; exit 7");
        machine.hook(event, "3", 0o755, "true");
    }
    let mut ran = Vec::new();
    let error = machine.hooks().before(Event::PreUnmount, &Facts::default(), soon(), &mut ran).unwrap_err();
    assert_eq!(error.to_string(), "the pre-unmount hook 2 failed: exit code 7: no room");
    assert_eq!((ran.len(), ran[1].exit), (2, Some(7)));
    ran.clear();
    let failed = machine.hooks().after(Event::PostUnmount, &Facts::default(), soon(), &mut ran);
    assert_eq!((failed.len(), ran.len()), (1, 3));
    let limit = Boottime::now().after(Duration::from_millis(300));
    machine.hook(Event::PreMounts, "1", 0o755, "sleep 600");
    let error = machine.hooks().before(Event::PreMounts, &Facts::default(), limit, &mut ran).unwrap_err();
    assert!(error.to_string().contains("did not end"), "{error}");
}

#[test]
fn what_others_could_have_written_is_refused_before_anything_runs() {
    if !is_root() {
        return;
    }
    type Spoil = fn(&Machine);
    let rows: [(&str, Spoil); 7] = [
        ("mode 0775", |m| m.hook(Event::PreMount, "2", 0o775, "true")),
        ("mode 0757", |m| m.hook(Event::PreMount, "2", 0o757, "true")),
        ("belongs to user 1", |m| {
            m.hook(Event::PreMount, "2", 0o755, "true");
            std::os::unix::fs::chown(m.path(Event::PreMount, "2"), Some(1), None).unwrap();
        }),
        ("no regular file", |m| symlink("/bin/true", m.path(Event::PreMount, "2")).unwrap()),
        ("pre-mount.d can be written", |m| {
            let folder = m.path(Event::PreMount, "");
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
        }),
        ("stillframe can be written", |m| {
            let folder = m.0.path().join("etc/stillframe");
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o1777)).unwrap();
        }),
        ("etc belongs to user 1", |m| {
            std::os::unix::fs::chown(m.0.path().join("etc"), Some(1), None).unwrap();
        }),
    ];
    for (why, spoil) in rows {
        let machine = Machine::new();
        let mark = machine.0.path().join("ran");
        machine.hook(Event::PreMount, "1", 0o755, &format!("touch {}", mark.display()));
        spoil(&machine);
        let error = machine.hooks().check(&[Event::PreMounts, Event::PreMount]).unwrap_err();
        assert!(describe(&error).contains(why), "{why}: {}", describe(&error));
        let mut ran = Vec::new();
        assert!(machine.hooks().before(Event::PreMount, &Facts::default(), soon(), &mut ran).is_err());
        assert!(ran.is_empty() && !mark.exists(), "{why}: a hook ran");
    }
}
