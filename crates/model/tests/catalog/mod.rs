//! A small catalog to read experiments with: a few faults, probes and a load that do nothing. Shared by the tests of
//! reading and by the fuzz target.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use squall_model::catalog::{AnyLoad, Catalog};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{self, AnyFault, Fault, PlanError};
use squall_model::node::Node;
use squall_model::probe::{self, AnyProbe, Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::read::{self, ReadError};
use squall_model::step::Step;
use squall_model::units::{Duration, Share, Size};
use squall_model::value::Reading;
use std::collections::BTreeMap;

/// Delays packets.
pub(crate) struct Latency;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencyParameters {
    /// How much later.
    delay: Duration,
    /// How much the delay varies.
    #[serde(default)]
    jitter: Duration,
    /// How much each delay resembles the one before.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    correlation: Share,
    /// The share of packets.
    #[serde(default)]
    probability: Option<Share>,
    /// Only this remote port.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    port: Option<u16>,
    /// Only these.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    destination: Vec<serde_json::Value>,
    /// Incoming, outgoing or both.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    direction: Direction,
}

/// A way.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// In.
    In,
    /// Out.
    #[default]
    Out,
    /// Both.
    Both,
}

impl Fault for Latency {
    const NAME: &'static str = "network.latency";
    const SUMMARY: &'static str = "Delays packets";
    const EXAMPLE: &'static str = "";
    const SCOPE: Scope = Scope::Network;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = LatencyParameters;

    fn check(parameters: &LatencyParameters) -> Result<(), PlanError> {
        if parameters.jitter > parameters.delay {
            let message = format!("jitter {} is more than delay {}", parameters.jitter, parameters.delay);
            return Err(PlanError::Parameters(message));
        }
        match parameters.probability {
            Some(share) if share.fraction() <= 0.0 => {
                Err(PlanError::Parameters("probability is zero".to_owned()))
            }
            _ => Ok(()),
        }
    }
    fn plan(_: &LatencyParameters, _: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(Vec::new())
    }
}

/// Pauses processes.
pub(crate) struct Pause;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

impl Fault for Pause {
    const NAME: &'static str = "process.pause";
    const SUMMARY: &'static str = "Pauses processes";
    const EXAMPLE: &'static str = "";
    const SCOPE: Scope = Scope::Process;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = NoParameters;

    fn plan(_: &NoParameters, _: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(Vec::new())
    }
}

/// Takes memory.
pub(crate) struct Spike;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpikeParameters {
    /// How much.
    #[allow(dead_code, reason = "read, never used")]
    size: Size,
    /// How many times.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    times: u8,
}

impl Fault for Spike {
    const NAME: &'static str = "memory.spike";
    const SUMMARY: &'static str = "Takes memory";
    const EXAMPLE: &'static str = "";
    const SCOPE: Scope = Scope::Resource;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = SpikeParameters;

    fn plan(_: &SpikeParameters, _: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(Vec::new())
    }
}

/// Asks a URL.
pub(crate) struct Http;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpParameters {
    /// Where.
    url: String,
    /// The method.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    method: String,
    /// What to send.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    body: String,
    /// Names and values.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    headers: BTreeMap<String, String>,
    /// How long to wait.
    #[serde(default)]
    #[allow(dead_code, reason = "read, never used")]
    timeout: Duration,
}

impl Observe for Http {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async { Ok(Reading::new()) })
    }
}

impl Probe for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Asks a URL";
    const EXAMPLE: &'static str = "";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("status", "a number"), ("latency", "a duration"), ("body", "a text"), ("json.*", "anything")];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("status", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("status < 400");
    type Parameters = HttpParameters;

    fn new(parameters: HttpParameters) -> Result<Self, ProbeError> {
        if parameters.url.starts_with("http") {
            return Ok(Self);
        }
        Err(ProbeError(format!("{:?} is not a URL", parameters.url)))
    }
}

/// Runs a pod.
pub(crate) struct Pod;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
pub(crate) struct PodParameters {
    #[serde(default)]
    namespace: Option<String>,
    container: serde_json::Value,
    #[serde(default)]
    volumes: Vec<serde_json::Value>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    timeout: Option<Duration>,
}

impl Observe for Pod {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async { Ok(Reading::new()) })
    }
}

impl Probe for Pod {
    const NAME: &'static str = "pod";
    const SUMMARY: &'static str = "Runs a pod";
    const EXAMPLE: &'static str = "";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("exit_code", "a number"), ("stdout", "a text")];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("exit_code", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("exit_code == 0");
    type Parameters = PodParameters;

    fn new(_: PodParameters) -> Result<Self, ProbeError> {
        Ok(Self)
    }
}

/// Runs a query.
pub(crate) struct Prometheus;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrometheusParameters {
    /// Where.
    #[allow(dead_code, reason = "read, never used")]
    url: String,
    /// What.
    #[allow(dead_code, reason = "read, never used")]
    query: String,
}

impl Observe for Prometheus {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async { Ok(Reading::new()) })
    }
}

impl Probe for Prometheus {
    const NAME: &'static str = "prometheus";
    const SUMMARY: &'static str = "Runs a query";
    const EXAMPLE: &'static str = "";
    const VALUES: &'static [(&'static str, &'static str)] = &[("value", "the number")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = PrometheusParameters;

    fn new(_: PrometheusParameters) -> Result<Self, ProbeError> {
        Ok(Self)
    }
}

/// Sends HTTP requests.
pub(crate) struct HttpLoad;

impl AnyLoad for HttpLoad {
    fn name(&self) -> &'static str {
        "http"
    }
    fn summary(&self) -> &'static str {
        "Sends HTTP requests"
    }
    fn example(&self) -> &'static str {
        ""
    }
    fn schema(&self) -> Schema {
        schema_for!(HttpParameters)
    }
    fn check(&self, parameters: &Node) -> Result<(), ReadError> {
        read::decode::<HttpParameters>(parameters).map(drop)
    }
}

/// The catalog.
pub(crate) struct Small;

static FAULTS: [&dyn AnyFault; 3] = [&fault::of::<Latency>(), &fault::of::<Pause>(), &fault::of::<Spike>()];
static PROBES: [&dyn AnyProbe; 3] = [&probe::of::<Http>(), &probe::of::<Prometheus>(), &probe::of::<Pod>()];
static SOURCES: [&dyn AnyProbe; 1] = [&probe::of::<Prometheus>()];
static LOADS: [&dyn AnyLoad; 1] = [&HttpLoad];

impl Catalog for Small {
    fn faults(&self) -> &[&dyn AnyFault] {
        &FAULTS
    }
    fn probes(&self) -> &[&dyn AnyProbe] {
        &PROBES
    }
    fn metric_sources(&self) -> &[&dyn AnyProbe] {
        &SOURCES
    }
    fn loads(&self) -> &[&dyn AnyLoad] {
        &LOADS
    }
}
