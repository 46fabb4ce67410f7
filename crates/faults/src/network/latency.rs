//! `network.latency`: packets come later.

use super::PRIVILEGES;
use super::filter::with_filters;
use super::place::refuse_incoming;
use super::shaping::{check_delay, notes, steps, wrong};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{Direction, Distribution, Netem, Step};
use squall_model::units::{Duration, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct Latency;

with_filters! {
    /// Parameters of `network.latency`.
    pub(crate) struct Parameters {
        /// How much later packets come, on average.
        delay: Duration,
        /// How much the delay varies. Packets whose delays differ overtake each other.
        #[serde(default)]
        jitter: Duration,
        /// How much each delay resembles the one before.
        #[serde(default)]
        correlation: Share,
        /// How delays spread around the mean: uniform, normal, pareto or paretonormal.
        #[serde(default)]
        distribution: Distribution,
        /// Share of packets that are delayed.
        #[serde(default = "whole")]
        probability: Share,
        /// Which way; only `out`, what the target sends, can be delayed.
        #[serde(default)]
        direction: Direction,
    }
}

fn whole() -> Share {
    Share::WHOLE
}

impl Fault for Latency {
    const NAME: &'static str = "network.latency";
    const SUMMARY: &'static str =
        "Makes the packets that the target sends come later, all of them or a share";
    const EXAMPLE: &'static str = "\
- fault: network.latency
  target: {netns: shop-payment}
  with: {delay: 100ms, jitter: 20ms, probability: 50%, destination: 10.0.0.7}
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
        let Parameters { delay, jitter, probability, .. } = parameters;
        if delay.0.is_zero() || probability.fraction() <= 0.0 {
            return wrong("a `delay` of 0 or a `probability` of 0% would change nothing");
        }
        check_delay(*delay, *jitter)?;
        refuse_incoming(parameters.direction, "delayed")?;
        parameters.filters().check()
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let netem = Netem {
            delay: parameters.delay,
            jitter: parameters.jitter,
            correlation: parameters.correlation,
            distribution: parameters.distribution,
            probability: parameters.probability,
            ..Netem::default()
        };
        steps(facts, &parameters.filters(), netem, "delay")
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        notes(facts, &parameters.filters(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{netns, on, resolving, with_features};
    use crate::testing::{example, golden, refusal};

    #[test]
    fn the_example_delays_what_leaves_for_the_destination() {
        golden::<Latency>(
            &example::<Latency>(),
            &netns(),
            &["on eth0 (netns shop), with 10.0.0.7: delay by 100ms ± 20ms on 50% of packets"],
        );
    }

    #[test]
    fn without_filters_all_but_loopback_is_delayed() {
        golden::<Latency>("{delay: 1s}", &netns(), &["on eth0 (netns shop), all packets: delay by 1s"]);
    }

    #[test]
    fn a_port_is_that_of_either_end_and_on_loopback_that_of_the_destination() {
        golden::<Latency>(
            "{delay: 1s, port: [5432, 8000-8100], protocol: tcp}",
            &netns(),
            &[
                "on lo (netns shop), tcp remote port 5432 or tcp remote port 8000-8100: delay by 1s",
                "on eth0 (netns shop), tcp remote port 5432 or tcp local port 5432 or tcp remote port 8000-8100 or tcp \
                 local port 8000-8100: delay by 1s",
            ],
        );
    }

    #[test]
    fn names_are_addresses_of_both_families() {
        golden::<Latency>(
            "{delay: 1s, destination: [db.internal, 10.1.0.0/16]}",
            &resolving("db.internal", &["10.9.9.9", "fd00::9"], netns()),
            &["on eth0 (netns shop), with 10.1.0.0/16, 10.9.9.9, fd00::9: delay by 1s"],
        );
    }

    #[test]
    fn a_host_may_have_a_port_of_its_own() {
        golden::<Latency>(
            "{delay: 1s, destination: [10.0.0.7, \"10.0.0.8:80\", \"db.internal:5432\", \"[fd00::1]:80\", \"10.1.0.0/16:80\"]}",
            &resolving("db.internal", &["10.9.9.9"], netns()),
            &[
                "on eth0 (netns shop), with 10.0.0.7 or with 10.0.0.8, 10.1.0.0/16, fd00::1 remote port 80 or with 10.9.9.9 remote \
               port 5432: delay by 1s",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (with, reason) in [
            ("{}", "`delay` is missing"),
            ("{delay: 0s}", "change nothing"),
            ("{delay: 10ms, jitter: 20ms}", "before it was sent"),
            ("{delay: 10m}", "4m30s"),
            ("{delay: 10ms, direction: in}", "strike the side that sends"),
            ("{delay: 10ms, port: 80, protocol: icmp}", "no ports"),
            ("{delay: 10ms, port: 80, protocol: icmpv6}", "`protocol: icmpv6` has no ports"),
            ("{delay: 10ms, destination: []}", "nothing is named here"),
            ("{delay: 10ms, source: null}", "nothing is named here"),
            ("{delay: 10ms, port: []}", "nothing is named here"),
            ("{delay: 10ms, port: 0}", "not a port"),
            ("{delay: 10ms, port: 90-80}", "not a port"),
            ("{delay: 10ms, destination: 10.0.0.0/33}", "neither an address"),
            ("{delay: 10ms, destination: 10.0.0}", "neither an address"),
            ("{delay: 10ms, destinatoin: 10.0.0.1}", "unknown key `destinatoin`"),
            ("{delay: 10ms, destination: \"10.0.0.1:0\"}", "neither an address"),
            ("{delay: 10ms, destination: \"10.0.0.1:80\", port: 90}", "say all ports in one of the two ways"),
            ("{delay: 10ms, destination: \"10.0.0.1:80\", protocol: icmp}", "no ports"),
        ] {
            let message = refusal::<Latency>(with, &netns());
            assert!(message.contains(reason), "{with}: {message}");
        }
    }

    #[test]
    fn a_kernel_without_netem_says_how_to_get_it() {
        let message = refusal::<Latency>("{delay: 10ms}", &with_features(netns(), &[]));
        assert!(
            message.contains("(6.12) lacks sch_netem") && message.contains("linux-modules-extra-"),
            "{message}"
        );
        let message = refusal::<Latency>(
            "{delay: 10ms, port: 80}",
            &with_features(netns(), &[squall_model::facts::Feature::Netem]),
        );
        assert!(message.contains("modprobe"), "{message}");
    }

    #[test]
    fn all_of_the_host_is_struck_only_by_name() {
        let message = refusal::<Latency>("{delay: 10ms}", &on::host());
        assert!(message.contains("`port: 5432`") && message.contains("interface"), "{message}");
        assert!(refusal::<Latency>("{delay: 10ms, protocol: tcp}", &on::host()).contains("all traffic"));
        golden::<Latency>(
            "{delay: 10ms}",
            &on::interface("eth0"),
            &["on eth0 (this host), all packets: delay by 10ms"],
        );
    }

    #[test]
    fn the_operators_connection_is_spared() {
        let steps = crate::testing::plan::<Latency>("{delay: 10ms}", &on::interface("eth0")).unwrap();
        let Step::Qdisc(step) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(step.except, on::operator());
    }

    #[test]
    fn a_root_qdisc_that_could_not_be_brought_back_is_named() {
        let message = refusal::<Latency>("{delay: 10ms}", &on::shaped());
        assert!(message.contains("eth0") && message.contains("htb 1:"), "{message}");
    }
}
