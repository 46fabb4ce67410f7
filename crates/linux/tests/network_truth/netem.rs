//! Delay and loss, on kernels with `sch_netem`.

use crate::lab::{Lab, injection};
use crate::probe::{Flow, binomial, delays};
use squall_model::facts::Feature;
use squall_model::step::{Distribution, PacketFilter, Ports, Shape};
use squall_model::undo::Effect;
use squall_model::units::{Duration as Time, Share};
use std::time::Duration;

const PORT: u16 = 7001;
const MILLISECOND: Duration = Duration::from_millis(1);

/// 100 ms ± 20 ms on a share of packets.
pub(crate) fn slow(probability: f64) -> Shape {
    Shape::Netem {
        delay: Time::milliseconds(100),
        jitter: Time::milliseconds(20),
        correlation: Share::default(),
        distribution: Distribution::Uniform,
        probability: Share::of(probability),
        loss: Share::default(),
        loss_correlation: Share::default(),
    }
}

fn lossy(loss: f64) -> Shape {
    Shape::Netem {
        delay: Time::default(),
        jitter: Time::default(),
        correlation: Share::default(),
        distribution: Distribution::Uniform,
        probability: Share::WHOLE,
        loss: Share::of(loss),
        loss_correlation: Share::default(),
    }
}

fn to_port() -> PacketFilter {
    let remote_port = Some(Ports { first: PORT, last: PORT });
    PacketFilter { remote_port, ..PacketFilter::default() }
}

/// Seconds, lowest first.
fn sorted(delays: &[Option<Duration>]) -> Vec<f64> {
    let mut seconds: Vec<f64> = delays.iter().flatten().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Delays of 100 ms ± 20 ms, alike between 80 and 120: a quantile `p` of them is 80 + 40 p ms, with a standard error of
/// 40 √(p (1 - p) / n) ms. Packets may only be later than that, by what it takes to deliver one, measured before, and by
/// a tick of the kernel's clock. (A mean would be at the mercy of a few late risers among the receivers.)
fn check_delays(delayed: &[f64], undisturbed: f64, case: &str) {
    const TICK: f64 = 0.010;
    assert!(delayed[0] > 0.079, "{case}: {} came too soon", delayed[0]);
    for p in [0.1, 0.25, 0.5, 0.75, 0.9] {
        let count = delayed.len() as f64;
        let measured = delayed[(p * count) as usize];
        let (wanted, error) = (0.080 + 0.040 * p, 0.040 * (p * (1.0 - p) / count).sqrt());
        println!(
            "{case}: quantile {p}: {:.1} ms, wanted {:.1} ± {:.1}",
            measured * 1e3,
            wanted * 1e3,
            error * 1e3
        );
        let range = wanted - 5.0 * error..wanted + 5.0 * error + undisturbed + TICK;
        assert!(range.contains(&measured), "{case}: quantile {p} is {measured}, which is not in {range:?}");
    }
}

#[test]
fn netem_delays_the_share_that_was_asked_for_by_the_time_that_was_asked_for() {
    const COUNT: usize = 1500;
    let Some(mut lab) = Lab::with(&[Feature::Netem, Feature::PacketClassifier]) else { return };
    for (v6, only) in [(false, vec![]), (true, vec![to_port()])] {
        let before = sorted(&delays(&Flow::new(&lab, true, v6, PORT), 300, 2 * MILLISECOND));
        let undisturbed = before[before.len() * 99 / 100];
        let name = injection();
        let step = lab.qdisc(slow(0.5), only);
        let undo = lab.make(&step, &name).unwrap();
        let all = delays(&Flow::new(&lab, true, v6, PORT), COUNT, 2 * MILLISECOND);
        assert!(all.iter().all(Option::is_some), "nothing is lost by a delay");
        let delayed: Vec<f64> = sorted(&all).into_iter().filter(|delay| *delay > 0.060).collect();
        println!("v6: {v6}: {} of {COUNT} delayed; undisturbed {undisturbed:.4} s", delayed.len());
        assert!(binomial(COUNT, 0.5).contains(&delayed.len()), "v6: {v6}: {} of {COUNT}", delayed.len());
        check_delays(&delayed, undisturbed, &format!("v6: {v6}"));
        let evidence = lab.observe(&step, &undo);
        assert_eq!(evidence.effect, Effect::Seen);
        let counted = evidence.measures["packets"] as usize;
        // Neighbour discovery is delayed as well, where all packets may be.
        assert!(
            (delayed.len()..delayed.len() + 12).contains(&counted),
            "{evidence:?}, not {}",
            delayed.len()
        );
        lab.undo(&undo);
        let after = sorted(&delays(&Flow::new(&lab, true, v6, PORT), 100, 2 * MILLISECOND));
        assert!(after[98] < 0.060, "{}", after[98]);
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
            assert!(other.len() == 100 && other[98] < 0.060, "{outgoing} {port} {}", other[98]);
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
