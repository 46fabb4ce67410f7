//! `network.netem`: a bad network, by several harms at once.
//!
//! One queueing discipline does them all, so that they can strike the same packets: two faults on one interface cannot.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::refuse_incoming;
use super::shaping::{check_delay, check_reorder, notes, steps, wrong};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{self, Direction, Distribution, Step};
use squall_model::units::{Duration, Rate, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct Netem;

with_filters! {
    /// Parameters of `network.netem`.
    pub(crate) struct Parameters {
        /// How much later packets come, on average.
        #[serde(default)]
        delay: Duration,
        /// How much the delay varies. Packets whose delays differ overtake each other.
        #[serde(default)]
        jitter: Duration,
        /// How much each delay resembles the one before.
        #[serde(default)]
        delay_correlation: Share,
        /// How delays spread around the mean: uniform, normal, pareto or paretonormal.
        #[serde(default)]
        distribution: Distribution,
        /// Share of packets that vanish.
        #[serde(default)]
        loss: Option<Share>,
        /// How much each loss resembles the one before, so that losses come in runs.
        #[serde(default)]
        loss_correlation: Share,
        /// Share of packets that are sent twice.
        #[serde(default)]
        duplicate: Option<Share>,
        /// How much being sent twice resembles the one before, so that copies come in runs.
        #[serde(default)]
        duplicate_correlation: Share,
        /// Share of packets in which one bit, anywhere in headers or content, is turned over.
        #[serde(default)]
        corrupt: Option<Share>,
        /// How much each damage resembles the one before, so that it comes in runs.
        #[serde(default)]
        corrupt_correlation: Share,
        /// Share of packets that are not delayed, and so overtake all that wait.
        #[serde(default)]
        reorder: Option<Share>,
        /// How much overtaking resembles the one before, so that packets overtake in runs.
        #[serde(default)]
        reorder_correlation: Share,
        /// Of so many packets in a row one at most overtakes: at least `gap - 1` wait before the next that may.
        #[serde(default)]
        gap: Option<u32>,
        /// How much may pass each second, by each interface that is struck; a thousand packets wait, those beyond are lost.
        #[serde(default)]
        rate: Option<Rate>,
        /// Which way; only `out`, what the target sends, can be harmed.
        #[serde(default)]
        direction: Direction,
    }
}

impl Parameters {
    /// Each harm by chance: its name, its share where it is given, and its correlation.
    fn chances(&self) -> [(&'static str, Option<Share>, Share); 4] {
        [
            ("loss", self.loss, self.loss_correlation),
            ("duplicate", self.duplicate, self.duplicate_correlation),
            ("corrupt", self.corrupt, self.corrupt_correlation),
            ("reorder", self.reorder, self.reorder_correlation),
        ]
    }

    fn reorders(&self) -> bool {
        self.reorder.is_some_and(|share| share.fraction() > 0.0)
    }
}

impl Fault for Netem {
    const NAME: &'static str = "network.netem";
    const SUMMARY: &'static str =
        "Delays, loses, duplicates, damages, reorders and limits what the target sends, several at once";
    const EXAMPLE: &'static str = "\
- fault: network.netem
  target: {netns: shop-payment}
  with: {delay: 80ms, jitter: 20ms, loss: 2%, duplicate: 1%, rate: 10mbit, destination: 10.0.0.7}
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
        let Parameters { delay, jitter, delay_correlation, rate, .. } = parameters;
        let chances = parameters.chances();
        let happens = |share: Option<Share>| share.is_some_and(|share| share.fraction() > 0.0);
        if delay.0.is_zero() && rate.is_none() && !chances.iter().any(|(_, share, _)| happens(*share)) {
            return wrong(
                "nothing would change: say one or more of `delay`, `loss`, `duplicate`, `corrupt`, `reorder` and `rate`",
            );
        }
        for (name, share, correlation) in chances {
            if share.is_none() && correlation.fraction() > 0.0 {
                return wrong(format!("`{name}_correlation` means nothing without `{name}`"));
            }
        }
        if delay.0.is_zero() && delay_correlation.fraction() > 0.0 {
            return wrong("`delay_correlation` means nothing without `delay`");
        }
        if parameters.gap.is_some() && parameters.reorder.is_none() {
            return wrong("`gap` means nothing without `reorder`");
        }
        if parameters.reorders() {
            check_reorder(*delay, parameters.gap.unwrap_or(1))?;
        }
        // Below a byte a second the kernel knows no rate.
        if rate.is_some_and(|rate| rate.bits_per_second < 8) {
            return wrong("`rate` must be at least 8bit; to let nothing pass, use network.partition");
        }
        check_delay(*delay, *jitter)?;
        refuse_incoming(parameters.direction, "harmed")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let netem = step::Netem {
            delay: parameters.delay,
            jitter: parameters.jitter,
            correlation: parameters.delay_correlation,
            distribution: parameters.distribution,
            probability: Share::WHOLE,
            loss: parameters.loss.unwrap_or_default(),
            loss_correlation: parameters.loss_correlation,
            duplicate: parameters.duplicate.unwrap_or_default(),
            duplicate_correlation: parameters.duplicate_correlation,
            corrupt: parameters.corrupt.unwrap_or_default(),
            corrupt_correlation: parameters.corrupt_correlation,
            reorder: parameters.reorder.unwrap_or_default(),
            reorder_correlation: parameters.reorder_correlation,
            gap: parameters.gap.unwrap_or(1),
            rate: parameters.rate,
        };
        steps(facts, &parameters.filters(), netem, "harm")
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let correlations = parameters.chances().map(|(_, _, correlation)| correlation);
        notes(facts, &parameters.filters(), &correlations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, on, with_features};
    use crate::testing::{example, golden, refusal};

    #[test]
    fn the_example_does_several_harms_at_once() {
        golden::<Netem>(
            &example::<Netem>(),
            &netns(),
            &[
                "on eth0 (netns shop), with 10.0.0.7: delay by 80ms ± 20ms, drop 2% of packets, send 1% of packets twice, \
               limit to 10mbit",
            ],
        );
    }

    #[test]
    fn every_harm_is_planned() {
        golden::<Netem>(
            "{delay: 1s, delay_correlation: 5%, loss: 10%, loss_correlation: 20%, duplicate: 3%, duplicate_correlation: 1%, \
             corrupt: 4%, corrupt_correlation: 2%, reorder: 50%, reorder_correlation: 6%, gap: 3, rate: 1MB/s}",
            &netns(),
            &[
                "on eth0 (netns shop), all packets: delay by 1s, let 50% of packets overtake those before, one of 3 at most, in \
               runs (correlation 6%), drop 10% of packets, in runs (correlation 20%), send 3% of packets twice, in runs \
               (correlation 1%), turn over a bit in 4% of packets, in runs (correlation 2%), limit to 8mbit",
            ],
        );
        golden::<Netem>("{rate: 8bit}", &netns(), &["on eth0 (netns shop), all packets: limit to 8bit"]);
    }

    #[test]
    fn long_runs_are_told() {
        let notes = |with: &str| crate::testing::notes::<Netem>(with, &on::interface("eth0")).join("\n");
        assert!(notes("{loss: 10%, loss_correlation: 100%}").contains("strike none, or each"));
        assert_eq!(notes("{loss: 10%, loss_correlation: 50%}"), "");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "nothing would change"),
            ("{loss: 0%, loss_correlation: 5%}", "nothing would change"),
            ("{delay: 1s, loss_correlation: 5%}", "means nothing without `loss`"),
            ("{delay: 1s, corrupt_correlation: 5%}", "means nothing without `corrupt`"),
            ("{loss: 1%, delay_correlation: 5%}", "means nothing without `delay`"),
            ("{delay: 1s, gap: 5}", "means nothing without `reorder`"),
            ("{loss: 1%, reorder: 5%}", "only those that wait"),
            ("{delay: 1s, reorder: 5%, gap: 0}", "at least 1"),
            ("{loss: 1%, jitter: 1s}", "before it was sent"),
            ("{rate: 1bit}", "network.partition"),
            ("{delay: 1s, direction: in}", "harmed only where they leave"),
        ] {
            let message = refusal::<Netem>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        let message = refusal::<Netem>("{loss: 1%}", &with_features(netns(), &[]));
        assert!(message.contains("harm packets") && message.contains("sch_netem"), "{message}");
    }
}
