//! CloudWatch: one number of a metric.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>

use crate::client::{Ask, Aws};
use crate::ec2::{odd, tree};
use crate::endpoint::Service;
use crate::error::{AwsError, Problem};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

pub(crate) const CLOUDWATCH: Service =
    Service { id: "CloudWatch", host: "monitoring", signing: "monitoring" };
pub(crate) const VERSION: &str = "2010-08-01";

/// How the samples of a period become one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic(String);

impl Statistic {
    /// The name that CloudWatch knows it by.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Statistic {
    type Err = String;

    /// `average`, `sum`, `minimum`, `maximum`, `count`, and percentiles: `p50` to `p99.99`.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = [
            ("average", "Average"),
            ("sum", "Sum"),
            ("minimum", "Minimum"),
            ("maximum", "Maximum"),
            ("count", "SampleCount"),
        ];
        let lower = text.to_ascii_lowercase();
        let found = names.iter().find(|(short, long)| *short == lower || long.eq_ignore_ascii_case(&lower));
        if let Some((_, name)) = found {
            return Ok(Self((*name).to_owned()));
        }
        let percent = lower.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
        match percent {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(lower)),
            _ => Err(format!(
                "{text:?} is no statistic; there are average, sum, minimum, maximum, count and percentiles such as p99 or p99.9"
            )),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct MetricQuestion {
    /// The namespace: `AWS/ApplicationELB`.
    pub namespace: String,
    /// The metric: `TargetResponseTime`.
    pub name: String,
    /// Its dimensions: exactly those that it is kept by.
    pub dimensions: Vec<(String, String)>,
    /// The statistic.
    pub statistic: Statistic,
    /// The time that becomes one number: a multiple of a minute, or 1, 5, 10, 20 or 30 seconds for what is kept so.
    pub period: Duration,
    /// How old the latest period may be.
    pub within: Duration,
}

impl MetricQuestion {
    /// What is wrong with the period.
    ///
    /// # Errors
    /// In a sentence.
    pub fn check(&self) -> Result<(), String> {
        let seconds = self.period.as_secs();
        let is_whole = self.period.subsec_nanos() == 0 && seconds > 0 && seconds.is_multiple_of(60);
        if is_whole || (self.period.subsec_nanos() == 0 && [1, 5, 10, 20, 30].contains(&seconds)) {
            return Ok(());
        }
        Err(format!(
            "a period is 1, 5, 10, 20 or 30 seconds, or a multiple of a minute, and not {:?}",
            self.period
        ))
    }
}

impl MetricQuestion {
    /// That there is no sample, and why that may be.
    pub fn nothing(&self, region: &str) -> String {
        format!(
            "no sample of {self} in {region} within the last {} seconds: it is not written (yet), or kept by other \
             dimensions; `aws cloudwatch list-metrics --namespace {}` lists them",
            (self.within + self.period).as_secs(),
            self.namespace,
        )
    }
}

impl fmt::Display for MetricQuestion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} {}", self.statistic, self.namespace, self.name)?;
        let dimensions: Vec<String> =
            self.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if dimensions.is_empty() { Ok(()) } else { write!(formatter, " ({})", dimensions.join(", ")) }
    }
}

impl Aws {
    /// The number of the last period that is over.
    ///
    /// # Errors
    /// `NotFound` where there is no sample in time; else see [`AwsError`].
    pub async fn metric(&self, question: &MetricQuestion) -> Result<f64, AwsError> {
        let action = "cloudwatch:GetMetricData";
        question.check().map_err(|why| AwsError::new(Problem::Invalid, why))?;
        let body = self.ask(Ask::query(CLOUDWATCH, action, VERSION, &parameters(question)?)).await?;
        let root = tree(action, &body)?;
        let result = root
            .find("MetricDataResults")
            .and_then(|list| list.children.first())
            .cloned()
            .unwrap_or_default();
        if let Some(status @ ("InternalError" | "Forbidden")) = result.at(&["StatusCode"]) {
            let why =
                result.items(&["Messages"]).map(|one| one.text_at(&["Value"])).collect::<Vec<_>>().join("; ");
            return Err(AwsError::new(Problem::Unknown, format!("{action} of {question}: {status} {why}")));
        }
        // Newest first.
        match result.items(&["Values"]).next().map(|value| value.text.trim().parse::<f64>()) {
            Some(Ok(number)) if number.is_finite() => Ok(number),
            Some(_) => Err(odd(action, "a value is no number")),
            None => Err(AwsError::new(Problem::NotFound, question.nothing(self.region()))),
        }
    }
}

fn parameters(question: &MetricQuestion) -> Result<Vec<(String, String)>, AwsError> {
    // Whole minutes, or whole periods where those are shorter: what is not over yet would be too little.
    let grain = question.period.as_secs().clamp(1, 60);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(now / grain * grain);
    let periods = question.within.as_secs() / question.period.as_secs().max(1) + 1;
    let begin = end - question.period * u32::try_from(periods).unwrap_or(u32::MAX);
    let query = "MetricDataQueries.member.1";
    let stat = format!("{query}.MetricStat");
    let mut parameters = vec![
        ("StartTime".to_owned(), timestamp(begin)?),
        ("EndTime".to_owned(), timestamp(end)?),
        ("ScanBy".to_owned(), "TimestampDescending".to_owned()),
        (format!("{query}.Id"), "one".to_owned()),
        (format!("{stat}.Metric.Namespace"), question.namespace.clone()),
        (format!("{stat}.Metric.MetricName"), question.name.clone()),
        (format!("{stat}.Period"), question.period.as_secs().to_string()),
        (format!("{stat}.Stat"), question.statistic.name().to_owned()),
    ];
    for (at, (name, value)) in (1_u32..).zip(&question.dimensions) {
        let dimension = format!("{stat}.Metric.Dimensions.member.{at}");
        parameters.push((format!("{dimension}.Name"), name.clone()));
        parameters.push((format!("{dimension}.Value"), value.clone()));
    }
    Ok(parameters)
}

pub(crate) fn timestamp(at: SystemTime) -> Result<String, AwsError> {
    let formatted = DateTime::from(at).fmt(Format::DateTime);
    formatted
        .map_err(|error| AwsError::new(Problem::Invalid, format!("write a time for CloudWatch: {error}")))
}
