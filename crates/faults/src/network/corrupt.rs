//! `network.corrupt`: packets come damaged.
//!
//! The damage is done after the checksums, as on a bad cable: receivers that check them throw the packet away.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::refuse_incoming;
use super::shaping::{check_share, notes, steps};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Direction, Netem, Step};
use squall_model::units::Share;

/// See [`Fault::SUMMARY`].
pub(crate) struct Corrupt;

with_filters! {
    /// Parameters of `network.corrupt`.
    pub(crate) struct Parameters {
        /// Share of packets in which one bit, anywhere in headers or content, is turned over.
        corrupt: Share,
        /// How much the fate of each packet resembles that of the one before, so that damage comes in runs.
        #[serde(default)]
        correlation: Share,
        /// Which way; only `out`, what the target sends, can be damaged.
        #[serde(default)]
        direction: Direction,
    }
}

impl Fault for Corrupt {
    const NAME: &'static str = "network.corrupt";
    const SUMMARY: &'static str =
        "Turns a bit over in a share of the target's packets; receivers that check sums throw those away";
    const EXAMPLE: &'static str = "\
- fault: network.corrupt
  target: {netns: shop-payment}
  with: {corrupt: 5%, destination: 10.0.0.7}
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
        check_share("corrupt", parameters.corrupt)?;
        refuse_incoming(parameters.direction, "damaged")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let netem = Netem {
            corrupt: parameters.corrupt,
            corrupt_correlation: parameters.correlation,
            ..Netem::default()
        };
        steps(facts, &parameters.filters(), netem, "damage")
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
    fn the_example_damages_what_leaves_for_the_destination() {
        golden::<Corrupt>(
            &example::<Corrupt>(),
            &netns(),
            &["on eth0 (netns shop), with 10.0.0.7: turn over a bit in 5% of packets"],
        );
        golden::<Corrupt>(
            "{corrupt: 5%, correlation: 50%, protocol: udp}",
            &netns(),
            &[
                "on lo (netns shop), udp: turn over a bit in 5% of packets, in runs (correlation 50%)",
                "on eth0 (netns shop), udp: turn over a bit in 5% of packets, in runs (correlation 50%)",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "`corrupt` is missing"),
            ("{corrupt: 0}", "change nothing"),
            ("{corrupt: 5%, direction: both}", "damaged only where they leave"),
        ] {
            let message = refusal::<Corrupt>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        let message = refusal::<Corrupt>("{corrupt: 5%}", &with_features(netns(), &[]));
        assert!(message.contains("damage packets") && message.contains("sch_netem"), "{message}");
    }
}
