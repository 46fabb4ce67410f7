//! Limits on the rate.

use crate::lab::{Lab, injection};
use crate::probe::{Flow, address};
use squall_model::facts::Feature;
use squall_model::step::{PacketFilter, Ports, Shape};
use squall_model::undo::Effect;
use squall_model::units::{Duration as Time, Size};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PORT: u16 = 7001;
/// Bytes of a packet's content, and of its UDP, IPv4 and Ethernet headers.
const CONTENT: usize = 1400;
const HEADERS: usize = 8 + 20 + 14;
const BURST: u32 = 15_000;

fn limit(rate: &str) -> Shape {
    // Long enough that a sender who is kept from the processor for a while does not leave the road empty.
    shape(rate, Time::milliseconds(800))
}

fn shape(rate: &str, queue: Time) -> Shape {
    Shape::Bandwidth { rate: rate.parse().unwrap(), burst: Size(u64::from(BURST)), queue }
}

fn to_port() -> PacketFilter {
    let remote_port = Some(Ports { first: PORT, last: PORT });
    PacketFilter { remote_port, ..PacketFilter::default() }
}

/// What arrived over a road with a limit.
struct Arrived {
    /// Bits on the wire, since before the first was sent.
    bits: f64,
    /// The time of all that, in seconds.
    seconds: f64,
    /// Bits per second in each of several windows after the first burst.
    windows: Vec<f64>,
}

impl Arrived {
    /// Nothing that keeps sender or receiver from the processor brings more through a limit than its burst, and its rate
    /// for all the time since the first was sent.
    fn is_within(&self, rate: f64) -> bool {
        self.bits <= rate * self.seconds + f64::from(BURST) * 8.0
    }
}

/// Sends as much as the socket takes, which holds it back while its packets wait for the limit.
fn flood(lab: &Lab, count: usize, window: Duration) -> Arrived {
    let over = AtomicBool::new(false);
    let start = Instant::now();
    // Of its own, lest what an earlier one left unread counts as arrived now.
    let flow = Flow::new(lab, true, false, PORT);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = flow.sender.send(&[0; CONTENT]);
            }
        });
        let mut arrivals = Vec::new();
        while start.elapsed() < window * (count as u32 + 1) {
            if flow.receiver.recv(&mut [0; 2 * CONTENT]).is_ok() {
                arrivals.push(start.elapsed());
            }
        }
        over.store(true, Ordering::Relaxed);
        let packet = ((CONTENT + HEADERS) * 8) as f64;
        let within = |index: usize| {
            let range = window * index as u32..window * (index as u32 + 1);
            arrivals.iter().filter(|at| range.contains(at)).count() as f64 * packet / window.as_secs_f64()
        };
        let seconds = arrivals.last().map_or(0.0, Duration::as_secs_f64);
        // The first window has the burst.
        Arrived { bits: arrivals.len() as f64 * packet, seconds, windows: (1..=count).map(within).collect() }
    })
}

fn mean_and_error(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// The measured rate is the one asked for: never above it, and below it by no more than 3 %, plus what chance may add at
/// five standard errors. Other work on the machine can keep sender and receiver below it for a while.
fn check(lab: &Lab, rate: f64, case: &str) {
    const TRIES: usize = 4;
    for tries in 1.. {
        let arrived = flood(lab, 12, Duration::from_millis(250));
        let (mean, error) = mean_and_error(&arrived.windows);
        println!("{case}: {:.3} ± {:.3} Mbit/s (one standard error)", mean / 1e6, error / 1e6);
        assert!(arrived.is_within(rate), "{case}: {} bits in {} s", arrived.bits, arrived.seconds);
        // However much chance may add, it must be a limit.
        if rate - mean <= 0.03 * rate + 5.0 * error && mean > 0.8 * rate {
            return;
        }
        assert!(tries < TRIES, "{case}: {mean} ± {error} instead of {rate}");
    }
}

#[test]
fn a_rate_is_kept_to_for_all_packets_or_for_some() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf, Feature::PacketClassifier]) else { return };
    for (text, rate) in [("1mbit", 1e6), ("10mbit", 1e7)] {
        for only in [vec![], vec![to_port()]] {
            let name = injection();
            let case = format!("{text}, {} filters", only.len());
            let some = !only.is_empty();
            let step = lab.qdisc(limit(text), only);
            let undo = lab.make(&step, &name).unwrap();
            assert_eq!(lab.observe(&step, &undo).effect, Effect::NotSeen);
            check(&lab, rate, &case);
            if some {
                // Others have the whole road while the limit's queue is full.
                let other = Flow::new(&lab, true, false, PORT + 1);
                assert_eq!(other.arrived(2000), 2000, "{case}");
            }
            let evidence = lab.observe(&step, &undo);
            assert_eq!(evidence.effect, Effect::Seen, "{evidence:?}");
            assert!(evidence.measures["overlimits"] > 0.0, "{evidence:?}");
            lab.undo(&undo);
            assert_eq!(Flow::new(&lab, true, false, PORT + 2).arrived(2000), 2000, "{case}: after the undo");
        }
    }
}

/// Content that a TCP connection carries since its first packet.
fn transfer(lab: &Lab, v6: bool) -> Arrived {
    const WHILE: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let listener = lab.there.inside(|| TcpListener::bind(address(v6, 2, PORT)).unwrap());
    let mut sender = lab.here.inside(|| TcpStream::connect(address(v6, 2, PORT)).unwrap());
    sender.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || while sender.write_all(&[0; 16_384]).is_ok() {});
        let mut buffer = vec![0; 65_536];
        let mut bytes = 0;
        while start.elapsed() < WHILE {
            bytes += receiver.read(&mut buffer).unwrap();
        }
        let (bits, seconds) = (bytes as f64 * 8.0, start.elapsed().as_secs_f64());
        // Closed with unread data, the connection is reset, and the sender's write ends.
        drop(receiver);
        Arrived { bits, seconds, windows: vec![bits / seconds] }
    })
}

#[test]
fn a_transfer_over_tcp_gets_what_the_rate_leaves_it() {
    const TRIES: usize = 4;
    let Some(mut lab) = Lab::with(&[Feature::Tbf, Feature::PacketClassifier]) else { return };
    // Packets of TCP reach the qdisc many at once, as one of up to 64 KiB, which is more than waits at the lower rate.
    for (text, rate) in [("1mbit", 1.0e6), ("10mbit", 1.0e7)] {
        for only in [vec![], vec![to_port()]] {
            for v6 in [false, true] {
                let case = format!("TCP over {text}, {} filters, IPv6 {v6}", only.len());
                for tries in 1.. {
                    // The queue that a user gets who names none. Each try has a fresh limit with its full burst.
                    let step = lab.qdisc(shape(text, Time::milliseconds(50)), only.clone());
                    let undo = lab.make(&step, &injection()).unwrap();
                    let arrived = transfer(&lab, v6);
                    lab.undo(&undo);
                    let got = arrived.windows[0];
                    println!("{case}: {:.2} Mbit/s of content", got / 1e6);
                    assert!(
                        arrived.is_within(rate),
                        "{case}: {} bits in {} s",
                        arrived.bits,
                        arrived.seconds
                    );
                    // Below that, it is the processor's or the protocol's doing.
                    if got >= 0.6 * rate {
                        break;
                    }
                    assert!(tries < TRIES, "{case}: {got}");
                }
            }
        }
    }
    let free = transfer(&lab, false).windows[0];
    assert!(free > 3.0e7, "after the undo only {free}");
}

#[test]
fn a_burst_shorter_than_a_packet_still_lets_packets_pass() {
    let Some(mut lab) = Lab::with(&[Feature::Tbf]) else { return };
    let name = injection();
    let shape =
        Shape::Bandwidth { rate: "1mbit".parse().unwrap(), burst: Size(1), queue: Time::milliseconds(50) };
    let step = lab.qdisc(shape, vec![]);
    let undo = lab.make(&step, &name).unwrap();
    assert!(Flow::new(&lab, true, true, PORT).passes());
    lab.undo(&undo);
}
