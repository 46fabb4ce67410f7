//! The whole shop, over real TCP, with its faults: what the naive shop suffers and the fixed one does not.
//!
//! A valve stands between payment and the ledger; it can hold what passes through it, or delay it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ledger::Totals;
use super::{Config, Layout, Service, serve};

/// How long a customer waits before leaving.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a condition is looked at before a test gives up on it, ten milliseconds apart.
const LOOKS: usize = 2000;

/// What the valve does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Free,
    Delayed(Duration),
    Held,
}

/// A TCP forwarder whose flow can be changed while it runs.
struct Valve {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    _tasks: JoinSet<()>,
}

impl Valve {
    async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (flow, watched) = watch::channel(Flow::Free);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let watched = watched.clone();
                pipes.spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // Either end closing ends both ways.
                    tokio::select! {
                        () = pass(from_client, to_server, watched.clone()) => {}
                        () = pass(from_server, to_client, watched) => {}
                    }
                });
                while pipes.try_join_next().is_some() {}
            }
        });
        Self { address, flow, _tasks: tasks }
    }

    fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<Flow>) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *flow.borrow();
        if let Flow::Delayed(delay) = now {
            sleep(delay).await;
        }
        if flow.wait_for(|flow| *flow != Flow::Held).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}

/// A running shop; dropping it closes it.
struct Shop {
    layout: Layout,
    valve: Valve,
    services: Vec<(Service, JoinSet<()>)>,
}

impl Shop {
    async fn open(fixed: bool) -> Self {
        Self::open_with(fixed, |_| ()).await
    }

    async fn open_with(fixed: bool, change: impl FnOnce(&mut Config)) -> Self {
        let layout = Layout::loopback().unwrap();
        let valve = Valve::before(layout.ledger).await;
        let mut config = layout.config(fixed);
        change(&mut config);
        let mut shop = Self { layout, valve, services: Vec::new() };
        for service in Service::ALL {
            let mut seen = config.clone();
            if service == Service::Payment {
                seen.layout.ledger = shop.valve.address;
            }
            let mut task = JoinSet::new();
            task.spawn(async move { serve(service, seen).await.unwrap() });
            shop.services.push((service, task));
            shop.until(service, "/health", |reply| reply.status == 200).await;
        }
        shop
    }

    /// Closes one service, with all its connections.
    async fn close(&mut self, service: Service) {
        for (name, task) in &mut self.services {
            if *name == service {
                task.shutdown().await;
            }
        }
    }

    async fn get(&self, service: Service, path: &str) -> Reply {
        ask(self.layout.address(service), "GET", path, "").await
    }

    /// Looks until a page is as expected.
    async fn until(&self, service: Service, path: &str, expected: impl Fn(&Reply) -> bool) {
        for _ in 0..LOOKS {
            if expected(&self.get(service, path).await) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{service}{path} did not become as expected");
    }

    /// Looks until nothing waits for the ledger any more.
    async fn until_settled(&self) {
        self.until(Service::Payment, "/metrics", |page| page.body.contains("queue=\"outbox\"} 0\n")).await;
    }

    /// So many customers, one every five milliseconds, each on a connection of their own.
    async fn sell(&self, customers: usize) -> Sales {
        let mut crowd = JoinSet::new();
        for _ in 0..customers {
            crowd.spawn(ask(self.layout.gateway, "POST", "/checkout", "{}"));
            sleep(Duration::from_millis(5)).await;
        }
        let mut sales = Sales::default();
        while let Some(reply) = crowd.join_next().await {
            match reply.unwrap().status {
                200 => sales.paid += 1,
                202 => sales.accepted += 1,
                503 => sales.failed += 1,
                0 => sales.left += 1,
                other => panic!("unexpected status {other}"),
            }
        }
        sales
    }

    async fn totals(&self) -> Totals {
        serde_json::from_str(&self.get(Service::Ledger, "/entries").await.body).unwrap()
    }

    /// The value of one line of a service's metrics.
    async fn metric(&self, service: Service, line: &str) -> u64 {
        let page = self.get(service, "/metrics").await.body;
        let found = page.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {page}"))
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sales {
    /// 200.
    paid: u64,
    /// 202.
    accepted: u64,
    /// 503.
    failed: u64,
    /// Customers who lost patience, or whose connection broke.
    left: u64,
}

impl Sales {
    fn lost(self) -> u64 {
        self.failed + self.left
    }
}

/// What came back; status 0 when nothing did in time.
#[derive(Debug, Default)]
struct Reply {
    status: u16,
    body: String,
}

/// One request on one connection, written by hand so that nothing of the shop checks itself.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    timeout(PATIENCE, talk(address, request.as_bytes())).await.ok().flatten().unwrap_or_default()
}

async fn talk(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n")?.1.to_owned();
    Some(Reply { status, body })
}

/// Tests that run at once on few cores would slow each other.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn on_a_good_day_both_shops_sell_and_write_each_sale_down_once() {
    runtime().block_on(async {
        for fixed in [false, true] {
            let shop = Shop::open(fixed).await;
            let sales = shop.sell(100).await;
            assert_eq!(sales.lost(), 0, "{sales:?}");
            shop.until_settled().await;
            assert_eq!(shop.totals().await.entries, 100);
            assert_eq!(shop.totals().await.cents, 245_000);
            for service in Service::ALL {
                assert_eq!(shop.get(service, "/ready").await.status, 200);
            }
        }
    });
}

#[test]
fn a_silent_ledger_takes_the_naive_shop_down_with_it() {
    runtime().block_on(async {
        let shop = Shop::open(false).await;
        shop.sell(10).await;
        shop.valve.set(Flow::Held);
        let sales = shop.sell(400).await;
        assert_eq!((sales.paid, sales.accepted), (0, 0), "{sales:?}");
        assert!(sales.failed > 0 && sales.left > 0, "{sales:?}");

        // Naive retries: far more than the budget of the fixed shop, a tenth of the calls and its savings, would pay.
        // How many come together until the customers are gone depends on the machine.
        let retries = shop.metric(Service::Gateway, "retries_total{upstream=\"payment\"}").await;
        assert!(retries > 41 + 10, "{retries}");
        // The gateway itself is alive, which is exactly what a liveness probe cannot tell apart.
        assert_eq!(shop.get(Service::Gateway, "/health").await.status, 200);
        assert_eq!(shop.get(Service::Payment, "/health").await.status, 200);
        assert_eq!(shop.get(Service::Payment, "/ready").await.status, 503);

        shop.valve.set(Flow::Free);
        shop.until(Service::Gateway, "/checkout", |reply| reply.status == 200).await;
        shop.until(Service::Payment, "/metrics", |page| page.body.contains("queue=\"ledger\"} 0")).await;
        assert_eq!(shop.sell(50).await.paid, 50);
    });
}

#[test]
fn a_silent_ledger_costs_the_fixed_shop_no_sale_and_all_is_settled_later() {
    runtime().block_on(async {
        let shop = Shop::open(true).await;
        let before = shop.sell(10).await;
        shop.valve.set(Flow::Held);
        let during = shop.sell(400).await;
        assert_eq!(before.lost() + during.lost(), 0, "{during:?}");
        assert!(during.accepted > 390, "{during:?}");
        assert_eq!(shop.metric(Service::Payment, "breaker_open{upstream=\"ledger\"}").await, 1);
        assert!(
            shop.metric(Service::Payment, "fallbacks_total{fallback=\"settle-later\"}").await
                >= during.accepted
        );
        // A retry for at most a tenth of the calls, and the savings.
        assert!(shop.metric(Service::Payment, "retries_total{upstream=\"ledger\"}").await <= 41 + 10);

        shop.valve.set(Flow::Free);
        shop.until_settled().await;
        assert_eq!(shop.totals().await.entries, 410, "each sale once, none lost");
        shop.until(Service::Gateway, "/checkout", |reply| reply.status == 200).await;
        assert_eq!(shop.metric(Service::Payment, "breaker_open{upstream=\"ledger\"}").await, 0);
    });
}

#[test]
fn a_slow_ledger_breaks_the_naive_shop_and_not_the_fixed_one() {
    runtime().block_on(async {
        // Sixteen connections at 150 ms or more carry about a hundred calls a second; two hundred come.
        let slow = Flow::Delayed(Duration::from_millis(150));
        let naive = Shop::open(false).await;
        naive.valve.set(slow);
        let sales = naive.sell(500).await;
        assert!(sales.lost() * 20 > 500, "over 5 % lost: {sales:?}");

        let fixed = Shop::open(true).await;
        fixed.valve.set(slow);
        let sales = fixed.sell(500).await;
        assert_eq!(sales.lost(), 0, "{sales:?}");
        fixed.valve.set(Flow::Free);
        fixed.until_settled().await;
        // What was given up on may have arrived all the same, and was told again: written down once.
        assert_eq!(fixed.totals().await.entries, 500);
    });
}

#[test]
fn an_order_that_finds_no_room_is_refused_not_forgotten() {
    runtime().block_on(async {
        let shop = Shop::open_with(true, |config| config.payment.outbox = 20).await;
        shop.valve.set(Flow::Held);
        let sales = shop.sell(60).await;
        assert_eq!((sales.paid, sales.accepted, sales.failed), (0, 20, 40), "{sales:?}");
        shop.valve.set(Flow::Free);
        shop.until_settled().await;
        assert_eq!(shop.totals().await.entries, 20);
    });
}

#[test]
fn without_the_cache_both_shops_sell() {
    runtime().block_on(async {
        for fixed in [false, true] {
            let mut shop = Shop::open(fixed).await;
            shop.sell(5).await;
            shop.close(Service::Cache).await;
            let sales = shop.sell(50).await;
            assert_eq!(sales.lost(), 0, "{sales:?}");
            assert!(
                shop.metric(Service::Gateway, "fallbacks_total{fallback=\"price-from-payment\"}").await >= 50
            );
        }
    });
}

#[test]
fn a_cache_that_hangs_does_not_hold_the_fixed_shop() {
    runtime().block_on(async {
        // It accepts, and never says a word.
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = silent.local_addr().unwrap();
        let mut shop = Shop::open(true).await;
        shop.close(Service::Gateway).await;
        let mut config = shop.layout.config(true);
        config.layout.cache = address;
        config.layout.payment = shop.layout.payment;
        let mut task = JoinSet::new();
        task.spawn(async move { serve(Service::Gateway, config).await.unwrap() });
        shop.until(Service::Gateway, "/health", |reply| reply.status == 200).await;
        let sales = shop.sell(100).await;
        assert_eq!(sales.lost(), 0, "{sales:?}");
        assert_eq!(shop.metric(Service::Gateway, "breaker_open{upstream=\"cache\"}").await, 1);
    });
}

#[test]
fn a_service_that_comes_back_on_its_old_address_is_found_again() {
    runtime().block_on(async {
        let mut shop = Shop::open(false).await;
        assert_eq!(shop.sell(5).await.paid, 5);
        shop.close(Service::Payment).await;
        assert_eq!(shop.sell(5).await.failed, 5);
        let mut config = shop.layout.config(false);
        config.layout.ledger = shop.valve.address;
        let mut task = JoinSet::new();
        task.spawn(async move { serve(Service::Payment, config).await.unwrap() });
        shop.until(Service::Payment, "/health", |reply| reply.status == 200).await;
        assert_eq!(shop.sell(5).await.paid, 5);
    });
}

#[test]
fn nonsense_is_answered_and_survived() {
    runtime().block_on(async {
        let shop = Shop::open(true).await;
        let huge = format!(
            "POST /append HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n{}",
            "x".repeat(200_000)
        );
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
        let nonsense: [&[u8]; 6] = [
            b"",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET /checkout?item=../../health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"POST /pay HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            huge.as_bytes(),
            long.as_bytes(),
        ];
        for service in Service::ALL {
            for bytes in nonsense {
                // Closed at once, whether read or not: the service may see a reset.
                let _may_break =
                    timeout(Duration::from_millis(50), talk(shop.layout.address(service), bytes)).await;
            }
            for _ in 0..10 {
                let mut noise = vec![0; fastrand::usize(1..2000)];
                fastrand::fill(&mut noise);
                let address = shop.layout.address(service);
                let _may_break = timeout(Duration::from_millis(20), talk(address, &noise)).await;
            }
        }
        let bad = ["", "{", "[]", "{\"order\": -1}", "[{\"order\": 1}]", "nul\\u0000"];
        for body in bad {
            assert_eq!(ask(shop.layout.payment, "POST", "/pay", body).await.status, 400, "{body}");
            assert_eq!(ask(shop.layout.cache, "POST", "/set", body).await.status, 400, "{body}");
        }
        assert_eq!(shop.get(Service::Gateway, "/checkout?item=anvil").await.status, 404);
        assert_eq!(shop.get(Service::Gateway, "/checkout?item=%2e%2e").await.status, 404);
        assert_eq!(shop.get(Service::Gateway, "/nowhere").await.status, 404);
        assert_eq!(shop.get(Service::Gateway, "/").await.status, 200);
        assert_eq!(shop.sell(20).await.lost(), 0);
        shop.until_settled().await;
        assert_eq!(shop.totals().await.entries, 20);
    });
}

#[test]
fn an_address_that_is_taken_is_an_error_that_says_so() {
    runtime().block_on(async {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut layout = Layout::loopback().unwrap();
        layout.ledger = taken.local_addr().unwrap();
        let error = serve(Service::Ledger, layout.config(false)).await.unwrap_err().to_string();
        assert!(error.contains("ledger could not listen on 127.0.0.1:"), "{error}");
    });
}
