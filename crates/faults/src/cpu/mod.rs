//! Faults that take processor time.

pub(crate) mod load;
