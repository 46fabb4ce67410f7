//! Any HTTP endpoint: the message as JSON, or a text of one's own; with a signature where a key is given.
//!
//! The signature is the header `X-Squall-Signature: sha256=HEX`, the HMAC-SHA256 (RFC 2104) of the body under the key.

use crate::letter::Letter;
use crate::message::Message;
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::{Surroundings, send};
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use squall_http::{Headers, Url, Verb};
use squall_model::settings::Secret;
use std::collections::BTreeMap;

/// What can stand in a template as `{{NAME}}`.
const NAMES: [&str; 10] =
    ["kind", "severity", "title", "body", "run", "experiment", "host", "verdict", "owner", "at"];

/// Where it goes, and what is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The URL.
    url: Secret,
    /// `POST` by default, or `PUT`.
    method: Option<String>,
    /// Headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The body, with `{{title}}` and its like; by default the whole message as JSON. Where the type is JSON, what is put
    /// in is escaped for a text in quotes.
    template: Option<String>,
    /// The type of the body.
    #[serde(default = "json")]
    content_type: String,
    /// The key of the signature.
    key: Option<Secret>,
}

fn json() -> String {
    "application/json".to_owned()
}

pub(crate) struct Webhook {
    url: Url,
    method: String,
    headers: Headers,
    template: Option<String>,
    content_type: String,
    key: Option<hmac::Key>,
}

impl Outlet for Webhook {
    const NAME: &'static str = "webhook";
    const SUMMARY: &'static str =
        "A request to any endpoint: JSON, or a template of your own, signed where a key is given";
    const EXAMPLE: &'static str =
        "webhook: {url: {env: HOOK_URL}, key: {env: HOOK_KEY}, template: '{\"text\": \"{{title}}\"}'}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let method = parameters.method.unwrap_or_else(|| "POST".to_owned());
        if !["POST", "PUT"].contains(&method.as_str()) {
            return Err(format!("`method` is POST or PUT, not {method}"));
        }
        if let Some(template) = &parameters.template {
            check(template)?;
        }
        let key = parameters.key.map(|key| surroundings.text(&key)).transpose()?;
        let mut headers = surroundings.headers(&parameters.headers)?;
        headers.set("content-type", &parameters.content_type).map_err(|error| error.to_string())?;
        Verb::parse(&method).map_err(|error| error.to_string())?;
        Ok(Self {
            url: surroundings.url(&parameters.url, "")?,
            method,
            headers,
            template: parameters.template,
            content_type: parameters.content_type,
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())),
        })
    }
}

impl Webhook {
    fn body(&self, message: &Message) -> String {
        let whole = serde_json::to_value(message).unwrap_or_default();
        let Some(template) = &self.template else { return whole.to_string() };
        let is_json = self.content_type.contains("json");
        filled(template, |name| {
            let text = match (name, &whole[name]) {
                ("body", _) => message.body(),
                (_, Value::String(text)) => text.clone(),
                _ => String::new(),
            };
            let quoted = Value::from(text.as_str()).to_string();
            if is_json { quoted[1..quoted.len() - 1].to_owned() } else { text }
        })
    }
}

impl Notifier for Webhook {
    fn destination(&self) -> String {
        format!("webhook ({})", self.url.host_and_port())
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let body = self.body(message);
        let mut headers = self.headers.clone();
        if let Some(key) = &self.key {
            let signature = hex(hmac::sign(key, body.as_bytes()).as_ref());
            // Hexadecimal digits fit into a header.
            let _ = headers.set("x-squall-signature", &format!("sha256={signature}"));
        }
        vec![Letter::http(send(&self.method, &self.url, &self.content_type, body).headers(headers))]
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The template with every `{{NAME}}` put in.
fn filled(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        text.push_str(&value(name.trim()));
        text.push_str(rest);
    }
    text
}

fn check(template: &str) -> Result<(), String> {
    for part in template.split("{{").skip(1) {
        let Some((name, _)) = part.split_once("}}") else {
            return Err("`template` has a `{{` without its `}}`".to_owned());
        };
        if !NAMES.contains(&name.trim()) {
            return Err(format!("`template` speaks of `{}`; known: {}", name.trim(), NAMES.join(", ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_and_checked() {
        assert_eq!(filled("a {{ x }}-{{y}}{", str::to_uppercase), "a X-Y{");
        assert!(check("{\"a\": {\"b\": \"{{title}}\"}}").is_ok());
        assert!(check("{{titel}}").unwrap_err().contains("`titel`; known: kind"));
        assert!(check("{{title").is_err());
    }
}
