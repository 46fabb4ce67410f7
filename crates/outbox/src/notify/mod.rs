//! Those who tell people: one file each, one line each in the table `NOTIFIERS` of the crate.

pub(crate) mod alertmanager;
pub(crate) mod email;
pub(crate) mod opsgenie;
pub(crate) mod pagerduty;
pub(crate) mod slack;
pub(crate) mod webhook;
