//! Conditions as people write them: `error_rate < 1%`, `latency_p99 > 2s for 3s`, `status == 200 and body =~ "ok"`.
//!
//! ```text
//! condition  = both { "or" both }
//! both       = lasting { "and" lasting }
//! lasting    = [ "not" ] ( "(" condition ")" | comparison ) [ "for" DURATION ]
//! comparison = NAME OP VALUE
//! NAME       = letters, digits and _ . - [ ]
//! OP         = "<" | "<=" | ">" | ">=" | "==" | "!=" | "=~"
//! VALUE      = number with or without a unit | "text" | 'text' | word | true | false
//! ```
//!
//! `for` belongs to the one comparison or parenthesis before it, with its `not`: `not a > 1 for 3s` holds once `a` was
//! not above 1 for three seconds.
//!
//! How values are compared:
//!
//! - A number in a condition is compared with a number that was read, or with a text that reads as a number (with or
//!   without a unit). Any other text, and yes and no, are not equal to it and neither above nor below it.
//! - A text and `true` or `false` are equal to the same only. `!=` holds wherever `==` does not.
//! - `=~` looks for the expression anywhere in a text; a number and a yes or no are looked at as they are printed.
//! - A name that was not read, or was read as not-a-number, is unknown, and the logic is Kleene's: `unknown or true`
//!   holds, `unknown and false` fails, everything else with an unknown part is unknown.
//! - How long something held is unknown too where it held from the first look on, and that is not yet as long ago as
//!   `for` asks: see [`ConditionState::unseen_before`]. No name is missing then.

mod parse;

use crate::units::{Duration, Frequency, Rate, Share, Size};
use crate::value::{Reading, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

pub use parse::ConditionError;

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
        /// The names; none where all was read, and it was not looked at for as long as a `for` asks.
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

/// A condition that was understood. Two are equal where they are written alike.
#[derive(Debug, Clone)]
pub struct Condition {
    /// As it was written.
    pub text: String,
    expression: Expression,
}

/// The parts of a condition.
#[derive(Debug, Clone)]
enum Expression {
    Compare {
        name: String,
        test: Test,
        /// Whether the number has a unit.
        has_unit: bool,
    },
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    /// `clock` tells the lasting parts of one condition apart.
    Lasting {
        inner: Box<Expression>,
        seconds: f64,
        clock: usize,
    },
}

/// What a name is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// A number without a unit.
    Number,
    /// A number with a unit.
    Quantity,
    /// A text.
    Text,
    /// `true` or `false`.
    YesOrNo,
    /// A regular expression.
    Pattern,
}

/// What a value is held against.
#[derive(Debug, Clone)]
enum Test {
    Against(Comparison, Value),
    Pattern(regex_lite::Regex),
}

/// Since when the lasting parts of a condition have held. Belongs to one condition. By default what was not seen did
/// not hold, which is right for what is to be noticed: `abort_if`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConditionState {
    since: BTreeMap<usize, f64>,
    /// The lasting parts that were seen to fail; none where what was not seen did not hold.
    seen_failing: Option<BTreeSet<usize>>,
}

impl ConditionState {
    /// For what is expected: nothing is known of the time before the first look. What holds from then on has neither
    /// held for as long as its `for` asks nor failed to, until it has.
    pub fn unseen_before() -> Self {
        Self { since: BTreeMap::new(), seen_failing: Some(BTreeSet::new()) }
    }

    /// How long a lasting part has held, judged on what its inside is now.
    fn lasting(&mut self, clock: usize, seconds: f64, now: f64, inside: Truth) -> Truth {
        if !inside.holds() {
            self.since.remove(&clock);
            if let (Some(failing), Truth::Fails) = (&mut self.seen_failing, &inside) {
                failing.insert(clock);
            }
            return inside;
        }
        let since = *self.since.entry(clock).or_insert(now);
        let may_have_held = self.seen_failing.as_ref().is_some_and(|failing| !failing.contains(&clock));
        match now - since >= seconds {
            true => Truth::Holds,
            false if may_have_held => Truth::Unknown { missing: Vec::new() },
            false => Truth::Fails,
        }
    }
}

impl Condition {
    /// Understands a condition.
    ///
    /// # Errors
    /// Says what is wrong and in which bytes of the text.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        Ok(Self { text: text.trim().to_owned(), expression: parse::expression(text)? })
    }

    /// One that holds where both do. For those without `for`, which would not be told apart.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            text: format!("({}) and ({})", self.text, other.text),
            expression: Expression::All(vec![self.expression.clone(), other.expression.clone()]),
        }
    }

    /// The names that it speaks of, each once, in the order of the text.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.expression.visit(&mut |name, _, _| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
        names
    }

    /// What each name is compared with, in the order of the text.
    pub fn comparisons(&self) -> Vec<(String, Against)> {
        let mut comparisons = Vec::new();
        self.expression.visit(&mut |name, test, has_unit| {
            let against = match test {
                Test::Pattern(_) => Against::Pattern,
                Test::Against(_, Value::Number(_)) if has_unit => Against::Quantity,
                Test::Against(_, Value::Number(_)) => Against::Number,
                Test::Against(_, Value::Text(_)) => Against::Text,
                Test::Against(_, Value::Bool(_)) => Against::YesOrNo,
            };
            comparisons.push((name.to_owned(), against));
        });
        comparisons
    }

    /// The numeric thresholds (`<`, `<=`, `>`, `>=`) that it speaks of, save under `not`.
    pub fn bounds(&self) -> Vec<Bound> {
        let mut bounds = Vec::new();
        self.expression.collect_bounds(&mut bounds);
        bounds
    }

    /// For how many seconds it must be looked at before it can be known to hold: its longest chain of `for`.
    pub fn takes(&self) -> f64 {
        self.expression.takes()
    }

    /// Whether it holds for what was read at `seconds` of the caller's monotonic clock.
    ///
    /// `state` remembers since when the parts with `for` have held. A part that fails or is unknown starts anew.
    pub fn judge(&self, state: &mut ConditionState, seconds: f64, reading: &Reading) -> Truth {
        self.expression.judge(state, seconds, reading)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::parse(text)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Truth {
    /// Whether it is known to hold.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds)
    }

    /// Whether all was read, and only not looked at for as long as a `for` asks.
    pub fn is_too_early(&self) -> bool {
        matches!(self, Self::Unknown { missing } if missing.is_empty())
    }

    fn known(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            unknown @ Self::Unknown { .. } => unknown,
        }
    }

    /// Joins truths of which one `decides` the whole by itself: `Fails` for all, `Holds` for any.
    fn join(truths: impl Iterator<Item = Self>, decides: &Self) -> Self {
        let mut unknown: Option<Vec<String>> = None;
        let mut decided = false;
        // Every part is judged, also after the answer is known: the lasting ones among them keep time.
        for truth in truths {
            if truth == *decides {
                decided = true;
            } else if let Self::Unknown { missing } = truth {
                unknown.get_or_insert_default().extend(missing);
            }
        }
        if decided {
            return decides.clone();
        }
        let Some(unknown) = unknown else { return decides.clone().negated() };
        let mut missing = Vec::new();
        for name in unknown {
            if !missing.contains(&name) {
                missing.push(name);
            }
        }
        Self::Unknown { missing }
    }
}

impl Expression {
    fn visit(&self, see: &mut dyn FnMut(&str, &Test, bool)) {
        match self {
            Self::Compare { name, test, has_unit } => see(name, test, *has_unit),
            Self::Not(inner) | Self::Lasting { inner, .. } => inner.visit(see),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
        }
    }

    fn takes(&self) -> f64 {
        match self {
            Self::Compare { .. } => 0.0,
            Self::Not(inner) => inner.takes(),
            Self::Lasting { inner, seconds, .. } => seconds + inner.takes(),
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::takes).fold(0.0, f64::max),
        }
    }

    fn collect_bounds(&self, bounds: &mut Vec<Bound>) {
        match self {
            Self::Compare { name, test: Test::Against(comparison, Value::Number(value)), .. } => {
                if comparison.is_order() {
                    bounds.push(Bound { name: name.clone(), comparison: *comparison, value: *value });
                }
            }
            // What is under `not` is a threshold of the opposite; a line drawn for it would mislead.
            Self::Compare { .. } | Self::Not(_) => {}
            Self::Lasting { inner, .. } => inner.collect_bounds(bounds),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect_bounds(bounds)),
        }
    }

    fn judge(&self, state: &mut ConditionState, now: f64, reading: &Reading) -> Truth {
        match self {
            Self::Compare { name, test, .. } => match reading.get(name) {
                Some(Value::Number(number)) if number.is_nan() => {
                    Truth::Unknown { missing: vec![name.clone()] }
                }
                Some(value) => Truth::known(test.passes(value)),
                None => Truth::Unknown { missing: vec![name.clone()] },
            },
            Self::Not(inner) => inner.judge(state, now, reading).negated(),
            Self::All(parts) => {
                Truth::join(parts.iter().map(|part| part.judge(state, now, reading)), &Truth::Fails)
            }
            Self::Any(parts) => {
                Truth::join(parts.iter().map(|part| part.judge(state, now, reading)), &Truth::Holds)
            }
            Self::Lasting { inner, seconds, clock } => {
                let inside = inner.judge(state, now, reading);
                state.lasting(*clock, *seconds, now, inside)
            }
        }
    }
}

impl Comparison {
    /// Whether it asks for more or less, which only numbers can answer.
    fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }

    fn of_numbers(self, left: f64, right: f64) -> bool {
        // `5%` and `0.05` are a rounding error apart and mean the same.
        let equal = (left - right).abs() <= 1e-12 * left.abs().max(right.abs()).min(f64::MAX);
        match self {
            Self::Less => left < right && !equal,
            Self::LessOrEqual => left < right || equal,
            Self::Greater => left > right && !equal,
            Self::GreaterOrEqual => left > right || equal,
            Self::Equal => equal,
            Self::NotEqual => !equal,
            Self::Matches => false,
        }
    }
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        match self {
            Self::Pattern(pattern) => match value {
                Value::Text(text) => pattern.is_match(text),
                Value::Bool(value) => pattern.is_match(&value.to_string()),
                Value::Number(number) => pattern.is_match(&number.to_string()),
            },
            Self::Against(comparison, Value::Number(right)) => {
                let left = match value {
                    Value::Number(number) => Some(*number),
                    Value::Text(text) => quantity(text).map(|(number, _)| number),
                    Value::Bool(_) => None,
                };
                match left {
                    Some(left) => comparison.of_numbers(left, *right),
                    None => *comparison == Comparison::NotEqual,
                }
            }
            // What PostgreSQL says for yes and no, and what it is in other languages.
            Self::Against(comparison, Value::Bool(right)) if matches!(value, Value::Text(_)) => {
                let left = match value {
                    Value::Text(text) if ["t", "true"].contains(&text.as_str()) => Some(true),
                    Value::Text(text) if ["f", "false"].contains(&text.as_str()) => Some(false),
                    _ => None,
                };
                match comparison {
                    Comparison::Equal => left == Some(*right),
                    Comparison::NotEqual => left != Some(*right),
                    _ => false,
                }
            }
            Self::Against(comparison, right) => match comparison {
                Comparison::Equal => value == right,
                Comparison::NotEqual => value != right,
                _ => false,
            },
        }
    }
}

/// What a number measures, by its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Plain,
    Share,
    Time,
    Size,
    Rate,
    Frequency,
}

/// Reads a number with or without a unit, in its base unit. A minus is allowed, and shares may exceed the whole: a
/// change can be `-20%` or `150%`.
fn quantity(text: &str) -> Option<(f64, Dimension)> {
    let text = text.trim();
    // "inf" and "nan" are numbers to Rust, and words to everyone else.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some((number, Dimension::Plain));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return quantity(rest)
            .filter(|_| !rest.starts_with(['-', '+']))
            .map(|(number, dimension)| (-number, dimension));
    }
    if let Some(number) = text.strip_suffix('%') {
        // A share's own parser stops at 100 %.
        let number = number.trim_end().parse::<f64>().ok()?;
        return number.is_finite().then_some((number / 100.0, Dimension::Share));
    }
    if let Some(rest) = text.strip_prefix('0').filter(|rest| rest.trim_start().starts_with('/')) {
        // A frequency of zero is no frequency, but a fine threshold.
        return format!("1{rest}").parse::<Frequency>().ok().map(|_| (0.0, Dimension::Frequency));
    }
    text.parse::<Duration>()
        .map(|duration| (duration.as_seconds(), Dimension::Time))
        .or_else(|_| text.parse::<Size>().map(|size| (size.0 as f64, Dimension::Size)))
        .or_else(|_| text.parse::<Rate>().map(|rate| (rate.bits_per_second as f64, Dimension::Rate)))
        .or_else(|_| text.parse::<Frequency>().map(|often| (often.per_second, Dimension::Frequency)))
        .or_else(|_| text.parse::<Share>().map(|share| (share.fraction(), Dimension::Share)))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(pairs: &[(&str, Value)]) -> Reading {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn truth(text: &str, pairs: &[(&str, Value)]) -> Truth {
        Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).judge(
            &mut ConditionState::default(),
            0.0,
            &reading(pairs),
        )
    }

    fn unknown(names: &[&str]) -> Truth {
        Truth::Unknown { missing: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn values_carry_their_units() {
        let pairs = [
            ("error_rate", Value::from(0.05)),
            ("latency_p99", 0.4.into()),
            ("throughput", 200.0.into()),
            ("memory", 1_048_576.0.into()),
            ("bandwidth", 1e6.into()),
            ("offset", (-0.5).into()),
            ("change", 1.4.into()),
        ];
        for text in [
            "error_rate == 5%",
            "error_rate == 0.05",
            "error_rate <= 5 %",
            "latency_p99 < 500ms",
            "latency_p99 < 500 ms",
            "latency_p99 >= 0.4s",
            "latency_p99 < 1m30s",
            "throughput >= 200/s",
            "throughput > 100",
            "throughput > 0/s",
            "memory == 1MiB",
            "bandwidth == 1mbit",
            "offset < -400ms",
            "offset > -1",
            "change < 150%",
            "change < 1.5e0",
        ] {
            assert_eq!(truth(text, &pairs), Truth::Holds, "{text}");
        }
    }

    #[test]
    fn types_that_differ_are_not_equal_and_have_no_order() {
        let pairs = [
            ("status", Value::from(200.0)),
            ("code", "200".into()),
            ("size", "3MiB".into()),
            ("up", true.into()),
            ("word", "ready".into()),
            ("sql", "f".into()),
        ];
        for text in [
            "sql == false",
            "sql != true",
            "sql == f",
            "status == 200",
            "code == 200",
            "code < 201",
            "size > 2MiB",
            "up == true",
            "up != false",
            "word == ready",
            "word == 'ready'",
            "word != 5",
            "status != \"200\"",
            "up != 1",
            "status =~ \"^2..$\"",
            "word =~ ^rea",
            "up =~ tr",
        ] {
            assert_eq!(truth(text, &pairs), Truth::Holds, "{text}");
        }
        for text in
            ["word < 5", "word >= 5", "up == 1", "up > 0", "status == '200'", "word == true", "sql == true"]
        {
            assert_eq!(truth(text, &pairs), Truth::Fails, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let pairs = [("a", Value::from(1.0)), ("nan", f64::NAN.into())];
        assert_eq!(truth("b > 1", &pairs), unknown(&["b"]));
        assert_eq!(truth("nan > 1", &pairs), unknown(&["nan"]));
        assert_eq!(truth("not b > 1", &pairs), unknown(&["b"]));
        assert_eq!(truth("b > 1 and a == 1", &pairs), unknown(&["b"]));
        assert_eq!(truth("b > 1 and a == 2", &pairs), Truth::Fails);
        assert_eq!(truth("b > 1 or a == 1", &pairs), Truth::Holds);
        assert_eq!(truth("b > 1 or a == 2 or c == 1 or b < 0", &pairs), unknown(&["b", "c"]));
    }

    #[test]
    fn and_binds_tighter_than_or_and_parentheses_tightest() {
        let pairs = [("t", Value::from(true)), ("f", false.into())];
        assert_eq!(truth("t == true or t == true and f == true", &pairs), Truth::Holds);
        assert_eq!(truth("(t == true or t == true) and f == true", &pairs), Truth::Fails);
        assert_eq!(truth("not (f == true and t == true)", &pairs), Truth::Holds);
        assert_eq!(truth("not f == true and t == true", &pairs), Truth::Holds);
    }

    #[test]
    fn a_lasting_condition_holds_after_its_time_without_a_break() {
        let condition = Condition::parse("error_rate > 5% for 3s").unwrap();
        let mut state = ConditionState::default();
        let mut judge = |seconds: f64, value: Option<f64>| {
            let pairs: Vec<_> = value.iter().map(|value| ("error_rate", Value::from(*value))).collect();
            condition.judge(&mut state, seconds, &reading(&pairs))
        };
        assert_eq!(judge(0.0, Some(0.1)), Truth::Fails);
        assert_eq!(judge(2.0, Some(0.1)), Truth::Fails);
        assert_eq!(judge(3.0, Some(0.1)), Truth::Holds);
        assert_eq!(judge(4.0, Some(0.01)), Truth::Fails);
        assert_eq!(judge(5.0, Some(0.1)), Truth::Fails);
        assert_eq!(judge(6.0, None), unknown(&["error_rate"]));
        assert_eq!(judge(8.5, Some(0.1)), Truth::Fails);
        assert_eq!(judge(11.4, Some(0.1)), Truth::Fails);
        assert_eq!(judge(11.5, Some(0.1)), Truth::Holds);
    }

    #[test]
    fn lasting_parts_keep_time_each_by_itself_also_where_the_answer_is_known() {
        let condition = Condition::parse("a == 1 for 2s or not b == 1 for 1s").unwrap();
        let mut state = ConditionState::default();
        let mut judge = |seconds: f64, a: f64, b: f64| {
            condition.judge(&mut state, seconds, &reading(&[("a", a.into()), ("b", b.into())]))
        };
        assert_eq!(judge(0.0, 1.0, 1.0), Truth::Fails);
        assert_eq!(judge(1.0, 1.0, 0.0), Truth::Fails);
        assert_eq!(judge(2.0, 0.0, 0.0), Truth::Holds);
        assert_eq!(judge(3.0, 0.0, 1.0), Truth::Fails);
        assert_eq!(judge(4.0, 1.0, 1.0), Truth::Fails);
        assert_eq!(judge(6.0, 1.0, 1.0), Truth::Holds);
    }

    #[test]
    fn names_and_bounds_are_listed() {
        let condition = Condition::parse(
            "shop.error_rate < 1% and (latency_p99 < 2s for 3s or shop.error_rate > 0) and not queue > 5 \
             and json.items[0].id == 7",
        )
        .unwrap();
        assert_eq!(condition.names(), ["shop.error_rate", "latency_p99", "queue", "json.items[0].id"]);
        let bounds: Vec<_> =
            condition.bounds().into_iter().map(|bound| (bound.name, bound.comparison, bound.value)).collect();
        assert_eq!(
            bounds,
            [
                ("shop.error_rate".to_owned(), Comparison::Less, 0.01),
                ("latency_p99".to_owned(), Comparison::Less, 2.0),
                ("shop.error_rate".to_owned(), Comparison::Greater, 0.0),
            ]
        );
    }

    #[test]
    fn a_condition_is_its_text_in_json() {
        let condition = Condition::parse(" a > 1 ").unwrap();
        let json = serde_json::to_string(&condition).unwrap();
        assert_eq!(json, "\"a > 1\"");
        assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition);
        assert!(serde_json::from_str::<Condition>("\"a >\"").is_err());
    }

    #[test]
    fn how_long_something_held_before_the_first_look_is_not_known() {
        let early = || unknown(&[]);
        for (text, seen, expected) in [
            ("q == 1 for 2s", [1, 1, 1, 1], [early(), early(), Truth::Holds, Truth::Holds]),
            ("q == 1 for 2s", [2, 1, 1, 1], [Truth::Fails, Truth::Fails, Truth::Fails, Truth::Holds]),
            ("not (q == 1 for 2s)", [1, 2, 1, 1], [early(), Truth::Holds, Truth::Holds, Truth::Holds]),
            (
                "q == 1 for 2s or q == 1",
                [1, 2, 1, 1],
                [Truth::Holds, Truth::Fails, Truth::Holds, Truth::Holds],
            ),
            ("q == 1 for 2s and q == 2", [1, 2, 1, 1], [const { Truth::Fails }; 4]),
        ] {
            let condition = Condition::parse(text).unwrap();
            let mut state = ConditionState::unseen_before();
            for (second, (q, expected)) in seen.into_iter().zip(expected).enumerate() {
                let reading = reading(&[("q", f64::from(q).into())]);
                assert_eq!(condition.judge(&mut state, second as f64, &reading), expected, "{text} {second}");
            }
        }
        let takes = |text| Condition::parse(text).unwrap().takes();
        assert_eq!((takes("q == 1"), takes("(q == 1 for 2s and a > 1) for 3s or b < 1 for 4s")), (0.0, 5.0));
    }
}
