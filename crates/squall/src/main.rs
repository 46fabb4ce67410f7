//! Squall: chaos engineering in one binary.

mod demo;

fn main() {}
