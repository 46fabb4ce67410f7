//! The client against real servers in this process.
