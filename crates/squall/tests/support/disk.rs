//! A small file system of a test's own.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A file system in memory, mounted on a folder for as long as the value lives.
pub(crate) struct Disk(std::path::PathBuf);

impl Disk {
    /// One of this size (`8m`) on a folder that it makes. None without the privilege, which is said.
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "sqt-disk"]).arg(folder).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("skipped: mounting a file system takes root and CAP_SYS_ADMIN");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still open in it must not keep it in the folder's way.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
