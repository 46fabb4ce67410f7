//! Values written to files of the kernel: read before, written, read again; written back only over our own.
//!
//! A file that is a button, such as `drop_caches`, has no value of its own: nothing is put back, and its effect is what
//! is seen elsewhere before and after.

use crate::step::failed;
use crate::sys::{memory, process};
use rustix::fs::{Access, access};
use squall_model::facts::Privilege;
use squall_model::machine::MachineError;
use squall_model::step::FileValueStep;
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use squall_model::units::Size;
use std::io::{self, Write};

/// The button that drops the page cache and other kernel caches.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// What is remembered of writes while this machine lives.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Bytes of kernel caches before and after the button was pressed.
    caches: Option<(u64, u64)>,
}

/// Reads the value to be written back.
pub(crate) fn capture(step: &FileValueStep) -> Result<Undo, MachineError> {
    access(&step.path, Access::WRITE_OK).map_err(|errno| refused("write", &step.path, &errno.into()))?;
    if !step.restore {
        let why = format!("nothing: {} is a button, the kernel fills by itself what it empties", step.path);
        return Ok(Undo::Nothing { why });
    }
    let before = read(&step.path).map_err(|error| refused("read", &step.path, &error))?;
    if before == step.value {
        let message = format!(
            "could not write {before:?} to {}: it reads that already, so nothing would change; somebody else did that before",
            step.path
        );
        return Err(MachineError::Refused { message });
    }
    Ok(Undo::FileValue {
        path: step.path.clone(),
        before,
        ours: step.value.clone(),
        boot_id: process::boot_id().to_owned(),
    })
}

/// Writes the value, unless somebody else changed it since it was captured. A value that the file then shows in other
/// words is refused: only from what is written down can whoever undoes it know it for ours.
pub(crate) fn apply(step: &FileValueStep, undo: &Undo, writes: &mut Writes) -> Result<(), MachineError> {
    if let Undo::FileValue { path, before, ours, .. } = undo {
        let now = read(path).map_err(|error| refused("read", path, &error))?;
        if now != *before && now != *ours {
            let message = format!(
                "could not write {path}: it read {before:?} when that was written down and reads {now:?} now, so the \
                 undo would bring back the wrong value; plan again"
            );
            return Err(MachineError::Refused { message });
        }
    }
    let caches = || memory::read().map_or(0, |memory| memory.caches);
    let before = caches();
    write(&step.path, &step.value).map_err(|error| refused("write", &step.path, &error))?;
    if step.path == DROP_CACHES {
        writes.caches = Some((before, caches()));
    }
    match undo {
        Undo::FileValue { path, before, ours, .. } => is_shown_as_written(path, before, ours),
        _ => Ok(()),
    }
}

fn is_shown_as_written(path: &str, before: &str, ours: &str) -> Result<(), MachineError> {
    let shown = read(path).map_err(|error| refused("read", path, &error))?;
    if shown == ours {
        return Ok(());
    }
    write(path, before).map_err(|error| refused("write", path, &error))?;
    let message = format!(
        "could not keep {ours:?} in {path}: it is shown as {shown:?} there, so the undo would not know it for ours; \
         write the value as it is shown"
    );
    Err(MachineError::Refused { message })
}

/// Looks whether the value is there, or what the button did.
pub(crate) fn observe(step: &FileValueStep, undo: &Undo, writes: &Writes) -> Result<Evidence, MachineError> {
    if step.path == DROP_CACHES {
        return Ok(dropped(writes.caches));
    }
    let Undo::FileValue { ours, .. } = undo else {
        return Ok(Evidence::seen(format!("{} was written", step.path)));
    };
    let now = match read(&step.path) {
        // The file of a control group goes with the group.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Evidence::gone(format!("{} is gone", step.path)));
        }
        now => now.map_err(|error| refused("read", &step.path, &error))?,
    };
    let says = format!("{} reads {now:?}", step.path);
    Ok(if now == *ours { Evidence::seen(says) } else { Evidence::not_seen(says) })
}

fn dropped(caches: Option<(u64, u64)>) -> Evidence {
    let Some((before, after)) = caches else {
        return Evidence::not_seen("the caches have not been dropped yet");
    };
    let freed = before.saturating_sub(after);
    let says = format!("caches fell from {} to {}", Size(before), Size(after));
    let evidence = if freed > 0 {
        Evidence::seen(says)
    } else {
        Evidence::not_seen(format!("caches did not shrink ({} before, {} after)", Size(before), Size(after)))
    };
    evidence.with("freed_bytes", freed as f64)
}

/// Writes the value before back over ours, and looks again. A value that is neither is somebody else's.
pub(crate) fn revert(path: &str, before: &str, ours: &str, boot_id: &str) -> Result<Reverted, MachineError> {
    let found = |value: &str| format!("{path} reads {value:?}");
    if boot_id != process::boot_id() {
        let looked_at = format!("the host was restarted, which reset {path}");
        return Ok(Reverted::AlreadyGone { looked_at });
    }
    let now = match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Reverted::AlreadyGone { looked_at: format!("{path} is gone") });
        }
        now => now.map_err(|error| refused("read", path, &error))?,
    };
    let drifted = |now: &str| {
        Reverted::Drifted(Difference {
            looked_at: path.to_owned(),
            before: before.to_owned(),
            now: now.to_owned(),
            remedy: format!("echo '{before}' > {path}"),
            under_way: false,
        })
    };
    if now == before {
        return Ok(Reverted::AlreadyGone { looked_at: found(&now) });
    }
    if now != ours {
        return Ok(drifted(&now));
    }
    write(path, before).map_err(|error| refused("write", path, &error))?;
    let now = read(path).map_err(|error| refused("read", path, &error))?;
    if now != before {
        return Ok(drifted(&now));
    }
    Ok(Reverted::Undone { looked_at: found(&now) })
}

fn read(path: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    // A control group on its way to be frozen is ours as one that is (`cgroup-v1/freezer-subsystem.rst`).
    Ok(if text.trim() == "FREEZING" { "FROZEN".to_owned() } else { text.trim_end_matches('\n').to_owned() })
}

/// Writes to a file that is there already; never makes one.
fn write(path: &str, value: &str) -> io::Result<()> {
    std::fs::File::options().write(true).truncate(true).open(path)?.write_all(value.as_bytes())
}

fn refused(verb: &str, path: &str, error: &io::Error) -> MachineError {
    match error.kind() {
        io::ErrorKind::NotFound => MachineError::NotFound {
            message: format!("could not {verb} {path}: this kernel has no such file"),
        },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => MachineError::Forbidden {
            message: format!(
                "could not {verb} {path}: {error}; it belongs to root: run with --sudo, or as root (in a container, \
                 with /proc/sys writable)"
            ),
            needs: Some(Privilege::DacOverride),
        },
        _ => failed(format_args!("{verb} {path}"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::undo::Effect;

    struct Scene {
        file: tempfile::NamedTempFile,
        writes: Writes,
    }

    impl Scene {
        fn new(value: &str) -> Self {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(value.as_bytes()).unwrap();
            Self { file, writes: Writes::default() }
        }
        fn step(&self, value: &str) -> FileValueStep {
            let path = self.file.path().to_str().unwrap().to_owned();
            FileValueStep { path, value: value.to_owned(), restore: true }
        }
        fn revert(undo: &Undo) -> Reverted {
            let Undo::FileValue { path, before, ours, boot_id } = undo else { panic!("{undo:?}") };
            revert(path, before, ours, boot_id).unwrap()
        }
    }

    #[test]
    fn a_value_is_written_seen_and_put_back() {
        let mut scene = Scene::new("60\n");
        let step = scene.step("10");
        let undo = capture(&step).unwrap();
        assert!(matches!(Scene::revert(&undo), Reverted::AlreadyGone { .. }));
        apply(&step, &undo, &mut scene.writes).unwrap();
        assert_eq!(observe(&step, &undo, &scene.writes).unwrap().effect, Effect::Seen);
        assert!(matches!(Scene::revert(&undo), Reverted::Undone { .. }));
        assert_eq!(std::fs::read_to_string(scene.file.path()).unwrap(), "60");
        assert_eq!(observe(&step, &undo, &scene.writes).unwrap().effect, Effect::NotSeen);
        assert!(matches!(Scene::revert(&undo), Reverted::AlreadyGone { .. }));
    }

    #[test]
    fn a_value_that_is_there_already_is_refused() {
        let scene = Scene::new("FROZEN\n");
        let error = capture(&scene.step("FROZEN")).unwrap_err().to_string();
        assert!(error.contains("reads that already"), "{error}");
    }

    #[test]
    fn somebody_elses_value_is_left_alone_and_reported() {
        let mut scene = Scene::new("60");
        let step = scene.step("10");
        let undo = capture(&step).unwrap();
        apply(&step, &undo, &mut scene.writes).unwrap();
        std::fs::write(scene.file.path(), "33").unwrap();
        let Reverted::Drifted(difference) = Scene::revert(&undo) else { panic!("not seen") };
        assert_eq!((difference.before.as_str(), difference.now.as_str()), ("60", "33"));
        assert_eq!(std::fs::read_to_string(scene.file.path()).unwrap(), "33");
    }

    #[test]
    fn a_value_that_the_kernel_shows_in_other_words_is_refused_and_put_back() {
        // Of this process alone, read as octal and shown as decimal.
        let path = "/proc/self/oom_score_adj";
        let before = read(path).unwrap();
        let step = FileValueStep { path: path.into(), value: "01747".into(), restore: true };
        let undo = capture(&step).unwrap();
        let error = apply(&step, &undo, &mut Writes::default()).unwrap_err();
        assert!(
            matches!(&error, MachineError::Refused { message } if message.contains("\"999\"")),
            "{error}"
        );
        assert_eq!(read(path).unwrap(), before);
        // As it is shown it may be written, and anybody who has the record can put it back.
        let step = FileValueStep { value: "999".into(), ..step };
        let undo = capture(&step).unwrap();
        apply(&step, &undo, &mut Writes::default()).unwrap();
        let Undo::FileValue { path, before: known, ours, boot_id } = undo else { panic!("{undo:?}") };
        assert!(matches!(revert(&path, &known, &ours, &boot_id).unwrap(), Reverted::Undone { .. }));
        assert_eq!(read(&path).unwrap(), before);
    }

    #[test]
    fn another_boots_value_and_a_missing_file_need_no_undo() {
        let scene = Scene::new("60");
        let step = scene.step("10");
        let Undo::FileValue { path, before, ours, .. } = capture(&step).unwrap() else { panic!("no undo") };
        let earlier = revert(&path, &before, &ours, "earlier").unwrap();
        assert!(matches!(earlier, Reverted::AlreadyGone { .. }));
        let missing = FileValueStep { path: "/proc/sys/vm/sqt-none".into(), ..step };
        assert!(matches!(capture(&missing).unwrap_err(), MachineError::NotFound { .. }));
        let again = revert(&missing.path, "1", "2", process::boot_id()).unwrap();
        assert!(matches!(again, Reverted::AlreadyGone { .. }));
    }

    #[test]
    fn dropping_caches_shows_what_was_freed() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: dropping caches takes root");
            return;
        }
        // Beside the test itself, which lies on a disk; a temporary folder may lie in memory.
        let test = std::env::current_exe().unwrap();
        let mut file = tempfile::NamedTempFile::new_in(test.parent().unwrap()).unwrap();
        file.write_all(&vec![7; 32 << 20]).unwrap();
        file.as_file().sync_all().unwrap();
        let step = FileValueStep { path: DROP_CACHES.into(), value: "3".into(), restore: false };
        let mut writes = Writes::default();
        let undo = capture(&step).unwrap();
        assert_eq!(observe(&step, &undo, &writes).unwrap().effect, Effect::NotSeen);
        apply(&step, &undo, &mut writes).unwrap();
        let evidence = observe(&step, &undo, &writes).unwrap();
        assert_eq!(evidence.effect, Effect::Seen, "{}", evidence.summary);
        assert!(evidence.measures["freed_bytes"] >= f64::from(16 << 20), "{}", evidence.summary);
    }
}
