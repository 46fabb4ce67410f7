//! What pipelines and policies ask of Squall: objectives, dashboards, ready workflows, environments; with real programs and
//! servers of the tests' own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod alerts;
mod ci;
mod dashboard;
mod lab;
mod pipeline;
mod policy;
mod slo;
