//! Copies, damage, overtaking and runs, on kernels with `sch_netem`: counted by a receiver that knows nothing of Squall.

use crate::lab::{Lab, injection};
use crate::netem::{PORT, to_port};
use crate::probe::{Flow, batches, binomial, number_of, numbered, wire};
use squall_model::facts::Feature;
use squall_model::step::{Netem, PacketFilter, Shape, Step};
use squall_model::undo::{Effect, Evidence, Undo};
use squall_model::units::{Duration as Time, Rate, Share};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const COUNT: usize = 4000;
/// How long is waited for what may still come of a batch that is not delayed.
const SOON: Duration = Duration::from_millis(15);
const NEEDED: &[Feature] = &[Feature::Netem, Feature::PacketClassifier];

fn make(lab: &mut Lab, netem: Netem, only: Vec<PacketFilter>) -> (Step, Undo) {
    let step = lab.qdisc(Shape::Netem(netem), only);
    let undo = lab.make(&step, &injection()).unwrap();
    (step, undo)
}

fn measure(evidence: &Evidence, name: &str) -> usize {
    evidence.measures[name] as usize
}

/// How often each of so many packets arrived.
fn times(flow: &Flow, count: usize) -> Vec<usize> {
    let mut times = vec![0; count];
    batches(flow, count, 100, SOON).iter().flatten().for_each(|packet| times[number_of(packet)] += 1);
    times
}

fn how_many(times: &[usize], wanted: usize) -> usize {
    times.iter().filter(|times| **times == wanted).count()
}

#[test]
fn netem_sends_a_share_twice() {
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    for (v6, only) in [(false, vec![to_port()]), (true, vec![])] {
        let netem = Netem { duplicate: Share::of(0.4), ..Netem::default() };
        let (step, undo) = make(&mut lab, netem, only.clone());
        let flow = Flow::new(&lab, true, v6, PORT);
        assert_eq!(lab.observe(&step, &undo).effect, Effect::NotSeen);
        let times = times(&flow, COUNT);
        let (once, twice) = (how_many(&times, 1), how_many(&times, 2));
        println!("v6: {v6}: {once} of {COUNT} once, {twice} twice");
        assert_eq!(once + twice, COUNT, "v6: {v6}");
        assert!(binomial(COUNT, 0.4).contains(&twice), "v6: {v6}: {twice}");
        let evidence = lab.observe(&step, &undo);
        println!("{}", evidence.summary);
        assert!(measure(&evidence, "packets").abs_diff(once + 2 * twice) <= 12, "{evidence:?}");
        assert_eq!(evidence.effect, Effect::Seen);
        if !only.is_empty() {
            let other = self::times(&Flow::new(&lab, true, v6, PORT + 1), 500);
            assert_eq!(how_many(&other, 1), 500, "what is not meant comes once");
        }
        lab.undo(&undo);
        assert_eq!(how_many(&self::times(&flow, 500), 1), 500, "v6: {v6}: copies after the end");
    }
}

/// Frames of our length that are on the cable by now: how many bits of the content of each are turned over.
fn damage(wire: &UdpSocket, length: usize, headers: usize) -> Vec<u32> {
    let mut buffer = [0; 2000];
    let mut damage = Vec::new();
    while let Ok(got) = wire.recv(&mut buffer) {
        // After the number, which may be damaged as well, all bytes are alike.
        if got == headers + length {
            let content = &buffer[headers + 8..got];
            damage.push(content.iter().map(|byte| (byte ^ 0x5a).count_ones()).sum());
        }
    }
    damage
}

#[test]
fn netem_turns_over_one_bit_in_a_share() {
    const LENGTH: usize = 1000;
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    for (v6, headers, only) in [(false, 42, vec![to_port()]), (true, 62, vec![])] {
        let netem = Netem { corrupt: Share::of(0.2), ..Netem::default() };
        let (step, undo) = make(&mut lab, netem, only);
        let flow = Flow::new(&lab, true, v6, PORT);
        let cable = wire(&lab.there);
        let (mut bits, mut intact) = (Vec::new(), 0);
        for _ in 0..COUNT / 40 {
            for packet in batches(&flow, 40, LENGTH, SOON).concat() {
                assert_eq!(packet, numbered(number_of(&packet), LENGTH), "a checksum let damage pass");
                intact += 1;
            }
            bits.extend(damage(&cable, LENGTH, headers));
        }
        let struck = bits.iter().filter(|bits| **bits == 1).count();
        println!("v6: {v6}: {struck} of {} frames damaged, {intact} packets arrived", bits.len());
        assert_eq!(bits.len(), COUNT, "v6: {v6}");
        assert!(bits.iter().all(|bits| *bits <= 1), "v6: {v6}");
        let hits_content = (LENGTH - 8) as f64 / (LENGTH + headers) as f64;
        assert!(binomial(COUNT, 0.2 * hits_content).contains(&struck), "v6: {v6}: {struck}");
        // Damage to headers is thrown away as well, but for that to what nobody checks.
        assert!(intact <= COUNT - struck && binomial(COUNT, 0.8).contains(&intact), "v6: {v6}: {intact}");
        let evidence = lab.observe(&step, &undo);
        println!("{}", evidence.summary);
        assert_eq!(evidence.effect, Effect::Seen);
        assert!(measure(&evidence, "packets").abs_diff(COUNT) <= 12, "{evidence:?}");
        lab.undo(&undo);
        assert_eq!(how_many(&times(&flow, 500), 1), 500, "v6: {v6}: damage after the end");
    }
}

/// Of the packets of a batch, in the order in which they arrived, those that came before one that was sent earlier.
fn overtook(arrived: &[Vec<u8>]) -> Vec<usize> {
    let numbers: Vec<usize> = arrived.iter().map(|packet| number_of(packet)).collect();
    let came_early = |place: &usize| numbers[place + 1..].iter().any(|later| *later < numbers[*place]);
    (0..numbers.len()).filter(came_early).map(|place| numbers[place]).collect()
}

#[test]
fn netem_lets_a_share_overtake() {
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    let later = Duration::from_millis(60);
    for v6 in [false, true] {
        let netem = Netem { delay: Time::milliseconds(30), reorder: Share::of(0.25), ..Netem::default() };
        let (step, undo) = make(&mut lab, netem, vec![to_port()]);
        let flow = Flow::new(&lab, true, v6, PORT);
        let batches = batches(&flow, COUNT, 100, later);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), COUNT);
        let early: usize = batches.iter().map(|batch| overtook(batch).len()).sum();
        let evidence = lab.observe(&step, &undo);
        println!("v6: {v6}: {early} of {COUNT} overtook; {}", evidence.summary);
        let sent_first = measure(&evidence, "requeues");
        assert!(binomial(COUNT, 0.25).contains(&sent_first), "v6: {v6}: {evidence:?}");
        // The first of a batch have none before them: a third of a packet each time.
        assert!((sent_first - COUNT / 40..=sent_first).contains(&early), "v6: {v6}: {early}, {evidence:?}");
        assert_eq!(evidence.effect, Effect::Seen);
        lab.undo(&undo);
    }
}

#[test]
fn netem_lets_every_fifth_overtake() {
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    let netem = Netem { delay: Time::milliseconds(30), reorder: Share::WHOLE, gap: 5, ..Netem::default() };
    let (_, undo) = make(&mut lab, netem, vec![to_port()]);
    let flow = Flow::new(&lab, true, false, PORT);
    for batch in batches(&flow, 400, 100, Duration::from_millis(60)) {
        let fifth: Vec<usize> = overtook(&batch);
        assert!(fifth.len() == 8 && fifth.iter().all(|number| number % 5 == 4), "{fifth:?}");
    }
    lab.undo(&undo);
    assert_eq!(batches(&flow, 40, 100, SOON).iter().map(|batch| overtook(batch).len()).sum::<usize>(), 0);
}

#[test]
fn netem_strikes_the_share_that_was_asked_for_in_runs_too() {
    const SHARE: f64 = 0.2;
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    // With how many of those lost another follows: five standard deviations less than its mean of 30, 42 and 58 %.
    for (correlation, follow) in [(0.25, 0.21), (0.5, 0.33), (0.75, 0.46)] {
        let netem =
            Netem { loss: Share::of(SHARE), loss_correlation: Share::of(correlation), ..Netem::default() };
        let (_, undo) = make(&mut lab, netem, vec![to_port()]);
        let times = times(&Flow::new(&lab, true, false, PORT), COUNT);
        let lost = how_many(&times, 0);
        let in_a_row = times.windows(2).filter(|pair| *pair == [0, 0]).count();
        println!("correlation {correlation}: {lost} of {COUNT} lost, {in_a_row} after another");
        // What comes in runs tells as much as fewer packets would.
        let runs = (1.0 + correlation) / (1.0 - correlation);
        let spread = 5.0 * (COUNT as f64 * SHARE * (1.0 - SHARE) * runs).sqrt();
        assert!((lost as f64 - COUNT as f64 * SHARE).abs() < spread, "{correlation}: {lost}");
        assert!(in_a_row as f64 > lost as f64 * follow, "{correlation}: {in_a_row} of {lost}");
        lab.undo(&undo);
    }
}

#[test]
fn netem_does_several_harms_at_once() {
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    let netem = Netem {
        delay: Time::milliseconds(10),
        loss: Share::of(0.1),
        duplicate: Share::of(0.2),
        corrupt: Share::of(0.1),
        ..Netem::default()
    };
    let (step, undo) = make(&mut lab, netem, vec![to_port()]);
    let flow = Flow::new(&lab, true, false, PORT);
    let mut times = vec![0; COUNT];
    for packet in batches(&flow, COUNT, 100, Duration::from_millis(40)).concat() {
        times[number_of(&packet)] += 1;
    }
    let [none, once, twice] = [0, 1, 2].map(|wanted| how_many(&times, wanted));
    println!("{none} never, {once} once, {twice} twice");
    // A packet that is to be lost and to be sent twice is sent once, and a copy has its own chance of being lost or damaged.
    let arrives = 0.9;
    let both = 0.2 * 0.9;
    let two = both * 0.9 * arrives * arrives;
    let one =
        (0.8 * 0.9 + 0.2 * 0.1) * arrives + both * (0.1 * arrives + 0.9 * 2.0 * arrives * (1.0 - arrives));
    for (counted, share) in [(twice, two), (once, one), (none, 1.0 - two - one)] {
        assert!(binomial(COUNT, share).contains(&counted), "{counted} of {COUNT}, wanted {share}");
    }
    let evidence = lab.observe(&step, &undo);
    println!("{}", evidence.summary);
    assert_eq!(evidence.effect, Effect::Seen);
    lab.undo(&undo);
}

#[test]
fn netem_limits_the_rate() {
    let Some(mut lab) = Lab::with(NEEDED) else { return };
    let rate = Some(Rate { bits_per_second: 1_000_000 });
    let (step, undo) = make(&mut lab, Netem { rate, ..Netem::default() }, vec![to_port()]);
    let flow = Flow::new(&lab, true, false, PORT);
    let start = Instant::now();
    (0..40).for_each(|number| assert_eq!(flow.sender.send(&numbered(number, 1000)).unwrap(), 1000));
    flow.receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    (0..40).for_each(|_| assert_eq!(flow.receiver.recv(&mut [0; 2000]).unwrap(), 1000));
    // Each takes 8.3 ms. A busy machine can only be slower.
    let took = start.elapsed().as_secs_f64();
    let evidence = lab.observe(&step, &undo);
    println!("{took} s; {}", evidence.summary);
    assert!(took > 0.32, "{took}");
    assert_eq!((evidence.effect, measure(&evidence, "packets")), (Effect::Seen, 40));
    lab.undo(&undo);
}
