//! Summaries in JSON: k6's, Squall's own, and a plain object of metrics.

use super::{Measured, NotUnderstood};
use crate::slo::METRICS;
use serde_json::{Map, Value as Json};
use squall_model::quantity::Unit;
use squall_model::units::{Duration, Share};
use std::collections::BTreeSet;

/// k6's own metrics.
const K6_LATENCY: &str = "http_req_duration";
const K6_FAILED: &str = "http_req_failed";

pub(super) fn read(text: &str) -> Result<Measured, NotUnderstood> {
    let json: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let runs: Option<Vec<&Json>> = match &json {
        Json::Array(runs) => runs.iter().map(|run| run.get("comparisons")).collect(),
        one => one.get("comparisons").map(|comparisons| vec![comparisons]),
    };
    let of_k6 = json.get("metrics").and_then(Json::as_object);
    let is_k6 =
        |metrics: &&Map<String, Json>| metrics.contains_key(K6_LATENCY) || metrics.contains_key(K6_FAILED);
    match (runs, of_k6.filter(is_k6), &json) {
        (Some(runs), _, _) if !runs.is_empty() => Ok(of_squall(&runs)),
        (_, Some(metrics), _) => Ok(of_k6_summary(metrics)),
        (_, _, Json::Object(object)) => of_object(object),
        _ => Err(unknown()),
    }
}

fn unknown() -> NotUnderstood {
    format!(
        "these are no results that Squall knows: a summary of k6, what `squall run --json` prints, or an object of metrics \
         and values; the metrics are {}",
        METRICS.map(|(metric, _, _)| metric).join(", ")
    )
}

/// What was measured while the faults were active. With several loads (`shop.error_rate`), each counts; and so does each run,
/// also one that measured nothing.
fn of_squall(runs: &[&Json]) -> Measured {
    let mut measured = Measured::default();
    for (number, run) in runs.iter().enumerate() {
        let mut found = BTreeSet::new();
        for comparison in run.as_array().into_iter().flatten() {
            let Some(name) = comparison.get("metric").and_then(Json::as_str) else { continue };
            let during = comparison.get("during").and_then(Json::as_f64);
            let metric = name.rsplit('.').next().unwrap_or(name);
            let unknown = || format!("{name} was not measured while the fault was active");
            measured.add(metric, during.ok_or_else(unknown));
            found.insert(metric);
        }
        for (metric, _, _) in METRICS.iter().filter(|(metric, _, _)| !found.contains(metric)) {
            let which = if runs.len() > 1 {
                format!("run {} of the {}", number + 1, runs.len())
            } else {
                "the run".into()
            };
            measured.add(metric, Err(format!("{which} did not measure it while its faults were active")));
        }
    }
    measured
}

/// k6's `handleSummary` (values under `values`) and `--summary-export` (values beside each other). Times are in
/// milliseconds. Source: <https://grafana.com/docs/k6/latest/results-output/end-of-test/custom-summary/>
fn of_k6_summary(metrics: &Map<String, Json>) -> Measured {
    let values = |name: &str| metrics.get(name).map(|metric| metric.get("values").unwrap_or(metric));
    let count = |name: &str| values(K6_FAILED).and_then(|values| values.get(name)).and_then(Json::as_f64);
    let no_request = (count("passes"), count("fails")) == (Some(0.0), Some(0.0));
    let failed = values(K6_FAILED)
        .filter(|_| !no_request)
        .and_then(|values| values.get("rate").or(values.get("value")))
        .and_then(Json::as_f64)
        .ok_or_else(|| {
            if no_request {
                "k6 sent no request".to_owned()
            } else {
                format!("the summary has no rate of {K6_FAILED}")
            }
        });
    let mut measured = Measured::default();
    measured.add("availability", failed.clone().map(|rate| 1.0 - rate));
    measured.add("error_rate", failed);
    for (metric, statistic) in [
        ("latency_p50", "med"),
        ("latency_p90", "p(90)"),
        ("latency_p95", "p(95)"),
        ("latency_p99", "p(99)"),
        ("latency_p999", "p(99.9)"),
    ] {
        let milliseconds = values(K6_LATENCY)
            .filter(|_| !no_request)
            .and_then(|values| values.get(statistic))
            .and_then(Json::as_f64);
        measured.add(
            metric,
            milliseconds.map(|value| value / 1e3).ok_or_else(|| {
                format!(
                    "the summary has no {statistic} of {K6_LATENCY}; run k6 with --summary-trend-stats \
                     'med,p(90),p(95),p(99),p(99.9)'"
                )
            }),
        );
    }
    measured
}

/// Metrics and values: numbers in base units (seconds, shares of one), texts with their units, and names that end in
/// `_ms` for milliseconds.
fn of_object(object: &Map<String, Json>) -> Result<Measured, NotUnderstood> {
    let mut measured = Measured::default();
    let mut found = false;
    for (metric, _, unit) in METRICS {
        let in_milliseconds = object.get(&format!("{metric}_ms")).filter(|_| unit == Unit::Seconds);
        let value = match (object.get(metric), in_milliseconds) {
            (Some(value), _) => quantity(metric, value, unit),
            (None, Some(value)) => quantity(metric, value, Unit::Plain).map(|number| number / 1e3),
            (None, None) => continue,
        };
        found = true;
        measured.add(metric, value);
    }
    if found { Ok(measured) } else { Err(unknown()) }
}

fn quantity(metric: &str, value: &Json, unit: Unit) -> Result<f64, String> {
    let with_unit = |text: &str| match unit {
        Unit::Seconds => {
            text.parse::<Duration>().map(Duration::as_seconds).map_err(|error| error.to_string())
        }
        Unit::Share => text.parse::<Share>().map(Share::fraction).map_err(|error| error.to_string()),
        _ => Err(format!("{text:?} is not a number")),
    };
    match value {
        Json::Number(number) => number.as_f64().ok_or_else(|| format!("{metric} is {number}")),
        Json::String(text) => with_unit(text).map_err(|why| format!("{metric}: {why}")),
        other => Err(format!("{metric} is {other}, not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::{Objective, Standing, judge};

    fn measured(text: &str, metric: &str) -> Option<f64> {
        judge(&[Objective::new(metric, 1.0).unwrap()], &read(text).unwrap())[0].measured
    }

    #[test]
    fn both_summaries_of_k6_are_read() {
        let own = r#"{"root_group": {}, "metrics": {
            "http_req_failed": {"type": "rate", "contains": "default", "values": {"rate": 0.25, "passes": 1, "fails": 3}},
            "http_req_duration": {"type": "trend", "values": {"med": 12.5, "p(95)": 40, "p(99)": 250}}}}"#;
        let exported = r#"{"metrics": {"http_req_failed": {"value": 0.25, "passes": 1, "fails": 3},
            "http_req_duration": {"avg": 20, "med": 12.5, "p(95)": 40, "p(99)": 250}}}"#;
        for text in [own, exported] {
            assert_eq!(measured(text, "error_rate"), Some(0.25));
            assert_eq!(measured(text, "availability"), Some(0.75));
            assert_eq!(measured(text, "latency_p50"), Some(0.0125));
            assert_eq!(measured(text, "latency_p99"), Some(0.25));
            assert_eq!(measured(text, "latency_p999"), None);
        }
    }

    #[test]
    fn of_several_runs_of_squall_the_worst_counts() {
        let run = |value: &str| {
            format!(r#"{{"run": "r", "comparisons": [{{"metric": "shop.error_rate", "during": {value}}}]}}"#)
        };
        assert_eq!(measured(&run("0.02"), "error_rate"), Some(0.02));
        let several = format!("[{}, {}]", run("0.5"), run("0.02"));
        assert_eq!(measured(&several, "error_rate"), Some(0.5));
        let judgements = judge(&[Objective::new("error_rate", 0.9).unwrap()], &read(&run("null")).unwrap());
        assert_eq!(judgements[0].measured, None);
        // One that measured nothing is no good news.
        let several = format!("[{}, {}]", run("0.02"), r#"{"run": "s", "comparisons": []}"#);
        let judgements = judge(&[Objective::new("error_rate", 0.9).unwrap()], &read(&several).unwrap());
        assert!(matches!(&judgements[0].standing, Standing::Unknown(why) if why.contains("run 2 of the 2")));
    }

    #[test]
    fn no_request_of_k6_is_no_good_result() {
        let text = r#"{"metrics": {"http_req_failed": {"values": {"rate": 0, "passes": 0, "fails": 0}},
            "http_req_duration": {"values": {"p(99)": 0}}}}"#;
        for metric in ["error_rate", "availability", "latency_p99"] {
            assert_eq!(measured(text, metric), None, "{metric}");
        }
    }

    #[test]
    fn a_plain_object_has_base_units_or_says_its_own() {
        let text = r#"{"error_rate": "2%", "latency_p99": 0.3, "latency_p95_ms": 120, "latency_p50": "3ms", "other": "x"}"#;
        assert_eq!(measured(text, "error_rate"), Some(0.02));
        assert_eq!(measured(text, "latency_p99"), Some(0.3));
        assert_eq!(measured(text, "latency_p95"), Some(0.12));
        assert_eq!(measured(text, "latency_p50"), Some(0.003));
        assert!(read("{\"requests\": 5}").unwrap_err().contains("latency_p99"));
        assert!(read("[]").is_err() && read("7").is_err());
    }
}
