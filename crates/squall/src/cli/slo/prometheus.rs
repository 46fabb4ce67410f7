//! Objectives measured by asking a Prometheus.

use super::check::{Findings, shown};
use super::traffic::{duration, headers, parameters};
use crate::exit::Failure;
use crate::instruments::Toolbox;
use clap::Args;
use serde_json::json;
use squall_engine::driver::Instruments;
use squall_model::experiment::{DEFAULT_FRESH, Metric};
use squall_model::probe::Observe;
use squall_model::redaction::Redactor;
use squall_model::units::Duration;
use squall_practice::slo::{Measured, Names, Objective};

/// So many characters of an error are told.
const MOST_TOLD: usize = 300;

#[derive(Debug, Args)]
#[command(next_help_heading = "With --prometheus (or --cloudwatch)")]
#[expect(clippy::doc_markdown, reason = "these are words for a terminal")]
pub(super) struct PrometheusOptions {
    /// Over how much time
    #[arg(long, conflicts_with_all = ["url", "results"], value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(super) window: Duration,
    /// The counter of requests that failed [default: error_total, or that of the CloudWatch namespace]
    #[arg(long, conflicts_with_all = ["url", "results"], value_name = "NAME")]
    pub(super) errors_metric: Option<String>,
    /// The counter of all requests [default: request_total, or that of the CloudWatch namespace]
    #[arg(long, conflicts_with_all = ["url", "results"], value_name = "NAME")]
    pub(super) requests_metric: Option<String>,
    /// The histogram of latencies [default: request_duration_seconds, or that of the CloudWatch namespace]
    #[arg(long, conflicts_with_all = ["url", "results"], value_name = "NAME")]
    pub(super) latency_metric: Option<String>,
    /// Labels that all of them must have: 'job="shop"'
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "LABELS", default_value = "")]
    selector: String,
    /// The query for the error rate, a share of 1; it replaces the names above, as the others do
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "error_rate")]
    query_error_rate: Option<String>,
    /// The query for the availability, a share of 1
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "availability")]
    query_availability: Option<String>,
    /// The query for the latency that half of the requests keep, in seconds
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "latency_p50")]
    query_latency_p50: Option<String>,
    /// That of 90 % of the requests
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "latency_p90")]
    query_latency_p90: Option<String>,
    /// That of 95 % of the requests
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "latency_p95")]
    query_latency_p95: Option<String>,
    /// That of 99 % of the requests
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "latency_p99")]
    query_latency_p99: Option<String>,
    /// That of 99.9 % of the requests
    #[arg(long, conflicts_with_all = ["url", "results", "cloudwatch"], value_name = "PROMQL", requires = "latency_p999")]
    query_latency_p999: Option<String>,
}

impl PrometheusOptions {
    /// The query of the user for a metric.
    fn own(&self, metric: &str) -> Option<&String> {
        let given = [
            ("error_rate", &self.query_error_rate),
            ("availability", &self.query_availability),
            ("latency_p50", &self.query_latency_p50),
            ("latency_p90", &self.query_latency_p90),
            ("latency_p95", &self.query_latency_p95),
            ("latency_p99", &self.query_latency_p99),
            ("latency_p999", &self.query_latency_p999),
        ];
        given.into_iter().find(|(name, _)| *name == metric).and_then(|(_, query)| query.as_ref())
    }

    fn names(&self) -> Names {
        let usual = Names::default();
        Names {
            errors: self.errors_metric.clone().unwrap_or(usual.errors),
            requests: self.requests_metric.clone().unwrap_or(usual.requests),
            latency: self.latency_metric.clone().unwrap_or(usual.latency),
            selector: self.selector.clone(),
        }
    }
}

pub(super) fn measure(
    url: &str,
    options: &PrometheusOptions,
    given: &[(String, String)],
    objectives: &[Objective],
) -> Result<Findings, Failure> {
    let names = options.names();
    let mut questions = Vec::new();
    for objective in objectives {
        let own = options.own(objective.metric).cloned();
        let Some(query) = own.or_else(|| names.query(objective.metric, options.window)) else { continue };
        questions.push((objective.metric, source(url, &query, given)?));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let values: Vec<String> = given.iter().map(|(_, value)| value.clone()).collect();
    let secrets = Redactor::new(&values);
    let mut measured = Measured::default();
    for (metric, question) in questions {
        let answer = runtime.block_on(ask(&*question));
        measured.add(metric, answer.map_err(|why| with_remedy(metric, &one_line(&secrets.text(&why)))));
    }
    Ok(Findings {
        measured,
        source: format!("Prometheus at {} over {}", shown(url), options.window),
        requests: None,
        notes: Vec::new(),
    })
}

fn source(url: &str, query: &str, given: &[(String, String)]) -> Result<Box<dyn Observe>, Failure> {
    let question = json!({"url": url, "query": query, "timeout": "10s", "headers": headers(given)});
    let metric = Metric {
        name: "slo".to_owned(),
        source: "prometheus".to_owned(),
        parameters: parameters(&question)?,
        fresh_for: DEFAULT_FRESH,
    };
    Toolbox.metric(&metric).map_err(Failure::invalid)
}

pub(super) async fn ask(question: &dyn Observe) -> Result<f64, String> {
    let reading = question.observe().await.map_err(|error| error.to_string())?;
    let number = reading.get("value").and_then(squall_model::value::Value::number);
    number.ok_or_else(|| "the answer is not a number".to_owned())
}

/// The beginning of what may be a whole page of somebody else's.
pub(super) fn one_line(why: &str) -> String {
    let beginning: String = why.chars().take(MOST_TOLD).collect();
    if beginning.len() < why.len() { format!("{}…", beginning.trim_end()) } else { beginning }
}

/// A counter that was never raised is often not there at all, and a wrong name looks the same.
fn with_remedy(metric: &str, why: &str) -> String {
    if !why.contains("no sample") {
        return why.to_owned();
    }
    if metric.starts_with("latency") {
        return format!(
            "{why}; are the names right (--latency-metric, --selector), and were there requests within --window? A latency \
             that is no histogram of Prometheus needs a query of yours: --query-{}",
            metric.replace('_', "-")
        );
    }
    format!(
        "{why}; are the names right (--errors-metric, --requests-metric, --latency-metric, --selector)? A counter that the \
         service shows only after its first error needs a query of yours, such as --query-error-rate \
         '(sum(rate(error_total[5m])) or vector(0)) / sum(rate(request_total[5m]))'"
    )
}
