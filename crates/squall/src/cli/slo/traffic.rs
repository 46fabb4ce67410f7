//! Objectives measured by requests of Squall's own.

use super::check::{Findings, shown};
use crate::exit::Failure;
use crate::load::LoadOf;
use clap::Args;
use serde_json::{Map, Value as Json, json};
use squall_engine::load::{LoadSource, RunningLoad, Slice};
use squall_model::experiment::{DEFAULT_WINDOW, Load};
use squall_model::node::Node;
use squall_model::quantity::count;
use squall_model::read::{self, Source};
use squall_model::units::{Duration, Frequency};
use squall_practice::slo::{METRICS, Measured};
use std::time::Instant;

/// How often is looked whether all requests have ended.
const LOOKS: std::time::Duration = std::time::Duration::from_millis(50);
/// How long beyond the timeout of the last request the load generator is waited for.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
/// A generator that falls behind by more than this many seconds makes the latencies of the service look worse.
const LATE: f64 = 0.1;

#[derive(Debug, Args)]
#[command(next_help_heading = "With --url")]
pub(super) struct TrafficOptions {
    /// Requests a second: 50 or 50/s
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"], value_name = "N", default_value = "50/s", value_parser = rate)]
    rate: Frequency,
    /// How long requests are sent
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"], value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// When a request counts as unanswered
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"], value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// The method
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"], default_value = "GET")]
    method: String,
    /// The body to send
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"])]
    body: Option<String>,
    /// The statuses that are a success
    #[arg(long, conflicts_with_all = ["prometheus", "cloudwatch", "results"], value_name = "STATUSES", default_value = "200-399")]
    expect: String,
}

fn rate(text: &str) -> Result<Frequency, String> {
    let with_unit = if text.parse::<f64>().is_ok() { format!("{text}/s") } else { text.to_owned() };
    with_unit.parse().map_err(|error: squall_model::units::UnitError| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<Duration>().map_err(|error| error.to_string())?;
    if duration == Duration::default() {
        Err("it must be longer than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

/// Parameters as they would stand in an experiment.
pub(super) fn parameters(json: &Json) -> Result<Node, Failure> {
    let source = Source { name: "options.json".to_owned(), text: json.to_string() };
    read::parse(&source).map_err(|error| Failure::invalid(error.to_string()))
}

pub(super) fn headers(given: &[(String, String)]) -> Json {
    let entries = given.iter().map(|(name, value)| (name.clone(), Json::String(value.clone())));
    Json::Object(entries.collect::<Map<_, _>>())
}

pub(super) fn measure(
    url: &str,
    options: &TrafficOptions,
    given: &[(String, String)],
) -> Result<Findings, Failure> {
    let request = json!({
        "url": url, "method": options.method, "headers": headers(given), "body": options.body, "expect": options.expect,
    });
    let load = Load {
        name: "slo".to_owned(),
        kind: "http".to_owned(),
        parameters: parameters(&request)?,
        rate: options.rate,
        timeout: options.timeout,
        window: DEFAULT_WINDOW,
    };
    let source = LoadOf::new(&load).map_err(Failure::invalid)?;
    let mut running = source.start().map_err(Failure::failed)?;
    let total = watch(&mut *running, options);
    let mut notes: Vec<String> =
        running.trouble().map(|why| format!("the last trouble: {why}")).into_iter().collect();
    running.stop();
    let requests = total.as_ref().map_or(0, |total| total.ended);
    if let Some(late) = total.as_ref().map(|total| total.late).filter(|late| *late > LATE) {
        notes.push(format!(
            "the load generator fell behind by up to {:.0} ms, and the latencies are too high by as much; choose a lower \
             --rate or a machine with more time",
            late * 1e3
        ));
    }
    Ok(Findings {
        measured: measured(total.as_ref()),
        source: format!(
            "{} {} to {} within {}",
            count(requests),
            if requests == 1 { "request" } else { "requests" },
            shown(url),
            options.duration
        ),
        requests: Some(requests),
        notes,
    })
}

/// All that became of the requests that were due within the duration. More are sent until the last of these has ended, so
/// that the service is under load to the end of each.
fn watch(running: &mut dyn RunningLoad, options: &TrafficOptions) -> Option<Slice> {
    let origin = Instant::now();
    let wanted = options.duration.as_seconds();
    let patience = options.duration.0 + options.timeout.0 + GRACE;
    let mut slices: Vec<Slice> = Vec::new();
    while slices.last().is_none_or(|slice| slice.end < wanted) && origin.elapsed() < patience {
        std::thread::sleep(LOOKS);
        slices.extend(running.slices(origin));
    }
    Slice::union(slices.iter().filter(|slice| slice.start < wanted))
}

fn measured(total: Option<&Slice>) -> Measured {
    let mut measured = Measured::default();
    for (metric, _, _) in METRICS {
        let value = total.and_then(|total| total.metric(metric));
        let nothing = if metric.starts_with("latency") {
            "no request was answered"
        } else {
            "no request came to an end"
        };
        measured.add(metric, value.ok_or_else(|| nothing.to_owned()));
    }
    measured
}
