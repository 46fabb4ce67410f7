//! `network.reorder`: packets overtake each other.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::refuse_incoming;
use super::shaping::{check_delay, check_reorder, check_share, notes, steps};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Direction, Distribution, Netem, Step};
use squall_model::units::{Duration, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct Reorder;

with_filters! {
    /// Parameters of `network.reorder`.
    pub(crate) struct Parameters {
        /// How much later the packets come that do not overtake, on average.
        delay: Duration,
        /// How much that delay varies.
        #[serde(default)]
        jitter: Duration,
        /// How much each delay resembles the one before.
        #[serde(default)]
        delay_correlation: Share,
        /// How delays spread around the mean: uniform, normal, pareto or paretonormal.
        #[serde(default)]
        distribution: Distribution,
        /// Share of packets that are not delayed, and so overtake all that wait.
        reorder: Share,
        /// How much the fate of each packet resembles that of the one before, so that packets overtake in runs.
        #[serde(default)]
        correlation: Share,
        /// Of so many packets in a row one at most overtakes: at least `gap - 1` wait before the next that may.
        #[serde(default = "every_one")]
        gap: u32,
        /// Which way; only `out`, what the target sends, can be put out of order.
        #[serde(default)]
        direction: Direction,
    }
}

fn every_one() -> u32 {
    1
}

impl Fault for Reorder {
    const NAME: &'static str = "network.reorder";
    const SUMMARY: &'static str =
        "Delays the packets that the target sends, all but a share, which overtakes the others";
    const EXAMPLE: &'static str = "\
- fault: network.reorder
  target: {netns: shop-payment}
  with: {delay: 20ms, reorder: 25%, port: 5432}
  for: 60s
";
    const SCOPE: Scope = Scope::Network;
    const PRIVILEGES: &'static [Privilege] = PRIVILEGES;
    const FEATURES: &'static [Feature] = &[Feature::Netem];
    type Parameters = Parameters;

    fn host_names(parameters: &Parameters) -> Vec<String> {
        parameters.filters().host_names()
    }

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check_share("reorder", parameters.reorder)?;
        check_reorder(parameters.delay, parameters.gap)?;
        check_delay(parameters.delay, parameters.jitter)?;
        refuse_incoming(parameters.direction, "put out of order")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let netem = Netem {
            delay: parameters.delay,
            jitter: parameters.jitter,
            correlation: parameters.delay_correlation,
            distribution: parameters.distribution,
            reorder: parameters.reorder,
            reorder_correlation: parameters.correlation,
            gap: parameters.gap,
            ..Netem::default()
        };
        steps(facts, &parameters.filters(), netem, "reorder")
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        notes(facts, &parameters.filters(), &[parameters.correlation])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, with_features};
    use crate::testing::{example, golden, refusal};

    #[test]
    fn the_example_lets_a_quarter_overtake() {
        golden::<Reorder>(
            &example::<Reorder>(),
            &netns(),
            &[
                "on lo (netns shop), remote port 5432: delay by 20ms, let 25% of packets overtake those before",
                "on eth0 (netns shop), remote port 5432 or local port 5432: delay by 20ms, let 25% of packets overtake those \
                 before",
            ],
        );
        golden::<Reorder>(
            "{delay: 1s, jitter: 100ms, delay_correlation: 5%, reorder: 50%, correlation: 20%, gap: 5}",
            &netns(),
            &[
                "on eth0 (netns shop), all packets: delay by 1s ± 100ms, let 50% of packets overtake those before, one of 5 \
               at most, in runs (correlation 20%)",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{delay: 1s}", "`reorder` is missing"),
            ("{reorder: 5%}", "`delay` is missing"),
            ("{delay: 0s, reorder: 5%}", "only those that wait"),
            ("{delay: 1s, reorder: 0%}", "change nothing"),
            ("{delay: 1s, reorder: 5%, gap: 0}", "at least 1"),
            ("{delay: 1s, jitter: 2s, reorder: 5%}", "before it was sent"),
            ("{delay: 10m, reorder: 5%}", "4m30s"),
            ("{delay: 1s, reorder: 5%, direction: in}", "out of order only where they leave"),
        ] {
            let message = refusal::<Reorder>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        let message = refusal::<Reorder>("{delay: 1s, reorder: 5%}", &with_features(netns(), &[]));
        assert!(message.contains("reorder packets") && message.contains("sch_netem"), "{message}");
    }
}
