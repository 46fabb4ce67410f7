//! How the hypothesis fared while faults were active. The rule is strict and simple:
//!
//! * A probe must hold every time it was asked. A question asked under the fault counts, whenever it is answered; but an
//!   answer that came only when the fault was over is none, where it was waited for much longer than for any before.
//! * A condition on traffic must hold for the requests that were *meant to be sent* in a period under fault, all of
//!   them together: users of that time, not a window that also holds others. Each period (each group of faults, each
//!   stage of a ramp) is judged by itself, so that four good stages cannot dilute a bad fifth.
//! * A condition on any other metric must hold in every second's sample of each period. A value that was asked for before
//!   the period says nothing of it.
//! * What cannot be read does not hold.
//! * What must hold `within` some time of the fault is judged from when it does, and in any case from then on: traffic by what
//!   was meant to be sent from then on.
//! * What must have held `for` some time may have begun to before the fault. Where all that was seen is still shorter
//!   than that, it is not judged; what was never judged does not hold.

use crate::checks::{Checks, TOO_EARLY, claim};
use crate::load::{self, Slice};
use crate::record::{Period, Record, Sample, Second};
use crate::settling::{Look, Settling};
use crate::words;
use squall_model::condition::{ConditionState, Truth};
use squall_model::event::CheckResult;
use squall_model::experiment::Check;
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;

/// The result of each check over the given periods.
pub(crate) fn judge(
    list: &[Check],
    asked: &Checks,
    record: &Record,
    periods: &[&Period],
) -> Vec<CheckResult> {
    let probes: BTreeMap<usize, CheckResult> = asked.results().into_iter().collect();
    let result = |(index, check): (usize, &Check)| match probes.get(&index) {
        Some(result) => result.clone(),
        None => over_periods(check, record, periods),
    };
    list.iter().enumerate().map(result).collect()
}

/// What did not hold, in words.
pub(crate) fn shortcomings(results: &[CheckResult]) -> Vec<String> {
    let failing = results.iter().filter(|result| !result.truth.holds());
    let describe = |result: &CheckResult| {
        let what = if result.check == result.expect {
            result.check.clone()
        } else {
            format!("{} ({})", result.check, result.expect)
        };
        let often = match result.asked {
            asked if asked > result.held && result.within.is_some() => {
                let within = result.within.unwrap_or_default();
                format!("did not hold within {within} s of the fault and from then on")
            }
            0 => "never judged while the fault was active".to_owned(),
            // Judged once, over the whole time.
            1 => "did not hold".to_owned(),
            asked => format!("held {} of {asked} times", result.held),
        };
        let worst = if result.worst.is_empty() { String::new() } else { format!("; {}", result.worst) };
        format!("{what}: {often}{worst}")
    };
    failing.map(describe).collect()
}

/// Which conditions on metrics do not hold in one period, in words. Where no traffic of it is final yet, its window
/// as last sampled is taken.
pub(crate) fn breaks(list: &[Check], record: &Record, period: &Period, latest: &Sample) -> Vec<String> {
    let on_metrics = list.iter().filter(|check| check.probe.is_none());
    let broken = |check: &Check| {
        let mut looks = over_period(check, record, period).0;
        if period.totals().iter().any(Option::is_none) {
            let reading = latest.reading(&record.loads, &check.expect.names());
            let mut state = ConditionState::unseen_before();
            let truth = check.expect.judge(&mut state, period.from, &reading);
            let found = words::reading_of(&check.expect, &reading, &latest.errors);
            looks = vec![Look { at: period.from, truth, found }];
        }
        let look = looks.into_iter().find(|look| !look.truth.holds() && !look.truth.is_too_early())?;
        Some(format!("{}: {}", claim(check), look.found))
    };
    on_metrics.filter_map(broken).collect()
}

fn over_periods(check: &Check, record: &Record, periods: &[&Period]) -> CheckResult {
    let mut result = CheckResult {
        check: check.name.clone(),
        expect: check.expect.text.clone(),
        truth: Truth::Holds,
        asked: 0,
        held: 0,
        worst: String::new(),
        within: check.within.map(Duration::as_seconds),
        after: None,
    };
    let mut too_early = false;
    for period in periods {
        let (looks, after) = over_period(check, record, period);
        result.after = after.map(|after| result.after.unwrap_or_default().max(after)).or(result.after);
        for Look { truth, found, .. } in looks {
            if truth.is_too_early() {
                too_early = true;
                continue;
            }
            result.asked += 1;
            if truth.holds() {
                result.held += 1;
                continue;
            }
            // That a condition was broken is worse than that it could not be read.
            if result.truth.holds() || (truth == Truth::Fails && result.truth != Truth::Fails) {
                result.worst = if periods.len() > 1 { format!("{}: {found}", period.label) } else { found };
                result.truth = truth;
            }
        }
    }
    if result.asked == 0 {
        let missing = if too_early { Vec::new() } else { check.expect.names() };
        result.truth = Truth::Unknown { missing };
        result.worst =
            String::from(if too_early { TOO_EARLY } else { "no value was asked for and given in that time" });
    }
    result.after = result.after.filter(|_| result.truth.holds());
    result
}

/// The condition judged over one period: once where it speaks of traffic alone, else on every sample. And how long after
/// its beginning it came to hold, where it may take its time.
fn over_period(check: &Check, record: &Record, period: &Period) -> (Vec<Look>, Option<f64>) {
    let (mut looks, of_traffic) = all_looks(check, record, period);
    let Some(within) = check.within.filter(|_| !of_traffic) else { return (looks, None) };
    let mut settling = Settling::new(period.from, within.as_seconds());
    let too_early = looks.extract_if(.., |look| look.truth.is_too_early()).collect::<Vec<_>>();
    let mut judged: Vec<Look> = looks.into_iter().flat_map(|look| settling.look(look)).collect();
    judged.extend(settling.end());
    if judged.is_empty() {
        judged = too_early;
    }
    (judged, settling.after())
}

/// Every look of a period at a condition, and whether it speaks of traffic alone.
fn all_looks(check: &Check, record: &Record, period: &Period) -> (Vec<Look>, bool) {
    let names = check.expect.names();
    let mut state = ConditionState::unseen_before();
    let earlier = record.periods.iter().take_while(|earlier| earlier.from < period.from);
    let settled = period.from + check.within.map_or(0.0, Duration::as_seconds);
    let of_traffic = traffic_reading(&names, record, &period.totals_since(settled));
    if names.iter().all(|name| load::find(&record.loads, name).is_some()) {
        for earlier in earlier.filter(|earlier| earlier.totals().iter().all(Option::is_some)) {
            over_whole(check, &mut state, earlier, &traffic_reading(&names, record, &earlier.totals()));
        }
        let truth = over_whole(check, &mut state, period, &of_traffic);
        let found = words::reading_of(&check.expect, &of_traffic, &BTreeMap::new());
        return (vec![Look { at: settled, truth, found }], true);
    }
    let mut look = |second: &Second| {
        let mut reading = of_traffic.clone();
        let known =
            names.iter().filter_map(|name| Some((name.clone(), Value::Number(*second.values.get(name)?))));
        reading.extend(known);
        let truth = check.expect.judge(&mut state, second.at, &reading);
        Look { at: second.at, truth, found: words::reading_of(&check.expect, &reading, &second.errors) }
    };
    // Not judged, but what holds now may have begun to hold then.
    let before = earlier.flat_map(|earlier| earlier.lead.iter().chain(&earlier.samples)).chain(&period.lead);
    before.for_each(|second| drop(look(second)));
    let is_of_period = |second: &Second| names.iter().all(|name| second.is_since(period.from, name));
    let judged =
        period.samples.iter().filter_map(|second| Some(look(second)).filter(|_| is_of_period(second)));
    (judged.collect(), false)
}

/// A value over the whole period has held for the whole period: what `for 5s` asks for.
fn over_whole(check: &Check, state: &mut ConditionState, period: &Period, reading: &Reading) -> Truth {
    check.expect.judge(state, period.from, reading);
    check.expect.judge(state, period.to.unwrap_or(period.from), reading)
}

fn traffic_reading(names: &[String], record: &Record, totals: &[Option<Slice>]) -> Reading {
    let value = |name: &String| {
        let (load, metric) = load::find(&record.loads, name)?;
        totals.get(load)?.as_ref()?.metric(metric)
    };
    names.iter().filter_map(|name| Some((name.clone(), Value::Number(value(name)?)))).collect()
}

/// The values of some names as traffic `spans` and the rest of a sample have them.
pub(crate) fn present_reading(
    record: &Record,
    names: &[String],
    spans: &[Slice],
    sample: &Sample,
) -> Reading {
    let spans: Vec<Option<Slice>> = spans.iter().cloned().map(Some).collect();
    let mut reading = traffic_reading(names, record, &spans);
    let others = names.iter().filter(|name| load::find(&record.loads, name).is_none());
    reading.extend(
        others.filter_map(|name| Some((name.clone(), Value::Number(*sample.metrics.get(name.as_str())?)))),
    );
    reading
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::List;
    use squall_model::condition::Condition;
    use squall_model::redaction::Redactor;

    fn check(text: &str) -> Check {
        Check { name: text.into(), probe: None, expect: Condition::parse(text).unwrap(), within: None }
    }

    fn slice(start: f64, failed: u64) -> Slice {
        Slice {
            start,
            end: start + 1.0,
            ended: 100,
            success: 100 - failed,
            latencies: vec![(1000, 100)],
            ..Slice::default()
        }
    }

    /// Two stages of ten seconds; in the second 5 % of requests fail, and the queue is long for one second.
    fn record() -> Record {
        let mut record = Record::new(vec!["shop".into()]);
        for (stage, failed) in [(0, 0), (1, 5)] {
            let from = f64::from(stage) * 10.0;
            record.open(from, format!("stage {stage}"), true);
            for second in 0..10 {
                let queue = if stage == 1 && second == 4 { 50.0 } else { 1.0 };
                let metrics = BTreeMap::from([("queue".to_owned(), queue)]);
                record.sampled(from + f64::from(second), &Sample { metrics, ..Sample::default() });
                record.settled(0, vec![slice(from + f64::from(second), failed)]);
            }
            record.close(from + 10.0);
        }
        record
    }

    #[test]
    fn every_period_and_every_sample_must_hold() {
        let record = record();
        let periods: Vec<&Period> = record.periods.iter().collect();
        for (text, held, asked, worst) in [
            ("error_rate < 3%", 1, 2, "stage 1: error_rate = 5 %"),
            ("error_rate < 6%", 2, 2, ""),
            ("shop.error_rate < 6% for 8s", 2, 2, ""),
            ("queue < 10", 19, 20, "stage 1: queue = 50"),
            ("queue < 10 or error_rate < 6%", 20, 20, ""),
            ("latency_p99 < 2ms and queue < 100", 20, 20, ""),
            ("nothing < 10", 0, 20, "stage 0: nothing could not be read"),
            ("queue < 10 for 3s", 13, 17, "stage 1: queue = 50"),
            ("queue < 10 for 11s", 3, 9, "stage 1: queue = 50"),
            ("error_rate < 6% for 12s", 1, 1, ""),
            ("error_rate < 3% for 12s", 0, 1, "stage 1: error_rate = 5 %"),
        ] {
            let list = [check(text)];
            let results =
                judge(&list, &Checks::new(List::Hypothesis, &list, Redactor::default()), &record, &periods);
            let result = &results[0];
            assert_eq!((result.held, result.asked, result.worst.as_str()), (held, asked, worst), "{text}");
            assert_eq!(result.truth.holds(), held == asked, "{text}");
            assert_eq!(shortcomings(&results).is_empty(), held == asked);
        }
    }

    #[test]
    fn traffic_may_take_its_time_after_each_fault() {
        let judged = |within: Option<u64>, failing: std::ops::Range<u64>| {
            let mut record = Record::new(vec!["shop".into()]);
            record.open(100.0, "fault".into(), true);
            let failed = |second| if failing.contains(&second) { 50 } else { 0 };
            record.settled(0, (0..20).map(|second| slice(100.0 + second as f64, failed(second))).collect());
            record.close(120.0);
            let list = [Check { within: within.map(Duration::seconds), ..check("error_rate < 1%") }];
            let asked = Checks::new(List::Hypothesis, &list, Redactor::default());
            judge(&list, &asked, &record, &[&record.periods[0]]).remove(0)
        };
        assert!(!judged(None, 0..5).truth.holds());
        assert!(judged(Some(5), 0..5).truth.holds());
        let result = judged(Some(4), 0..5);
        assert!(!result.truth.holds());
        assert!(shortcomings(&[result])[0].contains("did not hold within 4 s of the fault"));
        assert!(!judged(Some(5), 15..16).truth.holds(), "and from then on");
        assert!(
            matches!(judged(Some(20), 0..0).truth, Truth::Unknown { .. }),
            "nothing was sent from then on"
        );
    }

    /// A baseline and a fault of four seconds each, with what a metric was in each of them; none: it was not answered.
    fn judged(text: &str, baseline: [Option<f64>; 4], fault: [Option<f64>; 4]) -> CheckResult {
        let mut record = Record::new(Vec::new());
        for (number, seconds) in [baseline, fault].into_iter().enumerate() {
            let from = number as f64 * 4.0;
            record.open(from, number.to_string(), number == 1);
            for (second, q) in seconds.into_iter().enumerate() {
                let mut sample = Sample::default();
                match q {
                    Some(q) => sample.metrics.insert("q".into(), q).map(drop),
                    None => sample.errors.insert("q".into(), "it hangs".into()).map(drop),
                };
                record.sampled(from + second as f64, &sample);
            }
            record.close(from + 4.0);
        }
        let list = [check(text)];
        let asked = Checks::new(List::Hypothesis, &list, Redactor::default());
        judge(&list, &asked, &record, &[&record.periods[1]]).remove(0)
    }

    #[test]
    fn what_could_not_be_read_did_not_hold() {
        let result = judged("q == 1", [Some(1.0); 4], [Some(1.0), None, None, Some(1.0)]);
        assert_eq!((result.held, result.asked), (2, 4));
        assert!(matches!(result.truth, Truth::Unknown { .. }));
        assert_eq!(result.worst, "q could not be read (it hangs)");
        assert_eq!(
            shortcomings(&[judged("q == 1", [Some(1.0); 4], [None; 4])]),
            ["q == 1: held 0 of 4 times; q could not be read (it hangs)"]
        );
    }

    #[test]
    fn a_value_that_was_asked_for_before_the_fault_says_nothing_of_it() {
        // Asked every four seconds, and what comes counts for as long.
        let judged = |asked: [f64; 4], queue: [f64; 4]| {
            let mut record = Record::new(Vec::new());
            record.open(10.0, "fault".to_owned(), true);
            for (second, (asked, queue)) in asked.into_iter().zip(queue).enumerate() {
                let metrics = BTreeMap::from([("q".to_owned(), queue)]);
                let asked = BTreeMap::from([("q".to_owned(), asked)]);
                record.sampled(11.0 + second as f64, &Sample { metrics, asked, ..Sample::default() });
            }
            record.close(15.0);
            assert_eq!(
                record.periods[0].values("q").count(),
                asked.iter().filter(|asked| **asked >= 10.0).count()
            );
            let list = [check("q == 1")];
            let asked = Checks::new(List::Hypothesis, &list, Redactor::default());
            judge(&list, &asked, &record, &[&record.periods[0]]).remove(0)
        };
        let result = judged([9.0, 9.0, 12.5, 12.5], [7.0, 7.0, 1.0, 1.0]);
        assert_eq!((result.held, result.asked), (2, 2));
        let result = judged([9.0; 4], [1.0; 4]);
        assert!(matches!(result.truth, Truth::Unknown { .. }), "{result:?}");
        assert_eq!(result.worst, "no value was asked for and given in that time");
    }

    #[test]
    fn what_lasts_may_have_begun_before_the_fault() {
        let (well, ill) = ([Some(1.0); 4], [Some(7.0); 4]);
        for (text, before, held, asked) in [
            ("q == 1 for 2s", well, 4, 4),
            ("q == 1 for 2s", ill, 2, 4),
            ("q == 1 for 6s", well, 2, 2),
            ("q == 1 for 9s", well, 0, 0),
            ("not (q == 7 for 2s)", ill, 4, 4),
        ] {
            let result = judged(text, before, well);
            assert_eq!((result.held, result.asked), (held, asked), "{text} {before:?}");
            assert_eq!(result.truth.holds(), held == asked && asked > 0, "{text}");
        }
        let too_early = shortcomings(&[judged("q == 1 for 9s", well, well)]).remove(0);
        assert!(too_early.ends_with(
            "never judged while the fault was active; not looked at for as long as its `for` asks"
        ));
    }

    #[test]
    fn a_stage_breaks_by_itself() {
        let record = record();
        let list = [check("error_rate < 3%")];
        let latest = Sample::default();
        assert!(breaks(&list, &record, &record.periods[0], &latest).is_empty());
        assert_eq!(
            breaks(&list, &record, &record.periods[1], &latest),
            ["error_rate < 3%: error_rate = 5 %"]
        );
    }

    #[test]
    fn without_any_period_nothing_is_known() {
        let list = [check("error_rate < 3%")];
        let record = Record::new(vec!["shop".into()]);
        let results = judge(&list, &Checks::new(List::Hypothesis, &list, Redactor::default()), &record, &[]);
        assert!(matches!(results[0].truth, Truth::Unknown { .. }));
    }
}
