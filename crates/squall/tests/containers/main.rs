//! Real containers of a real Docker daemon: faults strike them though nothing is installed in them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod faults;
mod lab;
