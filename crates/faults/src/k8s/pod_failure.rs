//! `k8s.pod_failure`: pods stay where they are and do not work.
//!
//! Their containers get an image whose name no runtime takes, so the kubelet ends them and can start none, without
//! asking any registry. The undo gives the images back, and the kubelet starts them again: mostly at once, and in its own time those
//! that have ended often.

use super::{Nothing, change, pod};
use squall_model::cluster::{Field, NO_IMAGE, PodFacts, Restarts, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct PodFailure;

impl Fault for PodFailure {
    const NAME: &'static str = "k8s.pod_failure";
    const SUMMARY: &'static str = "Keeps pods of a Kubernetes cluster from working: their containers get an image that cannot be started";
    const EXAMPLE: &'static str = "\
- fault: k8s.pod_failure
  target: {pod: {namespace: shop, labels: {app: payment}}}
  mode: one
  for: 60s
";
    const SCOPE: Scope = Scope::Pod;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let pod = pod(facts)?;
        if pod.restarts == Restarts::Never {
            return Err(PlanError::Refused(format!(
                "{} has `restartPolicy: Never`: a container of it that is ended is not started again, and nothing would bring it \
                 back; choose pods that are kept up, or delete it with k8s.pod_kill",
                pod.object
            )));
        }
        let all = !matches!(&facts.target, Target::Pod(selector) if !selector.containers.is_empty());
        let image = format!("{NO_IMAGE}:{}", facts.injection);
        let struck = pod.containers.iter().enumerate().filter(|(_, container)| all || container.chosen);
        let fields: Vec<Field> = struck
            .map(|(position, container)| {
                let path = ["spec", "containers", &position.to_string(), "image"];
                Field::put(&path, image.clone(), Some(container.image.clone().into()))
            })
            .collect();
        if fields.is_empty() {
            return Err(PlanError::Refused(format!("{} has no container that is meant", pod.object)));
        }
        Ok(vec![change(facts, &pod.object, fields, Shows::Down)])
    }

    fn notes(_: &Nothing, facts: &Facts) -> Vec<String> {
        let lost =
            "containers that are ended lose what they hold outside of volumes, and count one more restart";
        let completes = pod(facts).ok().filter(|pod| pod.restarts == Restarts::OnFailure).map(|pod| {
            format!(
                "{} has `restartPolicy: OnFailure`: a container that ends well when it is told to counts as done, and is not \
                 started again",
                pod.object
            )
        });
        let slow = pod(facts).ok().and_then(|pod| note_too_slow(pod, facts));
        let returns = "containers are started again by their kubelet once their images are back, which may take up to five minutes for \
                       those that have ended often (CrashLoopBackOff)";
        let notes = [lost, returns].map(str::to_owned).into_iter();
        notes.chain(completes).chain(slow).collect()
    }
}

/// What must be known of a pod whose containers may outlast the fault.
fn note_too_slow(pod: &PodFacts, facts: &Facts) -> Option<String> {
    let is_too_slow = facts.lasts != Duration::default() && pod.grace >= facts.lasts;
    is_too_slow.then(|| {
        format!(
            "{} may take {} to end (terminationGracePeriodSeconds), and this fault lasts {}: it may strike nothing, or only after \
             it is over",
            pod.object, pod.grace, facts.lasts
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_pod;
    use super::*;
    use crate::testing::{notes, plan, refusal};

    #[test]
    fn pods_that_would_not_come_back_are_spared() {
        let never = on_pod(|pod| pod.restarts = Restarts::Never);
        assert!(refusal::<PodFailure>("{}", &never).contains("nothing would bring it back"));
        let on_failure = on_pod(|pod| pod.restarts = Restarts::OnFailure);
        assert!(notes::<PodFailure>("{}", &on_failure)[2].contains("counts as done"));
        assert_eq!(notes::<PodFailure>("{}", &on_pod(|_| ())).len(), 2);
    }

    #[test]
    fn a_pod_that_may_outlast_the_fault_is_told() {
        let lasting = |seconds| {
            let facts = Facts {
                lasts: Duration::seconds(seconds),
                ..on_pod(|pod| pod.grace = Duration::seconds(30))
            };
            notes::<PodFailure>("{}", &facts).get(2).cloned().unwrap_or_default()
        };
        assert!(lasting(10).starts_with("pod shop/payment-1 may take 30s to end (terminationGracePeriodSeconds), and this fault lasts 10s:"));
        assert_eq!((lasting(31).as_str(), lasting(0).as_str()), ("", ""));
    }

    #[test]
    fn every_container_gets_another_image_or_those_that_are_named() {
        let facts = on_pod(|_| ());
        let steps = plan::<PodFailure>("{}", &facts).unwrap();
        assert_eq!(
            steps[0].to_string(),
            "change pod shop/payment-1: spec.containers.0.image = \"Squall/pod-failure:run-1\", spec.containers.1.image \
             = \"Squall/pod-failure:run-1\""
        );
        assert!(
            steps[0]
                .by_hand()
                .unwrap()
                .contains(r#"{"op":"replace","path":"/spec/containers/0/image","value":"shop/payment:1"}"#)
        );
        let mut facts = facts;
        facts.target = Target::Pod(Box::new(
            serde_json::from_str(r#"{"namespace": "shop", "containers": ["payment"]}"#).unwrap(),
        ));
        let steps = plan::<PodFailure>("{}", &facts).unwrap();
        assert!(!steps[0].to_string().contains("containers.1"));
    }
}
