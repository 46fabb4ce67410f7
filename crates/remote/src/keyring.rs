//! Passwords that stood in addresses. They live in memory: no log, no journal and no plan has them.

use squall_model::server::{ServerRef, ServerUrl};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Who is told of a new password, such as the process that undoes should this one die: the server, and the password.
type Confidant = Box<dyn FnMut(&str, &str) + Send>;

/// What is known of passwords; clones share it.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    passwords: BTreeMap<String, String>,
    confidant: Option<Confidant>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyring(…)")
    }
}

impl Keyring {
    /// Tells each password that is kept from now on to somebody else.
    pub fn confide(&self, confidant: impl FnMut(&str, &str) + Send + 'static) {
        if let Ok(mut keys) = self.0.lock() {
            keys.confidant = Some(Box::new(confidant));
        }
    }

    /// Keeps the password of an address, if there is one.
    pub fn keep(&self, url: &ServerUrl) {
        if let Some(password) = url.password() {
            self.hear(&url.server.to_string(), password);
        }
    }

    /// Keeps a password that somebody else told.
    pub fn hear(&self, server: &str, password: &str) {
        let Ok(mut keys) = self.0.lock() else { return };
        let known = keys.passwords.insert(server.to_owned(), password.to_owned());
        if known.as_deref() != Some(password)
            && let Some(confidant) = &mut keys.confidant
        {
            confidant(server, password);
        }
    }

    /// All that is kept, for somebody who was not there.
    pub fn all(&self) -> Vec<(String, String)> {
        self.0.lock().map(|keys| keys.passwords.clone().into_iter().collect()).unwrap_or_default()
    }

    /// The password to a server.
    pub(crate) fn password(&self, server: &ServerRef) -> Option<String> {
        self.0.lock().ok()?.passwords.get(&server.to_string()).cloned()
    }
}
