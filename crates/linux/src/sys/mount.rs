//! A small file system in memory that only this process and its children see, and that is gone with them.
//!
//! Sources: `mount_namespaces(7)`, `tmpfs(5)`.

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::CString;
use std::io;
use std::path::Path;

/// Leaves for a mount namespace of one's own and mounts so many bytes of memory on a folder there. Must come before
/// there are other threads: those that are there already stay where they are.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, or where the folder is none.
pub fn private_memory(folder: &Path, size: u64) -> io::Result<()> {
    leave_for_a_fresh_one()?;
    // Else the mount would be passed on to whom the old namespace shares its mounts with.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let options = CString::new(format!("size={size},mode=0755")).map_err(io::Error::other)?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    Ok(mount("squall", folder, "tmpfs", flags, options.as_c_str())?)
}

/// Moves the calling thread into a new mount namespace.
#[expect(unsafe_code, reason = "unshare(2)")]
fn leave_for_a_fresh_one() -> rustix::io::Result<()> {
    // SAFETY: what makes unshare unsafe is a file table of one's own; only the mount namespace is left here.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_do_not_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let inside = std::thread::spawn(move || {
            private_memory(&path, 1 << 20)?;
            std::fs::write(path.join("here"), "")?;
            Ok::<_, io::Error>(rustix::fs::statvfs(&path)?.f_blocks)
        });
        match inside.join().unwrap() {
            Ok(blocks) => assert_eq!(blocks, (1 << 20) / 4096),
            Err(error) => println!("skipped: a mount namespace takes CAP_SYS_ADMIN: {error}"),
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
