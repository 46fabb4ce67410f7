//! The gateway: where customers come in.
//!
//! `GET` or `POST /checkout?item=NAME` buys something: the price comes from the cache, or from payment when the
//! cache does not have it; then payment is asked to take the money. The customer hears
//!
//! - 200: paid,
//! - 202: accepted, settles later (only from the fixed shop, see `outbox.rs`),
//! - 404: no such item,
//! - 503: not today.
//!
//! `GET /` says what there is.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Service;
use super::cache::Pair;
use super::config::Config;
use super::http::{Reply, Request};
use super::ledger::Entry;
use super::metrics::{Metrics, Page};
use super::pool::{Answer, Outgoing};
use super::server::Handler;
use super::upstream::{CallError, Upstream};

const WELCOME: &str = "\
The teapot shop, which comes with Squall to be broken.

  GET or POST /checkout?item=teapot|teacup|kettle|spoon   buy one
  GET /health                                             is the gateway alive
  GET /ready                                              can it sell
  GET /metrics                                            for Prometheus
";

/// What is bought when the customer does not say.
const USUAL: &str = "teapot";

/// The service.
#[derive(Debug)]
pub(super) struct Gateway {
    payment: Upstream,
    cache: Upstream,
    prices_without_cache: AtomicU64,
    metrics: Metrics,
}

/// What the customer hears about an order.
#[derive(Debug, Serialize)]
struct Receipt<'a> {
    order: String,
    item: &'a str,
    cents: u64,
    status: &'static str,
}

impl Gateway {
    /// The service as configured.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            payment: Upstream::new(Service::Payment, &config.layout, &config.gateway.payment),
            cache: Upstream::new(Service::Cache, &config.layout, &config.gateway.cache),
            prices_without_cache: AtomicU64::new(0),
            metrics: Metrics::default(),
        }
    }

    async fn checkout(&self, request: &Request) -> Result<Reply, Reply> {
        let item = request.query("item").unwrap_or(USUAL);
        if !is_name(item) {
            return Err(no_such_item());
        }
        let cents = self.price(item).await?;
        // The number is given here, once, so that whoever repeats the call means the same order.
        let entry = Entry { order: fastrand::u64(..), item: item.to_owned(), cents };
        let answer = self.pay(&entry).await.map_err(|error| unavailable(&error))?;
        let status = if answer.status == StatusCode::ACCEPTED { "accepted, settles later" } else { "paid" };
        Ok(Reply::json(
            answer.status,
            &Receipt { order: format!("{:016x}", entry.order), item, cents, status },
        ))
    }

    async fn pay(&self, entry: &Entry) -> Result<Answer, CallError> {
        let request = Outgoing::post("/pay", entry).map_err(|trouble| self.payment.error(trouble))?;
        let answer = self.payment.call(&request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.payment.refused(&answer)) }
    }

    /// The price from the cache, or else from payment.
    async fn price(&self, item: &str) -> Result<u64, Reply> {
        let key = format!("price:{item}");
        match self.cache.call(&Outgoing::get(format!("/get/{key}"))).await {
            Ok(answer) if answer.status.is_success() => match cents(&answer) {
                Some(cents) => Ok(cents),
                None => self.price_from_payment(item).await,
            },
            Ok(_not_cached) => {
                let cents = self.price_from_payment(item).await?;
                self.remember(key, cents).await;
                Ok(cents)
            }
            Err(_no_cache) => {
                self.prices_without_cache.fetch_add(1, Ordering::Relaxed);
                self.price_from_payment(item).await
            }
        }
    }

    async fn price_from_payment(&self, item: &str) -> Result<u64, Reply> {
        let call = self.payment.call(&Outgoing::get(format!("/price/{item}"))).await;
        let answer = call.map_err(|error| unavailable(&error))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(no_such_item());
        }
        cents(&answer).ok_or_else(|| unavailable(&self.payment.refused(&answer)))
    }

    /// Puts a price into the cache. If that fails, the next customer's request will do it.
    async fn remember(&self, key: String, cents: u64) {
        if let Ok(request) = Outgoing::post("/set", &Pair { key, value: cents.to_string() }) {
            let _best_effort = self.cache.call(&request).await;
        }
    }
}

impl Handler for Gateway {
    async fn handle(&self, request: Request) -> Reply {
        match (&request.method, request.path.as_str()) {
            (&Method::GET | &Method::POST, "/checkout") => {
                self.checkout(&request).await.unwrap_or_else(|refusal| refusal)
            }
            (&Method::GET, "/") => Reply::text(StatusCode::OK, WELCOME),
            _ => Reply::not_found(),
        }
    }

    /// Ready with payment alone: without the cache it still sells.
    async fn ready(&self) -> Reply {
        match self.payment.ping().await {
            Ok(()) => Reply::text(StatusCode::OK, "ready\n"),
            Err(error) => unavailable(&error),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn describe(&self, page: &mut Page) {
        self.payment.describe(page);
        self.cache.describe(page);
        page.counter(
            "fallbacks_total",
            "Requests answered without the upstream.",
            &[("fallback", "price-from-payment")],
            self.prices_without_cache.load(Ordering::Relaxed),
        );
    }
}

/// Whether it may stand in a path as it is.
fn is_name(item: &str) -> bool {
    (1..=32).contains(&item.len()) && item.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn cents(answer: &Answer) -> Option<u64> {
    std::str::from_utf8(&answer.body).ok()?.parse().ok()
}

fn no_such_item() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "no such item; there are teapot, teacup, kettle and spoon")
}

fn unavailable(error: &CallError) -> Reply {
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}
