//! The laws of every machine, kept by the real one for each kind of step that needs no worker.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use squall_engine::suite::{self, Sample, Trial};
use squall_linux::LinuxMachine;
use squall_linux::sys::process;
use squall_model::facts::{Scope, Subject};
use squall_model::machine::Machine;
use squall_model::step::{FileValueStep, FillStep, FillUntil, Signal, SignalStep, Step};
use squall_model::target::Target;
use squall_model::units::Size;
use std::cell::RefCell;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A name for each trial's injection.
fn injection() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("sqt-laws-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A sleeping process, ended when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::piped()).spawn().unwrap();
        // Between fork and exec it is not asleep yet.
        while process::stat(child.id()).is_ok_and(|stat| stat.name != "sleep" || stat.state != 'S') {
            assert!(child.try_wait().unwrap().is_none(), "sleep does not run");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Self(child)
    }

    /// Its state as `ps` shows it; a process that has ended shows as gone.
    fn state(&self) -> String {
        let number = self.0.id().to_string();
        let output = Command::new("ps").args(["-o", "state=", "-p", &number]).output().unwrap();
        match String::from_utf8_lossy(&output.stdout).trim() {
            "" | "Z" => "gone".to_owned(),
            state => state.to_owned(),
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A signal to a sleeping process.
fn signal(signal: Signal, reversible: bool) -> Trial {
    let sleeper = Rc::new(RefCell::new(Sleeper::start()));
    let number = sleeper.borrow().0.id();
    let victim = Rc::clone(&sleeper);
    Trial {
        step: Step::Signal(SignalStep {
            process: process::reference(number).unwrap(),
            signal,
            may_be_gone: false,
        }),
        injection: injection(),
        look: Box::new(move || sleeper.borrow().state()),
        reversible,
        marked: false,
        destroy: Some(Box::new(move || {
            victim.borrow_mut().0.kill().unwrap();
            victim.borrow_mut().0.wait().unwrap();
        })),
        meddle: reversible.then(|| -> suite::Deed {
            Box::new(move || {
                assert!(
                    Command::new("kill").args(["-CONT", &number.to_string()]).status().unwrap().success()
                );
            })
        }),
    }
}

/// A value in a file.
fn file_value() -> Trial {
    let file = Rc::new(tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), "60").unwrap();
    let path = file.path().to_path_buf();
    let value =
        FileValueStep { path: path.to_str().unwrap().to_owned(), value: "10".to_owned(), restore: true };
    let gone = path.clone();
    Trial {
        step: Step::FileValue(value),
        injection: injection(),
        look: Box::new(move || std::fs::read_to_string(file.path()).unwrap_or_default()),
        reversible: true,
        marked: false,
        destroy: Some(Box::new(move || std::fs::remove_file(&gone).unwrap())),
        meddle: Some(Box::new(move || std::fs::write(&path, "33").unwrap())),
    }
}

/// A file system that is filled a little. What is not in the top folder of a mount has no mark that is found.
fn fill(machine: &mut LinuxMachine) -> Trial {
    let folder = Rc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("orders"), "17").unwrap();
    let target = Target::Path(data.to_str().unwrap().to_owned());
    let Subject::Path(path) = machine.resolve(Scope::Path, &target).unwrap().remove(0) else {
        panic!("no path")
    };
    let injection = injection();
    let name = FillStep::name_of(&injection);
    let file = data.join(&name);
    let step = FillStep {
        directory: path.directory,
        name,
        until: FillUntil::By(Size(1 << 20)),
        leave_free: Size(0),
    };
    let renewed = data.clone();
    Trial {
        step: Step::Fill(step),
        injection,
        look: Box::new(move || {
            let entries = std::fs::read_dir(folder.path().join("data")).unwrap().flatten();
            let mut names: Vec<_> =
                entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
            names.sort();
            format!("{names:?}")
        }),
        reversible: true,
        marked: false,
        destroy: Some(Box::new(move || {
            std::fs::remove_dir_all(&renewed).unwrap();
            std::fs::create_dir(&renewed).unwrap();
        })),
        meddle: Some(Box::new(move || {
            let _ = std::fs::remove_file(&file);
            std::fs::write(&file, "theirs").unwrap();
        })),
    }
}

#[test]
fn steps_without_workers_keep_the_laws() {
    let mut samples = [
        Sample { name: "pause", prepare: Box::new(|_: &mut LinuxMachine| signal(Signal::Stop, true)) },
        Sample { name: "kill", prepare: Box::new(|_| signal(Signal::Kill, false)) },
        Sample { name: "file value", prepare: Box::new(|_| file_value()) },
        Sample { name: "fill", prepare: Box::new(fill) },
    ];
    let broken = suite::check(&mut LinuxMachine::new(), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}
