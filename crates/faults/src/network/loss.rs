//! `network.loss`: packets vanish.
//!
//! What leaves is lost in a queueing discipline where the kernel has `netem`: nobody is told, and drops may come in
//! runs. Else, and for what arrives, a packet filter drops at random. Both are true loss; only a TCP sender on the same
//! host knows sooner of what its own packet filter dropped.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::partition::{Denying, tables};
use super::place::{qdiscs, require_netem};
use super::shaping::{check_share, notes};
use squall_model::facts::{Facts, Feature, Privilege, Scope, single_directions};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Denial, Direction, Netem, Shape, Step};
use squall_model::units::Share;

/// See [`Fault::SUMMARY`].
pub(crate) struct Loss;

with_filters! {
    /// Parameters of `network.loss`.
    pub(crate) struct Parameters {
        /// Share of packets that vanish.
        loss: Share,
        /// How much the fate of each packet resembles that of the one before, so that losses come in runs.
        #[serde(default)]
        correlation: Share,
        /// Which way: `out` is what the target sends, `in` what arrives at it, or `both`.
        #[serde(default)]
        direction: Direction,
    }
}

impl Fault for Loss {
    const NAME: &'static str = "network.loss";
    const SUMMARY: &'static str = "Lets a share of packets vanish, each by chance";
    const EXAMPLE: &'static str = "\
- fault: network.loss
  target: {interface: eth0}
  with: {loss: 10%, port: 5432}
  for: 60s
";
    const SCOPE: Scope = Scope::Network;
    const PRIVILEGES: &'static [Privilege] = PRIVILEGES;
    const FEATURES: &'static [Feature] = &[];
    const ONE_OF: &'static [Feature] = &[Feature::Netem, Feature::PacketFilter];
    type Parameters = Parameters;

    fn host_names(parameters: &Parameters) -> Vec<String> {
        parameters.filters().host_names()
    }

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check_share("loss", parameters.loss)?;
        if parameters.correlation.fraction() > 0.0 && parameters.direction != Direction::Out {
            return Err(PlanError::Unsupported(
                "`correlation` can be had only for what leaves; say `direction: out`, or leave it away"
                    .to_owned(),
            ));
        }
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let filters = parameters.filters();
        if parameters.correlation.fraction() > 0.0 {
            require_netem(facts, "lose runs of")?;
        }
        let mut steps = Vec::new();
        let mut by_filter = single_directions(parameters.direction).to_vec();
        if by_filter.contains(&Direction::Out) && facts.host.has(Feature::Netem) {
            let shape = Shape::Netem(Netem {
                loss: parameters.loss,
                loss_correlation: parameters.correlation,
                ..Netem::default()
            });
            steps = qdiscs(facts, &filters, &shape)?;
            by_filter.retain(|direction| *direction != Direction::Out);
        }
        if !by_filter.is_empty() {
            let denying =
                Denying { directions: &by_filter, probability: parameters.loss, denial: Denial::Drop };
            steps.extend(tables(facts, &filters, &denying)?);
        }
        Ok(steps)
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

    const FILTER_ONLY: &[Feature] = &[Feature::PacketFilter, Feature::SilentEgress];

    #[test]
    fn the_example_loses_what_has_the_port() {
        golden::<Loss>(
            &example::<Loss>(),
            &on::interface("eth0"),
            &["on eth0 (this host), remote port 5432 or local port 5432: drop 10% of packets"],
        );
    }

    #[test]
    fn without_netem_the_packet_filter_drops() {
        golden::<Loss>(
            "{loss: 10%, port: 5432}",
            &with_features(netns(), FILTER_ONLY),
            &[
                "on lo (netns shop): drop 10% of outgoing remote port 5432",
                "on eth0 (netns shop): drop 10% of outgoing remote port 5432; drop 10% of outgoing local port 5432",
            ],
        );
    }

    #[test]
    fn what_arrives_is_lost_by_the_packet_filter() {
        golden::<Loss>(
            "{loss: 0.5, direction: both}",
            &netns(),
            &[
                "on eth0 (netns shop), all packets: drop 50% of packets",
                "on eth0 (netns shop): drop 50% of all incoming packets",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "`loss` is missing"),
            ("{loss: 0%}", "change nothing"),
            ("{loss: 120%}", "share"),
            ("{loss: 5%, correlation: 20%, direction: both}", "direction: out"),
        ] {
            let message = refusal::<Loss>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
        let message = refusal::<Loss>("{loss: 5%, correlation: 20%}", &with_features(netns(), FILTER_ONLY));
        assert!(message.contains("sch_netem"), "{message}");
        let message = refusal::<Loss>("{loss: 5%}", &with_features(netns(), &[]));
        assert!(message.contains("nf_tables"), "{message}");
    }
}
