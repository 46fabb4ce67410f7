//! What a team decides and judges: plans of people, calendars, schedules, policies.
//!
//! Nothing here reads a file, a clock or a network: whoever calls brings texts, instants and measurements, so that every
//! decision can be tested at any hour of any day.

pub mod calendar;
pub mod comparison;
pub mod gameday;
pub mod limit;
pub mod maturity;
pub mod monkey;
pub mod policy;
pub mod slo;
