//! Marks on Grafana's dashboards: for each fault a region, from when it was active to when it was put back.
//!
//! <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>

use crate::letter::Letter;
use crate::outlet::{Exporter, Happened, Outlet};
use crate::run::{Injection, Run};
use crate::surroundings::{Surroundings, post_json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use squall_http::{Headers, Url};
use squall_model::event::Event;
use squall_model::settings::Secret;

/// How to reach it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Where it is, without `/api`.
    url: Secret,
    /// A token of a service account that may write annotations.
    token: Secret,
    /// Tags of every mark, beside `squall` and the fault's name.
    #[serde(default)]
    tags: Vec<String>,
    /// UIDs of the dashboards that show it; else all do whose annotations ask for one of the tags.
    #[serde(default)]
    dashboards: Vec<String>,
}

pub(crate) struct Grafana {
    url: Url,
    headers: Headers,
    tags: Vec<String>,
    dashboards: Vec<String>,
}

impl Outlet for Grafana {
    const NAME: &'static str = "grafana";
    const SUMMARY: &'static str =
        "A mark on dashboards of Grafana for each fault, from when it was active to when it was put back";
    const EXAMPLE: &'static str =
        "grafana: {url: \"http://127.0.0.1:3000\", token: {env: GRAFANA_TOKEN}, tags: [payment]}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let mut headers = Headers::default();
        let token = format!("Bearer {}", surroundings.text(&parameters.token)?);
        headers.set("authorization", &token).map_err(|error| error.to_string())?;
        let url = surroundings.url(&parameters.url, "/api/annotations")?;
        Ok(Self { url, headers, tags: parameters.tags, dashboards: parameters.dashboards })
    }
}

impl Grafana {
    fn mark(&self, run: &Run, injection: &Injection, until: Timestamp) -> Vec<Letter> {
        let Some(active) = injection.active else { return Vec::new() };
        let tags: Vec<&str> = ["squall", injection.fault.as_str()]
            .into_iter()
            .chain(self.tags.iter().map(String::as_str))
            .collect();
        let text =
            format!("{} on {} ({}, run {})", injection.fault, injection.target, run.experiment, run.name);
        let mark = json!({
            "time": active.as_millisecond(), "timeEnd": until.as_millisecond(), "tags": tags, "text": text,
        });
        let letter = |mark| Letter::http(post_json(&self.url, &mark).headers(self.headers.clone()));
        if self.dashboards.is_empty() {
            return vec![letter(mark)];
        }
        let on_dashboard = |uid: &String| {
            let mut mark = mark.clone();
            mark["dashboardUID"] = json!(uid);
            letter(mark)
        };
        self.dashboards.iter().map(on_dashboard).collect()
    }
}

impl Exporter for Grafana {
    fn destination(&self) -> String {
        format!("grafana ({})", self.url.host_and_port())
    }

    fn letters(&self, happened: Happened<'_>) -> Vec<Letter> {
        let Happened { entry, run, .. } = happened;
        match &entry.event {
            Event::Restored { restored, .. } => run
                .injection(&restored.injection)
                .filter(|injection| injection.over == Some(entry.at))
                .map_or_else(Vec::new, |injection| self.mark(run, injection, entry.at)),
            // What nobody was seen to put back.
            Event::Verdict { .. } => {
                run.active().flat_map(|injection| self.mark(run, injection, entry.at)).collect()
            }
            _ => Vec::new(),
        }
    }
}
