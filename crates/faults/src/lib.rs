//! Planners: from a fault's parameters and facts about the host to reversible steps.
//!
//! A fault is one file with a type that implements [`squall_model::fault::Fault`], and one line in the table below.
//! It asks nobody and changes nothing: what it may know is in the facts, what it wants done is in the steps.

mod aws;
mod cpu;
mod database;
mod disk;
mod istio;
mod k8s;
mod memory;
mod mysql;
mod network;
mod postgres;
mod process;
mod rabbitmq;
mod redis;
mod resource;
#[cfg(test)]
mod testing;

use squall_model::fault::{AnyFault, of};

/// Every fault, in the order in which they are listed.
pub static ALL: &[&dyn AnyFault] = &[
    &of::<network::latency::Latency>(),
    &of::<network::loss::Loss>(),
    &of::<network::duplicate::Duplicate>(),
    &of::<network::corrupt::Corrupt>(),
    &of::<network::reorder::Reorder>(),
    &of::<network::netem::Netem>(),
    &of::<network::bandwidth::Bandwidth>(),
    &of::<network::partition::Partition>(),
    &of::<process::kill::Kill>(),
    &of::<process::pause::Pause>(),
    &of::<cpu::load::Load>(),
    &of::<memory::leak::Leak>(),
    &of::<memory::spike::Spike>(),
    &of::<memory::drop_caches::DropCaches>(),
    &of::<disk::fill::Fill>(),
    &of::<postgres::connections::Connections>(),
    &of::<postgres::lock::Lock>(),
    &of::<postgres::slow_queries::SlowQueries>(),
    &of::<postgres::long_transaction::LongTransaction>(),
    &of::<postgres::kill_backends::KillBackends>(),
    &of::<postgres::readonly::ReadOnly>(),
    &of::<postgres::replication_lag::ReplicationLag>(),
    &of::<postgres::failover::Failover>(),
    &of::<mysql::connections::Connections>(),
    &of::<mysql::slow_queries::SlowQueries>(),
    &of::<mysql::lock::Lock>(),
    &of::<mysql::long_transaction::LongTransaction>(),
    &of::<mysql::kill_connections::KillConnections>(),
    &of::<mysql::readonly::ReadOnly>(),
    &of::<mysql::replication_lag::ReplicationLag>(),
    &of::<redis::connections::Connections>(),
    &of::<redis::pause::Pause>(),
    &of::<redis::slow::Slow>(),
    &of::<redis::memory::Memory>(),
    &of::<redis::evict::Evict>(),
    &of::<redis::kill_clients::KillClients>(),
    &of::<redis::readonly_replica::ReadonlyReplica>(),
    &of::<rabbitmq::memory_alarm::MemoryAlarm>(),
    &of::<rabbitmq::disk_alarm::DiskAlarm>(),
    &of::<rabbitmq::kill_connections::KillConnections>(),
    &of::<rabbitmq::purge::Purge>(),
    &of::<aws::asg_terminate::Terminate>(),
    &of::<aws::ec2_stop::Stop>(),
    &of::<aws::ec2_reboot::Reboot>(),
    &of::<aws::ec2_terminate::Terminate>(),
    &of::<aws::fis::Fis>(),
    &of::<k8s::pod_kill::PodKill>(),
    &of::<k8s::pod_failure::PodFailure>(),
    &of::<k8s::evict::Evict>(),
    &of::<k8s::scale::Scale>(),
    &of::<k8s::cordon::Cordon>(),
    &of::<k8s::drain::Drain>(),
    &of::<k8s::taint::Taint>(),
    &of::<k8s::network_policy::NetworkPolicy>(),
    &of::<istio::delay::Delay>(),
    &of::<istio::abort::Abort>(),
    &of::<istio::faults::Faults>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::node::{Content, Node, Place};
    use squall_model::target::Target;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_have_a_group() {
        let names: BTreeSet<_> = ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(
                name.split_once('.').is_some_and(|(group, rest)| !group.is_empty() && !rest.is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn every_example_is_a_method_entry_for_its_own_fault() {
        for fault in ALL {
            let entry = testing::entry(fault.example());
            let text = |key: &str| entry.get(key).map(squall_model::node::Node::to_json);
            assert_eq!(text("fault").unwrap(), fault.name());
            let target: Target = serde_json::from_value(text("target").unwrap()).unwrap();
            assert!(!target.to_string().is_empty());
            let _: squall_model::units::Duration = serde_json::from_value(text("for").unwrap()).unwrap();
            let nothing = Node { content: Content::Map(Vec::new()), place: Place::default() };
            fault.check(entry.get("with").unwrap_or(&nothing)).unwrap_or_else(|error| panic!("{error:?}"));
        }
    }

    #[test]
    fn every_parameter_is_described() {
        for fault in ALL {
            let schema = fault.schema().to_value();
            assert!(!fault.summary().is_empty());
            let none = serde_json::Map::new();
            let parameters = schema.get("properties").and_then(|all| all.as_object()).unwrap_or(&none);
            for (name, parameter) in parameters {
                let description =
                    parameter.get("description").and_then(|text| text.as_str()).unwrap_or_default();
                assert!(description.len() > 10, "{}: {name} is not described", fault.name());
            }
            assert_eq!(schema.get("additionalProperties"), Some(&false.into()), "{}", fault.name());
        }
    }
}
