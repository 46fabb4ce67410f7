//! Where agents of the run are or were, and who holds which injection under which name. It outlasts every stream.

use super::Needs;
use super::merged::Member;
use crate::agent::transport::Post;
use squall_model::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// Kept from the first stream to the last.
#[derive(Debug, Default)]
pub(super) struct Roll {
    posts: BTreeSet<Post>,
    needs: Needs,
    /// Injections on nodes, by the name that the brain knows: where, and their name there.
    names: BTreeMap<String, (Post, String)>,
    /// Other names in use.
    others: BTreeSet<String>,
}

impl Roll {
    /// Nodes where something may be owed.
    pub(super) fn posts(&self) -> &BTreeSet<Post> {
        &self.posts
    }

    /// What agents on nodes must be able to do.
    pub(super) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(super) fn add(&mut self, post: Post) {
        self.posts.insert(post);
    }

    /// All that was ever needed.
    pub(super) fn need(&mut self, needs: &Needs) {
        self.needs.privileges.extend(&needs.privileges);
        self.needs.lasts = self.needs.lasts.max(needs.lasts);
    }

    /// Enters what was planned on a node, under names that no other injection of the run has.
    pub(super) fn enter(&mut self, post: &Post, mut plan: Plan) -> Plan {
        for injection in &mut plan.injections {
            let there = injection.id.clone();
            let at_node = format!("{there}-{}", plain(&post.node));
            let numbered = (2..).map(|number| format!("{at_node}-{number}"));
            let names = [there.clone(), at_node.clone()].into_iter().chain(numbered);
            let free = |name: &String| !self.names.contains_key(name) && !self.others.contains(name);
            injection.id = names.into_iter().find(free).unwrap_or(at_node);
            self.names.insert(injection.id.clone(), (post.clone(), there));
        }
        plan
    }

    /// Notes the names of what was planned here.
    pub(super) fn note(&mut self, plan: &Plan) {
        self.others.extend(plan.injections.iter().map(|injection| injection.id.clone()));
    }

    /// Who holds these injections, and their names there.
    pub(super) fn shares(&self, injections: Vec<String>) -> BTreeMap<Member, Vec<String>> {
        let mut shares: BTreeMap<Member, Vec<String>> = BTreeMap::new();
        for injection in injections {
            let (member, name) = match self.names.get(&injection) {
                Some((post, there)) => (Member::On(post.clone()), there.clone()),
                None => (Member::Here, injection),
            };
            shares.entry(member).or_default().push(name);
        }
        shares
    }

    /// The name that the brain knows for an injection of somebody's.
    pub(super) fn name(&self, member: &Member, there: &str) -> String {
        let Member::On(post) = member else { return there.to_owned() };
        let known = self.names.iter().find(|(_, (at, name))| at == post && name == there);
        known.map_or_else(|| there.to_owned(), |(name, _)| name.clone())
    }
}

/// A name as a part of an injection's: letters and digits, and `-` for all others.
fn plain(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    name.chars().map(plain).collect()
}
