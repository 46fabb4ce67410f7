//! `DNSChaos`: names that are not found, or found elsewhere.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, entry};
use super::{Chaos, Kind, Strike};
use crate::node::{Content, Node};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "DNSChaos", embedded: "dnsChaos", read };

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let pods = translator.containers(fields);
    let action = translator
        .required(fields, "action", "error or random")
        .and_then(|node| Some((translator.word(node, "action", &["error", "random"])?, node.place)));
    let patterns: Vec<Option<Node>> = translator
        .optional_texts(fields, "patterns")
        .into_iter()
        .map(|node| translator.pattern(node))
        .collect();
    let patterns = patterns.into_iter().collect::<Option<Vec<Node>>>()?;
    let ((action, place), pods) = action.zip(pods)?;
    let fault = if action == "error" { "dns.error" } else { "dns.random" };
    let names =
        (!patterns.is_empty()).then(|| entry("names", make::list(patterns, fields.key_place("patterns"))));
    let with = names.into_iter().collect();
    Some(Chaos {
        strikes: vec![Strike { fault, place, target: pods.node(), with }],
        once: false,
        lasts: None,
    })
}

impl Translator<'_> {
    /// A name in which `?` stands for a letter, and a `*` at the end for any text.
    fn pattern(&mut self, node: Node) -> Option<Node> {
        let Content::Text(text) = &node.content else { return None };
        let body = text.strip_suffix('*').unwrap_or(text);
        if !text.is_empty() && !body.contains('*') {
            return Some(node);
        }
        let message = format!("{text:?} is no pattern of names: a `*` stands at the end");
        self.error(ReadError::at(node.place, message).help("such as google.com, chaos-mesh.* or github.?om"));
        None
    }
}
