//! Figures: what was measured several times, as a median with its spread, beside an aim.

use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

/// How a row's line begins.
const ROW: &str = "row";

/// Whether an aim is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    No,
    /// There is no aim, or what it is compared with could not be had.
    Unknown,
}

impl Met {
    const ALL: [(Self, &str); 3] = [(Self::Yes, "yes"), (Self::No, "no"), (Self::Unknown, "unknown")];
}

impl From<bool> for Met {
    fn from(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }
}

/// One row of a table. Cells that do not apply are empty.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) squall: String,
    pub(super) peer: String,
    pub(super) factor: String,
    pub(super) aim: String,
    pub(super) met: Met,
}

impl Row {
    /// A figure without a peer, an aim or a verdict yet.
    pub(super) fn new(what: impl Into<String>, squall: impl Into<String>) -> Self {
        let none = String::new;
        Self {
            what: what.into(),
            squall: squall.into(),
            peer: none(),
            factor: none(),
            aim: none(),
            met: Met::Unknown,
        }
    }

    /// One line that [`Row::read`] takes, for rows that are measured in another process.
    pub(super) fn line(&self) -> String {
        let met = Met::ALL.iter().find(|(met, _)| *met == self.met).map(|(_, word)| *word);
        json!([ROW, self.what, self.squall, self.peer, self.factor, self.aim, met]).to_string()
    }

    /// A row from a line; none where the line is something else.
    pub(super) fn read(line: &str) -> Option<Self> {
        let words: Vec<String> = serde_json::from_str(line).ok()?;
        let [mark, what, squall, peer, factor, aim, met] = <[String; 7]>::try_from(words).ok()?;
        let (met, _) = Met::ALL.into_iter().find(|(_, word)| *word == met)?;
        (mark == ROW).then_some(Self { what, squall, peer, factor, aim, met })
    }

    /// The same beside a limit.
    pub(super) fn aiming(mut self, aim: impl Into<String>, met: impl Into<Met>) -> Self {
        self.aim = aim.into();
        self.met = met.into();
        self
    }

    /// Times beside a peer's, which should be so many times longer, where there is an aim.
    pub(super) fn faster(what: &str, squall: &Samples, peer: &Peer, times: Option<f64>) -> Self {
        let mut row = Self::new(what, squall.times());
        row.aim = times.map(|times| format!("{times:.0} × faster")).unwrap_or_default();
        match peer {
            Peer::Measured(name, samples) => {
                let factor = samples.median() / squall.median();
                row.peer = format!("{name}: {}", samples.times());
                row.factor = format!("{factor:.1} ×");
                row.met = times.map_or(Met::Unknown, |times| (factor >= times).into());
            }
            Peer::Missing(why) => row.peer = format!("skipped: {why}"),
        }
        row
    }
}

/// What a figure is compared with: a name and its samples, or why there are none.
#[derive(Debug)]
pub(super) enum Peer {
    Measured(String, Samples),
    Missing(String),
}

/// The same thing measured several times, in seconds or any other unit.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn add(&mut self, sample: f64) {
        let place = self.0.partition_point(|known| *known < sample);
        self.0.insert(place, sample);
    }

    pub(super) fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64());
    }

    /// The value that a share of the samples does not exceed (nearest rank); not a number where there are none.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let rank = ((share * self.0.len() as f64).ceil() as usize).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(super) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Times: the median, and the range from the first to the last decile.
    pub(super) fn times(&self) -> String {
        self.show(time)
    }

    /// The median, and the range from the first to the last decile, each as `show` writes it.
    pub(super) fn show(&self, show: impl Fn(f64) -> String) -> String {
        let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| show(self.quantile(share)));
        format!("{middle} ({low} to {high})")
    }
}

/// Seconds in the unit that reads best, with three digits.
pub(super) fn time(seconds: f64) -> String {
    let (number, unit) = match seconds {
        long if long >= 1.0 => (long, "s"),
        middle if middle >= 1e-3 => (middle * 1e3, "ms"),
        short => (short * 1e6, "µs"),
    };
    let decimals = if number >= 100.0 { 0 } else { 2 - number.log10().max(0.0) as usize };
    format!("{number:.decimals$} {unit}")
}

/// Rows as a Markdown table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from("| | Squall | peer | factor | aim | met |\n|---|---|---|--:|---|---|\n");
    for Row { what, squall, peer, factor, aim, met } in rows {
        let met = match met {
            Met::Yes => "yes",
            Met::No => "**no**",
            Met::Unknown => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {what} | {squall} | {peer} | {factor} | {aim} | {met} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_spreads_and_factors() {
        let samples = |values: &[f64]| {
            let mut samples = Samples::default();
            values.iter().for_each(|value| samples.add(*value));
            samples
        };
        let fast = samples(&[0.003, 0.001, 0.002]);
        assert_eq!(fast.times(), "2.00 ms (1.00 ms to 3.00 ms)");
        let row = Row::faster("it", &fast, &Peer::Measured("other".into(), samples(&[0.05])), Some(20.0));
        assert_eq!((row.factor.as_str(), row.met), ("25.0 ×", Met::Yes));
        let alone = Row::faster("it", &fast, &Peer::Missing("not there".into()), Some(20.0));
        assert_eq!((alone.peer.as_str(), alone.met), ("skipped: not there", Met::Unknown));
        let again = Row::read(&row.line()).unwrap();
        assert_eq!(table(&[again]), table(&[row]));
        assert!(Row::read("[\"row\"]").is_none() && Row::read("running 1 test").is_none());
        assert!(samples(&[]).median().is_nan());
        assert_eq!([240.0, 12.34, 0.9, 42e-6].map(time), ["240 s", "12.3 s", "900 ms", "42.0 µs"]);
    }
}
