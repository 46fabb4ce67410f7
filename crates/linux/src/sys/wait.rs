//! Waiting for a descriptor to have something to say.
//!
//! Source: poll(2).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Waits until there is something to read (or the other end is gone), at most this long; says whether there is.
pub fn readable(descriptor: impl AsFd, at_most: Duration) -> rustix::io::Result<bool> {
    let deadline = Instant::now() + at_most;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_pipe_is_readable_once_written_or_closed() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert!(!readable(&reader, Duration::ZERO).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(readable(&reader, Duration::ZERO).unwrap());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        assert!(readable(&reader, Duration::from_secs(5)).unwrap());
    }
}
