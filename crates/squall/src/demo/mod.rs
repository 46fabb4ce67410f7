//! The demonstration: a small shop, and what happens to it.

pub mod shop;
