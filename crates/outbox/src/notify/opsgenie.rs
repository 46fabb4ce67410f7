//! Opsgenie, by its Alert API v2: trouble opens an alert, and the next run that passes closes it.
//!
//! <https://docs.opsgenie.com/docs/alert-api>

use super::pagerduty::details;
use crate::letter::Letter;
use crate::message::{Message, Severity};
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::{Surroundings, in_path, post_json};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use squall_http::{Headers, Url};
use squall_model::settings::Secret;

const SERVERS: &str = "https://api.opsgenie.com";

/// How to reach a team.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The API key of an integration.
    api_key: Secret,
    /// Another server, such as `https://api.eu.opsgenie.com`.
    url: Option<Secret>,
    /// Names of the teams that are called, where the integration is not a team's own.
    #[serde(default)]
    teams: Vec<String>,
}

pub(crate) struct Opsgenie {
    server: Secret,
    alerts: Url,
    headers: Headers,
    teams: Vec<String>,
}

impl Outlet for Opsgenie {
    const NAME: &'static str = "opsgenie";
    const SUMMARY: &'static str = "An alert in Opsgenie, which the next run that passes closes";
    const EXAMPLE: &'static str = "opsgenie: {api_key: {env: OPSGENIE_KEY}, teams: [payment]}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let server = parameters.url.unwrap_or(Secret::Plain(SERVERS.to_owned()));
        let server = Secret::Plain(surroundings.text(&server)?);
        let mut headers = Headers::default();
        let key = format!("GenieKey {}", surroundings.text(&parameters.api_key)?);
        headers.set("authorization", &key).map_err(|error| error.to_string())?;
        let alerts = surroundings.url(&server, "/v2/alerts")?;
        Ok(Self { alerts, server, headers, teams: parameters.teams })
    }
}

impl Opsgenie {
    fn letter(&self, url: &Url, body: &Value) -> Letter {
        Letter::http(post_json(url, body).headers(self.headers.clone()))
    }
}

impl Notifier for Opsgenie {
    fn destination(&self) -> String {
        format!("opsgenie ({})", self.alerts.host_and_port())
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let alias: String = message.key().chars().take(512).collect();
        let priority = match message.severity {
            Severity::Good => {
                let path = format!("/v2/alerts/{}/close?identifierType=alias", in_path(&alias));
                let url = Surroundings::default().url(&self.server, &path);
                let body = json!({"source": "Squall", "note": message.title});
                // An alert that is not there need not be closed.
                return url.map(|url| self.letter(&url, &body).also_good(&[404])).into_iter().collect();
            }
            Severity::Info => "P5",
            Severity::Error => "P2",
            Severity::Critical => "P1",
        };
        let responders: Vec<_> =
            self.teams.iter().map(|name| json!({"name": name, "type": "team"})).collect();
        let body = json!({
            "message": message.title.chars().take(130).collect::<String>(), "alias": alias, "source": "Squall",
            "description": format!("{}\n{}", message.title, message.body()), "priority": priority,
            "entity": message.experiment, "tags": ["squall", message.kind], "details": details(message),
            "responders": responders,
        });
        vec![self.letter(&self.alerts, &body)]
    }
}
