//! Where a request goes: scheme, host, port, path and query of an `http` or `https` URL.

use std::fmt::{self, Write};

use hyper::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

use super::HttpError;

/// An absolute `http://` or `https://` URL, checked.
///
/// A fragment (`#…`) is dropped, since it never travels (RFC 9110, section 4.2.5). Credentials in the URL are
/// refused: they would end up in journals; send an `Authorization` header instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub struct Url {
    tls: bool,
    host: String,
    port: u16,
    path_and_query: String,
}

impl Url {
    /// Reads `text`, such as `https://[::1]:8443/health?deep=1`.
    ///
    /// # Errors
    /// [`super::ErrorKind::Request`] that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let wrong = |cause: &str| HttpError::request(format!("read the URL `{}`", without_user(text)), cause);
        let without_fragment = text.split('#').next().unwrap_or_default();
        let (scheme, _) = without_fragment.split_once("://").unwrap_or_default();
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        let uri: Uri = without_fragment.parse().map_err(|error| wrong(&format!("{error}")))?;
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("credentials do not belong in a URL; send an Authorization header"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let port_text = authority.as_str().rsplit(']').next().unwrap_or_default();
        if port_text.contains(':') && authority.port_u16().is_none() {
            return Err(wrong("the port must be a number from 1 to 65535"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err(wrong("the port must be a number from 1 to 65535"));
        }
        let path_and_query = uri.path_and_query().map_or("", |path| path.as_str());
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        let path_and_query = format!("{slash}{path_and_query}");
        Ok(Self { tls, host: host.to_owned(), port, path_and_query })
    }

    /// Whether the scheme is `https`.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host name or address, an IPv6 one without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own (80, 443) where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query, at least `/`.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// The `Host` header's value: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let own_port = if self.tls { 443 } else { 80 };
        let host = self.bracketed_host();
        if self.port == own_port { host } else { format!("{host}:{}", self.port) }
    }

    /// Host and port for people and for resolving: `[::1]:80`.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port)
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// A URL as it may be told: who may come in is nobody else's business.
fn without_user(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}[hidden]{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

impl TryFrom<String> for Url {
    type Error = HttpError;

    fn try_from(text: String) -> Result<Self, HttpError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

/// A text percent-encoded, as a value in a path or a query (RFC 3986, section 2.3).
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_defaults() {
        let url = Url::parse("http://shop.test").unwrap();
        assert_eq!(
            (url.is_tls(), url.host(), url.port(), url.path_and_query()),
            (false, "shop.test", 80, "/")
        );
        assert_eq!(url.authority(), "shop.test");

        let url = Url::parse("https://[::1]:8443/health?deep=1#top").unwrap();
        assert_eq!((url.is_tls(), url.host(), url.port()), (true, "::1", 8443));
        assert_eq!(url.path_and_query(), "/health?deep=1");
        assert_eq!(url.authority(), "[::1]:8443");
        assert_eq!(url.to_string(), "https://[::1]:8443/health?deep=1");

        assert_eq!(Url::parse("http://a?x=1").unwrap().path_and_query(), "/?x=1");
    }

    #[test]
    fn who_may_come_in_is_not_told() {
        for text in ["http://me:PASS@shop.test/a@b", "me:PASS@shop.test", "http://me:PASS@shop.test:0?x=@"] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(!error.contains("PASS") && error.contains("[hidden]@shop.test"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("shop.test:80/", "http://"),
            ("ftp://shop.test/", "http://"),
            ("/health", "http://"),
            ("http://user:secret@shop.test/", "Authorization"),
            ("http://shop.test:http/", "port"),
            ("http://shop.test:99999/", "port"),
            ("http://shop.test:0/", "port"),
            ("http://shop test/", "URL"),
            ("http:///health", "URL"),
            ("", "URL"),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
