//! `PodChaos`: pods that are deleted or fail, containers that are killed.

use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, entry};
use super::{Chaos, Kind, Strike};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "PodChaos", embedded: "podChaos", read };

const ACTIONS: [&str; 3] = ["pod-kill", "pod-failure", "container-kill"];

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let action = translator
        .required(fields, "action", "pod-kill, pod-failure or container-kill")
        .and_then(|node| Some((translator.word(node, "action", &ACTIONS)?, node.place)));
    let grace = translator.optional_whole(fields, "gracePeriod", (0, i64::MAX));
    let is_kill = action.is_none_or(|(action, _)| action == "pod-kill");
    if !is_kill && grace.is_some_and(|(seconds, _)| seconds > 0) {
        translator.note("`gracePeriod` means nothing without `action: pod-kill`; Chaos Mesh passes over it, and so does Squall");
    }
    let pods = if let Some(("container-kill", _)) = action {
        if !["containerNames", "containerName"].iter().any(|name| fields.get(name).is_some()) {
            translator.required(fields, "containerNames", "which containers of the pods are killed");
        }
        translator.containers(fields)
    } else {
        translator.pass_over(fields, &["containerNames", "containerName"], "pods as a whole");
        translator.pods(fields)
    };
    let ((action, place), pods) = action.zip(pods)?;
    let (fault, with) = match action {
        "pod-kill" => {
            let (seconds, place) = grace.unwrap_or((0, place));
            ("k8s.pod_kill", vec![entry("grace", make::text(format!("{seconds}s"), place))])
        }
        "pod-failure" => ("k8s.pod_failure", Vec::new()),
        _ => ("process.kill", vec![entry("signal", make::text("KILL", place))]),
    };
    let strike = Strike { fault, place, target: pods.node(), with };
    Some(Chaos { strikes: vec![strike], once: action != "pod-failure", lasts: None })
}
