//! Crash points: the instants between two acts of the hands at which a test may end the process.
//!
//! A product build reaches them and nothing happens. The simulator and the torture build give the hands a [`Hook`]
//! that kills the agent at a chosen one: everything that is promised must hold whichever it is.

use std::fmt;
use std::str::FromStr;

/// Called at every crash point, in order: between any two acts of the hands.
pub type Hook = Box<dyn FnMut(Point) + Send>;

/// A hook that lets everything pass.
pub fn none() -> Hook {
    Box::new(|_| {})
}

/// Declares the points once: as an enum, as a list, and with their names.
macro_rules! points {
    ($($(#[$meta:meta])* $point:ident = $name:literal,)*) => {
        /// An instant before or after one act of the hands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point {
            $($(#[$meta])* $point,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// Its name in `SQUALL_CRASH_AT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A fault is about to be planned on a target, or its targets are about to be looked for.
    BeforePlan = "before_plan",
    /// The undo log does not exist yet.
    BeforeCreate = "before_create",
    /// The undo log exists and says who and what.
    AfterCreate = "after_create",
    /// A step was captured.
    BeforeIntend = "before_intend",
    /// The step's undo is on disk.
    AfterIntend = "after_intend",
    /// The step is about to be applied.
    BeforeApply = "before_apply",
    /// The step was applied, or failed to be.
    AfterApply = "after_apply",
    /// The log does not yet say that the step was applied.
    BeforeApplied = "before_applied",
    /// The log says that the step was applied.
    AfterApplied = "after_applied",
    /// A dead owner's log is about to be taken over.
    BeforeTakeOver = "before_take_over",
    /// A dead owner's log is ours.
    AfterTakeOver = "after_take_over",
    /// A step is about to be put back.
    BeforeRevert = "before_revert",
    /// A step was put back, or could not be.
    AfterRevert = "after_revert",
    /// The log does not yet say that the step was put back.
    BeforeReverted = "before_reverted",
    /// The log says that the step was put back.
    AfterReverted = "after_reverted",
    /// Everything is put back and the log still exists.
    BeforeClose = "before_close",
    /// The log is gone.
    AfterClose = "after_close",
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which crash point ends the process: `after_apply:2` is the second time that `after_apply` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    /// The point.
    pub point: Point,
    /// How often it must be reached, from 1.
    pub time: u32,
}

impl CrashAt {
    /// A hook that calls `end` when the point is reached for the chosen time.
    pub fn hook(self, mut end: impl FnMut() + Send + 'static) -> Hook {
        let mut reached = 0_u32;
        Box::new(move |point| {
            if point == self.point {
                reached += 1;
                if reached == self.time {
                    end();
                }
            }
        })
    }
}

impl FromStr for CrashAt {
    type Err = String;

    /// Reads the value of `SQUALL_CRASH_AT`; a point without a number means the first time.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, time) = text.trim().split_once(':').unwrap_or((text.trim(), "1"));
        let point = Point::ALL.iter().find(|point| point.name() == name).ok_or_else(|| {
            let known = Point::ALL.iter().map(|point| point.name()).collect::<Vec<_>>().join(", ");
            format!("{name:?} is no crash point; known are {known}")
        })?;
        match time.parse() {
            Ok(time) if time > 0 => Ok(Self { point: *point, time }),
            _ => Err(format!("{time:?} is not how often a crash point is reached: a whole number from 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_crash_point_is_read_and_strikes_once_at_its_time() {
        for point in Point::ALL {
            assert_eq!(point.name().parse(), Ok(CrashAt { point: *point, time: 1 }));
        }
        assert!("after_apply:0".parse::<CrashAt>().is_err());
        assert!("after_lunch".parse::<CrashAt>().unwrap_err().contains("before_create"));

        let ended = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&ended);
        let mut hook = "after_apply:2".parse::<CrashAt>().unwrap().hook(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        for (point, expected) in
            [(Point::AfterApply, 0), (Point::BeforeApply, 0), (Point::AfterApply, 1), (Point::AfterApply, 1)]
        {
            hook(point);
            assert_eq!(ended.load(Ordering::Relaxed), expected);
        }
    }
}
