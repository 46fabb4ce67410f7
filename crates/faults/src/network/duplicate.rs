//! `network.duplicate`: packets come twice.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::refuse_incoming;
use super::shaping::{check_share, notes, steps};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Direction, Netem, Step};
use squall_model::units::Share;

/// See [`Fault::SUMMARY`].
pub(crate) struct Duplicate;

with_filters! {
    /// Parameters of `network.duplicate`.
    pub(crate) struct Parameters {
        /// Share of packets that are sent twice.
        duplicate: Share,
        /// How much the fate of each packet resembles that of the one before, so that copies come in runs.
        #[serde(default)]
        correlation: Share,
        /// Which way; only `out`, what the target sends, can be sent twice.
        #[serde(default)]
        direction: Direction,
    }
}

impl Fault for Duplicate {
    const NAME: &'static str = "network.duplicate";
    const SUMMARY: &'static str = "Sends a share of the target's packets twice";
    const EXAMPLE: &'static str = "\
- fault: network.duplicate
  target: {netns: shop-payment}
  with: {duplicate: 20%, port: 5432}
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
        check_share("duplicate", parameters.duplicate)?;
        refuse_incoming(parameters.direction, "sent twice")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let netem = Netem {
            duplicate: parameters.duplicate,
            duplicate_correlation: parameters.correlation,
            ..Netem::default()
        };
        steps(facts, &parameters.filters(), netem, "duplicate")
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        notes(facts, &parameters.filters(), &[parameters.correlation])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, on, with_features};
    use crate::testing::{example, golden, refusal};

    #[test]
    fn the_example_sends_twice_what_has_the_port() {
        golden::<Duplicate>(
            &example::<Duplicate>(),
            &netns(),
            &[
                "on lo (netns shop), remote port 5432: send 20% of packets twice",
                "on eth0 (netns shop), remote port 5432 or local port 5432: send 20% of packets twice",
            ],
        );
        golden::<Duplicate>(
            "{duplicate: 40%, correlation: 25%}",
            &netns(),
            &["on eth0 (netns shop), all packets: send 40% of packets twice, in runs (correlation 25%)"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "`duplicate` is missing"),
            ("{duplicate: 0%}", "change nothing"),
            ("{duplicate: 120%}", "share"),
            ("{duplicate: 5%, direction: in}", "sent twice only where they leave"),
            ("{duplicate: 5%, port: 80, protocol: icmp}", "no ports"),
        ] {
            let message = refusal::<Duplicate>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        let message = refusal::<Duplicate>("{duplicate: 5%}", &with_features(netns(), &[]));
        assert!(message.contains("duplicate packets") && message.contains("sch_netem"), "{message}");
        assert!(refusal::<Duplicate>("{duplicate: 5%}", &on::host()).contains("all traffic"));
    }
}
