//! `StatusCheck`: a question over HTTP, and the status that is expected.

use super::super::ReadError;
use super::super::fields::Fields;
use super::Parts;
use super::form::{Span, Translator, is_blank};
use super::make::{self, Entries, entry};
use crate::node::{Content, Node, Place};

/// How far the two answers of a check alone are apart that says nothing of it, in nanoseconds.
const BETWEEN_ANSWERS: i128 = 1_000_000_000;

/// What a check says.
#[derive(Debug)]
pub(super) struct StatusCheck {
    /// Whether it is asked again and again, as long as the workflow says.
    pub(super) continuous: bool,
    /// How long it is asked at most, where it is said.
    pub(super) lasts: Option<Span>,
    /// How many wrong answers in a row it takes, and how far they are apart in seconds.
    pub(super) patience: (i64, i64),
    /// The parameters of the probe.
    pub(super) http: Entries,
    /// Which answers are well.
    pub(super) wanted: Wanted,
}

/// The answers that are well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The first status.
    pub(super) first: i64,
    /// The last status.
    pub(super) last: i64,
    /// Where they stand.
    pub(super) place: Place,
}

impl StatusCheck {
    /// As a check of the steady state, or of the hypothesis.
    pub(super) fn check(&self, name: &Node) -> Node {
        let place = self.wanted.place;
        let entries = vec![
            entry("name", name.clone()),
            entry("http", make::map(self.http.clone(), place)),
            entry("expect", make::text(self.expectation(), place)),
        ];
        make::map(entries, place)
    }

    fn expectation(&self) -> String {
        let Wanted { first, last, .. } = self.wanted;
        if first == last {
            format!("status == {first}")
        } else {
            format!("status >= {first} and status <= {last}")
        }
    }
}

impl Translator<'_> {
    /// A check alone: nothing is broken, and the run says whether all is well.
    pub(super) fn lone_status_check(&mut self, spec: &Node) -> Option<Parts> {
        let check = self.status_check(spec, "`spec`")?;
        self.note(
            "a StatusCheck breaks nothing: it is asked at the beginning and once more at the end of its `duration` (without one, a \
             second later), and each time one answer decides, whatever the thresholds say",
        );
        let between = check.lasts.map_or(BETWEEN_ANSWERS, |span| span.nanoseconds);
        let wait = entry("wait", Span { nanoseconds: between, place: spec.place }.node());
        let name = make::text("status", check.wanted.place);
        Some(Parts {
            steady_state: vec![check.check(&name)],
            method: vec![make::map(vec![wait], spec.place)],
            ..Parts::default()
        })
    }

    /// What a check says.
    pub(super) fn status_check(&mut self, spec: &Node, what: &str) -> Option<StatusCheck> {
        let mut fields = self.reader.fields(spec, what)?;
        let mode = fields.get("mode").filter(|node| !is_blank(node));
        let mode = mode.map(|node| self.word(node, "mode", &["Synchronous", "Continuous"]));
        if let Some(node) = fields.get("type") {
            self.word(node, "type", &["HTTP"]);
        }
        let lasts = self.optional_span(&mut fields, "duration");
        let most = i64::from(u32::MAX);
        let mut number = |name: &str, default: i64, most: i64| {
            self.optional_whole(&mut fields, name, (1, most)).unwrap_or((default, spec.place))
        };
        let (timeout, timeout_place) = number("timeoutSeconds", 1, most);
        let (interval, _) = number("intervalSeconds", 10, most);
        let (failures, _) = number("failureThreshold", 3, most);
        number("successThreshold", 1, most);
        number("recordsHistoryLimit", 100, 1000);
        let question =
            self.required(&mut fields, "http", "what is asked").and_then(|node| self.question(node));
        fields.finish(&mut self.reader);
        let (mut http, wanted) = question?;
        http.push(entry("timeout", make::text(format!("{timeout}s"), timeout_place)));
        let continuous = mode.unwrap_or(Some("Synchronous"))? == "Continuous";
        Some(StatusCheck { continuous, lasts, patience: (failures, interval), http, wanted })
    }

    fn question(&mut self, node: &Node) -> Option<(Entries, Wanted)> {
        let mut fields = self.reader.fields(node, "`http`")?;
        let url = self.required(&mut fields, "url", "what is asked").and_then(|node| {
            self.text(node)?;
            Some(entry("url", node.clone()))
        });
        let method = fields.get("method").filter(|node| !is_blank(node));
        let method =
            method.map(|node| Some(make::text(self.word(node, "method", &["GET", "POST"])?, node.place)));
        let headers = fields.get("headers").map(|node| self.headers(node));
        let body = self.optional_text(&mut fields, "body");
        let wanted = self.criteria(&mut fields);
        fields.finish(&mut self.reader);
        let mut http = vec![url?];
        if let Some(method) = method {
            http.push(entry("method", method?));
        }
        if let Some(headers) = headers {
            http.push(entry("headers", headers?));
        }
        http.extend(body.map(|body| entry("body", body)));
        Some((http, wanted?))
    }

    /// Each header is a list of texts in a manifest, and one text in a request.
    fn headers(&mut self, node: &Node) -> Option<Node> {
        let Content::Map(entries) = &node.content else {
            let message = format!("`headers` is a map of lists, and this is {}", node.kind());
            self.error(ReadError::at(node.place, message).help("such as `headers: {Accept: [text/html]}`"));
            return None;
        };
        let mut headers = Entries::new();
        for (key, node) in entries {
            let values = self.texts(node, &format!("the header `{}`", key.name));
            let words: Vec<&str> = values
                .iter()
                .filter_map(|value| match &value.content {
                    Content::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            headers.push((key.clone(), make::text(words.join(", "), node.place)));
        }
        Some(make::map(headers, node.place))
    }

    fn criteria(&mut self, fields: &mut Fields<'_>) -> Option<Wanted> {
        let node = self.required(fields, "criteria", "which status is well")?;
        let mut fields = self.reader.fields(node, "`criteria`")?;
        let node = self.required(&mut fields, "statusCode", "which status is well, such as \"200\"");
        fields.finish(&mut self.reader);
        let node = node?;
        let text = self.text(node)?;
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let code = |text: &str| text.parse::<i64>().ok().filter(|code| (1..1000).contains(code));
        if let Some((first, last)) = code(first).zip(code(last)).filter(|(first, last)| first <= last) {
            return Some(Wanted { first, last, place: node.place });
        }
        let message = format!("{text:?} is neither a status nor a range of them");
        self.error(ReadError::at(node.place, message).help("such as \"200\" or \"200-399\""));
        None
    }
}
