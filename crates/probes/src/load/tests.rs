//! The load generator against real servers in this process.
