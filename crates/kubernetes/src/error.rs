//! What went wrong with a cluster: what was tried, on which cluster, what came back, what to do about it.

use crate::protobuf::{Field, Malformed, Message};
use serde::Deserialize;
use std::error::Error;
use std::fmt;

/// Of which kind it is, for those who go on in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The request makes no sense, here or to the cluster.
    Invalid,
    /// There is no such object, or no such kind of objects.
    NotFound,
    /// The object is another one, or not as it was expected to be; or there is one of this name already.
    Conflict,
    /// No credentials, or ones that do not allow this.
    Forbidden,
    /// What was known of the cluster is too old to go on from.
    Expired,
    /// A `PodDisruptionBudget` allows no eviction now.
    Budget,
    /// No answer came, or none that can be understood: nothing is known.
    Unknown,
}

/// An error. Its words hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClusterError {
    /// Its kind.
    pub problem: Problem,
    message: String,
}

impl ClusterError {
    pub(crate) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }
}

/// So many characters are told of what somebody else said.
const LONGEST_CAUSE: usize = 600;

/// What the server says of a patch that it cannot carry out.
const REJECTED: &str = "the server rejected our request due to an error in our request";

/// An answer of the API server that is an error: its `Status`.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Complaint {
    pub(crate) code: u16,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Option<Vec<Cause>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Complaint {
    /// Reads an answer that is no success. What stands in front of a cluster answers in words of its own.
    pub(crate) fn read(code: u16, body: &[u8]) -> Self {
        let read = match Message::within(body) {
            Some(message) => message.and_then(Self::of_message).ok(),
            None => serde_json::from_slice::<Self>(body).ok(),
        };
        match read {
            Some(complaint) if !complaint.message.is_empty() => Self { code, ..complaint },
            _ => Self { code, message: String::from_utf8_lossy(body).into_owned(), ..Self::default() },
        }
    }

    /// Reads what answers a question that may be answered in protocol buffers; no cause is asked for of those.
    fn of_message(message: Message<'_>) -> Result<Self, Malformed> {
        let text = |number| message.last(number)?.map_or(Ok(String::new()), Field::text);
        Ok(Self { message: text(3)?, reason: text(4)?, ..Self::default() })
    }

    pub(crate) fn problem(&self) -> Problem {
        match self.code {
            429 if self.is_for("DisruptionBudget") => Problem::Budget,
            403 if self.is_for("NamespaceTerminating") => Problem::Conflict,
            401 | 403 => Problem::Forbidden,
            404 => Problem::NotFound,
            409 => Problem::Conflict,
            410 => Problem::Expired,
            // What the server could not carry out, as opposed to what it found wrong in the object: a test that does not hold, or
            // a place that is not there. It tells no cause then.
            422 if self.reason == "Invalid" && self.has_no_cause() && self.message.starts_with(REJECTED) => {
                Problem::Conflict
            }
            400 | 405 | 406 | 413 | 415 | 422 => Problem::Invalid,
            _ => Problem::Unknown,
        }
    }

    /// Whether the server was too busy to carry it out.
    pub(crate) fn was_not_tried(&self) -> bool {
        self.code == 429 && self.problem() == Problem::Unknown
    }

    /// Whether the same question may well have another answer in a moment.
    pub(crate) fn passes(&self) -> bool {
        self.was_not_tried() || matches!(self.code, 502..=504) || self.reason == "ServerTimeout"
    }

    fn has_no_cause(&self) -> bool {
        self.details.as_ref().and_then(|details| details.causes.as_ref()).is_none_or(Vec::is_empty)
    }

    fn is_for(&self, reason: &str) -> bool {
        let causes = self.details.iter().flat_map(|details| details.causes.iter().flatten());
        causes.into_iter().any(|cause| cause.reason == reason)
    }

    /// What to do about it, where that is known.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self.code {
            401 => Some(
                "the cluster does not know these credentials, or they have expired: log in again (`kubectl auth whoami` checks)",
            ),
            403 if self.problem() == Problem::Forbidden => {
                Some("allow it to whom these credentials belong (`kubectl auth can-i` checks)")
            }
            429 if self.problem() == Problem::Budget => {
                Some("wait until more of its pods are ready, or change the PodDisruptionBudget")
            }
            422 if self.problem() == Problem::Conflict => {
                Some("the object is not as it was expected to be, and nothing was changed; read it again")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "status {}", self.code)?;
        if !self.reason.is_empty() {
            write!(formatter, " ({})", self.reason)?;
        }
        // It may show the whole object, and the secrets in it.
        let message = self.message.split("Invalid value: \"{").next().unwrap_or_default();
        let message = shortened(message);
        if message.is_empty() { Ok(()) } else { write!(formatter, ": {message}") }
    }
}

/// The words of somebody else in one line, and not too many.
pub(crate) fn shortened(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_CAUSE).collect()
}

/// The causes of an error in one line, without those that say it again.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !words.iter().any(|known| known.contains(&said)) {
            words.push(said);
        }
        next = cause.source();
    }
    shortened(&words.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_told_from_a_server_that_is_busy() {
        let budget = r#"{"kind":"Status","message":"Cannot evict pod as it would violate the pod's disruption budget.",
            "reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget","message":"needs 2"}]},"code":429}"#;
        let budget = Complaint::read(429, budget.as_bytes());
        assert_eq!((budget.problem(), budget.passes()), (Problem::Budget, false));
        let busy = Complaint::read(429, b"Too many requests, please try again later.\n");
        assert_eq!((busy.problem(), busy.passes()), (Problem::Unknown, true));
        assert_eq!(busy.to_string(), "status 429: Too many requests, please try again later.");
    }

    #[test]
    fn a_complaint_in_protocol_buffers_is_read_as_one() {
        let field = |number: u8, bytes: &[u8]| {
            [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
        };
        let status = [field(2, b"Failure"), field(3, b"pods is forbidden"), field(4, b"Forbidden")].concat();
        let body = [b"k8s\0".as_slice(), &field(2, &status)].concat();
        let complaint = Complaint::read(403, &body);
        assert_eq!((complaint.problem(), complaint.reason.as_str()), (Problem::Forbidden, "Forbidden"));
        assert_eq!(complaint.to_string(), "status 403 (Forbidden): pods is forbidden");
    }

    #[test]
    fn what_is_no_status_is_told_shortened() {
        let page = format!("<html>\n  {}</html>", "x ".repeat(900));
        let complaint = Complaint::read(502, page.as_bytes());
        assert_eq!(complaint.problem(), Problem::Unknown);
        assert!(complaint.to_string().starts_with("status 502: <html> x x"));
        assert!(complaint.to_string().len() < 700);
    }
}
