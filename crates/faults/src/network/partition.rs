//! `network.partition`: a cut between the target and others.

use super::PRIVILEGES;
use super::filter::{Filters, with_filters};
use super::place::{about_loopback, links, network, spared};
use squall_model::facts::{Facts, Feature, LinkFacts, Privilege, Scope, single_directions};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Denial, Direction, PacketFilter, PacketFilterStep, PacketRule, Step};
use squall_model::units::Share;

/// See [`Fault::SUMMARY`].
pub(crate) struct Partition;

with_filters! {
    /// Parameters of `network.partition`.
    pub(crate) struct Parameters {
        /// What becomes of packets: `drop` lets them vanish, `reject` tells the sender (a reset for TCP, "port
        /// unreachable" for the rest).
        #[serde(default)]
        action: Denial,
        /// Which way: `out` is what the target sends, `in` what arrives at it, or `both`.
        #[serde(default = "both")]
        direction: Direction,
    }
}

fn both() -> Direction {
    Direction::Both
}

impl Fault for Partition {
    const NAME: &'static str = "network.partition";
    const SUMMARY: &'static str =
        "Cuts the target off from others, or from all: packets vanish or are rejected";
    const EXAMPLE: &'static str = "\
- fault: network.partition
  target: {netns: shop-ledger}
  with: {destination: [10.0.0.0/24], direction: both}
  for: 30s
";
    const SCOPE: Scope = Scope::Network;
    const PRIVILEGES: &'static [Privilege] = PRIVILEGES;
    const FEATURES: &'static [Feature] = &[Feature::PacketFilter];
    type Parameters = Parameters;

    fn host_names(parameters: &Parameters) -> Vec<String> {
        parameters.filters().host_names()
    }

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let denying = Denying {
            directions: single_directions(parameters.direction),
            probability: Share::WHOLE,
            denial: parameters.action,
        };
        tables(facts, &parameters.filters(), &denying)
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        about_loopback(facts, &parameters.filters())
    }
}

/// What is denied, and how.
pub(super) struct Denying<'a> {
    pub(super) directions: &'a [Direction],
    pub(super) probability: Share,
    pub(super) denial: Denial,
}

/// The packet-filter tables that deny what the filters describe: one for the loopback interface, where each packet is
/// both sent and received and must be struck once, and one for all others.
pub(super) fn tables(
    facts: &Facts,
    filters: &Filters<'_>,
    denying: &Denying<'_>,
) -> Result<Vec<Step>, PlanError> {
    if !facts.host.has(Feature::PacketFilter) {
        return Err(PlanError::Unsupported(format!(
            "could not drop packets: {}",
            facts.host.lacks(Feature::PacketFilter)
        )));
    }
    let (loopback, others): (Vec<&LinkFacts>, Vec<&LinkFacts>) =
        links(facts, filters)?.into_iter().partition(|link| link.loopback);
    let mut steps = Vec::new();
    for (links, table, is_loopback) in [
        (loopback, PacketFilterStep::loopback_table_of(&facts.injection), true),
        (others, PacketFilterStep::table_of(&facts.injection), false),
    ] {
        if !links.is_empty() {
            steps.push(Step::PacketFilter(PacketFilterStep {
                namespace: network(facts)?.namespace.clone(),
                table,
                links: links.into_iter().map(|link| link.link.clone()).collect(),
                rules: rules(facts, filters, denying, is_loopback)?,
                except: spared(facts)?,
            }));
        }
    }
    Ok(steps)
}

fn rules(
    facts: &Facts,
    filters: &Filters<'_>,
    denying: &Denying<'_>,
    loopback: bool,
) -> Result<Vec<PacketRule>, PlanError> {
    let mut rules: Vec<PacketRule> = Vec::new();
    for direction in denying.directions {
        let mut packets = filters.packets(facts, *direction, loopback)?;
        if packets.is_empty() {
            packets.push(PacketFilter::default());
        }
        for filter in packets {
            // What arrives by the loopback interface was sent by it, and is struck there.
            let direction = if loopback { Direction::Out } else { *direction };
            let rule =
                PacketRule { direction, filter, probability: denying.probability, denial: denying.denial };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, on, with_features};
    use crate::testing::{example, golden, plan, refusal};
    use serde_json::{Value, json};
    use squall_model::fault::{self, AnyFault};

    #[test]
    fn the_example_cuts_both_ways() {
        golden::<Partition>(
            &example::<Partition>(),
            &netns(),
            &["on eth0 (netns shop): drop incoming with 10.0.0.0/24; drop outgoing with 10.0.0.0/24"],
        );
    }

    #[test]
    fn a_port_of_the_far_side_is_there_both_ways() {
        golden::<Partition>(
            "{destination: \"10.0.0.7:80\"}",
            &netns(),
            &[
                "on eth0 (netns shop): drop incoming with 10.0.0.7 remote port 80; drop outgoing with 10.0.0.7 remote port 80",
            ],
        );
        golden::<Partition>(
            "{destination: \"127.0.0.1:80\"}",
            &netns(),
            &[
                "on lo (netns shop): drop outgoing with 127.0.0.1 local port 80; drop outgoing with 127.0.0.1 remote port 80",
                "on eth0 (netns shop): drop incoming with 127.0.0.1 remote port 80; drop outgoing with 127.0.0.1 remote port 80",
            ],
        );
        golden::<Partition>(
            "{direction: in, source: \"10.0.0.7:80\"}",
            &netns(),
            &["on eth0 (netns shop): drop incoming with 10.0.0.7 remote port 80"],
        );
    }

    #[test]
    fn without_parameters_a_namespace_is_alone() {
        golden::<Partition>(
            "{}",
            &netns(),
            &["on eth0 (netns shop): drop all incoming packets; drop all outgoing packets"],
        );
    }

    #[test]
    fn incoming_packets_are_described_by_their_own_ends() {
        golden::<Partition>(
            "{direction: in, source: 10.0.0.7, action: reject}",
            &netns(),
            &["on eth0 (netns shop): reject incoming with 10.0.0.7"],
        );
        golden::<Partition>(
            "{direction: out, destination: 10.0.0.7, protocol: udp}",
            &netns(),
            &["on eth0 (netns shop): drop outgoing udp with 10.0.0.7"],
        );
    }

    #[test]
    fn on_loopback_requests_and_answers_are_struck_once_each() {
        golden::<Partition>(
            "{port: 5432}",
            &netns(),
            &[
                "on lo (netns shop): drop outgoing local port 5432; drop outgoing remote port 5432",
                "on eth0 (netns shop): drop incoming remote port 5432; drop incoming local port 5432; drop outgoing remote \
                 port 5432; drop outgoing local port 5432",
            ],
        );
        golden::<Partition>(
            "{destination: 127.0.0.1, action: reject}",
            &on::interface("lo"),
            &["on lo (this host): reject outgoing with 127.0.0.1"],
        );
    }

    #[test]
    fn tables_bear_the_injections_name_and_spare_the_operator() {
        let steps = plan::<Partition>("{port: 5432}", &on::host()).unwrap();
        let tables: Vec<(&str, &[PacketFilter])> = steps
            .iter()
            .map(|step| match step {
                Step::PacketFilter(step) => (step.table.as_str(), step.except.as_slice()),
                other => panic!("{other}"),
            })
            .collect();
        let operator = on::operator();
        assert_eq!(tables, [("squall_run-1_lo", operator.as_slice()), ("squall_run-1", &operator)]);
        for (table, _) in tables {
            assert_eq!(PacketFilterStep::injection_of(table), Some("run-1"));
        }
    }

    #[test]
    fn all_of_the_hosts_loopback_interface_is_not_struck_without_a_word() {
        let notes = |with: Value, facts: &Facts| AnyFault::notes(&fault::of::<Partition>(), &with, facts);
        let lo = on::interface("lo");
        assert!(notes(json!({}), &lo)[0].contains("lo carries all"), "{:?}", notes(json!({}), &lo));
        assert!(notes(json!({"port": 5432}), &lo).is_empty());
        assert!(notes(json!({}), &on::interface("eth0")).is_empty() && notes(json!({}), &netns()).is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(refusal::<Partition>("{}", &on::host()).contains("all traffic of this host"));
        assert!(refusal::<Partition>("{}", &on::down()).contains("is down"));
        assert!(refusal::<Partition>("{}", &with_features(netns(), &[])).contains("nf_tables"));
        assert!(refusal::<Partition>("{action: ignore}", &netns()).contains("ignore"));
        assert!(refusal::<Partition>("{port: [[80]]}", &netns()).contains("expected text or a number"));
    }
}
