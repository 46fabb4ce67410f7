//! What tells a thing that is struck from any other, also from a later one of the same name: so it is known whether what
//! matches now is struck already.

use crate::cluster::{PlacedPod, PodFacts};
use crate::facts::{GroupFacts, NetworkFacts, ProcessFacts, Scope, Subject};
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// A thing that is struck, or one part of it that can be started again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetRef {
    /// What counts as one target: `pod UID`, `process 812 since 12345`.
    pub thing: String,
    /// A part of it, such as a container of a pod: another one after a restart. Empty for the whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
}

impl TargetRef {
    fn whole(thing: String) -> Self {
        Self { thing, part: String::new() }
    }

    /// That of a subject that a target turned out to be.
    pub fn of(subject: &Subject, target: &Target) -> Self {
        match subject {
            Subject::Process(process) => Self::whole(of_process(process)),
            Subject::Group(group) => Self::of_group(group, target),
            Subject::Network(network) => Self::of_network(network, target),
            Subject::Resource { processes } => Self::whole(of_resource(processes)),
            Subject::Path(path) => {
                let directory = &path.directory;
                Self::whole(format!("directory {}:{}", directory.device, directory.inode))
            }
            Subject::Database(database) => Self::whole(database.server.to_string()),
            Subject::Instance(facts) => Self::whole(format!("instance {}", facts.instance.id)),
            Subject::Template(facts) => Self::whole(format!("template {}", facts.template.id)),
            Subject::Pod(facts) => Self::whole(of_pod(&facts.object.uid)),
            Subject::Node(facts) => Self::whole(facts.object.uid.clone()),
            Subject::Object(facts) => Self::whole(facts.object.uid.clone()),
        }
    }

    /// A container or a service goes on under its name with another main process.
    fn of_group(group: &GroupFacts, target: &Target) -> Self {
        if let Some((pod, container)) = placed(target, &group.name) {
            return Self { thing: of_pod(&pod.uid), part: container };
        }
        let thing = match &group.container {
            Some(container) => format!("container {}", container.id),
            None => group.name.clone(),
        };
        Self { thing, part: group.processes.first().map(of_process).unwrap_or_default() }
    }

    /// The network of a pod outlasts its containers.
    fn of_network(network: &NetworkFacts, target: &Target) -> Self {
        let namespace = &network.namespace;
        match placed(target, &namespace.name) {
            Some((pod, _)) => Self::whole(of_pod(&pod.uid)),
            None => Self::whole(format!("network {} {}", namespace.inode, namespace.cookie)),
        }
    }

    /// What a pod counts as.
    pub fn of_pod(pod: &PodFacts) -> String {
        of_pod(&pod.object.uid)
    }

    /// Those of a pod for a fault that is made within it: its running containers that are meant, or its network. None where
    /// nothing of it can be struck now.
    pub fn within(pod: &PodFacts, scope: Scope) -> Vec<Self> {
        let placed = pod.placed();
        let thing = of_pod(&placed.uid);
        match scope {
            Scope::Network if placed.containers.is_empty() => Vec::new(),
            Scope::Network => vec![Self::whole(thing)],
            _ => {
                let part = |container: crate::cluster::PlacedContainer| container.id;
                let parts = placed.containers.into_iter().map(part);
                parts.map(|part| Self { thing: thing.clone(), part }).collect()
            }
        }
    }
}

fn of_pod(uid: &str) -> String {
    format!("pod {uid}")
}

fn of_process(process: &ProcessFacts) -> String {
    format!("process {} since {}", process.process.pid, process.process.start_time)
}

/// The control groups that are struck, whoever is in them.
fn of_resource(processes: &[ProcessFacts]) -> String {
    match processes.first() {
        None => "host".to_owned(),
        Some(first) if first.cgroups.is_empty() => {
            processes.iter().map(of_process).collect::<Vec<_>>().join(", ")
        }
        Some(first) => format!("control groups {}", first.cgroups.join(" ")),
    }
}

/// The pod that was chosen for this node and the number of its container that is called so here.
fn placed<'t>(target: &'t Target, name: &str) -> Option<(&'t PlacedPod, String)> {
    let Target::Pod(selector) = target else { return None };
    selector.placed.iter().find_map(|pod| {
        let container = pod.containers.iter().find(|container| pod.name_of(container) == name)?;
        Some((pod, container.id.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        ClusterPlace, ClusterRef, ObjectKind, ObjectRef, PodContainer, PodSelector, Restarts,
    };
    use crate::step::ProcessRef;
    use crate::target::ProcessSelector;

    fn process(pid: u32, start_time: u64) -> ProcessFacts {
        let process = ProcessRef { pid, start_time, boot_id: "b".into(), name: "web".into() };
        ProcessFacts {
            process,
            command: String::new(),
            user: 0,
            state: 'S',
            listens: Vec::new(),
            cgroups: Vec::new(),
            processors: Vec::new(),
            memory: None,
            children: Vec::new(),
            protected: None,
        }
    }

    fn pod(containers: &[(&str, Option<&str>)]) -> PodFacts {
        let cluster =
            ClusterRef { place: ClusterPlace::default(), server: String::new(), uid: String::new() };
        let container = |(name, id): &(&str, Option<&str>)| PodContainer {
            name: (*name).into(),
            image: String::new(),
            id: id.map(Into::into),
            chosen: true,
        };
        PodFacts {
            object: ObjectRef {
                cluster,
                kind: ObjectKind::pod(),
                namespace: Some("shop".into()),
                name: "web".into(),
                uid: "u-1".into(),
            },
            node: "one".into(),
            containers: containers.iter().map(container).collect(),
            controller: None,
            addresses: Vec::new(),
            host_network: false,
            ready: true,
            struck: false,
            restarts: Restarts::Always,
            grace: crate::units::Duration::seconds(30),
            protected: None,
        }
    }

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let of = |start| {
            TargetRef::of(&Subject::Process(process(7, start)), &Target::Process(ProcessSelector::default()))
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_pod_is_known_on_its_node_by_what_it_was_chosen_by() {
        let pod = pod(&[("main", Some("c-1")), ("side", None)]);
        let target =
            Target::Pod(Box::new(PodSelector { placed: vec![pod.placed()], ..PodSelector::default() }));
        let group = GroupFacts {
            name: "container main of pod shop/web".into(),
            processes: vec![process(7, 1)],
            freezer: None,
            container: None,
            protected: None,
        };
        let here = TargetRef::within(&pod, Scope::Process);
        assert_eq!(here, [TargetRef { thing: "pod u-1".into(), part: "c-1".into() }]);
        assert_eq!(TargetRef::of(&Subject::Group(group), &target), here[0]);
        // Its network stays when a container is started again.
        assert_eq!(
            TargetRef::within(&pod, Scope::Network),
            [TargetRef { thing: "pod u-1".into(), part: String::new() }]
        );
    }

    #[test]
    fn a_pod_without_a_running_container_cannot_be_struck_now() {
        let pod = pod(&[("main", None)]);
        assert!(
            [Scope::Process, Scope::Network].iter().all(|scope| TargetRef::within(&pod, *scope).is_empty())
        );
    }

    #[test]
    fn a_service_that_is_started_again_is_the_same_with_another_part() {
        let group = |start| {
            let facts = GroupFacts {
                name: "service web.service".into(),
                processes: vec![process(7, start)],
                freezer: None,
                container: None,
                protected: None,
            };
            TargetRef::of(&Subject::Group(facts), &Target::Service("web".into()))
        };
        assert_eq!(group(1).thing, group(2).thing);
        assert_ne!(group(1).part, group(2).part);
    }
}
