//! A directory that a target names, and the file system that it is on.

use crate::step::failed;
use crate::step::fill::Space;
use crate::sys::process;
use crate::{mounts, step};
use squall_model::facts::{PathFacts, Subject};
use squall_model::machine::MachineError;
use squall_model::step::DirectoryRef;
use squall_model::units::Size;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory of this path; none where nothing is there. Links on the way are followed now, and never again.
pub(super) fn find(path: &str) -> Result<Option<PathFacts>, MachineError> {
    let error = |error: io::Error| failed(format_args!("look at {path}"), &error);
    let real = match std::fs::canonicalize(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        real => real.map_err(error)?,
    };
    let metadata = std::fs::metadata(&real).map_err(error)?;
    let Some(text) = real.to_str().filter(|_| metadata.is_dir()) else {
        return Err(MachineError::Refused {
            message: format!(
                "{path} is no directory (or its name is no text); name the directory that it is in"
            ),
        });
    };
    let mount = mounts::of(&real).map_err(error)?.ok_or_else(|| MachineError::Failed {
        message: format!("could not find the mount that {path} is on in /proc/self/mountinfo"),
    })?;
    let directory = DirectoryRef {
        path: text.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
        boot_id: process::boot_id().to_owned(),
        mounted_on: mount.point.to_string_lossy().into_owned(),
        in_memory: mount.is_in_memory(),
    };
    let space = Space::of(&step::fill::open(&directory)?).map_err(error)?;
    Ok(Some(PathFacts {
        is_root: lies_on_one(&real, Path::new("/")).map_err(error)?,
        directory,
        file_system: mount.kind,
        size: Size(space.size),
        available: Size(space.available),
        holds_state: false,
    }))
}

/// Notes of each directory whether Squall's state folder is on the same file system. What cannot be told counts as yes.
pub(crate) fn mark_state(found: &mut [Subject], state: &Path) {
    for subject in found {
        if let Subject::Path(path) = subject {
            path.holds_state = lies_on_one(Path::new(&path.directory.path), &there(state)).unwrap_or(true);
        }
    }
}

/// The nearest folder on the way to a path that is there already, without links.
fn there(path: &Path) -> PathBuf {
    path.ancestors().find_map(|folder| std::fs::canonicalize(folder).ok()).unwrap_or_else(|| "/".into())
}

/// Whether two paths without links take their space from one file system.
fn lies_on_one(one: &Path, other: &Path) -> io::Result<bool> {
    if std::fs::metadata(one)?.dev() == std::fs::metadata(other)?.dev() {
        return Ok(true);
    }
    Ok(match (mounts::of(one)?, mounts::of(other)?) {
        (Some(one), Some(other)) => one.shares_device_with(&other),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_with_its_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let real = std::fs::canonicalize(folder.path()).unwrap();
        let mut found = vec![Subject::Path(find(link.to_str().unwrap()).unwrap().unwrap())];
        mark_state(&mut found, &folder.path().join("state/not/made/yet"));
        let Subject::Path(path) = &found[0] else { panic!("{found:?}") };
        assert_eq!(Path::new(&path.directory.path), real);
        assert!(path.holds_state && path.available <= path.size && path.size.0 > 0, "{path:?}");
        mark_state(&mut found, Path::new("/proc"));
        assert!(matches!(&found[0], Subject::Path(path) if !path.holds_state));
    }

    #[test]
    fn the_root_is_known_and_what_is_no_directory_is_refused() {
        assert!(find("/").unwrap().unwrap().is_root);
        assert!(!find("/proc").unwrap().unwrap().is_root);
        assert_eq!(find("/sqt-no-such").unwrap(), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(find(file.path().to_str().unwrap()), Err(MachineError::Refused { .. })));
    }
}
