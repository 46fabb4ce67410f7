//! Settings: what is set once for all experiments of a place.
//!
//! ```yaml
//! apiVersion: squall.dev/v1
//! kind: Settings
//! metrics: {push: "http://127.0.0.1:9091", file: /var/lib/node_exporter/squall.prom}
//! notify:
//!   - slack: {url: {env: SLACK_URL}}
//!     on: [abort, residue]
//! grafana: {url: "http://127.0.0.1:3000", token: {file: /run/secrets/grafana}}
//! environments:
//!   production: {targets: 1, magnitude: {delay: 200ms}, hours: "MON-FRI 09:00-17:00 Europe/Berlin"}
//! protected: [{process: {name: sshd}}]
//! ```

use super::experiment::API_VERSION;
use super::fields::{Fields, Reader};
use super::{EMPTY, ReadError, Source, nearest, parse};
use crate::catalog::Catalog;
use crate::node::{Content, Node};
use crate::settings::{Call, Kind, Kinds, Notify, Occasion, Settings};

/// What a file of settings says it is.
const KIND: &str = "Settings";

/// The kind that a text says it is of, such as `Experiment`; files of several kinds may lie in the same place.
///
/// # Errors
/// Where the text is not of its format.
pub fn kind(source: &Source) -> Result<Option<String>, ReadError> {
    let root = parse(source)?;
    Ok(root.get("kind").and_then(|kind| match &kind.content {
        Content::Text(kind) => Some(kind.clone()),
        _ => None,
    }))
}

/// Whether a text says that it holds settings.
///
/// # Errors
/// Where the text is not of its format.
pub fn is_settings(source: &Source) -> Result<bool, ReadError> {
    Ok(kind(source)?.as_deref() == Some(KIND))
}

/// Reads settings.
///
/// # Errors
/// All mistakes that could be found, in the order of the file.
pub fn settings(source: &Source, catalog: &dyn Catalog, kinds: &Kinds) -> Result<Settings, Vec<ReadError>> {
    let root = parse(source).map_err(|error| vec![about_settings(error)])?;
    header(&root).map_err(|error| vec![error])?;
    let mut reader = Reader { text: &source.text, catalog, secrets: &[], errors: Vec::new() };
    let settings = reader.settings(&root, kinds);
    let mut errors = reader.errors;
    match settings {
        Some(settings) if errors.is_empty() => Ok(settings),
        _ => {
            errors.sort_by_key(|error| error.place.start);
            errors.dedup();
            Err(errors)
        }
    }
}

fn beginning() -> String {
    format!("settings begin with `apiVersion: {API_VERSION}` and `kind: {KIND}`")
}

/// Whoever has an empty file of settings is not helped by how an experiment begins.
fn about_settings(error: ReadError) -> ReadError {
    if error.message == EMPTY { error.help(beginning()) } else { error }
}

/// Checks that the file says it holds settings.
fn header(root: &Node) -> Result<(), ReadError> {
    for (name, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let help = beginning();
        match root.get(name) {
            Some(node) if node.content == Content::Text(wanted.to_owned()) => {}
            Some(node) => {
                return Err(ReadError::at(node.place, format!("`{name}` is not `{wanted}`")).help(help));
            }
            None => return Err(ReadError::at(root.place, format!("`{name}` is missing")).help(help)),
        }
    }
    Ok(())
}

impl Reader<'_> {
    fn settings(&mut self, root: &Node, kinds: &Kinds) -> Option<Settings> {
        let mut fields = self.fields(root, "a file of settings")?;
        fields.get("apiVersion");
        fields.get("kind");
        let metrics =
            fields.get("metrics").map_or_else(Vec::new, |node| self.calls(node, &kinds.metrics, "`metrics`"));
        let notify = fields.get("notify").map_or_else(Vec::new, |node| self.notify(node, &kinds.notify));
        let marks = self.known(&mut fields, &kinds.marks);
        let (environments, protected) =
            (fields.get("environments").cloned(), fields.get("protected").cloned());
        fields.finish(self);
        Some(Settings { metrics, notify, marks, environments, protected })
    }

    /// A map whose every key names a kind.
    fn calls(&mut self, node: &Node, kinds: &[Kind], what: &str) -> Vec<Call> {
        let Some(mut fields) = self.fields(node, what) else { return Vec::new() };
        let calls = self.known(&mut fields, kinds);
        fields.finish(self);
        calls
    }

    /// The entries of a map that name one of these kinds.
    fn known(&mut self, fields: &mut Fields<'_>, kinds: &[Kind]) -> Vec<Call> {
        let mut calls = Vec::new();
        for kind in kinds {
            if let Some(node) = fields.get(kind.name) {
                calls.extend(self.call(kind, node));
            }
        }
        calls
    }

    fn call(&mut self, kind: &Kind, node: &Node) -> Option<Call> {
        (kind.check)(node).map_err(|error| self.error(error)).ok()?;
        Some(Call { kind: kind.name.to_owned(), parameters: node.clone() })
    }

    fn notify(&mut self, node: &Node, kinds: &[Kind]) -> Vec<Notify> {
        let items = self.list(node, "`notify`");
        items.iter().filter_map(|item| self.notify_one(item, kinds)).collect()
    }

    /// When somebody is told: once at least.
    fn occasions(&mut self, node: &Node) -> Option<Vec<Occasion>> {
        let on = self.value::<Vec<Occasion>>(node)?;
        if on.is_empty() {
            let help = "name some of `start`, `end`, `failure`, `abort`, `residue`, or leave `on` away";
            self.error(
                ReadError::at(node.place, "`on` names nothing, so that nobody would be told").help(help),
            );
        }
        Some(on)
    }

    fn notify_one(&mut self, node: &Node, kinds: &[Kind]) -> Option<Notify> {
        let names: Vec<&'static str> = kinds.iter().map(|kind| kind.name).collect();
        let mut fields = self.fields(node, "an entry of `notify`")?;
        let on = match fields.get("on") {
            Some(node) => self.occasions(node),
            None => Some(Occasion::DEFAULT.to_vec()),
        };
        let before = self.errors.len();
        let Some((key, parameters)) = fields.kind(&names, "notifier", self) else {
            if self.errors.len() == before {
                let help = format!("known: {}", nearest::list(&names));
                self.error(ReadError::at(node.place, "this does not say who is told").help(help));
            }
            return None;
        };
        let kind = kinds.iter().find(|kind| kind.name == key.name)?;
        let call = self.call(kind, parameters)?;
        let on = on?;
        if let Some(place) = node.get("on").filter(|_| on.iter().all(|one| kind.silent_on.contains(one))) {
            let help = "name another, such as `abort`, `failure` or `residue`, or leave `on` away";
            let message = format!("`{}` tells nothing of these", kind.name);
            self.error(ReadError::at(place.place, message).help(help));
        }
        Some(Notify { call, on })
    }
}
