//! Squall: chaos engineering in one binary.

fn main() {}
