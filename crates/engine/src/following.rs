//! What is known of faults that follow their targets: what each has struck, what of it is gone, and what was told of the looks
//! for more.

use squall_model::plan::{Joining, PlannedInjection};
use squall_model::target_ref::TargetRef;
use std::collections::{BTreeMap, BTreeSet};

/// One fault that follows its targets.
#[derive(Debug, Clone, Default)]
struct Followed {
    joining: Joining,
    /// What of all that was struck matched no more at the last look.
    gone: BTreeSet<TargetRef>,
}

/// All faults that follow their targets, by the numbers of their strikes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Following {
    followed: BTreeMap<usize, Followed>,
    /// What was said already: each look would say the same again.
    told: BTreeSet<String>,
    /// Whose looks fail now, and in which words.
    failing: BTreeMap<usize, String>,
}

impl Following {
    /// What a strike has struck so far.
    pub(crate) fn joining(&self, strike: usize) -> Joining {
        self.followed.get(&strike).map(|followed| followed.joining.clone()).unwrap_or_default()
    }

    /// Something is struck by a fault that follows its targets.
    pub(crate) fn strikes(&mut self, injection: &PlannedInjection) {
        let followed = self.followed.entry(injection.entry).or_default();
        followed.joining.struck.extend(injection.strikes.iter().cloned());
    }

    /// Something could not be struck after all.
    pub(crate) fn leave_out(&mut self, injection: &PlannedInjection) {
        let joining = &mut self.followed.entry(injection.entry).or_default().joining;
        for one in &injection.strikes {
            joining.struck.remove(one);
            joining.left_out.insert(one.clone());
        }
    }

    /// A look came to this; what of its notes is new.
    pub(crate) fn looked(&mut self, strike: usize, gone: Vec<TargetRef>, notes: Vec<String>) -> Vec<String> {
        self.followed.entry(strike).or_default().gone = gone.into_iter().collect();
        notes.into_iter().filter(|note| self.told.insert(note.clone())).collect()
    }

    /// A look came to its end; the words, where that is news.
    pub(crate) fn succeeded(&mut self, strike: usize, fault: &str) -> Option<String> {
        let told = || format!("{fault} can look for what else matches again");
        self.failing.remove(&strike).map(|_| told())
    }

    /// A look could not be taken, or nothing could come of it; the words, where they are new.
    pub(crate) fn failed(&mut self, strike: usize, fault: &str, why: &str) -> Option<String> {
        let words = format!("{fault} could not look for what else matches, and goes on as it is: {why}");
        let is_new = self.failing.insert(strike, words.clone()).is_none_or(|known| known != words);
        is_new.then_some(words)
    }

    /// Notes that were told already.
    pub(crate) fn knows(&mut self, notes: &[String]) {
        self.told.extend(notes.iter().cloned());
    }

    /// Whether the target of an injection is known to be gone, so that nothing of its effect can be seen any more.
    pub(crate) fn is_gone(&self, injection: &PlannedInjection) -> bool {
        let strikes = &injection.strikes;
        let gone = self.followed.get(&injection.entry).map(|followed| &followed.gone);
        gone.is_some_and(|gone| !strikes.is_empty() && strikes.iter().all(|one| gone.contains(one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::injection;

    fn of(thing: &str) -> TargetRef {
        TargetRef { thing: thing.to_owned(), part: String::new() }
    }

    fn on(thing: &str) -> PlannedInjection {
        PlannedInjection { strikes: vec![of(thing)], ..injection(thing, 0) }
    }

    #[test]
    fn what_could_not_be_struck_is_not_tried_again() {
        let mut following = Following::default();
        following.strikes(&on("a"));
        following.strikes(&on("b"));
        following.leave_out(&on("b"));
        let joining = following.joining(0);
        assert!(joining.struck.contains(&of("a")) && !joining.struck.contains(&of("b")));
        assert!(joining.left_out.contains(&of("b")));
        assert_eq!(following.joining(1), Joining::default());
    }

    #[test]
    fn the_same_is_told_once() {
        let mut following = Following::default();
        assert!(following.failed(0, "f", "away").is_some());
        assert_eq!(following.failed(0, "f", "away"), None);
        assert!(following.failed(0, "f", "forbidden").is_some());
        assert_eq!(following.looked(0, Vec::new(), vec!["n".to_owned()]), ["n"]);
        assert!(following.succeeded(0, "f").is_some() && following.succeeded(0, "f").is_none());
        assert_eq!(following.looked(0, Vec::new(), vec!["n".to_owned()]), Vec::<String>::new());
    }

    #[test]
    fn who_is_gone_is_known_from_the_last_look() {
        let mut following = Following::default();
        following.strikes(&on("a"));
        assert!(!following.is_gone(&on("a")));
        following.looked(0, vec![of("a")], Vec::new());
        assert!(following.is_gone(&on("a")) && !following.is_gone(&on("b")));
    }
}
