//! The figures: how many cases and injections of each kind, and how long it took until all was clean again.

use super::trial::Trial;
use std::fmt::Write;
use std::time::Duration;

/// One row.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) kind: &'static str,
    /// What the kind does, for people.
    pub(super) does: &'static str,
    pub(super) cases: usize,
    pub(super) injections: usize,
    /// From the last signal (or the start of `squall recover`) to the first clean look.
    pub(super) times: Vec<Duration>,
}

impl Figures {
    /// Counts a case.
    pub(super) fn add(&mut self, trial: &Trial) {
        self.cases += 1;
        self.injections += trial.injections;
        self.times.extend(trial.time);
    }
}

/// The value below which a share of the values lies (nearest rank).
fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.0}", time.as_secs_f64() * 1e3))
}

/// All rows as a Markdown table, with a sum.
pub(super) fn table(rows: &[Figures]) -> String {
    let mut text = String::from(
        "| kind | what happens while faults are live | cases | injections | min ms | median ms | p99 ms | max ms |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let sum = Figures {
        kind: "all",
        cases: rows.iter().map(|row| row.cases).sum(),
        injections: rows.iter().map(|row| row.injections).sum(),
        ..Figures::default()
    };
    for row in rows.iter().filter(|row| row.cases > 0).chain([&sum]) {
        let mut times = row.times.clone();
        times.sort();
        let cells =
            [times.first().copied(), quantile(&times, 0.5), quantile(&times, 0.99), times.last().copied()]
                .map(milliseconds)
                .join(" | ");
        let Figures { kind, does, cases, injections, .. } = row;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{kind}` | {does} | {cases} | {injections} | {cells} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(quantile(&times, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(quantile(&times[..1], 0.99), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
