//! What was measured in the baseline and while faults were active. Traffic is kept small: a stretch of any length holds at
//! most [`MOST_BLOCKS`] blocks of it, because blocks double their length when there are more. The values of metrics are
//! kept as they come, some numbers a second, for the comparison and for conditions with a `for`.

use crate::load::{self, Slice};
use squall_model::value::{Reading, Value};
use std::collections::{BTreeMap, VecDeque};

/// More blocks than this become half as many, each twice as long.
pub(crate) const MOST_BLOCKS: usize = 240;

/// How much traffic the look at the present covers, in seconds; see [`Record::present`].
pub(crate) const PRESENT: f64 = 2.0;

/// With less traffic than this, in seconds, nothing is said about the present.
const LEAST_PRESENT: f64 = 1.0;

/// All metrics of one second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The window of each load, in the order of the experiment, by bare names.
    pub loads: Vec<BTreeMap<String, f64>>,
    /// Metrics from sources, by name, in base units. What could not be read is absent.
    pub metrics: BTreeMap<String, f64>,
    /// Why metrics are absent, by name.
    pub errors: BTreeMap<String, String>,
    /// When sources were asked for what is given here, by name, in seconds since the run started.
    pub asked: BTreeMap<String, f64>,
    /// Why the last request of each load's window that failed did.
    pub troubles: Vec<Option<String>>,
    /// How long after its due time the sample was taken, in seconds.
    pub late: f64,
}

impl Sample {
    /// The values as they stand in the journal.
    pub(crate) fn values(&self, loads: &[String]) -> BTreeMap<String, f64> {
        let traffic = self.loads.iter().enumerate().flat_map(|(load, metrics)| {
            metrics.iter().map(move |(metric, value)| (load::journal_name(loads, load, metric), *value))
        });
        let all = traffic.chain(self.metrics.iter().map(|(name, value)| (name.clone(), *value)));
        all.filter(|(_, value)| value.is_finite()).collect()
    }

    /// Without values that were asked for before a second: they say nothing of the time since.
    pub(crate) fn since(&self, second: f64) -> Self {
        let mut sample = self.clone();
        for name in self.asked.iter().filter(|(_, asked)| **asked < second).map(|(name, _)| name) {
            if sample.metrics.remove(name).is_some() {
                sample.errors.insert(name.clone(), "its last answer was asked for before that".to_owned());
            }
        }
        sample
    }

    /// The values that these names mean, as conditions read them.
    pub(crate) fn reading(&self, loads: &[String], names: &[String]) -> Reading {
        let value = |name: &String| match load::find(loads, name) {
            Some((load, metric)) => self.loads.get(load)?.get(metric),
            None => self.metrics.get(name),
        };
        names.iter().filter_map(|name| Some((name.clone(), Value::Number(*value(name)?)))).collect()
    }
}

/// What a load brought in a period, in blocks of equal length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traffic {
    block: f64,
    blocks: Vec<Slice>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { block: 1.0, blocks: Vec::new() }
    }
}

impl Traffic {
    /// The blocks, in order; empty ones are left out.
    pub(crate) fn blocks(&self) -> &[Slice] {
        &self.blocks
    }

    /// Adds what is later than all before.
    fn add(&mut self, from: f64, slice: Slice) {
        let number = |slice: &Slice| ((slice.start - from) / self.block).floor();
        match self.blocks.last_mut() {
            Some(last) if number(last) >= number(&slice) => last.merge(&slice),
            _ => self.blocks.push(slice),
        }
        if self.blocks.len() > MOST_BLOCKS {
            self.block *= 2.0;
            for block in std::mem::take(&mut self.blocks) {
                self.add(from, block);
            }
        }
    }
}

/// What metric sources gave in a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Second {
    /// When, in seconds since the run started.
    pub(crate) at: f64,
    /// Values by name.
    pub(crate) values: BTreeMap<String, f64>,
    /// Why values are absent, by name.
    pub(crate) errors: BTreeMap<String, String>,
    /// When values were asked for, by name. One not named here was asked for in this second.
    pub(crate) asked: BTreeMap<String, f64>,
}

impl Second {
    /// Whether a name's value is no older than `since`. One that was asked for before speaks of the time before.
    pub(crate) fn is_since(&self, since: f64, name: &str) -> bool {
        self.asked.get(name).is_none_or(|asked| *asked >= since)
    }
}

/// A stretch of time and what was measured in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Period {
    /// What it is, for people: `baseline`, the stage of a ramp, the faults.
    pub(crate) label: String,
    /// Whether faults were active.
    pub(crate) under_fault: bool,
    /// When it began, in seconds since the run started.
    pub(crate) from: f64,
    /// When it ended; none while it lasts.
    pub(crate) to: Option<f64>,
    /// What each load brought.
    pub(crate) traffic: Vec<Traffic>,
    /// What metric sources gave, second by second.
    pub(crate) samples: Vec<Second>,
    /// And what they gave before it began, back to the period before.
    pub(crate) lead: Vec<Second>,
}

impl Period {
    /// What a metric's source gave that was asked for in the period.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = f64> {
        let fresh = self.samples.iter().filter(move |second| second.is_since(self.from, name));
        fresh.filter_map(move |second| second.values.get(name).copied())
    }

    /// Each load's traffic of the whole period.
    pub(crate) fn totals(&self) -> Vec<Option<Slice>> {
        self.totals_since(self.from)
    }

    /// Each load's traffic of the period that was meant to be sent since a second.
    pub(crate) fn totals_since(&self, second: f64) -> Vec<Option<Slice>> {
        let since =
            |traffic: &Traffic| Slice::union(traffic.blocks().iter().filter(|block| block.start >= second));
        self.traffic.iter().map(since).collect()
    }
}

/// What was measured in the periods that are compared and judged, and the latest traffic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Names of the loads.
    pub(crate) loads: Vec<String>,
    /// The periods, in order.
    pub(crate) periods: Vec<Period>,
    recent: Vec<VecDeque<Slice>>,
    /// What was sampled since the last period ended.
    between: Vec<Second>,
}

impl Record {
    /// A record of nothing yet.
    pub(crate) fn new(loads: Vec<String>) -> Self {
        let recent = loads.iter().map(|_| VecDeque::new()).collect();
        Self { loads, periods: Vec::new(), recent, between: Vec::new() }
    }

    /// A period begins.
    pub(crate) fn open(&mut self, now: f64, label: String, under_fault: bool) {
        let traffic = self.loads.iter().map(|_| Traffic::default()).collect();
        let lead = std::mem::take(&mut self.between);
        let (to, samples) = (None, Vec::new());
        self.periods.push(Period { label, under_fault, from: now, to, traffic, samples, lead });
    }

    /// The period that lasts ends.
    pub(crate) fn close(&mut self, now: f64) {
        if let Some(period) = self.periods.last_mut() {
            period.to.get_or_insert(now);
        }
    }

    /// Whether a period under fault lasts.
    pub(crate) fn under_fault(&self) -> bool {
        self.periods.last().is_some_and(|period| period.under_fault && period.to.is_none())
    }

    /// Books a second's sample.
    pub(crate) fn sampled(&mut self, now: f64, sample: &Sample) {
        // A second in which nothing could be read counts as one: what is unknown did not hold.
        if sample.metrics.is_empty() && sample.errors.is_empty() {
            return;
        }
        let second = Second {
            at: now,
            values: sample.metrics.clone(),
            errors: sample.errors.clone(),
            asked: sample.asked.clone(),
        };
        match self.periods.last_mut().filter(|period| period.to.is_none()) {
            Some(period) => period.samples.push(second),
            None => self.between.push(second),
        }
    }

    /// Books slices that became final, each in the period that holds it whole.
    pub(crate) fn settled(&mut self, load: usize, slices: Vec<Slice>) {
        for slice in slices {
            let holds = |period: &&mut Period| {
                slice.start >= period.from && period.to.is_none_or(|to| slice.end <= to)
            };
            if let Some(period) = self.periods.iter_mut().find(holds)
                && let Some(traffic) = period.traffic.get_mut(load)
            {
                traffic.add(period.from, slice.clone());
            }
            if let Some(recent) = self.recent.get_mut(load) {
                let end = slice.end;
                recent.push_back(slice);
                while recent.front().is_some_and(|oldest| oldest.start < end - PRESENT - 1e-6) {
                    recent.pop_front();
                }
            }
        }
    }

    /// Until when, in seconds since the run started, every load's slices are final. No load: for ever.
    pub(crate) fn settled_until(&self) -> f64 {
        let ends = self.recent.iter().map(|recent| recent.back().map_or(0.0, |slice| slice.end));
        ends.fold(f64::INFINITY, f64::min)
    }

    /// What users met lately, none of it before `from`: the traffic of the last [`PRESENT`] seconds whose requests
    /// have all ended, and since when it was so. `None` while that is less than [`LEAST_PRESENT`] seconds, or where
    /// there is no load.
    pub(crate) fn present(&self, from: f64) -> Option<(f64, Vec<Slice>)> {
        let later = |recent: &VecDeque<Slice>| -> Option<Slice> {
            let later = Slice::union(recent.iter().filter(|slice| slice.start >= from))?;
            (later.end - later.start >= LEAST_PRESENT).then_some(later)
        };
        let spans: Option<Vec<Slice>> = self.recent.iter().map(later).collect();
        let spans = spans.filter(|spans| !spans.is_empty())?;
        let begins = spans.iter().map(|span| span.start).fold(from, f64::max);
        // Nothing is known of the rest of the slice that `from` lies in; what follows at once speaks for it.
        let slice =
            self.recent.iter().filter_map(|recent| recent.front()).map(|slice| slice.end - slice.start);
        let since = if begins - from <= slice.fold(0.0, f64::max) { from } else { begins };
        Some((since, spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start: f64) -> Slice {
        Slice {
            start,
            end: start + 0.25,
            ended: 50,
            success: 50,
            latencies: vec![(1000, 50)],
            ..Slice::default()
        }
    }

    #[test]
    fn a_value_speaks_of_the_time_since_it_was_asked_for() {
        let of = |asked: f64| Sample {
            metrics: BTreeMap::from([("q".to_owned(), 1.0)]),
            asked: BTreeMap::from([("q".to_owned(), asked)]),
            ..Sample::default()
        };
        assert!(of(4.0).since(5.0).metrics.is_empty() && of(4.0).since(5.0).errors.contains_key("q"));
        assert_eq!(of(5.0).since(5.0), of(5.0));
    }

    #[test]
    fn slices_belong_to_the_period_that_holds_them_whole() {
        let mut record = Record::new(vec!["shop".into()]);
        record.open(1.1, "baseline".into(), false);
        record.close(3.1);
        record.open(4.0, "fault".into(), true);
        record.settled(0, (0..24).map(|quarter| slice(f64::from(quarter) / 4.0)).collect());
        let ended = |period: usize| record.periods[period].totals()[0].as_ref().unwrap().ended;
        assert_eq!((ended(0), ended(1)), (7 * 50, 8 * 50));
        assert!((record.settled_until() - 6.0).abs() < 1e-9);
        let (begins, spans) = record.present(4.0).unwrap();
        assert!((begins - 4.0).abs() < 1e-9);
        assert_eq!(spans[0].ended, 8 * 50);
        let (since, spans) = record.present(4.6).unwrap();
        assert!((since - 4.6).abs() < 1e-9, "the first whole slice speaks for the part before it");
        assert_eq!(spans[0].ended, 5 * 50, "traffic from before was taken for the present");
        assert!(record.present(5.1).is_none(), "three quarters of a second say too little");
    }

    #[test]
    fn a_long_period_stays_small_and_whole() {
        let mut record = Record::new(vec!["shop".into()]);
        record.open(0.0, "fault".into(), true);
        record.settled(0, (0..4 * 3600).map(|quarter| slice(f64::from(quarter) / 4.0)).collect());
        let blocks = record.periods[0].traffic[0].blocks();
        assert!((MOST_BLOCKS / 2..=MOST_BLOCKS).contains(&blocks.len()), "{}", blocks.len());
        assert_eq!(blocks.iter().map(|block| block.ended).sum::<u64>(), 4 * 3600 * 50);
    }

    #[test]
    fn conditions_find_values_by_bare_and_full_names() {
        let loads = vec!["shop".to_owned()];
        let sample = Sample {
            loads: vec![BTreeMap::from([("error_rate".into(), 0.1)])],
            metrics: BTreeMap::from([("queue".into(), 7.0), ("broken".into(), f64::NAN)]),
            ..Sample::default()
        };
        let names = ["error_rate", "shop.error_rate", "queue", "nothing"].map(str::to_owned);
        assert_eq!(sample.reading(&loads, &names).len(), 3);
        assert_eq!(
            sample.values(&loads),
            BTreeMap::from([("error_rate".into(), 0.1), ("queue".into(), 7.0)])
        );
    }
}
