//! Game days on the demo shop, whose "database" is the ledger: from the plan in Markdown to the report, on lines and on a
//! terminal, killed and resumed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod days;
#[path = "../support/disk.rs"]
mod disk;
mod full;
mod lab;
mod plans;
mod screen;
