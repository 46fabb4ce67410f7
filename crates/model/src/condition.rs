//! Conditions as people write them: `error_rate < 1%`, `latency_p99 > 2s for 3s`, `status == 200 and body =~ "ok"`.
//!
//! ```text
//! condition  = either { "or" either }
//! either     = both { "and" both }
//! both       = [ "not" ] ( "(" condition ")" | comparison ) [ "for" DURATION ]
//! comparison = NAME OP VALUE
//! OP         = "<" | "<=" | ">" | ">=" | "==" | "!=" | "=~"
//! VALUE      = number with or without a unit | "text" | 'text' | word | true | false
//! ```

use serde::{Deserialize, Serialize};

/// Whether a condition holds. What cannot be read is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "truth", rename_all = "snake_case")]
pub enum Truth {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// It cannot be known, because these names could not be read.
    Unknown {
        /// The names.
        missing: Vec<String>,
    },
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
    /// `=~`: the text matches a regular expression.
    #[serde(rename = "=~")]
    Matches,
}

/// A numeric threshold that a condition speaks of, to be drawn beside the metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The metric.
    pub name: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// The threshold in the metric's base unit.
    pub value: f64,
}

/// A condition that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// As it was written.
    pub text: String,
}
