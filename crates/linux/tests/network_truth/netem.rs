//! Delay and loss, on kernels with `sch_netem`.

use crate::lab::{Lab, injection};
use crate::probe::{Flow, Timed, binomial, delays, timed};
use squall_model::facts::Feature;
use squall_model::step::{Netem, PacketFilter, Ports, Shape};
use squall_model::undo::Effect;
use squall_model::units::{Duration as Time, Share};
use std::time::Duration;

pub(crate) const PORT: u16 = 7001;
const MILLISECOND: Duration = Duration::from_millis(1);

/// 100 ms ± 20 ms on a share of packets.
pub(crate) fn slow(probability: f64) -> Shape {
    Shape::Netem(Netem {
        delay: Time::milliseconds(100),
        jitter: Time::milliseconds(20),
        probability: Share::of(probability),
        ..Netem::default()
    })
}

fn lossy(loss: f64) -> Shape {
    Shape::Netem(Netem { loss: Share::of(loss), ..Netem::default() })
}

pub(crate) fn to_port() -> PacketFilter {
    let remote_port = Some(Ports { first: PORT, last: PORT });
    PacketFilter { remote_port, ..PacketFilter::default() }
}

/// Seconds, lowest first.
fn sorted(delays: &[Option<Duration>]) -> Vec<f64> {
    let mut seconds: Vec<f64> = delays.iter().flatten().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// A quantile of values in order: the share `p` of them is no greater.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// What a measurement tells.
#[derive(Debug, Default)]
struct Findings {
    wrong: Vec<String>,
    /// Whether other work on the machine spoilt it.
    noisy: bool,
}

/// What is wrong with delays that should be 100 ms ± 20 ms, alike between 80 and 120: a quantile `p` of them is
/// 80 + 40 p ms, with a standard error of 40 √(p (1 - p) / n) ms.
///
/// What it takes a timer to go off and a packet to be delivered comes on top: `noise`, as it is seen at the packets of
/// the same run that were not delayed. If a share `late` of them takes longer than x, then the quantile p of the sums
/// lies below the quantile p + `late` of the delays plus x, whichever share is chosen.
fn judge_delays(delayed: &[f64], noise: &[f64]) -> Findings {
    /// Where noise leaves more room than this, nothing is told by what fits in.
    const MOST_ROOM: f64 = 0.012;
    let wanted = |p: f64| 0.080 + 0.040 * p;
    let mut findings = Findings::default();
    for p in [0.1, 0.25, 0.5, 0.75, 0.9] {
        let measured = quantile(delayed, p);
        let five = 5.0 * 0.040 * (p * (1.0 - p) / delayed.len() as f64).sqrt();
        let bounds =
            [0.01, 0.02, 0.04, 0.07, 0.1, 0.15].map(|late| wanted(p + late) + quantile(noise, 1.0 - late));
        let room = bounds.into_iter().fold(f64::INFINITY, f64::min) - wanted(p);
        let range = wanted(p) - five..wanted(p) + room + five;
        let says =
            format!("quantile {p} is {measured:.4} s, wanted {:.4} to {:.4} s", range.start, range.end);
        println!("{says}");
        findings.noisy |= room > MOST_ROOM;
        if !range.contains(&measured) {
            findings.wrong.push(says);
        }
    }
    findings
}

/// One measurement of the delay, made, looked at and taken back.
fn measure_delay(lab: &mut Lab, v6: bool, only: Vec<PacketFilter>) -> Findings {
    const COUNT: usize = 2500;
    let step = lab.qdisc(slow(0.5), only);
    let undo = lab.make(&step, &injection()).unwrap();
    let packets = timed(&Flow::new(lab, true, v6, PORT), COUNT, 3 * MILLISECOND);
    let evidence = lab.observe(&step, &undo);
    lab.undo(&undo);
    let lost = packets.iter().filter(|packet| packet.took.is_none()).count();
    let (delayed, undelayed): (Vec<Timed>, Vec<Timed>) =
        packets.into_iter().partition(|packet| packet.took > Some(75 * MILLISECOND));
    println!("v6: {v6}: {} of {COUNT} delayed", delayed.len());
    // A packet that is not delayed waits for the sender's timer and its delivery, as one that is waits for the kernel's.
    let noise: Vec<_> = undelayed.iter().map(|packet| packet.took.map(|took| packet.late + took)).collect();
    let delays: Vec<_> = delayed.iter().map(|packet| packet.took).collect();
    let mut findings = judge_delays(&sorted(&delays), &sorted(&noise));
    let wrong = &mut findings.wrong;
    if lost > 0 {
        wrong.push(format!("{lost} are lost"));
    }
    if !binomial(COUNT, 0.5).contains(&delayed.len()) {
        wrong.push(format!("{} of {COUNT} are delayed", delayed.len()));
    }
    // Neighbour discovery is delayed as well, where all packets may be.
    let counted = evidence.measures["packets"] as usize;
    if evidence.effect != Effect::Seen || !(delayed.len()..delayed.len() + 12).contains(&counted) {
        wrong.push(format!("{evidence:?}, not {}", delayed.len()));
    }
    // Some seem to be delayed and were only read late.
    findings.noisy |= counted < delayed.len();
    findings
}

#[test]
fn netem_delays_the_share_that_was_asked_for_by_the_time_that_was_asked_for() {
    /// Other work on the machine can spoil a measurement; what is wrong by itself is wrong each time.
    const TRIES: usize = 6;
    let Some(mut lab) = Lab::with(&[Feature::Netem, Feature::PacketClassifier]) else { return };
    for (v6, only) in [(false, vec![]), (true, vec![to_port()])] {
        let mut tries = Vec::new();
        while tries.last().is_none_or(|last: &Findings| last.noisy || !last.wrong.is_empty()) {
            if tries.len() == TRIES && tries.iter().all(|findings| findings.noisy) {
                println!("{tries:#?}");
                println!("skipped: this machine is too busy to tell a delay from other work");
                return;
            }
            assert!(tries.len() < TRIES, "v6: {v6}: {tries:#?}");
            tries.push(measure_delay(&mut lab, v6, only.clone()));
        }
        let after = sorted(&delays(&Flow::new(&lab, true, v6, PORT), 100, 2 * MILLISECOND));
        // Half of them would come late if it still stood.
        assert!(after[70] < 0.060, "v6: {v6}: {}", after[70]);
    }
}

#[test]
fn netem_leaves_other_packets_alone() {
    let Some(mut lab) = Lab::with(&[Feature::Netem, Feature::PacketClassifier]) else { return };
    let name = injection();
    let step = lab.qdisc(slow(1.0), vec![to_port()]);
    let undo = lab.make(&step, &name).unwrap();
    for v6 in [false, true] {
        let struck = sorted(&delays(&Flow::new(&lab, true, v6, PORT), 100, 2 * MILLISECOND));
        assert!(struck.len() == 100 && struck[0] > 0.079);
        for (outgoing, port) in [(true, PORT + 1), (false, PORT)] {
            let other = sorted(&delays(&Flow::new(&lab, outgoing, v6, port), 100, 2 * MILLISECOND));
            assert!(other.len() == 100 && other[70] < 0.060, "{outgoing} {port} {}", other[70]);
        }
    }
    lab.undo(&undo);
}

#[test]
fn netem_loses_a_tenth() {
    const COUNT: usize = 5000;
    let Some(mut lab) = Lab::with(&[Feature::Netem, Feature::PacketClassifier]) else { return };
    for (v6, only) in [(false, vec![to_port()]), (true, vec![])] {
        let name = injection();
        let step = lab.qdisc(lossy(0.1), only);
        let undo = lab.make(&step, &name).unwrap();
        let lost = COUNT - Flow::new(&lab, true, v6, PORT).arrived(COUNT);
        println!("v6: {v6}: {lost} of {COUNT} lost");
        assert!(binomial(COUNT, 0.1).contains(&lost), "v6: {v6}: {lost} of {COUNT}");
        let evidence = lab.observe(&step, &undo);
        assert!((evidence.measures["drops"] as usize).abs_diff(lost) <= 5, "{evidence:?}, not {lost}");
        lab.undo(&undo);
        assert_eq!(Flow::new(&lab, true, v6, PORT).arrived(500), 500);
    }
}

/// What `ping` sums up: packets that came back, the shortest and the mean time in milliseconds.
fn ping(lab: &Lab, count: usize) -> (usize, f64, f64) {
    let count = count.to_string();
    let text = lab.here.run(&["ping", "-q", "-n", "-c", &count, "-i", "0.005", "-W", "2", "10.9.0.2"]);
    let back = text.split(", ").find_map(|part| part.strip_suffix(" received")?.parse().ok());
    let times = text.split_once("mdev = ").and_then(|(_, times)| {
        let mut times = times.split('/').map(str::parse::<f64>);
        Some((times.next()?.ok()?, times.next()?.ok()?))
    });
    let ((shortest, mean), back) = times.zip(back).unwrap_or_else(|| panic!("{text}"));
    (back, shortest, mean)
}

#[test]
fn netem_is_seen_by_ping() {
    let Some(mut lab) = Lab::with(&[Feature::Netem, Feature::PacketClassifier]) else { return };
    let (all, free, _) = ping(&lab, 100);
    assert_eq!(all, 100);
    let mut shape = slow(1.0);
    if let Shape::Netem(netem) = &mut shape {
        netem.jitter = Time::default();
    }
    let step = lab.qdisc(shape, vec![]);
    let undo = lab.make(&step, &injection()).unwrap();
    let (_, shortest, mean) = ping(&lab, 100);
    println!("ping: {free} ms before, {shortest} ms under a delay of 100 ms, {mean} ms in the mean");
    // Noise only adds, and of a hundred some meet none.
    assert!((99.5..free + 105.0).contains(&shortest) && mean >= shortest, "{shortest} {mean}");
    lab.undo(&undo);

    let step = lab.qdisc(lossy(0.1), vec![]);
    let undo = lab.make(&step, &injection()).unwrap();
    let (back, _, _) = ping(&lab, 1000);
    println!("ping: {back} of 1000 came back under a loss of 10 %");
    assert!(binomial(1000, 0.9).contains(&back), "{back}");
    lab.undo(&undo);
    assert!(ping(&lab, 100).1 < 100.0);
}
