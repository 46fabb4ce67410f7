//! What parameters refer to outside of the settings: secrets in the environment and in files.

use squall_http::{Headers, Request, Url};
use squall_model::settings::Secret;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A secret's file is read no further than this many bytes.
const LONGEST_SECRET: u64 = 64 << 10;

/// A part of a URL that is shorter than this is no secret: `v1`, `hooks`.
const SHORTEST_PART: usize = 8;

/// Where secrets are looked up, and those that were found.
#[derive(Default)]
pub struct Surroundings {
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Where the settings lie: paths in them begin here.
    pub folder: PathBuf,
    /// The name of this host.
    pub host: String,
    found: Mutex<Vec<String>>,
}

impl Surroundings {
    /// An environment, the folder of the settings, and the name of this host.
    pub fn new(environment: BTreeMap<String, String>, folder: PathBuf, host: String) -> Self {
        Self { environment, folder, host, found: Mutex::default() }
    }

    /// The text of a secret.
    ///
    /// # Errors
    /// In words, without the secret: where it was looked for, and what to do.
    pub fn text(&self, secret: &Secret) -> Result<String, String> {
        let text = self.name(secret)?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        Ok(text)
    }

    /// The same for what is no secret, such as the name of a user: it may be shown.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn name(&self, name: &Secret) -> Result<String, String> {
        let placed = match name {
            Secret::File(path) => &Secret::File(self.folder.join(path)),
            other => other,
        };
        placed.text(|variable| self.environment.get(variable).cloned(), secret_file)
    }

    /// The URL in a secret, with more of a path at its end.
    ///
    /// # Errors
    /// In words, without the secret.
    pub fn url(&self, secret: &Secret, path: &str) -> Result<Url, String> {
        let text = self.text(secret)?;
        // A server may say it back in parts.
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(secret_parts(&text));
        let text = if path.is_empty() { text } else { format!("{}{path}", text.trim_end_matches('/')) };
        Url::parse(&text).map_err(|error| format!("this is no URL that can be used: {}", error.cause))
    }

    /// Headers with secrets in them.
    ///
    /// # Errors
    /// In words, without the secrets.
    pub fn headers(&self, headers: &BTreeMap<String, Secret>) -> Result<Headers, String> {
        let mut read = Headers::default();
        for (name, value) in headers {
            read.set(name, &self.text(value)?).map_err(|error| error.to_string())?;
        }
        Ok(read)
    }

    /// The secrets that were found so far: what must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What of a URL tells the secret that it is: all behind the host, and the long ones of its parts.
fn secret_parts(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let parts = path.split(['/', '?', '#', '&', '=']).chain(user.split(':'));
    let told = parts.chain([path, path.split(['?', '#']).next().unwrap_or_default()]);
    told.filter(|part| part.len() >= SHORTEST_PART).map(str::to_owned).collect()
}

fn secret_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
        .map_err(|error| format!("could not read the secret in {}: {error}", path.display()))?;
    Ok(text)
}

/// A `POST` of JSON.
pub(crate) fn post_json(url: &Url, json: &serde_json::Value) -> Request {
    post(url, "application/json", json.to_string())
}

/// A `POST` of a text of some type.
pub(crate) fn post(url: &Url, media_type: &str, body: String) -> Request {
    send("POST", url, media_type, body)
}

/// A request with a body of some type. Method and type are our own and fit.
pub(crate) fn send(method: &str, url: &Url, media_type: &str, body: String) -> Request {
    let mut headers = Headers::default();
    // A type that does not fit is left away; a server says what it misses.
    let _ = headers.set("content-type", media_type);
    Request::of(url.clone(), squall_http::Verb::parse(method).unwrap_or_default()).headers(headers).body(body)
}

/// A text as one part of a path (RFC 3986, section 2.1).
pub(crate) fn in_path(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_looked_up_and_never_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "sesame\n").unwrap();
        let environment = BTreeMap::from([
            ("URL".to_owned(), "ftp://sesame".to_owned()),
            ("BLANK".to_owned(), String::new()),
        ]);
        let surroundings = Surroundings::new(environment, folder.path().to_owned(), String::new());
        assert_eq!(surroundings.text(&Secret::File("token".into())).unwrap(), "sesame");
        let error = surroundings.text(&Secret::Environment("NONE".into())).unwrap_err();
        assert!(error.contains("`NONE`") && error.contains("set it"), "{error}");
        let error = surroundings.text(&Secret::File("missing".into())).unwrap_err();
        assert!(error.contains("missing"), "{error}");
        std::fs::write(folder.path().join("blank"), " \n").unwrap();
        for (secret, words) in [
            (Secret::Plain(String::new()), "a text is empty"),
            (Secret::Environment("BLANK".into()), "`BLANK` is empty in the environment"),
            (Secret::File("blank".into()), "nothing in the file /"),
        ] {
            let error = surroundings.text(&secret).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = surroundings.url(&Secret::Environment("URL".into()), "").unwrap_err();
        assert!(error.contains("http://") && !error.contains("sesame"), "{error}");
        let url = surroundings.url(&Secret::Plain("http://a/b/".into()), "/v1/traces").unwrap();
        assert_eq!(url.to_string(), "http://a/b/v1/traces");
        assert_eq!(format!("{:?}", Secret::Plain("sesame".into())), "(a secret)");
        assert!(surroundings.secrets().contains(&"sesame".to_owned()));
        assert_eq!(
            secret_parts("https://me:open-sesame@host:8080/services/T0123456/abc?token=0123456789"),
            [
                "services",
                "T0123456",
                "0123456789",
                "open-sesame",
                "/services/T0123456/abc?token=0123456789",
                "/services/T0123456/abc"
            ]
        );
        assert_eq!(secret_parts("http://127.0.0.1:9091"), [""; 0]);
    }
}
