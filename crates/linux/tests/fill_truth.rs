//! A file system of the test's own is truly filled, to the block, and truly given back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use squall_engine::suite::{self, MemoryDisk, Sample, Trial};
use squall_linux::LinuxMachine;
use squall_model::facts::{PathFacts, Scope, Subject};
use squall_model::machine::Machine;
use squall_model::step::{FillStep, FillUntil, Step};
use squall_model::target::Target;
use squall_model::undo::{Reverted, Undo};
use squall_model::undo_log::UndoLog;
use squall_model::units::{Share, Size};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

const SIZE: u64 = 16 << 20;
const BLOCK: u64 = 4096;

/// A small file system in memory with one file on it, unmounted when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    /// None without the privilege, which is said.
    fn make() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting a file system takes root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={SIZE}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "sqt-fill"])
            .arg(folder.path())
            .output();
        let mounted = mounted.unwrap();
        if !mounted.status.success() {
            println!("skipped: mounting a file system takes CAP_SYS_ADMIN");
            return None;
        }
        fs::write(folder.path().join("orders"), vec![b'7'; 100_000]).unwrap();
        Some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What is free, by other means than Squall's.
    fn free(&self) -> u64 {
        let output = Command::new("df").args(["-B1", "--output=avail"]).arg(self.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Another search for leftovers may look into it for a moment.
        let unmounted = || Command::new("umount").arg(self.path()).output().unwrap().status.success();
        let tried = (0..100).any(|_| {
            let done = unmounted();
            if !done {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            done
        });
        assert!(tried, "something keeps {} busy", self.path().display());
    }
}

fn injection() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("sqt-fill-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn facts(machine: &mut LinuxMachine, path: &Path) -> PathFacts {
    let target = Target::Path(path.to_str().unwrap().to_owned());
    match machine.resolve(Scope::Path, &target).unwrap().remove(0) {
        Subject::Path(path) => path,
        other => panic!("{other:?}"),
    }
}

fn step(machine: &mut LinuxMachine, path: &Path, until: FillUntil, leave_free: u64) -> Step {
    let directory = facts(machine, path).directory;
    let name = FillStep::name_of(&injection());
    Step::Fill(FillStep { directory, name, until, leave_free: Size(leave_free) })
}

fn apply(machine: &mut LinuxMachine, step: &Step) -> Undo {
    let undo = machine.capture(step, "sqt-fill").unwrap();
    let mut log = UndoLog::resume("sqt-fill");
    machine.apply(log.intend(&mut MemoryDisk::default(), 0, step, &undo).unwrap()).unwrap();
    undo
}

#[test]
fn a_file_system_is_filled_to_the_block_and_given_back() {
    let Some(mount) = Mount::make() else { return };
    let mut machine = LinuxMachine::new();
    let found = facts(&mut machine, mount.path());
    assert_eq!((found.size.0, found.file_system.as_str()), (SIZE, "tmpfs"));
    assert!(!found.is_root && found.directory.in_memory);
    let before = mount.free();
    for (until, leave_free, left) in [
        (FillUntil::Used(Share::of(0.95)), 0, SIZE / 20),
        (FillUntil::Used(Share::of(1.0)), 0, 0),
        (FillUntil::LeftFree, 1_000_000, 1_000_000),
        (FillUntil::By(Size(5 << 20)), 0, before - (5 << 20)),
    ] {
        let step = step(&mut machine, mount.path(), until, leave_free);
        let undo = apply(&mut machine, &step);
        let free = mount.free();
        assert!(free.abs_diff(left) < BLOCK, "{step}: {free} are free, not {left}");
        let evidence = machine.observe(&[(&step, &undo)]).remove(0).unwrap();
        assert_eq!(evidence.measures["available_bytes"] as u64, free, "{}", evidence.summary);
        if left == 0 {
            let written =
                fs::File::create(mount.path().join("more")).and_then(|mut file| file.write_all(b"more"));
            assert_eq!(written.unwrap_err().kind(), ErrorKind::StorageFull);
            fs::remove_file(mount.path().join("more")).unwrap();
        }
        assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
        assert_eq!((mount.free(), mount.names()), (before, vec!["orders".to_owned()]));
    }
}

#[test]
fn space_is_given_back_while_somebody_holds_the_file_open() {
    let Some(mount) = Mount::make() else { return };
    let mut machine = LinuxMachine::new();
    let before = mount.free();
    let step = step(&mut machine, mount.path(), FillUntil::By(Size(5 << 20)), 0);
    let undo = apply(&mut machine, &step);
    let file = mount.names().into_iter().find(|name| name.starts_with(".squall-")).unwrap();
    let held = fs::File::open(mount.path().join(file)).unwrap();
    machine.revert(&undo).unwrap();
    assert_eq!(mount.free(), before);
    drop(held);
}

#[test]
fn filling_keeps_the_laws_and_is_found_by_its_mark() {
    if Mount::make().is_none() {
        return;
    }
    let prepare = |machine: &mut LinuxMachine| {
        let mount = Rc::new(Mount::make().unwrap());
        let step = step(machine, mount.path(), FillUntil::Used(Share::of(0.5)), 0);
        let Step::Fill(fill) = &step else { unreachable!() };
        let injection = FillStep::injection_of(&fill.name).unwrap().to_owned();
        let file = mount.path().join(&fill.name);
        Trial {
            step,
            injection,
            look: Box::new(move || format!("{:?}, {} free", mount.names(), mount.free())),
            reversible: true,
            marked: true,
            destroy: None,
            meddle: Some(Box::new(move || {
                let _ = fs::remove_file(&file);
                fs::write(&file, "theirs").unwrap();
            })),
        }
    };
    let mut samples = [Sample { name: "fill", prepare: Box::new(prepare) }];
    let broken = suite::check(&mut LinuxMachine::new(), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}
