//! Game days: a plan in Markdown understood, carried out as a session of people and measurements, judged.
//!
//! ```text
//! markdown → plan ─┐
//!                  ├─ criteria: what a machine can check, and how ─ session: inputs in, events out ─ judge
//! squall block ────┘
//! ```

mod criteria;
mod judge;
mod markdown;
mod plan;
mod quantities;
mod session;

pub use plan::{Draft, ReadFollowUp, follow_up, read};
pub use session::{Answer, Command, Input, Options, Output, Present, Sample, Session};

/// The language of the fenced block in a plan that says what is measured.
pub const BLOCK: &str = "squall";

/// What stands in a proposed check for what only people know.
pub const GAP: &str = "${LIMIT}";

/// Minutes since midnight of a time of day that a whole text tells: `10:00`, `2:15 PM`.
pub fn minutes_of(text: &str) -> Option<u32> {
    match quantities::time_of_day(text) {
        Some(Ok((minutes, taken))) if taken == text.len() && !text.starts_with(['T', '+']) => {
            Some(minutes as u32)
        }
        _ => None,
    }
}
