//! The demonstration: a small shop, and what happens to it.

pub(crate) mod shop;
