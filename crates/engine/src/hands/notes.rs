//! Notes of a plan: each is said once, and what is to be said of very many targets is said of some, with how many more there are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// So many targets are named with what is to be said of each.
const NAMED: usize = 5;

/// Says something that may have been said already.
pub(super) fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

/// What is to be said of targets, one after the other.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    all: Vec<Remark>,
    /// Where the remark of this text is, in which each target's own name is left out.
    alike: BTreeMap<String, usize>,
}

/// The same, about one target or many.
#[derive(Debug)]
struct Remark {
    said: Vec<String>,
    more: usize,
}

impl Remarks {
    /// Something about this target; what does not speak of it is said once.
    pub(super) fn add(&mut self, target: &str, text: String) {
        let is_about_it = text.contains(target);
        match self.alike.entry(text.replace(target, "")) {
            Entry::Vacant(place) => {
                place.insert(self.all.len());
                self.all.push(Remark { said: vec![text], more: 0 });
            }
            Entry::Occupied(place) if is_about_it => {
                let Some(remark) = self.all.get_mut(*place.get()) else { return };
                if remark.said.len() < NAMED {
                    remark.said.push(text);
                } else {
                    remark.more += 1;
                }
            }
            Entry::Occupied(_) => {}
        }
    }

    /// All of it, as notes.
    pub(super) fn tell(self, notes: &mut Vec<String>) {
        for Remark { mut said, more } in self.all {
            if let (Some(last), 1..) = (said.last_mut(), more) {
                *last = format!("{last}; likewise for {more} more");
            }
            said.into_iter().for_each(|text| note(notes, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize) -> Vec<String> {
        let mut remarks = Remarks::default();
        for number in 0..count {
            let pod = format!("pod shop/web-{number}");
            remarks.add(&pod, format!("{pod} has no controller"));
            remarks.add(&pod, "a container that is ended loses what it holds".to_owned());
        }
        let mut notes = vec!["before".to_owned()];
        remarks.tell(&mut notes);
        notes
    }

    #[test]
    fn what_holds_for_few_names_each() {
        assert_eq!(told(0), ["before"]);
        let words = "before|pod shop/web-0 has no controller|pod shop/web-1 has no controller|\
                     a container that is ended loses what it holds";
        assert_eq!(told(2).join("|"), words);
        assert!(!told(NAMED).iter().any(|note| note.contains("more")));
    }

    #[test]
    fn what_holds_for_very_many_is_counted() {
        let notes = told(10_000);
        assert_eq!(notes.len(), 2 + NAMED);
        assert_eq!(notes[NAMED], "pod shop/web-4 has no controller; likewise for 9995 more");
    }
}
