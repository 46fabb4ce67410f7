//! `squall dashboard`: a Grafana dashboard, or rules for Prometheus, over the metrics that Squall exports.

use crate::exit::{Failure, Outcome};
use crate::files;
use crate::out;
use clap::Args;
use squall_report::grafana::{self, Counters};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Prints recording and alert rules for Prometheus instead
    #[arg(long)]
    rules: bool,
    /// The counter of requests of your service that failed
    #[arg(long, value_name = "NAME", default_value = "error_total", value_parser = metric)]
    errors_metric: String,
    /// The counter of all requests of your service
    #[arg(long, value_name = "NAME", default_value = "request_total", value_parser = metric)]
    requests_metric: String,
    /// Prints this dashboard instead, made valid; what was changed goes to standard error
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rules", "errors_metric", "requests_metric"])]
    from: Option<PathBuf>,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let counters = Counters { errors: self.errors_metric, requests: self.requests_metric };
        let text = match &self.from {
            Some(file) => mended(file)?,
            None if self.rules => grafana::rules(&counters),
            None => grafana::dashboard(&counters),
        };
        out::say(text.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

fn mended(file: &std::path::Path) -> Result<String, Failure> {
    let source = files::source(file)?;
    let (text, changes) = grafana::mend(&source.text)
        .map_err(|why| Failure::invalid(format!("could not read the dashboard {}: {why}", source.name)))?;
    changes.iter().for_each(|change| out::warn(format!("squall: {change}")));
    Ok(text)
}

/// A name of a metric, with labels perhaps: `http_errors_total`, `http_requests_total{code=~"5.."}`.
fn metric(text: &str) -> Result<String, String> {
    let name = text.split('{').next().unwrap_or_default();
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let labels_close = text.contains('{') == text.ends_with('}');
    if is_name && labels_close { Ok(text.to_owned()) } else { Err("this is no name of a metric".to_owned()) }
}
