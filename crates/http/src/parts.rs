//! Parts of a request as they stand in an experiment file: each is checked where it is read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::HttpError;

/// The method of a request, by default `GET`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Verb(pub(super) Method);

impl Verb {
    /// Reads a method, such as `POST`.
    ///
    /// # Errors
    /// [`super::ErrorKind::Request`] if it is none.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let wrong = |cause: String| HttpError::request(format!("use the method `{text}`"), cause);
        let method = Method::from_bytes(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        // Methods are case-sensitive (RFC 9110, section 9.1); a server would refuse `post` without saying why.
        if text.chars().any(|c| c.is_ascii_lowercase()) {
            return Err(wrong(format!("methods are written in capitals: {}", text.to_ascii_uppercase())));
        }
        Ok(Self(method))
    }
}

impl TryFrom<String> for Verb {
    type Error = HttpError;

    fn try_from(text: String) -> Result<Self, HttpError> {
        Self::parse(&text)
    }
}

impl From<Verb> for String {
    fn from(verb: Verb) -> Self {
        verb.0.to_string()
    }
}

/// Headers of a request. Their values may be secret, so they are never shown, neither in errors nor for debugging.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Headers(pub(super) HeaderMap);

impl Headers {
    /// Sets a header.
    ///
    /// # Errors
    /// [`super::ErrorKind::Request`] if name or value may not stand in a header, or if the header is the client's own
    /// affair (`Content-Length`, `Transfer-Encoding`, `Connection`).
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        let wrong = |cause: &str| HttpError::request(format!("send the header `{name}`"), cause);
        let parsed: HeaderName =
            name.parse().map_err(|_| wrong("a name has letters, digits and hyphens only"))?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&parsed) {
            return Err(wrong("the client sets it by itself"));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            wrong("its value has characters that may not stand in a header, such as a line break")
        })?;
        self.0.insert(parsed, value);
        Ok(())
    }
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = HttpError;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, HttpError> {
        let mut headers = Self::default();
        map.iter().try_for_each(|(name, value)| headers.set(name, value))?;
        Ok(headers)
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, String>::json_schema(generator)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_capitals() {
        assert_eq!(String::from(Verb::parse("POST").unwrap()), "POST");
        assert_eq!(String::from(Verb::default()), "GET");
        assert!(Verb::parse("post").unwrap_err().to_string().contains("POST"));
        assert!(Verb::parse("GET /").is_err() && Verb::parse("").is_err());
    }

    #[test]
    fn what_stands_in_a_header_is_never_shown() {
        let read = |json| serde_json::from_value::<Headers>(json);
        let headers = read(serde_json::json!({"Authorization": "Bearer sesame"})).unwrap();
        assert_eq!(format!("{headers:?}"), "{\"authorization\"}");
        for wrong in [serde_json::json!({"Authorization": "ses\name"}), serde_json::json!({"a b": "sesame"})]
        {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("header") && !error.contains("ses"), "{error}");
        }
        assert!(read(serde_json::json!({"Content-Length": "5"})).is_err());
    }
}
