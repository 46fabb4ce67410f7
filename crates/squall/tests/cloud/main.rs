//! AWS: real runs against moto, a server that plays it, and against one that takes its time as the real one does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod killed;
mod lab;
mod monkey;
mod runs;
mod slow;
