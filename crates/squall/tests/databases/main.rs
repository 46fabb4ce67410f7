//! The built program on real databases: what it does there is seen by other clients, and is gone whoever dies and whatever
//! is lost between them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod lab;
mod mariadb;
mod postgres;
mod rabbitmq;
mod redis;
mod secrets;
