//! The cache: remembers a few prices, and forgets the oldest.
//!
//! `GET /get/KEY` gives the value or 404; `POST /set` with `{"key": …, "value": …}` sets it. Nothing is ever
//! only here, so a shop without its cache is slower and no worse.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::http::{Reply, Request};
use super::lock;
use super::metrics::{Metrics, Page};
use super::server::Handler;

/// Keys that are remembered.
const CAPACITY: usize = 1024;

/// Longest key and value, in bytes.
const LONGEST: usize = 256;

/// A value under a key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

/// The service.
#[derive(Debug)]
pub(super) struct Cache {
    shelf: Mutex<Shelf>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Shelf {
    values: HashMap<String, String>,
    order: VecDeque<String>,
}

impl Shelf {
    fn set(&mut self, pair: Pair) {
        if self.values.insert(pair.key.clone(), pair.value).is_some() {
            return;
        }
        self.order.push_back(pair.key);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

impl Cache {
    /// An empty cache.
    pub(super) fn new(_config: &Config) -> Self {
        Self { shelf: Mutex::default(), metrics: Metrics::default() }
    }

    fn get(&self, key: &str) -> Reply {
        match lock(&self.shelf).values.get(key) {
            Some(value) => Reply::text(StatusCode::OK, value),
            None => Reply::not_found(),
        }
    }

    fn set(&self, request: &Request) -> Result<Reply, Reply> {
        let pair: Pair = request.json()?;
        if pair.key.len() > LONGEST || pair.value.len() > LONGEST {
            return Err(Reply::error(
                StatusCode::BAD_REQUEST,
                "the key or the value is longer than 256 bytes",
            ));
        }
        lock(&self.shelf).set(pair);
        Ok(Reply::text(StatusCode::OK, "ok\n"))
    }
}

impl Handler for Cache {
    async fn handle(&self, request: Request) -> Reply {
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/set") => self.set(&request).unwrap_or_else(|refusal| refusal),
            (&Method::GET, path) => {
                path.strip_prefix("/get/").map_or_else(Reply::not_found, |key| self.get(key))
            }
            _ => Reply::not_found(),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn describe(&self, page: &mut Page) {
        let keys = lock(&self.shelf).order.len() as u64;
        page.gauge("keys", "Keys that are remembered.", &[], keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_key_makes_room() {
        let mut shelf = Shelf::default();
        for number in 0..=CAPACITY {
            shelf.set(Pair { key: number.to_string(), value: "1".to_owned() });
            shelf.set(Pair { key: number.to_string(), value: "2".to_owned() });
        }
        assert_eq!(shelf.values.len(), CAPACITY);
        assert!(!shelf.values.contains_key("0"));
        assert_eq!(shelf.values["1024"], "2");
    }
}
