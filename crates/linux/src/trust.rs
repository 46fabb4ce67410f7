//! Who could have written what is about to be believed. An undo log says "write this to that file", and recovery does it
//! with all the rights that it has: so a log, a note about a run, and the folders that they are in must be this user's or
//! root's, and nobody else may be able to write them.
//!
//! Sources: open(2) (`O_NOFOLLOW`, `O_NONBLOCK`: the last part of a path is no link, and a pipe does not hang), and sshd's
//! `StrictModes`, which asks the same.

use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

/// Write permission for the group and for all others.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// In a folder: only the owner of a file may remove or rename it, as in `/tmp`. What others add there is seen to be theirs.
const STICKY: u32 = 0o1000;

/// How often something is tried while its folder goes again and again.
const TRIES: usize = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// Makes a folder for this user alone, with those above it, where it is not there; and refuses one that is not trusted.
/// It may be a link to one that is.
pub fn make_folder(path: &Path) -> io::Result<()> {
    while_folders_go(|| {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        check(&folder.into(), "a folder", STICKY)
    })
}

/// Tries again where something is not found: a guest that leaves takes an empty folder along, perhaps in the moment between it was
/// made and used. (In a folder that goes just now, ext4 permits no new file.)
pub fn while_folders_go<T>(deed: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let of_folders_that_go = [Errno::NOENT, Errno::PERM].map(|errno| Some(errno.raw_os_error()));
    let is_gone = |done: &io::Result<T>| {
        done.as_ref().is_err_and(|error| of_folders_that_go.contains(&error.raw_os_error()))
    };
    let mut done = deed();
    for _ in 1..TRIES {
        if !is_gone(&done) {
            break;
        }
        // For a moment a folder that goes is still found, and takes no file.
        std::thread::sleep(BETWEEN_TRIES);
        done = deed();
    }
    done
}

/// Opens a file that is trusted; others are refused.
pub fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let file = open_regular(path, flags)?;
    check(&file, "a file", 0)?;
    Ok(file)
}

fn open_regular(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(refused("it is not a regular file".to_owned(), "remove it"))
    }
}

/// All of a file that is trusted.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OFlags::RDONLY)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All of a file of anybody's, to be shown and not to be believed.
pub fn look(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path, OFlags::RDONLY)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a file for this user alone, which is not there yet.
pub fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// `unless` are bits of a mode with which it does not matter that others may write.
fn check(file: &File, what: &str, unless: u32) -> io::Result<()> {
    let status = fstat(file)?;
    let user = rustix::process::geteuid().as_raw();
    if status.st_uid != user && status.st_uid != 0 {
        return Err(refused(
            format!("it is {what} of user {}, who could have written anything there", status.st_uid),
            "use a state folder of your own (SQUALL_STATE), or give this one to the user who runs squall (chown)",
        ));
    }
    if status.st_mode & WRITTEN_BY_OTHERS != 0 && status.st_mode & unless == 0 {
        return Err(refused(
            format!("others may write to it (mode {:04o})", status.st_mode & 0o7777),
            "take that away: chmod go-w",
        ));
    }
    Ok(())
}

fn refused(why: String, remedy: &str) -> io::Error {
    io::Error::other(format!("not trusted: {why}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    fn at(folder: &tempfile::TempDir, name: &str, mode: u32) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[track_caller]
    fn is_refused(result: io::Result<Vec<u8>>, words: &str) {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("not trusted") && message.contains(words), "{message}");
    }

    #[test]
    fn what_others_could_have_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&at(&folder, "own", 0o644)).unwrap(), b"x");
        is_refused(read(&at(&folder, "group", 0o664)), "chmod go-w");
        is_refused(read(&at(&folder, "all", 0o606)), "chmod go-w");
        is_refused(read(folder.path()), "not a regular file");
        symlink(folder.path().join("own"), folder.path().join("link")).unwrap();
        assert!(read(&folder.path().join("link")).is_err(), "a link was followed");
        assert!(create(&folder.path().join("own")).is_err() && create(&folder.path().join("link")).is_err());
    }

    #[test]
    fn another_users_files_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = at(&folder, "foreign", 0o644);
        if chown(&path, Some(12_345), None).is_err() {
            println!("skipped: only root can give a file away");
            return;
        }
        is_refused(read(&path), "user 12345");
        chown(folder.path(), Some(12_345), None).unwrap();
        is_refused(make_folder(folder.path()).map(|()| Vec::new()), "SQUALL_STATE");
    }

    #[test]
    fn folders_are_made_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        for made in [folder.path().join("a"), deep.clone()] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
        std::fs::set_permissions(&deep, Permissions::from_mode(0o777)).unwrap();
        is_refused(make_folder(&deep).map(|()| Vec::new()), "chmod go-w");
        std::fs::set_permissions(&deep, Permissions::from_mode(0o1777)).unwrap();
        make_folder(&deep).unwrap();
    }
}
