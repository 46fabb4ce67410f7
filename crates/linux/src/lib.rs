//! The hands: steps carried out on a Linux kernel, and the only unsafe code.

pub mod sys;
