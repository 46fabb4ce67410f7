//! Steps on real servers keep the laws, and are seen from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod door;
#[path = "../support/hands.rs"]
mod hands;
mod mariadb;
mod postgres;
mod rabbitmq;
mod redis;
