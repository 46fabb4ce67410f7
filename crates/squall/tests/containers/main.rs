//! Real containers of a real Docker daemon: faults strike them though nothing is installed in them, and the monkey ends
//! those that opted in.

#![allow(clippy::unwrap_used, clippy::panic)]

mod faults;
mod lab;
mod monkey;
mod postgres;
mod probes;
