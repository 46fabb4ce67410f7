//! What is mounted where, as this process sees it (`/proc/self/mountinfo`, see `proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where.
    pub(crate) point: PathBuf,
    /// The kind of its file system: `ext4`, `tmpfs`.
    pub(crate) kind: String,
    /// What is mounted: `/dev/sda2`, or a name without a meaning.
    pub(crate) source: String,
}

impl Mount {
    /// Whether the file system lies in memory, so that it is gone when it is unmounted.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }

    /// Whether looking at it needs no other machine and no program that may hang.
    pub(crate) fn is_local(&self) -> bool {
        const LOCAL: [&str; 11] =
            ["tmpfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "overlay", "vfat"];
        LOCAL.contains(&self.kind.as_str())
    }

    /// Whether both are of one block device, as subvolumes of one file system are.
    pub(crate) fn shares_device_with(&self, other: &Self) -> bool {
        self.source == other.source && self.source.starts_with("/dev/")
    }
}

/// All mounts, those that lie over others later.
pub(crate) fn all() -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The mount that a path without links lies on.
pub(crate) fn of(path: &Path) -> io::Result<Option<Mount>> {
    let around = all()?.into_iter().filter(|mount| path.starts_with(&mount.point));
    // Of several at one point the last is on top, which is the one that `max_by_key` gives.
    Ok(around.max_by_key(|mount| mount.point.components().count()))
}

fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw`: after the sixth field come as many as there are, up
/// to the dash.
fn line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text =
        |index: usize| fields.get(index).map(|field| String::from_utf8_lossy(&plain(field)).into_owned());
    let point = PathBuf::from(OsString::from_vec(plain(fields.get(4)?)));
    Some(Mount { point, kind: text(dash + 1)?, source: text(dash + 2)? })
}

/// Without the escapes of blanks: `\040`.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| *first == b'\\').and_then(|three| std::str::from_utf8(three).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(byte);
            rest = &after[3..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_blanks_and_optional_fields() {
        let text = b"22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     31 22 0:27 / /mnt/two\\040words rw,nosuid shared:7 master:2 - tmpfs none rw,size=64k\n\
                     nonsense\n";
        let [root, other] = parse(text).try_into().unwrap();
        assert_eq!((root.point.to_str().unwrap(), root.kind.as_str()), ("/", "ext4"));
        assert_eq!((other.point.to_str().unwrap(), other.is_in_memory()), ("/mnt/two words", true));
        assert!(!root.shares_device_with(&other) && root.shares_device_with(&root.clone()));
    }

    #[test]
    fn a_path_lies_on_the_nearest_mount() {
        assert_eq!(of(Path::new("/proc/self")).unwrap().unwrap().kind, "proc");
        assert_eq!(of(Path::new("/")).unwrap().unwrap().point, Path::new("/"));
    }
}
