//! The operator: experiments, schedules and runs as objects of a cluster, carried out by the same engine as at a terminal.

pub(crate) mod admission;
pub(crate) mod author;
pub(crate) mod resources;
