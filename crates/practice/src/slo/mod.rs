//! Objectives of a service: what is asked of it, what was measured, and whether it holds. What is unknown never holds.

mod cloudwatch;
mod judge;
mod objective;
mod queries;
mod results;

pub use cloudwatch::{CloudWatchNames, Sample};
pub use judge::{Judgement, Measured, Standing, judge, overall};
pub use objective::{Bound, METRICS, Objective};
pub use queries::Names;
pub use results::read as read_results;
