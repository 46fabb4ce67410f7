//! A program in a pod of its own: made for the question, watched until it ends, and removed, however that goes.
//!
//! The pod belongs to the run that asks, as those of its agents do: what stays of it if Squall is killed is removed by those
//! who remove them, and the cluster itself ends the program a moment after its time.

#[cfg(not(feature = "kubernetes"))]
mod lacking;
#[cfg(feature = "kubernetes")]
mod run;

use crate::timeout::Timeout;
#[cfg(not(feature = "kubernetes"))]
use lacking::ask;
#[cfg(feature = "kubernetes")]
use run::ask;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use squall_model::probe::{Keep, Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::Reading;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much longer than the program the making and the removal of its pod may take.
const AROUND: std::time::Duration = std::time::Duration::from_secs(12);

/// What stands under `pod:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "a build without clusters asks nothing"))]
pub struct Parameters {
    /// Its namespace; without it that of the kubeconfig's context.
    #[serde(default)]
    namespace: Option<String>,
    /// The container, as in a pod: `{image: …, command: […], args: […], env: […], …}`. Without a name it is called `main`.
    container: BTreeMap<String, Json>,
    /// Volumes of the pod, as in a pod.
    #[serde(default)]
    volumes: Vec<Json>,
    /// Labels of the pod.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The service account that it runs as; without it that of the namespace.
    #[serde(default)]
    service_account: Option<String>,
    /// The context of the kubeconfig; without it its current one.
    #[serde(default)]
    context: Option<String>,
    /// The kubeconfig, by its path; without it `KUBECONFIG`, `~/.kube/config`, or the account of the pod that Squall runs in.
    #[serde(default)]
    kubeconfig: Option<String>,
    /// How long the program may take, with the time until it runs; 45s where not given. The cluster ends it then.
    #[serde(default = "default_timeout")]
    timeout: Timeout,
}

fn default_timeout() -> Timeout {
    Timeout::of_seconds(45)
}

/// The `pod` probe.
pub struct Pod {
    parameters: Parameters,
    keep: Option<Arc<dyn Keep>>,
}

impl Probe for Pod {
    const NAME: &'static str = "pod";
    const SUMMARY: &'static str = "Runs a program in a pod of its own in a Kubernetes cluster, and removes the pod: its exit code and what it printed";
    const EXAMPLE: &'static str = "\
- pod:
    namespace: shop
    container: {image: \"busybox:1.36\", command: [\"sh\", \"-c\", \"wget -qO- http://payment/health\"]}
    timeout: 1m
  expect: exit_code == 0 and stdout =~ \"ok\"
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("exit_code", "how the program ended"),
        ("stdout", "what it printed, on either output, without blanks around it; the first 64 KiB"),
        ("latency", "seconds until the answer was there, with the making of the pod"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("exit_code", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("exit_code == 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let image = parameters.container.get("image").and_then(Json::as_str).unwrap_or_default();
        if image.trim().is_empty() {
            return Err(ProbeError("`container` needs an `image`".to_owned()));
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if parameters.container.contains_key(key) {
                return Err(ProbeError(format!(
                    "`{key}` is for programs that serve, and this one is to end"
                )));
            }
        }
        if parameters.namespace.as_ref().is_some_and(|namespace| namespace.trim().is_empty()) {
            return Err(ProbeError("an empty text names no namespace".to_owned()));
        }
        Ok(Self { parameters, keep: None })
    }
}

impl Observe for Pod {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let Some(keep) = &self.keep else {
                let why = "a pod is only made where somebody removes it whatever happens: in `squall run` and the like, \
                           not in a game day's looks between the runs";
                return Err(ProbeError(why.to_owned()));
            };
            ask(&self.parameters, &**keep).await
        })
    }

    fn patience(&self) -> Duration {
        Duration(self.parameters.timeout.get() + AROUND)
    }

    fn kept_by(&mut self, keep: Arc<dyn Keep>) {
        self.keep = Some(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_program_that_ends_is_refused() {
        let new = |parameters: Json| Pod::new(serde_json::from_value(parameters).unwrap()).map(|_| ());
        new(json!({"container": {"image": "busybox", "command": ["true"]}})).unwrap();
        let refused = |parameters: Json| new(parameters).unwrap_err().to_string();
        assert!(refused(json!({"container": {}})).contains("`image`"));
        assert!(refused(json!({"container": {"image": "x", "livenessProbe": {}}})).contains("livenessProbe"));
        assert!(refused(json!({"container": {"image": "x"}, "namespace": ""})).contains("namespace"));
        let unknown: Result<Parameters, _> = serde_json::from_value(json!({"containers": []}));
        assert!(unknown.is_err());
    }
}
