//! Objectives measured by asking CloudWatch.

use super::check::Findings;
use super::prometheus::{PrometheusOptions, ask, one_line};
use super::traffic::parameters;
use crate::exit::Failure;
use crate::instruments::Toolbox;
use clap::Args;
use serde_json::{Map, Value as Json, json};
use squall_engine::driver::Instruments;
use squall_model::experiment::{DEFAULT_FRESH, Metric};
use squall_model::probe::Observe;
use squall_model::units::Duration;
use squall_practice::slo::{CloudWatchNames, Measured, Objective};

#[derive(Debug, Args)]
#[command(next_help_heading = "With --cloudwatch")]
pub(super) struct CloudWatchOptions {
    /// A dimension that the metrics are kept by, and all of them: LoadBalancer=app/shop/50dc6c495c0c9188
    #[arg(long = "dimension", value_name = "NAME=VALUE", requires = "cloudwatch", value_parser = dimension)]
    dimensions: Vec<(String, String)>,
    /// The region, in place of that of AWS's own settings
    #[arg(long, requires = "cloudwatch")]
    region: Option<String>,
    /// The profile whose settings and credentials count
    #[arg(long, value_name = "NAME", requires = "cloudwatch")]
    profile: Option<String>,
    /// Another address than AWS's own
    #[arg(long, value_name = "URL", requires = "cloudwatch")]
    endpoint: Option<String>,
}

fn dimension(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("this is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is asked, and of which window.
struct Asker<'o> {
    namespace: &'o str,
    options: &'o CloudWatchOptions,
    window: Duration,
    runtime: tokio::runtime::Runtime,
}

pub(super) fn measure(
    namespace: &str,
    options: &CloudWatchOptions,
    queries: &PrometheusOptions,
    objectives: &[Objective],
) -> Result<Findings, Failure> {
    let own = [&queries.errors_metric, &queries.requests_metric, &queries.latency_metric];
    let [errors, requests, latency] = own.map(Option::as_deref);
    let names = CloudWatchNames::of(namespace, errors, requests, latency).map_err(Failure::invalid)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // CloudWatch counts by the minute.
    let minutes = queries.window.0.as_secs().div_ceil(60).max(1);
    let asker = Asker { namespace, options, window: Duration::seconds(minutes * 60), runtime };
    let mut measured = Measured::default();
    let mut counted = None;
    for objective in objectives {
        let value = match names.latency(objective.metric) {
            Some(sample) => {
                asker.ask(&sample.metric, &sample.statistic, None)?.map(|value| value * sample.scale)
            }
            None if objective.metric.starts_with("latency") => Err("give --latency-metric".to_owned()),
            None => {
                if counted.is_none() {
                    counted = Some(asker.error_rate(&names)?);
                }
                let rate = counted.clone().unwrap_or_else(|| Err("nothing was asked".to_owned()));
                let rate = rate.map(|(rate, _)| rate);
                rate.map(|rate| if objective.metric == "availability" { 1.0 - rate } else { rate })
            }
        };
        measured.add(objective.metric, value.map_err(|why| one_line(&why)));
    }
    let requests = counted.and_then(Result::ok).map(|(_, requests)| requests as u64);
    let source = format!("CloudWatch's {namespace} over {}", asker.window);
    Ok(Findings { measured, source, requests, notes: Vec::new() })
}

impl Asker<'_> {
    /// The share of requests that failed, and how many there were. Failed ones are counted only where there are some.
    fn error_rate(&self, names: &CloudWatchNames) -> Result<Result<(f64, f64), String>, Failure> {
        if names.errors.is_empty() || names.requests.is_empty() {
            return Ok(Err("give --errors-metric and --requests-metric".to_owned()));
        }
        let requests = self.ask(&names.requests, "sum", None)?;
        let errors = self.ask(&names.errors, "sum", Some(0.0))?;
        Ok(requests.and_then(|requests| match errors {
            _ if requests <= 0.0 => Err("there were no requests in that time".to_owned()),
            errors => errors.map(|errors| (errors / requests, requests)),
        }))
    }

    /// A statistic over the window that ended last; the inner error is that nothing is known.
    fn ask(
        &self,
        metric: &str,
        statistic: &str,
        absent: Option<f64>,
    ) -> Result<Result<f64, String>, Failure> {
        let question = self.question(metric, statistic, absent)?;
        Ok(self.runtime.block_on(ask(&*question)))
    }

    fn question(
        &self,
        metric: &str,
        statistic: &str,
        absent: Option<f64>,
    ) -> Result<Box<dyn Observe>, Failure> {
        let dimensions = self.options.dimensions.iter().map(|(name, value)| (name.clone(), json!(value)));
        let question = json!({
            "namespace": self.namespace, "metric": metric, "statistic": statistic, "absent": absent,
            "dimensions": Json::Object(dimensions.collect::<Map<_, _>>()), "period": self.window, "within": "1s",
            "region": self.options.region, "profile": self.options.profile, "endpoint": self.options.endpoint,
            "timeout": "15s",
        });
        let metric = Metric {
            name: "slo".to_owned(),
            source: "cloudwatch".to_owned(),
            parameters: parameters(&question)?,
            fresh_for: DEFAULT_FRESH,
        };
        Toolbox.metric(&metric).map_err(Failure::invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_has_a_name_and_a_value() {
        let whole = ("LoadBalancer".to_owned(), "app/shop/5=0".to_owned());
        assert_eq!(dimension("LoadBalancer=app/shop/5=0"), Ok(whole));
        assert!(dimension("LoadBalancer").is_err());
    }
}
