//! Passwords that stood in addresses. They live in memory: no log, no journal and no plan has them.

use squall_model::server::{PasswordRef, ServerRef, ServerUrl};
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
    ways: Vec<ServerRef>,
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

    /// Keeps how a broker is administered by this address, which is believed more than what was written down earlier.
    pub fn prefer(&self, url: &ServerUrl) {
        self.keep(url);
        if let Ok(mut keys) = self.0.lock() {
            keys.ways.push(url.server.clone());
        }
    }

    /// The server with what was told of how it is administered.
    pub(crate) fn way_to(&self, server: &ServerRef) -> ServerRef {
        let mut server = server.clone();
        let Ok(keys) = self.0.lock() else { return server };
        let told = keys.ways.iter().find(|told| told.is_same_server(&server));
        if let (Some(told), Some(known)) = (told.and_then(|told| told.broker.as_ref()), &mut server.broker) {
            known.distribution = told.distribution.or(known.distribution);
            known.node = told.node.clone().or(known.node.take());
            if told.cookie != PasswordRef::None {
                known.cookie = told.cookie.clone();
            }
        }
        server
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_recovers_says_how_a_broker_is_reached() {
        let server = |text: &str| text.parse::<ServerUrl>().unwrap().server;
        let keyring = Keyring::default();
        let known = server("amqp://mq/shop?cookie_file=/old&dist_port=1&node=hare");
        assert_eq!(keyring.way_to(&known), known);
        keyring.prefer(&"amqp://mq?cookie_file=/new&dist_port=2".parse().unwrap());
        let better = server("amqp://mq/shop?cookie_file=/new&dist_port=2&node=hare");
        assert_eq!(keyring.way_to(&known), better);
        let other = server("amqp://other?cookie_file=/old");
        assert_eq!(keyring.way_to(&other), other);
    }
}
