//! What the shop is told: where each service listens, and how patient each is with the others.
//!
//! One configuration describes the whole shop and is given to every process as one argument of JSON; which of
//! the services a process runs is said beside it. So two services can never disagree about an address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Service, ShopError};

/// Where each service listens. The others reach it at the same address, or at what stands for it: each is told its own layout then.
/// What is not said is port 8080 of all addresses, as of a service in a pod of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    /// Where customers come in.
    #[serde(default = "Layout::everywhere")]
    pub(crate) gateway: SocketAddr,
    /// Where gateway finds payment.
    #[serde(default = "Layout::everywhere")]
    pub(crate) payment: SocketAddr,
    /// Where payment finds the ledger.
    #[serde(default = "Layout::everywhere")]
    pub(crate) ledger: SocketAddr,
    /// Where gateway finds the cache.
    #[serde(default = "Layout::everywhere")]
    pub(crate) cache: SocketAddr,
}

impl Layout {
    fn everywhere() -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 8080).into()
    }

    /// Four free ports of the loopback address. They are free when asked for; start the services soon after.
    pub(crate) fn loopback() -> Result<Self, ShopError> {
        let held = Service::ALL.map(|service| (service, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))));
        let mut addresses = Vec::with_capacity(held.len());
        // All are held until all are known, so that no port is given twice.
        for (service, listener) in &held {
            match listener {
                Ok(listener) => addresses.push((*service, listener.local_addr()?)),
                Err(error) => return Err(ShopError::System(error.kind().into())),
            }
        }
        Self::of(&addresses)
    }

    /// The layout with these addresses, for services that live in network namespaces or on other machines.
    ///
    /// # Errors
    ///
    /// [`ShopError::Layout`] unless each service is named exactly once.
    pub(crate) fn of(addresses: &[(Service, SocketAddr)]) -> Result<Self, ShopError> {
        let only = |wanted: Service| {
            let mut found =
                addresses.iter().filter(|(service, _)| *service == wanted).map(|(_, address)| *address);
            match (found.next(), found.count()) {
                (Some(address), 0) => Ok(address),
                (None, _) => Err(ShopError::Layout { service: wanted, count: 0 }),
                (Some(_), more) => Err(ShopError::Layout { service: wanted, count: more + 1 }),
            }
        };
        Ok(Self {
            gateway: only(Service::Gateway)?,
            payment: only(Service::Payment)?,
            ledger: only(Service::Ledger)?,
            cache: only(Service::Cache)?,
        })
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        match service {
            Service::Gateway => self.gateway,
            Service::Payment => self.payment,
            Service::Ledger => self.ledger,
            Service::Cache => self.cache,
        }
    }

    /// The shop at these addresses: as first built, or with its weakness `fixed`.
    pub(crate) fn config(self, fixed: bool) -> Config {
        Config {
            layout: self,
            gateway: if fixed { GatewaySettings::fixed() } else { GatewaySettings::naive() },
            payment: if fixed { PaymentSettings::fixed() } else { PaymentSettings::naive() },
            ledger: LedgerSettings::usual(),
        }
    }
}

/// The whole shop; what is not said is as in the one with its weakness fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everyone listens.
    pub(crate) layout: Layout,
    /// How the gateway calls the others.
    #[serde(default = "GatewaySettings::fixed")]
    pub(crate) gateway: GatewaySettings,
    /// How payment calls the ledger, and what it does without it.
    #[serde(default = "PaymentSettings::fixed")]
    pub(crate) payment: PaymentSettings,
    /// How much work an entry is.
    #[serde(default = "LedgerSettings::usual")]
    pub(crate) ledger: LedgerSettings,
}

/// How the gateway calls the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewaySettings {
    /// Calls of payment, for orders and for prices that the cache does not have.
    pub(crate) payment: CallPolicy,
    /// Calls of the cache.
    pub(crate) cache: CallPolicy,
}

impl GatewaySettings {
    /// The weakness: no timeouts, and three retries at once, come what may.
    fn naive() -> Self {
        Self {
            payment: CallPolicy { retries: 3, ..CallPolicy::patient(256, 0) },
            cache: CallPolicy::patient(64, 64),
        }
    }

    /// A timeout for each call, one retry out of a budget, and a breaker for what can be done without.
    fn fixed() -> Self {
        Self {
            payment: CallPolicy {
                timeout_ms: Some(250),
                retries: 1,
                retry_budget: Some(0.1),
                ..CallPolicy::patient(256, 0)
            },
            cache: CallPolicy {
                timeout_ms: Some(50),
                breaker: Some(BreakerSettings::usual()),
                ..CallPolicy::patient(64, 64)
            },
        }
    }
}

/// How payment calls the ledger, and what it does without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentSettings {
    /// Calls of the ledger.
    pub(crate) ledger: CallPolicy,
    /// How many payments may wait to be written down later; 0: none, a payment fails when the ledger does.
    pub(crate) outbox: usize,
    /// Calls of the ledger that settle what waits. No customer waits for these, so they may take longer; and they
    /// have a connection of their own, so that neither kind can starve the other.
    pub(crate) settle: CallPolicy,
}

impl PaymentSettings {
    /// The weakness: sixteen connections, a line of 128, and all the patience in the world.
    fn naive() -> Self {
        Self { ledger: CallPolicy::patient(16, 128), outbox: 0, settle: CallPolicy::patient(1, 0) }
    }

    /// The same connections, with a timeout, a retry budget, a breaker, and somewhere to put the order.
    fn fixed() -> Self {
        Self {
            ledger: CallPolicy {
                timeout_ms: Some(80),
                retries: 1,
                retry_budget: Some(0.1),
                breaker: Some(BreakerSettings::usual()),
                ..CallPolicy::patient(16, 128)
            },
            outbox: 20_000,
            settle: CallPolicy { timeout_ms: Some(2000), ..CallPolicy::patient(1, 0) },
        }
    }
}

/// How much work an entry is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerSettings {
    /// Shortest and longest time that writing takes, in milliseconds; each write takes some time between.
    pub(crate) work_ms: [u64; 2],
    /// How many writes are made at once; further ones wait, and are made even if nobody waits for them any more.
    /// Without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_once: Option<usize>,
    /// Where orders are written down beside the memory; without it, nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spool: Option<SpoolSettings>,
    /// The database that orders are written down in; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) books: Option<BookSettings>,
    /// What is remembered of each order; without it, its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipts: Option<ReceiptSettings>,
}

impl LedgerSettings {
    /// Three milliseconds for each, all in memory.
    fn usual() -> Self {
        Self { work_ms: [2, 4], at_once: None, spool: None, books: None, receipts: None }
    }
}

/// Where the ledger writes orders down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpoolSettings {
    /// A folder.
    pub(crate) folder: PathBuf,
    /// Whether the space of the orders is taken ahead, so that a full disk costs the log alone.
    pub(crate) reserve: bool,
}

/// How the ledger keeps its books in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookSettings {
    /// Addresses; where there are several, that of them counts which takes writes.
    pub(crate) databases: Vec<String>,
    /// How many sessions there may be at most.
    pub(crate) connections: usize,
    /// How long an order waits for a session, a lock and an answer, in milliseconds; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait_ms: Option<u64>,
    /// How old a session becomes before another takes its place, in milliseconds.
    pub(crate) lifetime_ms: u64,
}

/// What the ledger remembers of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptSettings {
    /// KiB for each.
    pub(crate) kib: usize,
    /// The latest so many.
    pub(crate) latest: usize,
    /// KiB that are never given back, for each: a small leak.
    pub(crate) lost_kib: usize,
}

/// How one service calls another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallPolicy {
    /// How many keep-alive connections there may be, and so how many calls at once.
    pub(crate) connections: usize,
    /// How many calls may wait in line for a connection; further ones are turned away at once.
    pub(crate) waiting: usize,
    /// Longest time for one try in milliseconds, the wait in line included; without it, for ever.
    pub(crate) timeout_ms: Option<u64>,
    /// How many times a failed call is tried again.
    pub(crate) retries: u32,
    /// Retries as a share of calls (0.1: one in ten); without it, as many as `retries` allows.
    pub(crate) retry_budget: Option<f64>,
    /// When to stop calling; without it, never.
    pub(crate) breaker: Option<BreakerSettings>,
}

impl CallPolicy {
    /// One try, no timeout, no breaker.
    pub(crate) fn patient(connections: usize, waiting: usize) -> Self {
        Self { connections, waiting, timeout_ms: None, retries: 0, retry_budget: None, breaker: None }
    }

    /// Longest time for one try, if there is one.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

/// When to stop calling a service, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerSettings {
    /// Opens when this many …
    pub(crate) failures: usize,
    /// … of the last so many calls failed.
    pub(crate) of: usize,
    /// How long it stays open before one call may try again, in milliseconds.
    pub(crate) open_ms: u64,
}

impl BreakerSettings {
    /// Half of the last twenty calls; a second's rest.
    fn usual() -> Self {
        Self { failures: 10, of: 20, open_ms: 1000 }
    }
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    ///
    /// [`ShopError::Unreadable`] and [`ShopError::OutOfRange`].
    pub(crate) fn from_json(text: &str) -> Result<Self, ShopError> {
        let config: Self = serde_json::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as one line of JSON.
    ///
    /// # Errors
    ///
    /// [`ShopError::Unreadable`] if a number has no JSON form.
    pub(crate) fn to_json(&self) -> Result<String, ShopError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Whether every number is one the shop can work with.
    pub(super) fn check(&self) -> Result<(), ShopError> {
        let [shortest, longest] = self.ledger.work_ms;
        within(shortest <= longest && longest <= 60_000, "ledger.work_ms", longest, "a range up to 60000")?;
        let at_once = self.ledger.at_once.unwrap_or(1);
        within((1..=65_536).contains(&at_once), "ledger.at_once", at_once, "1 to 65536")?;
        let sessions = self.ledger.books.as_ref().map_or(1, |books| books.connections);
        within((1..=1024).contains(&sessions), "ledger.books.connections", sessions, "1 to 1024")?;
        let receipts =
            self.ledger.receipts.map_or(0, |receipts| receipts.kib.saturating_mul(receipts.latest));
        within(receipts <= 1 << 20, "ledger.receipts", receipts, "a GiB or less")?;
        within(self.payment.outbox <= 1_000_000, "payment.outbox", self.payment.outbox, "1000000 or less")?;
        self.gateway.payment.check()?;
        self.gateway.cache.check()?;
        self.payment.ledger.check()?;
        self.payment.settle.check()
    }
}

impl CallPolicy {
    fn check(&self) -> Result<(), ShopError> {
        within((1..=4096).contains(&self.connections), "connections", self.connections, "1 to 4096")?;
        within(self.waiting <= 65_536, "waiting", self.waiting, "65536 or less")?;
        within(self.retries <= 10, "retries", self.retries, "10 or less")?;
        if let Some(share) = self.retry_budget {
            within((0.0..=1.0).contains(&share), "retry_budget", share, "a share from 0 to 1")?;
        }
        if let Some(breaker) = self.breaker {
            let sound = (1..=breaker.of).contains(&breaker.failures) && breaker.of <= 10_000;
            within(
                sound,
                "breaker.failures",
                breaker.failures,
                "from 1 to breaker.of, which is 10000 or less",
            )?;
        }
        Ok(())
    }
}

fn within(
    sound: bool,
    field: &'static str,
    value: impl ToString,
    allowed: &'static str,
) -> Result<(), ShopError> {
    if sound { Ok(()) } else { Err(ShopError::OutOfRange { field, value: value.to_string(), allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_need_only_be_told_whom_it_calls() {
        let config = Config::from_json(r#"{"layout": {"ledger": "10.0.0.7:8080"}}"#).unwrap();
        let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        assert_eq!(config.layout.payment, everywhere);
        assert_eq!(config, Layout { ledger: "10.0.0.7:8080".parse().unwrap(), ..config.layout }.config(true));
    }

    #[test]
    fn a_configuration_survives_the_command_line() {
        for fixed in [false, true] {
            let config = Layout::loopback().unwrap().config(fixed);
            let text = config.to_json().unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(Config::from_json(&text).unwrap(), config);
        }
    }

    #[test]
    fn the_fixed_shop_differs_only_in_patience() {
        let layout = Layout::loopback().unwrap();
        let (naive, fixed) = (layout.config(false), layout.config(true));
        assert_eq!(naive.payment.ledger.connections, fixed.payment.ledger.connections);
        assert_eq!(naive.ledger, fixed.ledger);
        assert_eq!(naive.payment.ledger.timeout_ms, None);
        assert!(fixed.payment.ledger.timeout_ms.is_some());
        assert_eq!(naive.payment.outbox, 0);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let config = Layout::loopback().unwrap().config(true);
        let mut none = config.clone();
        none.payment.ledger.connections = 0;
        assert!(none.check().unwrap_err().to_string().contains("connections = 0"));
        let mut huge = config.clone();
        huge.payment.ledger.waiting = usize::MAX;
        assert!(huge.check().is_err());
        let mut share = config.clone();
        share.gateway.payment.retry_budget = Some(f64::NAN);
        assert!(share.check().is_err());
        let unknown = config.to_json().unwrap().replacen("\"outbox\"", "\"outbocks\"", 1);
        assert!(Config::from_json(&unknown).unwrap_err().to_string().contains("outbocks"));
        assert!(Config::from_json("{").is_err());
    }

    #[test]
    fn a_layout_names_each_service_once() {
        let layout = Layout::loopback().unwrap();
        let mut addresses = Service::ALL.map(|service| (service, layout.address(service))).to_vec();
        assert_eq!(Layout::of(&addresses).unwrap(), layout);
        addresses.push((Service::Cache, layout.cache));
        assert!(matches!(
            Layout::of(&addresses),
            Err(ShopError::Layout { service: Service::Cache, count: 2 })
        ));
        addresses.retain(|(service, _)| *service != Service::Ledger);
        assert!(matches!(
            Layout::of(&addresses),
            Err(ShopError::Layout { service: Service::Ledger, count: 0 })
        ));
    }

    #[test]
    fn services_are_known_by_name() {
        for service in Service::ALL {
            assert_eq!(service.to_string().parse::<Service>().unwrap(), service);
        }
        assert!("till".parse::<Service>().unwrap_err().to_string().contains("ledger"));
    }
}
