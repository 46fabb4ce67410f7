//! The host's memory as `/proc/meminfo` shows it, and what of it one process has.
//!
//! Sources: `proc_meminfo(5)`, `proc_pid_status(5)`.

use std::io;

/// Memory of the host, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping, by the kernel's estimate.
    pub available: u64,
    /// Page cache, buffers and kernel caches that can be given back: what `drop_caches` drops.
    pub caches: u64,
}

/// Looks at the host's memory.
pub fn read() -> io::Result<Memory> {
    parse(&std::fs::read_to_string("/proc/meminfo")?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo is not in the known format"))
}

/// Bytes of a process that are in memory now, shared ones too.
pub fn resident(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    // One that ended and waits to be reaped has none.
    Ok(field(&text, "VmRSS").unwrap_or(0))
}

fn parse(text: &str) -> Option<Memory> {
    let bytes = |name| field(text, name);
    Some(Memory {
        total: bytes("MemTotal")?,
        available: bytes("MemAvailable")?,
        caches: bytes("Cached")? + bytes("Buffers").unwrap_or(0) + bytes("SReclaimable").unwrap_or(0),
    })
}

/// Bytes that a line `NAME:  NUMBER kB` tells of.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_bytes() {
        let text = "MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\nBuffers: 1 kB\nCached: 2 kB\nSwapCached: 9 kB\nSReclaimable: 4 kB\n";
        let memory = Memory { total: 2048 << 10, available: 1024 << 10, caches: 7 << 10 };
        assert_eq!(parse(text), Some(memory));
        assert_eq!(parse("MemTotal: 2048 kB\n"), None);
        let real = read().unwrap();
        assert!(real.available <= real.total && real.available > 0);
        assert!(resident(std::process::id()).unwrap() > 0);
    }
}
