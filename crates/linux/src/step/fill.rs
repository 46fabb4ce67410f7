//! File systems filled with one file of our own, known by its name, its owner and its first line.
//!
//! The directory is held by its inode while the file is made and removed, and no link is ever followed. The file is
//! allocated without being written where the file system can do that; a killed allocation leaves a file of the same
//! name and mark, so that one undo is good for all of it.

use crate::mounts;
use crate::step::failed;
use crate::sys::process;
use rustix::fs::{
    Access, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, ResolveFlags, accessat, fallocate, fstat,
    fstatvfs, fsync, ftruncate, openat, openat2, unlinkat,
};
use rustix::io::Errno;
use squall_model::facts::Privilege;
use squall_model::machine::{Leftover, MachineError};
use squall_model::step::{DirectoryRef, FillStep, FillUntil};
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use squall_model::units::{Share, Size};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is allocated at once.
const CHUNK: u64 = 256 << 20;
/// How much is written at once, where the file system cannot allocate without.
const WRITTEN: usize = 1 << 20;
/// How long it may take in all: whoever waits for the agent takes a longer silence for death.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the file is made to fit after others have written too.
const ROUNDS: usize = 3;
/// How many neighbours of a directory that was renamed are looked at.
const NEIGHBOURS: usize = 10_000;

/// The space of a file system in bytes, as `df` counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// What is used and available together.
    pub(crate) size: u64,
    /// What others than root can still write.
    pub(crate) available: u64,
    block: u64,
}

impl Space {
    /// Of the file system that a file or a directory is on.
    pub(crate) fn of(place: impl std::os::fd::AsFd) -> io::Result<Self> {
        let found = fstatvfs(place)?;
        let used = found.f_blocks.saturating_sub(found.f_bfree);
        let block = found.f_frsize.max(1);
        Ok(Self { size: (used + found.f_bavail) * block, available: found.f_bavail * block, block })
    }

    fn used(self) -> Share {
        Share::of(((1.0 - self.available as f64 / self.size.max(1) as f64) * 1000.0).round() / 1000.0)
    }

    /// What a step still takes, in whole blocks.
    fn missing(self, step: &FillStep) -> i64 {
        let block = self.block as i64;
        step.missing(Size(self.size), Size(self.available)) / block * block
    }
}

/// Where the directory of a record is now.
enum Place {
    Here(OwnedFd),
    /// It was removed, and what was in it with it; in words.
    Gone(String),
    /// Its file system is not mounted, and still has the file if it ever had it.
    Unmounted,
}

/// Opens the directory, if it is still the one that was planned for.
pub(crate) fn open(directory: &DirectoryRef) -> Result<OwnedFd, MachineError> {
    match find(directory).map_err(|error| refused("open", &directory.path, &error))? {
        Place::Here(opened) => Ok(opened),
        Place::Gone(_) | Place::Unmounted => Err(MachineError::NotFound {
            message: format!(
                "could not find the directory {}: it is another one or gone; plan again",
                directory.path
            ),
        }),
    }
}

/// Looks whether the file may be made, and for what is free before.
pub(crate) fn capture(step: &FillStep) -> Result<Undo, MachineError> {
    let directory = open(&step.directory)?;
    let writable = accessat(&directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    writable.map_err(|errno| refused("write to", &step.directory.path, &errno.into()))?;
    let space = space(&directory, &step.directory)?;
    wanted(step, space)?;
    Ok(Undo::Fill {
        directory: step.directory.clone(),
        name: step.name.clone(),
        owner: rustix::process::geteuid().as_raw(),
        available: Size(space.available),
    })
}

/// Makes the file, which must not be there, and lets it grow.
pub(crate) fn apply(step: &FillStep) -> Result<(), MachineError> {
    let directory = open(&step.directory)?;
    let bytes = wanted(step, space(&directory, &step.directory)?)?;
    let path = step.directory.file(&step.name);
    let could_not = |error: io::Error| refused("fill", &path, &error);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &step.name, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|errno| could_not(errno.into()))?);
    let deadline = Instant::now() + PATIENCE;
    file.write_all_at(FillStep::mark_of(&step.name).as_bytes(), 0).map_err(could_not)?;
    grow(&file, 0, bytes, deadline).map_err(could_not)?;
    fit(step, &file, deadline).map_err(could_not)
}

/// How many bytes are to be taken; an error where there is nothing to take, or too little would be left.
fn wanted(step: &FillStep, space: Space) -> Result<u64, MachineError> {
    let bytes = space.missing(step);
    let place = &step.directory.mounted_on;
    let now = format!("of {} there {} are free", Size(space.size), Size(space.available));
    let refused = |why: String| {
        Err(MachineError::Refused { message: format!("could not fill {place}: {why} ({now})") })
    };
    if bytes <= 0 {
        return refused(format!("it is {} full already, so that this would change nothing", space.used()));
    }
    if (space.available as i64) - bytes < step.leave_free.0 as i64 {
        return refused(format!(
            "{} more would leave less than {} free; ask for less, or for a smaller leave_free",
            Size(bytes as u64),
            step.leave_free
        ));
    }
    Ok(bytes as u64)
}

/// Makes the file fit to what was asked for, whatever others have written meanwhile and its own bookkeeping takes.
fn fit(step: &FillStep, file: &File, deadline: Instant) -> io::Result<()> {
    if matches!(step.until, FillUntil::By(_)) {
        return Ok(());
    }
    for _ in 0..ROUNDS {
        let space = Space::of(file)?;
        let length = file.metadata()?.len();
        match space.missing(step) {
            0 => return Ok(()),
            more if more > 0 => grow(file, length, length + more as u64, deadline)?,
            less => ftruncate(file, length.saturating_sub(less.unsigned_abs()).max(space.block))?,
        }
    }
    Ok(())
}

/// Lets the file grow until the end of the file system, if that comes first.
fn grow(file: &File, from: u64, to: u64, deadline: Instant) -> io::Result<()> {
    let (mut at, mut step) = (from, CHUNK);
    while at < to {
        let length = step.min(to - at);
        match fallocate(file, FallocateFlags::empty(), at, length) {
            Ok(()) => at += length,
            Err(Errno::INTR) => {}
            // Others have written meanwhile: what is left is taken piece by piece.
            Err(Errno::NOSPC) if length > 1 => step = length / 2,
            Err(Errno::NOSPC) => return Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return write(file, at, to, deadline),
            Err(errno) => return Err(errno.into()),
        }
        is_in_time(deadline)?;
    }
    Ok(())
}

/// Writes what cannot be pressed together, since some file systems do that.
fn write(file: &File, from: u64, to: u64, deadline: Instant) -> io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // xorshift64 (Marsaglia, Journal of Statistical Software 8, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(WRITTEN)
    .collect();
    let mut at = from.max(file.metadata()?.len());
    while at < to {
        let length = (to - at).min(WRITTEN as u64);
        match file.write_at(&noise[..length as usize], at) {
            Ok(written) => at += written as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
        is_in_time(deadline)?;
    }
    Ok(())
}

fn is_in_time(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "this file system takes longer than {} s for it; give a smaller size",
        PATIENCE.as_secs()
    )))
}

/// Looks whether the file is there and takes what it says.
pub(crate) fn observe(step: &FillStep, undo: &Undo) -> Result<Evidence, MachineError> {
    let directory = open(&step.directory)?;
    let path = step.directory.file(&step.name);
    let Some(file) = open_file(&directory, &step.name).map_err(|error| refused("look at", &path, &error))?
    else {
        return Ok(Evidence::not_seen(format!("{path} is gone")));
    };
    let metadata = file.metadata().map_err(|error| refused("look at", &path, &error))?;
    let (taken, space) = (metadata.blocks() * 512, space(&directory, &step.directory)?);
    let before = if let Undo::Fill { available, .. } = undo { *available } else { Size(0) };
    let says = format!(
        "{} is {} full: {} are free, {before} before; our file takes {}",
        step.directory.mounted_on,
        space.used(),
        Size(space.available),
        Size(taken)
    );
    // A file system that presses together may give the space back.
    let evidence = if taken > metadata.len() / 2 { Evidence::seen(says) } else { Evidence::not_seen(says) };
    Ok(evidence
        .with("filled_bytes", taken as f64)
        .with("available_bytes", space.available as f64)
        .with("used_share", space.used().fraction()))
}

/// Removes our file, and looks again. A file of that name that is not ours is left alone.
pub(crate) fn revert(
    directory: &DirectoryRef,
    name: &str,
    owner: u32,
    available: Size,
) -> Result<Reverted, MachineError> {
    let path = directory.file(name);
    let failed = |error: io::Error| refused("remove", &path, &error);
    let opened = match find(directory).map_err(failed)? {
        Place::Here(opened) => opened,
        Place::Gone(looked_at) => return Ok(Reverted::AlreadyGone { looked_at }),
        Place::Unmounted => {
            return Ok(Reverted::Drifted(Difference {
                looked_at: directory.file(name),
                before: "no such file".to_owned(),
                now: "out of reach, on a file system that is not mounted there any more".to_owned(),
                remedy: format!("mount it on {} again, then run `squall recover`", directory.mounted_on),
                under_way: false,
            }));
        }
    };
    match open_file(&opened, name) {
        Ok(None) => Ok(Reverted::AlreadyGone { looked_at: format!("there is no {path}") }),
        Ok(Some(file)) if is_ours(&file, name, owner).map_err(failed)? => {
            take_away(&opened, name, &file).map_err(failed)?;
            if open_file(&opened, name).is_ok_and(|left| left.is_none()) {
                let now = space(&opened, directory)?.available;
                let looked_at =
                    format!("there is no {path}, and {} are free ({available} before)", Size(now));
                Ok(Reverted::Undone { looked_at })
            } else {
                Ok(drifted(directory, name, "there is a file of that name again"))
            }
        }
        Ok(Some(_)) => Ok(drifted(directory, name, "there is a file of that name that Squall did not make")),
        // A link, a device or a directory has taken its name.
        Err(error) if !matches!(error.kind(), io::ErrorKind::PermissionDenied) => {
            Ok(drifted(directory, name, &format!("what has that name now is no file of ours ({error})")))
        }
        Err(error) => Err(failed(error)),
    }
}

fn drifted(directory: &DirectoryRef, name: &str, now: &str) -> Reverted {
    Reverted::Drifted(Difference {
        looked_at: directory.file(name),
        before: "no such file".to_owned(),
        now: now.to_owned(),
        remedy: format!("look at it, and if it is Squall's: {}", directory.removal(name)),
        under_way: false,
    })
}

/// Files of ours in the top folders of what is mounted here from devices of this machine: other machines may take for
/// ever to answer. Those in other folders are known by their undo logs only.
pub(crate) fn leftovers() -> Vec<(PathBuf, Leftover)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for mount in mounts::all().unwrap_or_default().into_iter().filter(mounts::Mount::is_local) {
        for entry in std::fs::read_dir(&mount.point).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some((name, injection)) =
                name.to_str().and_then(|name| Some((name, FillStep::injection_of(name)?)))
            else {
                continue;
            };
            let Some(identity) = marked(&mount.point, name) else { continue };
            // One file system may be mounted at several points.
            if seen.insert(identity) {
                let path = mount.point.join(name);
                let what = format!("file {} of disk.fill", path.display());
                let remedy = DirectoryRef::removal_of(&path.to_string_lossy());
                let injection = Some(injection.to_owned());
                found.push((
                    path,
                    Leftover { what, injection, claim: None, digest: None, held: None, remedy },
                ));
            }
        }
    }
    found
}

/// Removes a file that was found as a leftover; `None` where it is none of ours.
pub(crate) fn remove(leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
    let Some((path, _)) = leftovers().into_iter().find(|(_, found)| found == leftover) else {
        return Ok(None);
    };
    let failed = |error: io::Error| refused("remove", &path.to_string_lossy(), &error);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let folder = open_path(folder).map_err(failed)?;
    if let Some(file) = open_file(&folder, name).map_err(failed)?
        && is_ours(&file, name, rustix::process::geteuid().as_raw()).map_err(failed)?
    {
        take_away(&folder, name, &file).map_err(failed)?;
    }
    Ok(Some(Reverted::Undone { looked_at: format!("{} is gone", leftover.what) }))
}

/// Device and inode of a file that is ours by name, owner and mark.
fn marked(folder: &Path, name: &str) -> Option<(u64, u64)> {
    let file = open_file(&open_path(folder).ok()?, name).ok()??;
    let metadata = file.metadata().ok()?;
    let ours = is_ours(&file, name, rustix::process::geteuid().as_raw()).ok()?;
    ours.then(|| (metadata.dev(), metadata.ino()))
}

/// Unlinks the file, and empties it for whoever may hold it open. Waits until that is on the disk, so that the file
/// does not come back after a power cut, when no log tells of it any more.
fn take_away(directory: &OwnedFd, name: &str, file: &File) -> io::Result<()> {
    unlinkat(directory, name, AtFlags::empty())?;
    ftruncate(file, 0)?;
    // Where it cannot be synced it is removed all the same.
    let _ = fsync(directory);
    Ok(())
}

/// Whether it is the regular file that an injection of this user made; an allocation that was killed at its very
/// beginning left it empty.
fn is_ours(file: &File, name: &str, owner: u32) -> io::Result<bool> {
    let stat = fstat(file)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_uid != owner {
        return Ok(false);
    }
    let mark = FillStep::mark_of(name);
    let mut begins = vec![0; mark.len()];
    let length = file.read_at(&mut begins, 0)?;
    Ok(stat.st_size == 0 || begins[..length] == *mark.as_bytes())
}

/// A file in a directory; none where there is no such name. Neither a link is followed nor a pipe waited for.
fn open_file(directory: &OwnedFd, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        file => Ok(Some(File::from(file?))),
    }
}

/// A directory by a path without links.
fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Kernels before 5.6, and filters of system calls.
        Err(Errno::NOSYS | Errno::PERM) => Ok(openat(CWD, path, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Finds the directory of a record, also under another name beside its old one.
fn find(directory: &DirectoryRef) -> io::Result<Place> {
    let same_boot = directory.boot_id == process::boot_id();
    if directory.in_memory && !same_boot {
        return Ok(Place::Gone(format!("the host was restarted, which emptied {}", directory.mounted_on)));
    }
    let path = Path::new(&directory.path);
    let is_it = |opened: &OwnedFd| -> io::Result<bool> {
        if same_boot {
            let stat = fstat(opened)?;
            return Ok((stat.st_dev, stat.st_ino) == (directory.device, directory.inode));
        }
        // Devices are numbered anew with each boot.
        Ok(mounts::of(path)?.is_some_and(|mount| mount.point == Path::new(&directory.mounted_on)))
    };
    match open_path(path) {
        Ok(opened) if is_it(&opened)? => return Ok(Place::Here(opened)),
        Ok(_) => {}
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error),
    }
    if same_boot {
        let neighbours = path.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
        for neighbour in neighbours.take(NEIGHBOURS).filter(|entry| entry.ino() == directory.inode) {
            if let Ok(opened) = open_path(&neighbour.path())
                && is_it(&opened)?
            {
                return Ok(Place::Here(opened));
            }
        }
    }
    let is_mounted = mounts::all()?.iter().any(|mount| mount.point == Path::new(&directory.mounted_on))
        && (!same_boot || std::fs::metadata(&directory.mounted_on)?.dev() == directory.device);
    if is_mounted || directory.in_memory {
        return Ok(Place::Gone(format!("{} is gone, and what was in it", directory.path)));
    }
    Ok(Place::Unmounted)
}

/// Whether there is no directory of that path, for whatever reason.
fn is_absent(error: &io::Error) -> bool {
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    absent.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn space(opened: &OwnedFd, directory: &DirectoryRef) -> Result<Space, MachineError> {
    Space::of(opened).map_err(|error| refused("ask for the space of", &directory.path, &error))
}

fn refused(verb: &str, path: &str, error: &io::Error) -> MachineError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => MachineError::Refused {
            message: format!(
                "could not {verb} {path}: {error}; mount it for writing, or name a directory that can be written to"
            ),
        },
        io::ErrorKind::StorageFull => MachineError::Failed {
            message: format!(
                "could not {verb} {path}: {error}; there is no room for one more file (`df -i` shows whether inodes are \
                 short)"
            ),
        },
        io::ErrorKind::PermissionDenied => MachineError::Forbidden {
            message: format!(
                "could not {verb} {path}: {error}; run as the user whose directory it is, or with --sudo"
            ),
            needs: Some(Privilege::DacOverride),
        },
        io::ErrorKind::AlreadyExists => MachineError::Refused {
            message: format!(
                "could not {verb} {path}: a file of that name is there already; look whose it is"
            ),
        },
        _ => failed(format_args!("{verb} {path}"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::resolve;
    use squall_model::facts::{Scope, Subject};
    use squall_model::target::Target;

    /// A directory on whatever file system temporary files are on, with a small file to be made in it.
    fn scene(until: FillUntil) -> (tempfile::TempDir, FillStep) {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Path(folder.path().to_str().unwrap().to_owned());
        let Subject::Path(path) = resolve(Scope::Path, &target).unwrap().remove(0) else { panic!("no path") };
        let name = FillStep::name_of(&format!("sqt-{}", std::process::id()));
        let step = FillStep { directory: path.directory, name, until, leave_free: Size(0) };
        (folder, step)
    }

    fn put_back(undo: &Undo) -> Reverted {
        let Undo::Fill { directory, name, owner, available } = undo else { panic!("{undo:?}") };
        revert(directory, name, *owner, *available).unwrap()
    }

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_of_the_size_is_made_seen_and_removed() {
        let (folder, step) = scene(FillUntil::By(Size(3 << 20)));
        let undo = capture(&step).unwrap();
        assert!(matches!(put_back(&undo), Reverted::AlreadyGone { .. }));
        apply(&step).unwrap();
        let evidence = observe(&step, &undo).unwrap();
        assert!(evidence.measures["filled_bytes"] >= f64::from(3 << 20), "{}", evidence.summary);
        assert!(matches!(put_back(&undo), Reverted::Undone { .. }));
        assert_eq!(names(folder.path()), 0);
        assert!(matches!(put_back(&undo), Reverted::AlreadyGone { .. }));
    }

    #[test]
    fn an_allocation_that_was_killed_at_once_is_removed_and_others_files_are_not() {
        let (folder, step) = scene(FillUntil::By(Size(1 << 20)));
        let undo = capture(&step).unwrap();
        let path = folder.path().join(&step.name);
        std::fs::write(&path, "").unwrap();
        assert!(matches!(put_back(&undo), Reverted::Undone { .. }));
        for others in ["orders: 17", "squall disk.fill another\n"] {
            std::fs::write(&path, others).unwrap();
            assert!(matches!(apply(&step), Err(MachineError::Refused { .. })));
            assert!(matches!(put_back(&undo), Reverted::Drifted(_)), "{others}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), others);
        }
        std::fs::remove_file(&path).unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        assert!(matches!(put_back(&undo), Reverted::Drifted(_)));
        assert!(elsewhere.path().exists() && path.is_symlink());
    }

    #[test]
    fn a_renamed_directory_is_found_and_one_in_its_place_is_not_touched() {
        let (folder, step) = scene(FillUntil::By(Size(1 << 20)));
        let inner = folder.path().join("data");
        std::fs::create_dir(&inner).unwrap();
        let Subject::Path(path) =
            resolve(Scope::Path, &Target::Path(inner.to_str().unwrap().to_owned())).unwrap().remove(0)
        else {
            panic!("no path")
        };
        let step = FillStep { directory: path.directory, ..step };
        let undo = capture(&step).unwrap();
        apply(&step).unwrap();
        std::fs::rename(&inner, folder.path().join("data.old")).unwrap();
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join(&step.name), FillStep::mark_of(&step.name)).unwrap();
        assert!(matches!(put_back(&undo), Reverted::Undone { .. }));
        assert_eq!((names(&inner), names(&folder.path().join("data.old"))), (1, 0));
        assert!(capture(&step).is_ok(), "it is found under its new name");
        std::fs::remove_dir_all(folder.path().join("data.old")).unwrap();
        assert!(matches!(put_back(&undo), Reverted::AlreadyGone { .. }));
        assert!(matches!(capture(&step), Err(MachineError::NotFound { .. })));
        assert_eq!(names(&inner), 1);
    }

    #[test]
    fn another_boots_file_is_found_by_its_path_and_mark() {
        let (folder, step) = scene(FillUntil::By(Size(1 << 20)));
        apply(&step).unwrap();
        let earlier =
            DirectoryRef { boot_id: "earlier".into(), device: 1, inode: 1, ..step.directory.clone() };
        let owner = rustix::process::geteuid().as_raw();
        let outcome = revert(&earlier, &step.name, owner, Size(0)).unwrap();
        assert!(matches!(&outcome, Reverted::Undone { .. }) || earlier.in_memory, "{outcome:?}");
        let _ = std::fs::remove_file(folder.path().join(&step.name));
        let elsewhere = DirectoryRef { mounted_on: "/sqt-not-mounted".into(), in_memory: false, ..earlier };
        assert!(matches!(revert(&elsewhere, &step.name, owner, Size(0)).unwrap(), Reverted::Drifted(_)));
    }

    #[test]
    fn what_would_change_nothing_or_leave_too_little_is_refused() {
        for (until, leave_free, says) in [
            (FillUntil::Used(Share::of(0.0)), 0, "change nothing"),
            (FillUntil::By(Size(1 << 60)), 0, "would leave less than"),
            (FillUntil::By(Size(1 << 20)), 1 << 60, "would leave less than"),
        ] {
            let (_folder, step) = scene(until);
            let error = capture(&FillStep { leave_free: Size(leave_free), ..step }).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_allocated_is_written() {
        let file = tempfile::tempfile().unwrap();
        write(&file, 0, 3_000_000, Instant::now() + PATIENCE).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3_000_000);
        let late = write(&file, 0, 1 << 40, Instant::now()).unwrap_err();
        assert!(late.to_string().contains("smaller size"), "{late}");
    }
}
