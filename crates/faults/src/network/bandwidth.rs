//! `network.bandwidth`: a narrow road.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::{about_loopback, qdiscs, refuse_incoming};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Direction, Shape, Step};
use squall_model::units::{Duration, Rate, Size};

/// See [`Fault::SUMMARY`].
pub(crate) struct Bandwidth;

with_filters! {
    /// Parameters of `network.bandwidth`.
    pub(crate) struct Parameters {
        /// How much may pass each second, by each interface that is struck.
        rate: Rate,
        /// How much may pass at once after a silence; as much as passes in 4 ms and at least 15000 bytes where
        /// nothing is said, and always enough for one packet.
        #[serde(default)]
        burst: Option<Size>,
        /// How long a packet waits before it is dropped.
        #[serde(default = "queue")]
        queue: Duration,
        /// Which way; only `out`, what the target sends, can be limited.
        #[serde(default)]
        direction: Direction,
    }
}

fn queue() -> Duration {
    Duration::milliseconds(50)
}

/// Ten packets of an Ethernet.
const LEAST_BURST: u64 = 15_000;

impl Fault for Bandwidth {
    const NAME: &'static str = "network.bandwidth";
    const SUMMARY: &'static str =
        "Limits how much the target can send each second; what is too much waits, then is lost";
    const EXAMPLE: &'static str = "\
- fault: network.bandwidth
  target: {netns: shop-ledger}
  with: {rate: 1mbit, queue: 100ms}
  for: 60s
";
    const SCOPE: Scope = Scope::Network;
    const PRIVILEGES: &'static [Privilege] = PRIVILEGES;
    const FEATURES: &'static [Feature] = &[Feature::Tbf];
    type Parameters = Parameters;

    fn host_names(parameters: &Parameters) -> Vec<String> {
        parameters.filters().host_names()
    }

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        let Parameters { rate, burst, queue, .. } = parameters;
        let wrong = |message: &str| Err(PlanError::Parameters(message.to_owned()));
        // Below a byte a second the kernel knows no rate; nothing at all is another fault.
        if rate.bits_per_second < 8 {
            return wrong("`rate` must be at least 8bit; to let nothing pass, use network.partition");
        }
        if burst.is_some_and(|burst| burst.0 == 0 || burst.0 > u64::from(u32::MAX)) {
            return wrong("`burst` must be between 1B and 4GiB");
        }
        if queue.0.is_zero() || *queue > Duration::seconds(60) {
            return wrong(
                "`queue` must be between 1ns and 1m: it is how long a packet waits before it is dropped",
            );
        }
        refuse_incoming(parameters.direction, "held back")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let rate = parameters.rate;
        let burst = parameters.burst.unwrap_or(Size((rate.bits_per_second / 8 / 250).max(LEAST_BURST)));
        qdiscs(facts, &parameters.filters(), &Shape::Bandwidth { rate, burst, queue: parameters.queue })
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        about_loopback(facts, &parameters.filters())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, on};
    use crate::testing::{example, golden, refusal};

    #[test]
    fn the_example_limits_all_that_leaves() {
        golden::<Bandwidth>(
            &example::<Bandwidth>(),
            &netns(),
            &["on eth0 (netns shop), all packets: limit to 1mbit (burst 15KB, queue 100ms)"],
        );
        golden::<Bandwidth>(
            "{rate: 1gbit}",
            &netns(),
            &["on eth0 (netns shop), all packets: limit to 1gbit (burst 500KB, queue 50ms)"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "`rate` is missing"),
            ("{rate: 0bit}", "network.partition"),
            ("{rate: 1mbit, burst: 0B}", "burst"),
            ("{rate: 1mbit, queue: 0s}", "queue"),
            ("{rate: 1mbit, direction: in}", "strike the side that sends"),
        ] {
            let message = refusal::<Bandwidth>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        assert!(refusal::<Bandwidth>("{rate: 1mbit}", &on::host()).contains("all traffic"));
    }
}
