//! Holds memory: at once, or growing at a rate up to a limit. Every page is written, so that it is truly taken.
//!
//! Growth stops where less than the reserve would be left, on the host or in the worker's control groups, whoever
//! takes the rest; it goes on when there is room again. What is held is given back by ending.

use crate::Going;
use squall_linux::sys::cgroup::{self, Controller, Group};
use squall_linux::sys::memory;
use squall_model::undo::Evidence;
use squall_model::units::Size;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is taken between two looks at what is left.
const LARGEST_PIECE: u64 = 16 << 20;

/// How often a growing worker grows.
const TICK: Duration = Duration::from_millis(50);

/// Pages are at least this large on every Linux.
const PAGE: usize = 4096;

/// How memory is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// Bytes added each second; none means at once.
    pub(crate) rate: Option<Size>,
    /// Where growth stops.
    pub(crate) limit: Size,
    /// What is left to others.
    pub(crate) leave_free: Size,
}

/// What the growing thread tells.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Bytes that are held.
    held: u64,
    /// Why it does not grow just now, though it should.
    checked: Option<String>,
}

/// Memory that is held.
pub(crate) struct Held {
    growth: Growth,
    progress: Arc<Mutex<Progress>>,
}

/// Starts the thread that takes memory.
pub(crate) fn start(growth: Growth) -> io::Result<Held> {
    let progress = Arc::new(Mutex::new(Progress::default()));
    let told = Arc::clone(&progress);
    std::thread::Builder::new().name("memory".to_owned()).spawn(move || grow(growth, &told))?;
    Ok(Held { growth, progress })
}

impl Going for Held {
    fn evidence(&self) -> Evidence {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resident = memory::resident(std::process::id()).unwrap_or(0);
        let mut says = format!("holds {} of {}", Size(progress.held), self.growth.limit);
        if let Some(checked) = &progress.checked {
            says = format!("{says}; does not grow now: {checked}");
        } else if progress.held < self.growth.limit.0 {
            // How fast pages can be had is the machine's affair: however much there is by now is truly taken.
            says = format!("{says}, and grows");
        }
        let evidence = if progress.held > 0 { Evidence::seen(says) } else { Evidence::not_seen(says) };
        evidence.with("held_bytes", progress.held as f64).with("resident_bytes", resident as f64)
    }
}

fn grow(growth: Growth, progress: &Mutex<Progress>) {
    let started = Instant::now();
    let group = own_group();
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut held = 0;
    loop {
        let wanted = wanted(growth, started.elapsed()).saturating_sub(held).min(LARGEST_PIECE);
        let outcome =
            if wanted == 0 { Ok(()) } else { has_room(wanted, growth.leave_free.0, group.as_ref()) };
        if wanted > 0 && outcome.is_ok() {
            pieces.push(taken(wanted as usize));
            held += wanted;
        }
        let checked = outcome.err();
        let pause = growth.rate.is_some() || wanted == 0 || checked.is_some();
        *progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { held, checked };
        if pause {
            std::thread::sleep(TICK);
        }
    }
}

/// How much should be held after a while.
fn wanted(growth: Growth, elapsed: Duration) -> u64 {
    match growth.rate {
        None => growth.limit.0,
        Some(rate) => growth.limit.0.min((rate.0 as f64 * elapsed.as_secs_f64()) as u64),
    }
}

/// Whether the reserve remains after so much more is taken; says where not.
fn has_room(more: u64, leave_free: u64, group: Option<&Group>) -> Result<(), String> {
    let needed = more.saturating_add(leave_free);
    let host =
        memory::read().map_err(|error| format!("the host's memory cannot be read: {error}"))?.available;
    if host < needed {
        return Err(format!(
            "{} is available on this host, and {} is left to others",
            Size(host),
            Size(leave_free)
        ));
    }
    match group.and_then(cgroup::memory_use) {
        Some(limit) if limit.free() < needed => Err(format!(
            "{} is free in the control group, and {} is left to others",
            Size(limit.free()),
            Size(leave_free)
        )),
        _ => Ok(()),
    }
}

/// The control group that our memory is charged to; a worker does not change it once it has begun.
fn own_group() -> Option<Group> {
    cgroup::of_process(std::process::id(), Controller::Memory, &cgroup::trees().ok()?).ok().flatten()
}

/// Memory of which every page is written, and no page is like another: equal ones may be merged by the kernel.
fn taken(bytes: usize) -> Vec<u8> {
    let mut piece = vec![0xA5; bytes];
    let address = piece.as_ptr() as usize;
    for (number, page) in piece.chunks_mut(PAGE).enumerate() {
        let stamp = (address + number * PAGE).to_ne_bytes();
        let length = stamp.len().min(page.len());
        page[..length].copy_from_slice(&stamp[..length]);
    }
    std::hint::black_box(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::undo::Effect;

    #[test]
    fn growth_follows_the_rate_up_to_the_limit() {
        let at_once = Growth { rate: None, limit: Size(100), leave_free: Size(0) };
        assert_eq!(wanted(at_once, Duration::ZERO), 100);
        let slow = Growth { rate: Some(Size(10)), ..at_once };
        assert_eq!(wanted(slow, Duration::ZERO), 0);
        assert_eq!(wanted(slow, Duration::from_millis(2500)), 25);
        assert_eq!(wanted(slow, Duration::from_mins(1)), 100);
    }

    #[test]
    fn a_spike_that_still_grows_has_an_effect() {
        let growth = Growth { rate: None, limit: Size(8 << 30), leave_free: Size(0) };
        let held = |held: u64| {
            let progress = Arc::new(Mutex::new(Progress { held, checked: None }));
            Held { growth, progress }.evidence()
        };
        let grows = held(944 << 20);
        assert_eq!((grows.effect, grows.summary.as_str()), (Effect::Seen, "holds 944MiB of 8GiB, and grows"));
        assert_eq!(held(8 << 30).summary, "holds 8GiB of 8GiB");
        assert_eq!(held(0).effect, Effect::NotSeen);
    }

    #[test]
    fn what_is_taken_is_resident() {
        let resident = || memory::resident(std::process::id()).unwrap();
        let before = resident();
        let piece = taken(32 << 20);
        assert!(resident() - before >= 31 << 20);
        drop(piece);
    }

    #[test]
    fn the_reserve_is_left_alone() {
        assert_eq!(has_room(1, 0, own_group().as_ref()), Ok(()));
        let total = memory::read().unwrap().total;
        let why = has_room(1, total, None).unwrap_err();
        assert!(why.contains("left to others"), "{why}");
    }
}
