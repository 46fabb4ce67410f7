//! OpenTelemetry: a run as a trace with a span for each phase and each injection, and the metrics, by OTLP over HTTP with
//! JSON. Names of traces and spans follow from the run's name alone.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>, with the mapping of protobuf to JSON that is told there.

use crate::letter::Letter;
use crate::metrics::{Family, Sample, Values};
use crate::notify::webhook::hex;
use crate::outlet::{Exporter, Happened, Outlet};
use crate::run::{Injection, Run};
use crate::surroundings::{Surroundings, post_json};
use crate::target::Target;
use jiff::Timestamp;
use ring::digest;
use serde_json::{Value, json};
use squall_http::{Headers, Url};
use squall_model::event::{Event, Phase};
use squall_model::verdict::Verdict;

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;
/// `STATUS_CODE_OK` and `STATUS_CODE_ERROR`.
const STATUS: [u8; 2] = [1, 2];

pub(crate) struct Otlp {
    traces: Url,
    metrics: Url,
    headers: Headers,
}

impl Outlet for Otlp {
    const NAME: &'static str = "otlp";
    const SUMMARY: &'static str =
        "A trace of each run, and metrics, to an OpenTelemetry collector by OTLP over HTTP (JSON)";
    const EXAMPLE: &'static str =
        "otlp: {url: \"http://127.0.0.1:4318\", headers: {Authorization: {env: OTLP_TOKEN}}}";
    type Parameters = Target;

    fn new(target: Target, surroundings: &Surroundings) -> Result<Self, String> {
        Ok(Self {
            traces: surroundings.url(&target.url, "/v1/traces")?,
            metrics: surroundings.url(&target.url, "/v1/metrics")?,
            headers: surroundings.headers(&target.headers)?,
        })
    }
}

impl Otlp {
    fn letter(&self, url: &Url, body: &Value) -> Letter {
        Letter::http(post_json(url, body).headers(self.headers.clone()))
    }
}

impl Exporter for Otlp {
    fn destination(&self) -> String {
        format!("otlp ({})", self.traces.host_and_port())
    }

    fn letters(&self, happened: Happened<'_>) -> Vec<Letter> {
        let Happened { entry, run, metrics, changed } = happened;
        let mut letters = Vec::new();
        if changed {
            let since = metrics.since().unwrap_or(entry.at);
            let body = metrics_body(run, &metrics.families(), since, entry.at);
            letters.push(self.letter(&self.metrics, &body).superseding());
        }
        if let Event::Verdict { .. } = entry.event {
            letters.push(self.letter(&self.traces, &trace_body(run)));
        }
        letters
    }
}

/// A trace of a run that is over: `ExportTraceServiceRequest`.
fn trace_body(run: &Run) -> Value {
    let Some((began, ended)) = run.lasted else { return json!({"resourceSpans": []}) };
    let root = span_id(run, "run");
    let mut spans = vec![run_span(run, began, ended)];
    for (index, (phase, begins)) in run.phases.iter().enumerate() {
        let ends = run.phases.get(index + 1).map_or(ended, |(_, next)| *next);
        let name = phase_name(*phase);
        spans.push(span(run, name, &format!("phase {index}"), Some(&root), (*begins, ends), &[]));
    }
    for (index, injection) in run.injections.iter().enumerate() {
        spans.push(injection_span(run, index, injection, ended));
    }
    let scope = json!({"name": "squall", "version": run.squall});
    json!({"resourceSpans": [{"resource": resource(run), "scopeSpans": [{"scope": scope, "spans": spans}]}]})
}

fn run_span(run: &Run, began: Timestamp, ended: Timestamp) -> Value {
    let verdict = run.verdict.as_ref().map_or(Verdict::Invalid, |(verdict, _)| *verdict);
    let attributes = [
        ("squall.run", run.name.as_str()),
        ("squall.experiment", &run.experiment),
        ("squall.hypothesis", &run.hypothesis),
        ("squall.file", &run.file),
        ("squall.verdict", verdict.name()),
    ];
    let mut span = span(run, &run.experiment, "run", None, (began, ended), &attributes);
    let reason = run.verdict.as_ref().and_then(|(_, reasons)| reasons.first());
    span["status"] = status(verdict == Verdict::Passed, reason.map_or("", |reason| reason));
    if let Some((reason, at)) = &run.aborted {
        span["events"] = json!([{
            "name": "aborted", "timeUnixNano": nanoseconds(*at), "attributes": attributes_of(&[("reason", reason)]),
        }]);
    }
    span
}

fn injection_span(run: &Run, index: usize, injection: &Injection, ended: Timestamp) -> Value {
    // It belongs to the phase in which it was begun.
    let phase = run.phases.iter().rposition(|(_, begins)| *begins <= injection.begun);
    let parent = span_id(run, &phase.map_or_else(|| "run".to_owned(), |index| format!("phase {index}")));
    let attributes = [
        ("squall.injection", injection.id.as_str()),
        ("squall.fault", &injection.fault),
        ("squall.target", &injection.target),
    ];
    let ends = injection.over.unwrap_or(if injection.failed.is_some() { injection.begun } else { ended });
    let times = (injection.begun, ends);
    let own = format!("injection {index}");
    let mut span = span(run, &injection.fault, &own, Some(&parent), times, &attributes);
    let trouble = injection.failed.as_ref().or(injection.residue.first());
    span["status"] = status(trouble.is_none(), trouble.map_or("", |trouble| trouble));
    if let Some(active) = injection.active {
        span["events"] = json!([{"name": "active", "timeUnixNano": nanoseconds(active)}]);
    }
    span
}

/// A span of the run's trace; `own` tells it from all others of the run.
fn span(
    run: &Run,
    name: &str,
    own: &str,
    parent: Option<&str>,
    (begins, ends): (Timestamp, Timestamp),
    attributes: &[(&str, &str)],
) -> Value {
    json!({
        "traceId": hex(&hash(&run.name, "")[..16]), "spanId": span_id(run, own),
        "parentSpanId": parent.unwrap_or_default(), "name": name, "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(begins), "endTimeUnixNano": nanoseconds(ends.max(begins)),
        "attributes": attributes_of(attributes),
    })
}

fn status(is_good: bool, message: &str) -> Value {
    if is_good { json!({"code": STATUS[0]}) } else { json!({"code": STATUS[1], "message": message}) }
}

/// The metrics: `ExportMetricsServiceRequest`.
fn metrics_body(run: &Run, families: &[Family], began: Timestamp, now: Timestamp) -> Value {
    let times = json!({"startTimeUnixNano": nanoseconds(began), "timeUnixNano": nanoseconds(now)});
    let point = |(label, value): &Sample| {
        let mut point = times.clone();
        point["asDouble"] = json!(value);
        let labels: Vec<(&str, &str)> = label.iter().map(|(key, text)| (*key, text.as_str())).collect();
        point["attributes"] = attributes_of(&labels);
        point
    };
    let metrics: Vec<Value> = families
        .iter()
        .map(|Family { name, help, values }| {
            let mut metric = json!({"name": name, "description": help});
            match values {
                Values::Gauge(samples) => {
                    metric["gauge"] = json!({"dataPoints": samples.iter().map(point).collect::<Vec<_>>()});
                }
                Values::Counter(samples) => {
                    let points: Vec<Value> = samples.iter().map(point).collect();
                    metric["sum"] = json!({
                        "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true,
                    });
                }
                Values::Histogram(histogram) => {
                    let counts: Vec<String> = histogram.counts.iter().map(u64::to_string).collect();
                    let mut point = times.clone();
                    point["count"] = json!(histogram.count().to_string());
                    point["sum"] = json!(histogram.sum);
                    point["bucketCounts"] = json!(counts);
                    point["explicitBounds"] = json!(histogram.bounds);
                    metric["histogram"] =
                        json!({"dataPoints": [point], "aggregationTemporality": CUMULATIVE});
                }
            }
            metric
        })
        .collect();
    let scope = json!({"name": "squall", "version": run.squall});
    json!({"resourceMetrics": [{"resource": resource(run), "scopeMetrics": [{"scope": scope, "metrics": metrics}]}]})
}

fn resource(run: &Run) -> Value {
    let attributes =
        [("service.name", "squall"), ("service.version", run.squall.as_str()), ("host.name", &run.host)];
    json!({"attributes": attributes_of(&attributes)})
}

fn attributes_of(attributes: &[(&str, &str)]) -> Value {
    attributes.iter().map(|(key, text)| json!({"key": key, "value": {"stringValue": text}})).collect()
}

/// 64-bit numbers are texts in protobuf's JSON.
fn nanoseconds(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}

fn span_id(run: &Run, own: &str) -> String {
    hex(&hash(&run.name, own)[..8])
}

fn hash(run: &str, own: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, format!("{run}\n{own}").as_bytes()).as_ref().to_vec()
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Plan => "plan",
        Phase::SteadyState => "steady state",
        Phase::Baseline => "baseline",
        Phase::Fault => "fault",
        Phase::Undo => "undo",
        Phase::Recovery => "recovery",
        Phase::Analysis => "analysis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::testing::journal;

    fn fold(verdict: Verdict) -> (Run, Metrics) {
        let (mut run, mut metrics) = (Run::default(), Metrics::default());
        for entry in journal("slow database", verdict) {
            run.on(&entry);
            metrics.on(&run, &entry);
        }
        (run, metrics)
    }

    fn is_hex(value: &Value, length: usize) -> bool {
        let text = value.as_str().unwrap();
        text.len() == length && text.chars().all(|digit| digit.is_ascii_hexdigit())
    }

    #[test]
    fn a_run_is_a_trace_as_the_specification_wants_it() {
        let (run, _) = fold(Verdict::Aborted);
        let body = trace_body(&run);
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
        for span in spans {
            assert!(is_hex(&span["traceId"], 32) && is_hex(&span["spanId"], 16), "{span}");
            assert_eq!(span["traceId"], spans[0]["traceId"]);
            let times = ["startTimeUnixNano", "endTimeUnixNano"]
                .map(|time| span[time].as_str().unwrap().parse::<u64>().unwrap());
            assert!(times[0] > 1_700_000_000_000_000_000 && times[0] <= times[1], "{span}");
        }
        let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span["spanId"].as_str()).collect();
        assert_eq!(ids.len(), spans.len(), "each span has an id of its own");
        let (root, fault, injection) = (named("slow database"), named("fault"), named("network.latency"));
        assert_eq!(root["parentSpanId"], "");
        assert_eq!(fault["parentSpanId"], root["spanId"]);
        assert_eq!(injection["parentSpanId"], fault["spanId"]);
        assert_eq!(root["status"]["code"], 2);
        assert_eq!(root["events"][0]["name"], "aborted");
        assert_eq!(injection["status"]["code"], 1);
        let resource = &body["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(*resource, json!({"key": "service.name", "value": {"stringValue": "squall"}}));
    }

    #[test]
    fn metrics_are_sums_gauges_and_histograms() {
        let (run, metrics) = fold(Verdict::Passed);
        let (began, ended) = run.lasted.unwrap();
        let body = metrics_body(&run, &metrics.families(), began, ended);
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let named = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
        let status = &named("chaos_experiment_status")["gauge"]["dataPoints"][0];
        assert_eq!(status["asDouble"], 1.0);
        assert_eq!(status["attributes"][0]["value"]["stringValue"], "slow database");
        let runs = &named("squall_runs_total")["sum"];
        assert_eq!((&runs["isMonotonic"], &runs["aggregationTemporality"]), (&json!(true), &json!(2)));
        let recovery = &named("chaos_recovery_time_seconds")["histogram"]["dataPoints"][0];
        assert_eq!(recovery["count"], "1");
        let (counts, bounds) = (&recovery["bucketCounts"], &recovery["explicitBounds"]);
        assert_eq!(counts.as_array().unwrap().len(), bounds.as_array().unwrap().len() + 1);
        assert!(counts[0].is_string() && recovery["timeUnixNano"].is_string());
    }
}
