//! `HTTPChaos`: requests and answers that are ended, held back or changed.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::{Translator, is_blank};
use super::make::{self, Entries, entry};
use super::{Chaos, Kind, Strike};
use crate::node::{Content, Node, Place};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "HTTPChaos", embedded: "httpChaos", read };

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// What is done to a message: the fault and what it needs beside the filter.
type Harm = (&'static str, Place, Entries);

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let pods = translator.pods(fields);
    let filter = translator.which_messages(fields);
    let target = fields.get("target").and_then(|node| match &node.content {
        Content::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let harms = translator.harm_of_messages(fields, target == Some("Response"));
    let ((pods, filter), harms) = pods.zip(filter).zip(harms)?;
    if harms.is_empty() {
        let message = "one of `abort`, `delay`, `replace` and `patch` is missing: what is done to messages";
        translator.error(ReadError::at(fields.place, message));
        return None;
    }
    let strike = |(fault, place, with): Harm| {
        let with = filter.iter().cloned().chain(with).collect();
        Strike { fault, place, target: pods.node(), with }
    };
    Some(Chaos { strikes: harms.into_iter().map(strike).collect(), once: false, lasts: None })
}

impl Translator<'_> {
    /// Which requests or answers are meant.
    fn which_messages(&mut self, fields: &mut Fields<'_>) -> Option<Entries> {
        let on = self.required(fields, "target", "Request or Response").and_then(|node| {
            let target = self.word(node, "target", &["Request", "Response"])?;
            Some(entry("on", make::text(target.to_ascii_lowercase(), node.place)))
        });
        let port = self
            .required(fields, "port", "the port that the server listens on")
            .and_then(|node| Some(entry("port", make::whole(self.whole(node, 1, 65_535)?, node.place))));
        let mut filter = Entries::new();
        filter.extend(self.optional_text(fields, "path").map(|node| entry("path", node)));
        let method =
            fields.get("method").map(|node| self.word(node, "method", &METHODS).map(|_| node.clone()));
        let code = fields.get("code").map(|node| Some(make::whole(self.whole(node, 100, 599)?, node.place)));
        for name in ["request_headers", "response_headers"] {
            filter.extend(self.optional_text_map(fields, name).map(|map| entry(name, map)));
        }
        let tls = fields.get("tls").map(|node| self.tls(node));
        if let Some(method) = method {
            filter.push(entry("method", method?));
        }
        if let Some(code) = code {
            filter.push(entry("code", code?));
        }
        if let Some(tls) = tls {
            filter.push(entry("tls", tls?));
        }
        Some([on?, port?].into_iter().chain(filter).collect())
    }

    /// All that is done to messages; nothing where a part of it is wrong.
    fn harm_of_messages(&mut self, fields: &mut Fields<'_>, answers: bool) -> Option<Vec<Harm>> {
        let mut harms: Vec<Option<Harm>> = Vec::new();
        if let Some(node) = fields.get("abort") {
            match self.flag(node) {
                Some(true) => harms.push(Some(("http.abort", node.place, Vec::new()))),
                Some(false) => {}
                None => harms.push(None),
            }
        }
        if let Some(node) = fields.get("delay").filter(|node| !is_blank(node)) {
            let span = self.span(node);
            harms.push(span.map(|span| ("http.delay", node.place, vec![entry("delay", span.node())])));
        }
        if let Some(node) = fields.get("replace") {
            harms.push(self.replace(node, answers).map(|with| ("http.replace", node.place, with)));
        }
        if let Some(node) = fields.get("patch") {
            harms.push(self.patch(node, answers).map(|with| ("http.patch", node.place, with)));
        }
        harms.into_iter().collect()
    }

    fn replace(&mut self, node: &Node, answers: bool) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`replace`")?;
        let mut set = Entries::new();
        set.extend(self.optional_text(&mut fields, "path").map(|node| entry("path", node)));
        let method =
            fields.get("method").map(|node| self.word(node, "method", &METHODS).map(|_| node.clone()));
        let code = fields.get("code").map(|node| Some(make::whole(self.whole(node, 100, 599)?, node.place)));
        let body = self.optional_text(&mut fields, "body");
        for name in ["queries", "headers"] {
            set.extend(self.optional_text_map(&mut fields, name).map(|map| entry(name, map)));
        }
        self.of_the_other_side(&mut fields, answers, &["path", "method", "queries"], &["code"]);
        fields.finish(&mut self.reader);
        if let Some(method) = method {
            set.push(entry("method", method?));
        }
        if let Some(code) = code {
            set.push(entry("code", code?));
        }
        if let Some(body) = body {
            set.push(entry("body_base64", self.base64(body)?));
        }
        let set = self.something(set, node, "`replace: {code: 503}`")?;
        Some(vec![entry("set", make::map(set, node.place))])
    }

    fn patch(&mut self, node: &Node, answers: bool) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`patch`")?;
        let body = fields.get("body").map(|node| self.patch_of_body(node));
        let mut lists = Vec::new();
        for name in ["queries", "headers"] {
            if let Some(node) = fields.get(name).filter(|node| !is_blank(node)) {
                lists.push(self.pairs(node, name).map(|pairs| entry(name, pairs)));
            }
        }
        self.of_the_other_side(&mut fields, answers, &["queries"], &[]);
        fields.finish(&mut self.reader);
        let mut with = Entries::new();
        if let Some(body) = body {
            with.push(entry("merge", body?));
        }
        let add = lists.into_iter().collect::<Option<Entries>>()?;
        if !add.is_empty() {
            with.push(entry("add", make::map(add, node.place)));
        }
        self.something(with, node, "`patch: {headers: [[X-Test, \"1\"]]}`")
    }

    fn something(&mut self, with: Entries, node: &Node, example: &str) -> Option<Entries> {
        if with.is_empty() {
            self.error(ReadError::at(node.place, "this changes nothing").help(format!("such as {example}")));
            return None;
        }
        Some(with)
    }

    /// Tells of what a request has and an answer has not, and the other way round.
    fn of_the_other_side(
        &mut self,
        fields: &mut Fields<'_>,
        answers: bool,
        requests: &[&str],
        responses: &[&str],
    ) {
        let (names, beside) =
            if answers { (requests, "`target: Response`") } else { (responses, "`target: Request`") };
        self.pass_over(fields, names, beside);
    }

    fn base64(&mut self, node: Node) -> Option<Node> {
        let Content::Text(text) = &node.content else { return None };
        let body = text.trim_end_matches('=');
        let is_base64 = text.len() % 4 == 0
            && text.len() - body.len() <= 2
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
        if is_base64 {
            return Some(node);
        }
        let error = ReadError::at(node.place, "`body` is base64, and this is not");
        self.error(error.help("`printf '%s' 'text' | base64` makes it"));
        None
    }

    fn patch_of_body(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`body`")?;
        let kind =
            self.required(&mut fields, "type", "JSON").and_then(|node| self.word(node, "type", &["JSON"]));
        let value = self.required(&mut fields, "value", "what is merged into the body").and_then(|node| {
            let text = self.text(node)?;
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
                self.error(ReadError::at(node.place, format!("`value` is not JSON: {error}")));
                return None;
            }
            Some(node.clone())
        });
        fields.finish(&mut self.reader);
        kind?;
        value
    }

    /// A list of pairs of texts.
    fn pairs(&mut self, node: &Node, what: &str) -> Option<Node> {
        let items = self.reader.list(node, &format!("`{what}`"));
        for item in items {
            let is_pair = matches!(&item.content, Content::List(pair) if pair.len() == 2
                && pair.iter().all(|text| matches!(text.content, Content::Text(_))));
            if !is_pair {
                let message = format!("an entry of `{what}` is a name and a value");
                self.error(ReadError::at(item.place, message).help("such as `[X-Test, \"1\"]`"));
                return None;
            }
        }
        Some(node.clone())
    }

    fn tls(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`tls`")?;
        let mut entries = Vec::new();
        for (theirs, ours) in [
            ("secretNamespace", "namespace"),
            ("secretName", "secret"),
            ("certName", "certificate"),
            ("keyName", "key"),
        ] {
            let node = self.required(&mut fields, theirs, "where the certificate is");
            entries.push(node.and_then(|node| self.text(node).map(|_| entry(ours, node.clone()))));
        }
        let authority = self.optional_text(&mut fields, "caName");
        fields.finish(&mut self.reader);
        let mut entries = entries.into_iter().collect::<Option<Entries>>()?;
        entries.extend(authority.map(|node| entry("authority", node)));
        Some(make::map(entries, node.place))
    }
}
