//! Metrics to a Pushgateway: one group for this host, replaced as a whole whenever something changed.
//!
//! <https://github.com/prometheus/pushgateway#api>

use crate::letter::Letter;
use crate::metrics::TEXT_TYPE;
use crate::outlet::{Exporter, Happened, Outlet};
use crate::surroundings::{Surroundings, in_path, send};
use crate::target::Target;
use squall_http::{Headers, Url};

pub(crate) struct Pushgateway {
    url: Url,
    headers: Headers,
}

impl Outlet for Pushgateway {
    const NAME: &'static str = "push";
    const SUMMARY: &'static str =
        "Metrics to a Prometheus Pushgateway, grouped by job=squall and this host as instance";
    const EXAMPLE: &'static str = "push: http://127.0.0.1:9091";
    type Parameters = Target;

    fn new(target: Target, surroundings: &Surroundings) -> Result<Self, String> {
        let host = surroundings.host.as_str();
        let instance = if host.is_empty() { "unknown".to_owned() } else { in_path(host) };
        let path = format!("/metrics/job/squall/instance/{instance}");
        Ok(Self {
            url: surroundings.url(&target.url, &path)?,
            headers: surroundings.headers(&target.headers)?,
        })
    }
}

impl Exporter for Pushgateway {
    fn destination(&self) -> String {
        format!("push ({})", self.url.host_and_port())
    }

    fn letters(&self, happened: Happened<'_>) -> Vec<Letter> {
        if !happened.changed {
            return Vec::new();
        }
        let request =
            send("PUT", &self.url, TEXT_TYPE, happened.metrics.text()).headers(self.headers.clone());
        vec![Letter::http(request).superseding()]
    }
}
