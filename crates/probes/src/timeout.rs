//! How long a question may take: the `timeout` of every probe.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use squall_model::units::Duration;

/// How much longer than its own timeout a probe may be waited for, so that it can say itself what it waited for.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST: std::time::Duration = std::time::Duration::from_hours(1);

/// A time above zero and up to an hour, by default 5 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Duration", into = "Duration")]
pub struct Timeout(Duration);

impl Timeout {
    /// So many seconds, which are neither none nor more than an hour.
    pub(crate) const fn of_seconds(seconds: u64) -> Self {
        Self(Duration::seconds(seconds))
    }

    /// Two seconds.
    pub(crate) const fn two_seconds() -> Self {
        Self(Duration::seconds(2))
    }

    pub(crate) fn get(self) -> std::time::Duration {
        self.0.0
    }

    /// How long to wait for a probe with this timeout.
    pub(crate) fn patience(self) -> Duration {
        Duration(self.0.0 + GRACE)
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self(Duration::seconds(5))
    }
}

impl TryFrom<Duration> for Timeout {
    type Error = String;

    fn try_from(duration: Duration) -> Result<Self, String> {
        if duration.0.is_zero() || duration.0 > LONGEST {
            return Err(format!("a timeout is above zero and at most an hour, not {duration}"));
        }
        Ok(Self(duration))
    }
}

impl From<Timeout> for Duration {
    fn from(timeout: Timeout) -> Self {
        timeout.0
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        Duration::schema_name()
    }
    fn inline_schema() -> bool {
        Duration::inline_schema()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Duration::json_schema(generator)
    }
}
