//! `squall slo check`: measures, judges, says. Exit code 0 where all objectives hold, 1 where one is missed, 2 where
//! nobody can say.

use super::{cloudwatch, prometheus, results, traffic};
use crate::exit::{Failure, Outcome};
use crate::out;
use clap::Args;
use serde_json::{Value as Json, json};
use squall_model::units::{Duration, Share};
use squall_practice::slo::{self, Bound, Judgement, Measured, Objective, Standing};
use squall_report::paint::width;
use std::path::PathBuf;
use std::process::ExitCode;

/// From so many requests on, one of a thousand is seen.
const REQUESTS_OF_P999: u64 = 1000;

#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["url", "prometheus", "cloudwatch", "results"]),
    after_help = "Exit codes: 0 all objectives hold, 1 one is missed, 2 the command is wrong or an objective could not be \
measured: what is unknown is never a pass."
)]
pub(crate) struct Options {
    /// Sends requests to this page and measures what becomes of them
    #[arg(long)]
    url: Option<String>,
    /// Asks a Prometheus, by its URL
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Asks CloudWatch, by the namespace of the metrics: AWS/ApplicationELB, AWS/ApiGateway, AWS/Lambda or another
    #[arg(long, value_name = "NAMESPACE")]
    cloudwatch: Option<String>,
    /// Reads results: .json of k6 or of `squall run --json`, or a .csv or .jtl table of requests
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// A header to send, also to Prometheus; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", conflicts_with_all = ["results", "cloudwatch"], value_parser = header)]
    headers: Vec<(String, String)>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    objectives: ObjectiveOptions,
    #[command(flatten)]
    traffic: traffic::TrafficOptions,
    #[command(flatten)]
    queries: prometheus::PrometheusOptions,
    #[command(flatten)]
    aws: cloudwatch::CloudWatchOptions,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Objectives, one at least")]
struct ObjectiveOptions {
    /// At most this share of requests may fail: 0.01 or 1%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    error_rate: Option<f64>,
    /// At least this share of requests must be answered without a server error: 0.999 or 99.9%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    availability: Option<f64>,
    /// Half of the requests may take no longer: 500 (milliseconds) or 500ms
    #[arg(long, value_name = "TIME", value_parser = time)]
    latency_p50: Option<f64>,
    /// 90 % of the requests may take no longer
    #[arg(long, value_name = "TIME", value_parser = time)]
    latency_p90: Option<f64>,
    /// 95 % of the requests may take no longer
    #[arg(long, value_name = "TIME", value_parser = time)]
    latency_p95: Option<f64>,
    /// 99 % of the requests may take no longer
    #[arg(long, value_name = "TIME", value_parser = time)]
    latency_p99: Option<f64>,
    /// 99.9 % of the requests may take no longer
    #[arg(long, value_name = "TIME", value_parser = time)]
    latency_p999: Option<f64>,
}

/// What was measured, and what to tell of it.
pub(super) struct Findings {
    pub(super) measured: Measured,
    /// What was measured, without secrets.
    pub(super) source: String,
    /// How many requests it was measured on, where known.
    pub(super) requests: Option<u64>,
    pub(super) notes: Vec<String>,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let objectives = self.objectives.all();
        if objectives.is_empty() {
            return Err(Failure::invalid(
                "no objective was given, so there is nothing to check: give --error-rate 0.01, --latency-p99 500 or \
                 --availability 0.999, or several",
            ));
        }
        let mut findings = self.measure(&objectives)?;
        findings.notes.extend(too_few(&objectives, findings.requests));
        let judgements = slo::judge(&objectives, &findings.measured);
        let overall = slo::overall(&judgements);
        if self.json {
            out::say_json(&in_json(&judgements, &overall, &findings));
        } else {
            out::say(table(&judgements));
            out::say(format!("\n{}", summary(&judgements, &findings)));
        }
        Ok(match overall {
            Standing::Met => ExitCode::SUCCESS,
            Standing::Missed => ExitCode::from(1),
            Standing::Unknown(_) => ExitCode::from(2),
        })
    }

    fn measure(&self, objectives: &[Objective]) -> Result<Findings, Failure> {
        if let Some(url) = &self.url {
            return traffic::measure(url, &self.traffic, &self.headers);
        }
        if let Some(url) = &self.prometheus {
            return prometheus::measure(url, &self.queries, &self.headers, objectives);
        }
        if let Some(namespace) = &self.cloudwatch {
            return cloudwatch::measure(namespace, &self.aws, &self.queries, objectives);
        }
        match &self.results {
            Some(file) => results::measure(file),
            None => Err(Failure::invalid("give one of --url, --prometheus, --cloudwatch and --results")),
        }
    }
}

/// What is to be known where one of a thousand requests is asked for, and there were fewer.
fn too_few(objectives: &[Objective], requests: Option<u64>) -> Option<String> {
    let is_asked = objectives.iter().any(|objective| objective.metric == "latency_p999");
    let requests = requests.filter(|requests| is_asked && *requests < REQUESTS_OF_P999)?;
    Some(format!(
        "latency_p999 rests on the slowest of {requests} only; it takes {REQUESTS_OF_P999} requests or more to tell it"
    ))
}

impl ObjectiveOptions {
    fn all(&self) -> Vec<Objective> {
        let given = [
            ("error_rate", self.error_rate),
            ("availability", self.availability),
            ("latency_p50", self.latency_p50),
            ("latency_p90", self.latency_p90),
            ("latency_p95", self.latency_p95),
            ("latency_p99", self.latency_p99),
            ("latency_p999", self.latency_p999),
        ];
        given.iter().filter_map(|(metric, limit)| Objective::new(metric, (*limit)?)).collect()
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<Share>().map(Share::fraction).map_err(|error| error.to_string())
}

/// Milliseconds, or a duration with its unit.
fn time(text: &str) -> Result<f64, String> {
    let with_unit = if text.parse::<f64>().is_ok() { format!("{text}ms") } else { text.to_owned() };
    with_unit.parse::<Duration>().map(Duration::as_seconds).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("this is not `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A URL without what may be secret: the user and the query.
pub(super) fn shown(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}{path}")
        }
        None => path.to_owned(),
    }
}

fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Met => "met",
        Standing::Missed => "missed",
        Standing::Unknown(_) => "unknown",
    }
}

/// A row for each objective: what is asked, what was measured, how it stands.
fn table(judgements: &[Judgement]) -> String {
    let heads = ["objective", "asked", "measured", ""].map(str::to_owned);
    let rows = judgements.iter().map(|judgement| {
        let objective = &judgement.objective;
        let measured = judgement.measured.map_or_else(|| "–".to_owned(), |value| objective.show(value));
        [objective.metric.to_owned(), objective.asked(), measured, word(&judgement.standing).to_owned()]
    });
    let rows: Vec<[String; 4]> = std::iter::once(heads).chain(rows).collect();
    let widest: Vec<usize> =
        (0..3).map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0)).collect();
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widest.iter().chain([&0]));
        let padded =
            cells.map(|(cell, widest)| format!("{cell}{}", " ".repeat(widest.saturating_sub(width(cell)))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What it comes to, in lines: what was measured on, what is unknown and why, and what else is to be known.
fn summary(judgements: &[Judgement], findings: &Findings) -> String {
    let mut lines = vec![format!("measured on {}", findings.source)];
    lines.extend(findings.notes.iter().cloned());
    lines.extend(judgements.iter().filter_map(|judgement| match &judgement.standing {
        Standing::Unknown(why) => Some(format!("{} is unknown: {why}", judgement.objective.metric)),
        _ => None,
    }));
    let missed: Vec<&str> = judgements
        .iter()
        .filter(|judgement| judgement.standing == Standing::Missed)
        .map(|judgement| judgement.objective.metric)
        .collect();
    if !missed.is_empty() {
        lines.push(format!("missed: {}", missed.join(", ")));
    }
    lines.join("\n")
}

fn in_json(judgements: &[Judgement], overall: &Standing, findings: &Findings) -> Json {
    let objectives: Vec<Json> = judgements
        .iter()
        .map(|judgement| {
            let Judgement { objective, measured, standing } = judgement;
            let bound = match objective.bound {
                Bound::AtMost => "at_most",
                Bound::AtLeast => "at_least",
            };
            let why = if let Standing::Unknown(why) = standing { Some(why) } else { None };
            json!({
                "objective": objective.metric, "bound": bound, "limit": objective.limit, "measured": measured,
                "result": word(standing), "why": why,
            })
        })
        .collect();
    json!({
        "result": word(overall), "source": findings.source, "requests": findings.requests, "notes": findings.notes,
        "objectives": objectives,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_unless_they_say_otherwise() {
        assert_eq!((time("500"), time("500ms"), time("0.5s")), (Ok(0.5), Ok(0.5), Ok(0.5)));
        assert!(time("fast").is_err() && time("-1").is_err());
    }

    #[test]
    fn what_is_shown_of_a_url_has_no_secrets() {
        assert_eq!(shown("http://me:pass@host:8080/a@b?token=1#x"), "http://host:8080/a@b");
        assert_eq!(shown("https://host"), "https://host");
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        assert_eq!(header("Authorization: Bearer a:b"), Ok(("Authorization".into(), "Bearer a:b".into())));
        assert!(header("nothing").is_err());
    }
}
