//! The question, with AWS.

use super::Parameters;
use crate::timeout::Timeout;
use squall_aws::{Aws, AwsError, MetricQuestion, Place, Problem};
use squall_model::probe::ProbeError;
use tokio::sync::OnceCell;

/// Asks as often as wanted; settings and credentials of AWS are read at the first question.
pub(super) struct Asker {
    question: MetricQuestion,
    place: Place,
    timeout: Timeout,
    client: OnceCell<Aws>,
}

impl Asker {
    pub(super) fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { namespace, metric, dimensions, statistic, period, within, timeout, .. } = parameters;
        let question = MetricQuestion {
            namespace,
            name: metric,
            dimensions: dimensions.into_iter().collect(),
            statistic: statistic.parse().map_err(ProbeError)?,
            period: period.0,
            within: within.0,
        };
        question.check().map_err(ProbeError)?;
        let place =
            Place { region: parameters.region, endpoint: parameters.endpoint, profile: parameters.profile };
        Ok(Self { question, place, timeout, client: OnceCell::new() })
    }

    /// The number; none where there is no sample.
    pub(super) async fn ask(&self) -> Result<Option<f64>, ProbeError> {
        let told = |error: AwsError| ProbeError(format!("ask CloudWatch for the {}: {error}", self.question));
        let client = self.client.get_or_try_init(|| Aws::open(&self.place, self.timeout.get())).await;
        match client.map_err(told)?.metric(&self.question).await {
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            other => other.map(Some).map_err(told),
        }
    }

    /// That there is no sample.
    pub(super) fn nothing(&self) -> ProbeError {
        let region = self.client.get().map(Aws::region).unwrap_or_default();
        ProbeError(self.question.nothing(region))
    }
}
