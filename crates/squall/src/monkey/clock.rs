//! The clock that the monkey goes by: the host's, or one that was set to another time when the monkey began.

use jiff::{SignedDuration, Timestamp};

/// A clock that goes as fast as the host's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    ahead: SignedDuration,
}

impl Clock {
    /// One that shows a time now.
    pub(crate) fn showing(time: Timestamp) -> Self {
        Self { ahead: time.duration_since(Timestamp::now()) }
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }
}
