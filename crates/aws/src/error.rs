//! What went wrong with AWS: what was tried, where, what came back, what to do about it.

use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use std::error::Error;
use std::fmt;

/// Of which kind it is, for those who go on in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The request makes no sense, here or to AWS.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The thing is not in a state in which this can be done.
    State,
    /// No credentials, or ones that do not allow this.
    Forbidden,
    /// No answer came, or none that can be understood: nothing is known.
    Unknown,
}

/// An error. Its words hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AwsError {
    /// Its kind.
    pub problem: Problem,
    message: String,
}

impl AwsError {
    pub(crate) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }
}

/// An answer of AWS that is an error.
#[derive(Debug, Clone)]
pub(crate) struct Complaint(ErrorMetadata);

impl Complaint {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self(ErrorMetadata::builder().code(code).message(message).build())
    }

    /// Of which kind it is, by its code. EC2 says `InvalidInstanceID.NotFound`, REST services `ResourceNotFoundException`.
    pub(crate) fn problem(&self) -> Problem {
        let code = self.code().unwrap_or_default();
        let says = |words: &[&str]| words.iter().any(|word| code.contains(word));
        if says(&["NotFound", "InvalidInstanceID.Malformed"]) {
            Problem::NotFound
        } else if says(&["IncorrectInstanceState", "IncorrectState", "Conflict", "ScalingActivityInProgress"])
        {
            Problem::State
        } else if says(&[
            "Unauthorized",
            "AccessDenied",
            "AuthFailure",
            "Token",
            "Signature",
            "OptInRequired",
        ]) || says(&["InvalidClientTokenId", "NotPermitted", "InvalidAccessKeyId", "Blocked"])
        {
            Problem::Forbidden
        } else if says(&["Throttl", "RequestLimitExceeded", "Internal", "Unavailable", "Unknown", "status "])
        {
            Problem::Unknown
        } else {
            Problem::Invalid
        }
    }

    /// What to do about it, where that is known.
    pub(crate) fn remedy(&self, action: &str) -> Option<String> {
        let code = self.code().unwrap_or_default();
        let says = |words: &[&str]| words.iter().any(|word| code.contains(word));
        if says(&["Expired"]) {
            Some("the credentials have expired: get new ones (`aws sso login`, `aws sts get-caller-identity` checks)".into())
        } else if says(&["InvalidClientTokenId", "AuthFailure", "Signature", "InvalidAccessKeyId"]) {
            Some("AWS does not know these credentials: `aws sts get-caller-identity` checks them".into())
        } else if says(&["Unauthorized", "AccessDenied"]) {
            Some(format!(
                "allow `{action}` to whom these credentials belong; docs/cloud.md has the whole policy"
            ))
        } else if says(&["NotPermitted"]) {
            Some("the instance is protected, or of a kind that cannot do this".into())
        } else {
            None
        }
    }
}

impl ProvideErrorMetadata for Complaint {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, message) = (self.code().unwrap_or("an error"), self.message().unwrap_or_default());
        // EC2 sends whoever may decode it a message of a thousand letters.
        let message = message.split(" Encoded authorization failure message").next().unwrap_or_default();
        let end = message.char_indices().nth(400).map_or(message.len(), |(at, _)| at);
        write!(formatter, "{code}: {}", message[..end].trim())
    }
}

impl Error for Complaint {}

/// The causes of an error in one line, without those that say nothing or say it again.
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
    words.join(": ")
}
