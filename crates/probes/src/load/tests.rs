//! The load generator against real servers in this process.
//!
//! The machine may be busy, so nothing here asserts an absolute time: counts, shares and orders of magnitude only.

use std::future;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;

use super::*;
use squall_http::ErrorKind;
use squall_http::testing::{
    RawServer, Speech, TestServer, answer, read_request, refusing_address, reset, tls,
};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn plan(url: &str, rate: f64) -> LoadPlan {
    LoadPlan {
        window: ms(1000),
        slice: ms(50),
        timeout: Duration::from_secs(30),
        ..LoadPlan::get(url, rate).unwrap()
    }
}

/// Looks until `seen` says yes, but not for ever. Returns the last reading.
fn wait_until(load: &Load, seen: impl Fn(&Reading) -> bool) -> Reading {
    for _ in 0..1000 {
        let reading = load.reading();
        if seen(&reading) {
            return reading;
        }
        sleep(ms(20));
    }
    panic!("not seen within 20 s; the last reading was {:?}", load.reading());
}

/// Generates load until `ended` requests have ended.
fn run(plan: LoadPlan, ended: u64) -> Slice {
    let load = Load::start(plan).unwrap();
    let mut slices = Vec::new();
    for _ in 0..1000 {
        slices.extend(load.take_slices());
        if slices.iter().map(|slice| slice.counts.ended()).sum::<u64>() >= ended {
            break;
        }
        sleep(ms(20));
    }
    slices.extend(load.stop());
    merged(slices)
}

fn merged(slices: Vec<Slice>) -> Slice {
    for pair in slices.windows(2) {
        assert_eq!(pair[0].end, pair[1].start, "slices have no gaps");
    }
    slices
        .into_iter()
        .reduce(|mut all, slice| {
            all.merge(&slice);
            all
        })
        .unwrap()
}

/// How many latencies are at least `bound`.
fn slow(slice: &Slice, bound: Duration) -> u64 {
    let bound = bound.as_micros() as u32;
    slice.latencies.pairs().iter().filter(|(value, _)| *value >= bound).map(|(_, count)| count).sum()
}

#[test]
fn the_rate_is_kept_to_the_request() {
    for threads in [1, 3] {
        let server = TestServer::start(|_| future::ready(answer(200, "ok")));
        let load = Load::start(LoadPlan { threads, ..plan(&server.url("/"), 400.0) }).unwrap();
        let mut slices = Vec::new();
        while slices.len() < 20 {
            slices.extend(load.take_slices());
            sleep(ms(20));
        }
        slices.extend(load.stop());
        // 400/s in slices of 50 ms: 20 in each, but for the last, which the stop cut short.
        slices.pop();
        for slice in &slices {
            assert!(slice.counts.intended.abs_diff(20) <= threads as u64, "{slice:?}");
            assert_eq!(slice.late.count, slice.counts.intended);
        }
        let total = merged(slices);
        let expected = (total.length().as_secs_f64() * 400.0).round() as u64;
        assert!(total.counts.intended.abs_diff(expected) <= 1, "{} for {expected}", total.counts.intended);
        assert_eq!(total.counts.failed(), 0);
        assert!(server.requests() >= total.counts.ended());
    }
}

/// A server that answers at once, but from its 50th request on holds all answers back for 300 ms, once.
fn stalling() -> TestServer {
    let (requests, stall_ends) = (AtomicU64::new(0), Arc::new(Mutex::new(None)));
    TestServer::start(move |_| {
        if requests.fetch_add(1, Ordering::SeqCst) == 50 {
            *stall_ends.lock().unwrap() = Some(tokio::time::Instant::now() + ms(300));
        }
        let until = *stall_ends.lock().unwrap();
        async move {
            if let Some(until) = until {
                tokio::time::sleep_until(until).await;
            }
            answer(200, "ok")
        }
    })
}

#[test]
fn a_stall_is_seen_by_all_who_came_during_it() {
    // 500 requests/s: about 150 come within the 300 ms, and 100 of them wait for more than 100 ms.
    for connections in [1, 1000] {
        let server = stalling();
        let total = run(LoadPlan { connections, ..plan(&server.url("/"), 500.0) }, 500);
        assert!(slow(&total, ms(100)) >= 95, "{} slow with {connections} connections", slow(&total, ms(100)));
        assert!(total.quantile(0.9).unwrap() > 0.05, "{:?}", total.quantile(0.9));
        assert!(total.quantile(1.0).unwrap() >= 0.29);
    }
    // A closed loop over one connection sees the same stall as a single slow request.
    let server = stalling();
    let total = run(LoadPlan { rate: None, connections: 1, ..plan(&server.url("/"), 1.0) }, 500);
    assert!(slow(&total, ms(100)) < 20, "{}", slow(&total, ms(100)));
}

#[test]
fn a_server_that_never_answers() {
    let server = TestServer::start(|_| future::pending());
    let load =
        Load::start(LoadPlan { timeout: ms(300), connections: 10, ..plan(&server.url("/"), 100.0) }).unwrap();
    let reading = wait_until(&load, |reading| reading.counts.timeout > 50 && reading.waiting > 5);
    assert_eq!(reading.error_rate, Some(1.0));
    assert_eq!(reading.success_rate, Some(0.0));
    assert_eq!(reading.availability, Some(0.0));
    assert_eq!(reading.throughput, Some(0.0));
    assert!(reading.latency_p50.unwrap() >= 0.3, "{reading:?}");
    assert!(reading.in_flight <= 10, "{reading:?}");
    assert!(reading.last_error.unwrap().contains("not done within 300ms"));
    // Each was counted, those too that waited for a connection.
    let total = merged(load.stop());
    assert_eq!(total.counts.ended(), total.counts.timeout + total.counts.unsent);
    assert_eq!(total.counts.intended, total.counts.ended() + total.counts.unfinished());
    assert!(server.requests() >= 20);
}

#[test]
fn a_stall_shows_in_latencies_long_before_the_timeout() {
    let hang = Arc::new(AtomicBool::new(false));
    let hanging = hang.clone();
    let server = TestServer::start(move |_| {
        let hang = hanging.load(Ordering::SeqCst);
        async move {
            if hang {
                future::pending::<()>().await;
            }
            answer(200, "ok")
        }
    });
    let load = Load::start(plan(&server.url("/"), 200.0)).unwrap();
    let calm = wait_until(&load, |reading| reading.counts.success >= 100);
    assert_eq!(calm.error_rate, Some(0.0));
    hang.store(true, Ordering::SeqCst);
    let stalled = wait_until(&load, |reading| reading.latency_p99.is_some_and(|latency| latency > 0.4));
    assert_eq!(stalled.error_rate, Some(0.0), "the timeout of 30 s is far");
    // When the window holds no end any more, what is outstanding still speaks.
    let silent = wait_until(&load, |reading| reading.counts.ended() == 0 && reading.latency_max > Some(1.0));
    assert_eq!((silent.error_rate, silent.throughput), (None, Some(0.0)));
    hang.store(false, Ordering::SeqCst);
    wait_until(&load, |reading| reading.counts.success >= 100);
}

#[test]
fn stop_ends_at_once_and_leaves_nothing_uncounted() {
    let server = TestServer::start(|_| future::pending());
    let load = Load::start(LoadPlan { threads: 2, ..plan(&server.url("/"), 200.0) }).unwrap();
    wait_until(&load, |reading| reading.in_flight >= 50);
    let total = merged(load.stop());
    assert!(total.counts.unfinished() >= 50);
    assert_eq!(total.counts.ended(), 0, "none was waited for: their timeouts would count as ends");
    assert!(load.stop().is_empty(), "all is taken");
}

#[test]
fn refused_connections() {
    let (_socket, address) = refusing_address();
    let load = Load::start(plan(&format!("http://{address}/"), 200.0)).unwrap();
    let reading = wait_until(&load, |reading| reading.counts.connect >= 50);
    assert_eq!((reading.error_rate, reading.throughput), (Some(1.0), Some(0.0)));
    assert_eq!(reading.latency_p50, None, "a refusal is no answer, and its haste no speed");
    assert_eq!(reading.last_error.unwrap(), format!("connect to {address}: connection refused"));
}

#[test]
fn connections_reset_in_the_body() {
    let server = RawServer::start(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        reset(stream);
    });
    let total = run(plan(&server.url(), 100.0), 30);
    assert_eq!(total.counts.reset, total.counts.ended(), "{:?}", total.counts);
}

#[test]
fn every_framing_of_an_answer_is_read_to_its_end() {
    // Each with whether the connection can be used again.
    for (reply, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", false),
    ] {
        let connections = Arc::new(AtomicU64::new(0));
        let counting = connections.clone();
        let until_close = !kept;
        let server = RawServer::start(move |mut stream| {
            counting.fetch_add(1, Ordering::SeqCst);
            while read_request(&mut stream) {
                // In two parts, to be put together again.
                let (first, second) = reply.as_bytes().split_at(reply.len() / 2);
                if stream.write_all(first).is_err() || stream.write_all(second).is_err() || until_close {
                    break;
                }
            }
        });
        let total = run(LoadPlan { connections: 1, ..plan(&server.url(), 200.0) }, 20);
        assert_eq!(total.counts.success, total.counts.ended(), "{reply:?}: {:?}", total.counts);
        let connections = connections.load(Ordering::SeqCst);
        assert_eq!(connections == 1, kept, "{reply:?}: {connections} connections");
    }
}

#[test]
fn what_is_not_http_is_a_protocol_error() {
    for reply in [
        "220 mail.test ESMTP\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let server = RawServer::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(reply.as_bytes());
        });
        let total = run(plan(&server.url(), 100.0), 10);
        assert_eq!(total.counts.protocol, total.counts.ended(), "{reply:?}: {:?}", total.counts);
    }
}

#[test]
fn large_bodies_and_heads_without_bodies() {
    let server = TestServer::start(|_| future::ready(answer(200, vec![b'x'; 3 << 20])));
    let total = run(LoadPlan { connections: 2, ..plan(&server.url("/"), 50.0) }, 10);
    assert_eq!(total.counts.failed(), 0, "{:?}", total.counts);
    let head = Request::new("HEAD", &server.url("/")).unwrap();
    let total = run(LoadPlan { request: head, ..plan(&server.url("/"), 50.0) }, 10);
    assert_eq!(total.counts.failed(), 0, "{:?}", total.counts);
}

#[test]
fn idle_connections_that_the_server_closes_are_replaced_unnoticed() {
    let server = RawServer::start(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        // Closes a connection that it promised to keep, while the client has nothing to send.
        sleep(ms(5));
    });
    let load = Load::start(plan(&server.url(), 10.0)).unwrap();
    let reading = wait_until(&load, |reading| reading.counts.success >= 8);
    let total = merged(load.stop());
    assert_eq!(total.counts.failed(), 0, "{:?}", total.counts);
    assert!(reading.connections_opened >= 8, "{reading:?}");
}

#[test]
fn success_and_availability_differ_by_what_was_expected() {
    let requests = AtomicU64::new(0);
    let server = TestServer::start(move |_| {
        let status = [200, 404, 503, 200][requests.fetch_add(1, Ordering::SeqCst) as usize % 4];
        future::ready(answer(status, ""))
    });
    let load =
        Load::start(LoadPlan { expect: Some((200..=299).into()), ..plan(&server.url("/"), 400.0) }).unwrap();
    let reading = wait_until(&load, |reading| reading.counts.ended() >= 200);
    let about = |value: Option<f64>, share: f64| (value.unwrap() - share).abs() < 0.03;
    assert!(about(reading.success_rate, 0.5), "{reading:?}");
    assert!(about(reading.error_rate, 0.5), "{reading:?}");
    assert!(about(reading.availability, 0.75), "{reading:?}");
    assert!(reading.throughput.unwrap() > 0.0);
}

#[test]
fn http2_shares_a_connection() {
    let server = TestServer::speaking(Speech { http2: true, tls: None }, |_| async {
        tokio::time::sleep(ms(50)).await;
        answer(200, "ok")
    });
    let load = Load::start(LoadPlan { http2: true, ..plan(&server.url("/"), 400.0) }).unwrap();
    let reading = wait_until(&load, |reading| reading.counts.success >= 200);
    assert_eq!(reading.counts.failed(), 0, "{:?} {:?}", reading.counts, reading.last_error);
    // About 20 at a time, on a connection that bears 100; more only if the machine was held up.
    assert!(reading.connections_opened < 20, "{reading:?}");
    assert!(server.requests() >= 200);
}

#[test]
fn http2_goes_on_after_a_stall() {
    let hang = Arc::new(AtomicBool::new(false));
    let hanging = hang.clone();
    let server = TestServer::speaking(Speech { http2: true, tls: None }, move |_| {
        let hang = hanging.load(Ordering::SeqCst);
        async move {
            if hang {
                tokio::time::sleep(ms(600)).await;
            }
            answer(200, "ok")
        }
    });
    let load =
        Load::start(LoadPlan { http2: true, timeout: ms(200), ..plan(&server.url("/"), 200.0) }).unwrap();
    wait_until(&load, |reading| reading.counts.success >= 50);
    hang.store(true, Ordering::SeqCst);
    wait_until(&load, |reading| reading.counts.timeout >= 50 && reading.error_rate > Some(0.3));
    hang.store(false, Ordering::SeqCst);
    // Late answers to requests given up do not harm those that come after.
    wait_until(&load, |reading| reading.error_rate == Some(0.0) && reading.counts.success >= 100);
    assert!(server.connections() >= 2, "a connection that fell silent is not waited on");
}

#[test]
fn http2_over_tls_is_chosen_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    for http2 in [true, false] {
        let (acceptor, authority) = tls(&[b"h2", b"http/1.1"]);
        std::fs::write(&file, authority).unwrap();
        let server = TestServer::speaking(Speech { http2: false, tls: Some(acceptor) }, move |request| {
            let as_asked = (request.version() == hyper::Version::HTTP_2) == http2;
            future::ready(answer(if as_asked { 200 } else { 500 }, "ok"))
        });
        let url = format!("https://localhost:{}/", server.address.port());
        let authorities = Authorities::File(file.clone());
        let load = Load::start(LoadPlan { http2, authorities, ..plan(&url, 100.0) }).unwrap();
        let reading = wait_until(&load, |reading| reading.counts.ended() >= 50);
        assert_eq!(reading.counts.failed(), 0, "{:?} {:?}", reading.counts, reading.last_error);
    }
}

#[test]
fn a_stranger_over_tls_fails_as_such() {
    let (acceptor, _) = tls(&[]);
    let server = TestServer::speaking(Speech { http2: false, tls: Some(acceptor) }, |_| {
        future::ready(answer(200, ""))
    });
    let total = run(plan(&format!("https://{}/", server.address), 50.0), 10);
    assert_eq!(total.counts.tls, total.counts.ended(), "{:?}", total.counts);
}

#[test]
fn thousands_of_connections_at_once() {
    const CONNECTIONS: usize = 3000;
    let hard = getrlimit(Resource::Nofile).maximum;
    if hard.is_some_and(|hard| hard < 2 * CONNECTIONS as u64 + 1000) {
        println!("skipped: {hard:?} open files are too few for both ends of {CONNECTIONS} connections");
        return;
    }
    // This process is the server too.
    allow_connections(2 * CONNECTIONS).unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let opening = open.clone();
    let server = TestServer::start(move |_| {
        let open = opening.clone();
        async move {
            while !open.load(Ordering::SeqCst) {
                tokio::time::sleep(ms(50)).await;
            }
            answer(200, "ok")
        }
    });
    let timeout = Duration::from_mins(1);
    let load = Load::start(LoadPlan { connections: CONNECTIONS, timeout, ..plan(&server.url("/"), 2000.0) })
        .unwrap();
    let full = wait_until(&load, |reading| reading.in_flight == CONNECTIONS as u64 && reading.waiting > 100);
    assert_eq!(full.counts.local, 0, "{full:?}");
    // None is answered yet, so each in flight comes to have a connection of its own.
    wait_until(&load, |_| server.connections() >= CONNECTIONS as u64);
    open.store(true, Ordering::SeqCst);
    wait_until(&load, |reading| reading.waiting == 0 && reading.counts.success > 1000);
    let total = merged(load.stop());
    assert_eq!(total.counts.failed(), 0, "{:?}", total.counts);
}

#[test]
fn at_full_speed_each_connection_goes_on_by_itself() {
    let server = TestServer::start(|_| future::ready(answer(200, "ok")));
    let total = run(LoadPlan { rate: None, connections: 4, ..plan(&server.url("/"), 1.0) }, 500);
    assert_eq!(total.counts.failed(), 0, "{:?}", total.counts);
    assert!(total.counts.unfinished() <= 4);
    assert_eq!(server.connections(), 4);
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let sound = LoadPlan::get("http://127.0.0.1:9/", 1.0).unwrap();
    for (plan, said) in [
        (LoadPlan { rate: Some(0.0), ..sound.clone() }, "rate"),
        (LoadPlan { rate: Some(f64::NAN), ..sound.clone() }, "rate"),
        (LoadPlan { timeout: Duration::ZERO, ..sound.clone() }, "timeout"),
        (LoadPlan { threads: 0, ..sound.clone() }, "threads"),
        (LoadPlan { threads: 4, connections: 3, ..sound.clone() }, "connections"),
        (LoadPlan { streams: 0, ..sound.clone() }, "stream"),
        (LoadPlan { window: ms(100), ..sound.clone() }, "window"),
        (LoadPlan { connections: usize::MAX / 2, ..sound.clone() }, "ulimit"),
    ] {
        let error = Load::start(plan).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = LoadPlan::get("127.0.0.1:9", 1.0).unwrap_err();
    assert!(matches!(error, LoadError::Request(error) if error.kind == ErrorKind::Request));
}
