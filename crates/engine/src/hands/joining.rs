//! Who joins a fault that is active: what has come to match since it was made, as far as mode and limits let it.
//!
//! The number that the mode asks for is kept: of those struck that match still, none is struck again, and those that are gone
//! are replaced. A part of a target that was started again, such as a container of a pod, is struck again without being
//! counted anew. The limits of the blast radius hold for what is struck at the same time, and for all that ever was.

use super::elsewhere;
use super::notes::note;
use squall_model::facts::Subject;
use squall_model::fault::AnyFault;
use squall_model::plan::Joining;
use squall_model::target::{Limit, Selection, Target, pick};
use squall_model::target_ref::TargetRef;
use std::collections::BTreeSet;

/// What matches now, and what tells each from any other.
struct Found {
    subject: Subject,
    /// What of it can be struck now; none where nothing can.
    refs: Vec<TargetRef>,
    thing: String,
}

/// What came of the look.
pub(super) struct Joined {
    /// Whom to strike.
    pub(super) subjects: Vec<Subject>,
    /// What was struck and matches no more.
    pub(super) gone: Vec<TargetRef>,
}

/// What those that join are chosen by.
pub(super) struct Choice<'c> {
    pub(super) fault: &'c dyn AnyFault,
    pub(super) selection: &'c Selection,
    pub(super) joining: &'c Joining,
    pub(super) limit: Option<Limit>,
}

impl Choice<'_> {
    /// Who joins, of all that match now and may be struck.
    pub(super) fn among(
        &self,
        found: Vec<Subject>,
        dice: &mut dyn FnMut() -> f64,
        notes: &mut Vec<String>,
    ) -> Joined {
        let Self { fault, selection, joining, .. } = *self;
        let matching = found.len();
        let struck: BTreeSet<&str> = joining.struck.iter().map(|one| one.thing.as_str()).collect();
        let found: Vec<Found> =
            found.into_iter().map(|subject| identified(subject, fault, &selection.target)).collect();
        let there: BTreeSet<TargetRef> = found.iter().flat_map(|one| one.refs.clone()).collect();
        let things: BTreeSet<&str> = found.iter().map(|one| one.thing.as_str()).collect();
        let lost = struck.difference(&things).count();
        let is_new = |one: &TargetRef| !joining.struck.contains(one) && !joining.left_out.contains(one);
        let (held, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| struck.contains(one.thing.as_str()));
        let candidates: Vec<Found> = others.into_iter().filter(|one| one.refs.iter().any(is_new)).collect();
        let wanted = selection.wanted(matching, dice).saturating_sub(held.len());
        let room = self.limit.map_or(usize::MAX, |limit| {
            let at_once = limit.of(matching).saturating_sub(held.len());
            at_once.min(limit.of(matching + lost).saturating_sub(struck.len()))
        });
        let missing = wanted.min(candidates.len());
        if missing > room {
            note(notes, self.beyond());
        }
        let again = held.into_iter().filter(|one| one.refs.iter().any(is_new));
        let mut subjects: Vec<Subject> =
            again.chain(pick(candidates, missing.min(room), dice)).map(|one| one.subject).collect();
        subjects.iter_mut().for_each(|subject| only_new_parts(subject, &is_new));
        let gone = joining.struck.iter().filter(|one| !there.contains(one)).cloned().collect();
        Joined { subjects, gone }
    }

    /// That more matches than may be struck.
    fn beyond(&self) -> String {
        let limit = self.limit.map_or_else(String::new, |limit| format!(" ({limit})"));
        format!(
            "more matches {} by now than the blast radius{limit} lets {} strike; the rest is left alone",
            self.selection.target,
            self.fault.name()
        )
    }
}

fn identified(subject: Subject, fault: &dyn AnyFault, target: &Target) -> Found {
    let whole = TargetRef::of(&subject, target);
    let refs = match &subject {
        Subject::Pod(pod) if elsewhere::is_meant(fault, target) => TargetRef::within(pod, fault.scope()),
        _ => vec![whole.clone()],
    };
    Found { subject, refs, thing: whole.thing }
}

/// Of a pod within which containers are struck, those that are struck already are meant no more.
fn only_new_parts(subject: &mut Subject, is_new: &dyn Fn(&TargetRef) -> bool) {
    let Subject::Pod(pod) = subject else { return };
    let thing = TargetRef::of_pod(pod);
    for container in &mut pod.containers {
        let part = |part: &String| TargetRef { thing: thing.clone(), part: part.clone() };
        container.chosen &= container.id.as_ref().is_none_or(|id| is_new(&part(id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::cluster::{
        ClusterPlace, ClusterRef, ObjectKind, ObjectRef, PodContainer, PodFacts, Restarts,
    };
    use squall_model::facts::{Facts, Feature, Privilege, Scope};
    use squall_model::fault::{Fault, PlanError, of};
    use squall_model::step::Step;
    use squall_model::target::{Mode, Round};
    use std::collections::BTreeMap;

    /// Kills processes.
    struct Kill;

    impl Fault for Kill {
        const NAME: &'static str = "test.kill";
        const SUMMARY: &'static str = "";
        const EXAMPLE: &'static str = "";
        const SCOPE: Scope = Scope::Process;
        const PRIVILEGES: &'static [Privilege] = &[];
        const FEATURES: &'static [Feature] = &[];
        type Parameters = BTreeMap<String, String>;
        fn plan(_: &BTreeMap<String, String>, _: &Facts) -> Result<Vec<Step>, PlanError> {
            Ok(Vec::new())
        }
    }

    fn pod(uid: &str, containers: &[Option<&str>]) -> Subject {
        let cluster =
            ClusterRef { place: ClusterPlace::default(), server: String::new(), uid: String::new() };
        let container = |id: Option<&str>| PodContainer {
            name: "main".into(),
            image: String::new(),
            id: id.map(Into::into),
            chosen: true,
        };
        Subject::Pod(Box::new(PodFacts {
            object: ObjectRef {
                cluster,
                kind: ObjectKind::pod(),
                namespace: Some("shop".into()),
                name: uid.into(),
                uid: uid.into(),
            },
            node: "one".into(),
            containers: containers.iter().copied().map(container).collect(),
            controller: None,
            addresses: Vec::new(),
            host_network: false,
            ready: true,
            struck: false,
            restarts: Restarts::Always,
            grace: squall_model::units::Duration::seconds(30),
            protected: None,
        }))
    }

    /// The numbers of the containers that join, by pod.
    fn joins(mode: Mode, limit: Option<Limit>, struck: &[(&str, &str)], found: Vec<Subject>) -> Vec<String> {
        let target = Target::Pod(Box::default());
        let selection =
            Selection { target, mode, value: None, round: Round::Down, optional: false, follow: true };
        let struck = struck
            .iter()
            .map(|(pod, part)| TargetRef { thing: format!("pod {pod}"), part: (*part).to_owned() });
        let joining = Joining { struck: struck.collect(), left_out: BTreeSet::new() };
        let choice = Choice { fault: &of::<Kill>(), selection: &selection, joining: &joining, limit };
        let joined = choice.among(found, &mut || 0.5, &mut Vec::new());
        let words = joined.subjects.iter().map(|subject| match subject {
            Subject::Pod(pod) => {
                let ids = pod.placed().containers.into_iter().map(|container| container.id);
                format!("{}: {}", pod.object.uid, ids.collect::<Vec<_>>().join(" "))
            }
            other => panic!("{other:?}"),
        });
        words.collect()
    }

    #[test]
    fn a_container_that_was_started_again_is_struck_again_and_its_pod_counts_once() {
        let found = || vec![pod("a", &[Some("2"), Some("3")]), pod("b", &[Some("7")])];
        let one = Some(Limit::Count(1));
        assert_eq!(joins(Mode::One, one, &[("a", "1"), ("a", "3")], found()), ["a: 2"]);
        assert_eq!(joins(Mode::All, None, &[("a", "1"), ("a", "3")], found()), ["a: 2", "b: 7"]);
        assert!(joins(Mode::One, one, &[("a", "2"), ("a", "3")], found()).is_empty());
    }

    #[test]
    fn a_pod_whose_container_does_not_run_is_left_out_where_others_can_be_struck() {
        let mut notes = Vec::new();
        let ready = elsewhere::ready(vec![pod("a", &[None]), pod("b", &[Some("7")])], &mut notes);
        assert_eq!(ready, [pod("b", &[Some("7")])]);
        assert_eq!(notes, ["pod shop/a is left out: no container of it that is meant runs"]);
        notes.clear();
        assert_eq!(elsewhere::ready(vec![pod("a", &[None])], &mut notes).len(), 1, "it is refused by name");
        assert!(notes.is_empty());
    }

    #[test]
    fn a_pod_whose_container_does_not_run_is_there_and_waits() {
        let found = || vec![pod("a", &[None]), pod("b", &[None]), pod("c", &[Some("7")])];
        assert!(joins(Mode::One, None, &[("a", "1")], found()).is_empty(), "it keeps its place");
        assert_eq!(joins(Mode::All, None, &[("a", "1")], found()), ["c: 7"]);
    }
}
