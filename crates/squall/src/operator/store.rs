//! What is known of the objects that are looked after, as the cluster tells it.

use super::object::{self, Name};
use super::resources::{EXPERIMENT, SCHEDULE, SOURCE, Source};
use serde::Deserialize;
use serde_json::Value as Json;
use squall_kubernetes::{Change, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An object among all that are looked after.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The place of its kind among the kinds.
    pub(crate) kind: usize,
    pub(crate) name: Name,
}

/// All objects, by kind and name.
pub(crate) struct Store {
    kinds: Vec<Kind>,
    objects: Vec<BTreeMap<Name, Arc<Json>>>,
    by_uid: BTreeMap<String, Key>,
    /// Kinds that were listed.
    known: BTreeSet<usize>,
}

impl Store {
    pub(crate) fn new(kinds: Vec<Kind>) -> Self {
        let objects = kinds.iter().map(|_| BTreeMap::new()).collect();
        Self { kinds, objects, by_uid: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// How many kinds there are.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    pub(crate) fn kind(&self, key: &Key) -> &Kind {
        &self.kinds[key.kind]
    }

    /// The place of a kind.
    pub(crate) fn place(&self, kind: &Kind) -> Option<usize> {
        self.kinds.iter().position(|known| known.kind == kind.kind && known.group == kind.group)
    }

    /// Whether all objects of these kinds are known.
    pub(crate) fn knows(&self, kinds: &[Kind]) -> bool {
        kinds.iter().all(|kind| self.place(kind).is_some_and(|place| self.known.contains(&place)))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Json>> {
        self.objects.get(key.kind)?.get(&key.name)
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, kind: usize) -> impl Iterator<Item = (Key, &Arc<Json>)> {
        self.objects[kind].iter().map(move |(name, object)| (Key { kind, name: name.clone() }, object))
    }

    /// Those of a kind in a namespace.
    fn within<'s>(
        &'s self,
        kind: usize,
        namespace: &'s str,
    ) -> impl Iterator<Item = (&'s Name, &'s Arc<Json>)> {
        let first = Name { namespace: namespace.to_owned(), name: String::new() };
        self.objects[kind].range(first..).take_while(move |(name, _)| name.namespace == namespace)
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// The object that a run is of, if it is there.
    pub(crate) fn source(&self, run: &Json) -> Option<(Key, &Arc<Json>)> {
        let source = Source::deserialize(&run["spec"]["source"]).ok()?;
        let (group, _) = source.api_version.split_once('/')?;
        let kind = self.kinds.iter().position(|kind| kind.kind == source.kind && kind.group == group)?;
        let name = Name { namespace: Name::of(run).namespace, name: source.name };
        let key = Key { kind, name };
        let object = self.get(&key)?;
        source.uid.is_none_or(|uid| uid == object::uid(object)).then_some((key, object))
    }

    /// Whether it can be said if the object is there that a run is of: all of its kind are known, or the kind is none that is
    /// looked after.
    pub(crate) fn knows_source(&self, run: &Json) -> bool {
        let Ok(source) = Source::deserialize(&run["spec"]["source"]) else { return true };
        let group = source.api_version.split('/').next().unwrap_or_default();
        let kind = self.kinds.iter().position(|kind| kind.kind == source.kind && kind.group == group);
        kind.is_none_or(|kind| self.known.contains(&kind))
    }

    /// The experiment that a schedule names, if it is there.
    pub(crate) fn scheduled(&self, schedule: &Json) -> Option<&Arc<Json>> {
        self.get(&Key { kind: self.place(&EXPERIMENT)?, name: named_by(schedule)? })
    }

    /// The schedules that name an object, where it is an experiment, whether it is there or not.
    pub(crate) fn schedules_of(&self, key: &Key) -> Vec<Key> {
        let kind = self.place(&SCHEDULE).filter(|_| self.place(&EXPERIMENT) == Some(key.kind));
        let Some(kind) = kind else { return Vec::new() };
        let all = self.within(kind, &key.name.namespace);
        let meant = all.filter(|(_, schedule)| named_by(schedule).as_ref() == Some(&key.name));
        meant.map(|(name, _)| Key { kind, name: name.clone() }).collect()
    }

    /// The runs of an object, oldest first; `runs` is the place of their kind.
    pub(crate) fn runs_of(&self, key: &Key, object: &Json, runs: usize) -> Vec<Arc<Json>> {
        let is_of = |run: &Json| {
            run["metadata"]["labels"][SOURCE] == object::uid(object)
                || self.source(run).is_some_and(|(source, _)| source == *key)
        };
        let namespace = &key.name.namespace;
        let found = self.within(runs, namespace).filter(|(_, run)| is_of(run));
        let mut found: Vec<Arc<Json>> = found.map(|(_, run)| Arc::clone(run)).collect();
        found.sort_by_key(|run| (object::created(run), Name::of(run)));
        found
    }

    /// Takes a change in; the objects that are other than before.
    pub(crate) fn take(&mut self, kind: usize, change: Change) -> Vec<Key> {
        match change {
            Change::All(objects) => {
                self.known.insert(kind);
                let names: BTreeSet<Name> = objects.iter().map(Name::of).collect();
                let gone: Vec<Name> =
                    self.objects[kind].keys().filter(|name| !names.contains(*name)).cloned().collect();
                let gone = gone.into_iter().filter_map(|name| self.remove(Key { kind, name }));
                let mut changed: Vec<Key> = gone.collect();
                changed.extend(objects.into_iter().filter_map(|object| self.put(kind, object)));
                changed
            }
            Change::Put(object) => self.put(kind, object).into_iter().collect(),
            Change::Gone(object) => self.remove(Key { kind, name: Name::of(&object) }).into_iter().collect(),
            Change::Lost(_) => Vec::new(),
        }
    }

    /// An object as it is now, unless something newer is known of it.
    pub(crate) fn put(&mut self, kind: usize, mut object: Json) -> Option<Key> {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let key = Key { kind, name: Name::of(&object) };
        if let Some(known) = self.get(&key) {
            let is_same = object::uid(known) == object::uid(&object);
            if is_same && version(known) >= version(&object) {
                return None;
            }
        }
        self.by_uid.insert(object::uid(&object).to_owned(), key.clone());
        self.objects[kind].insert(key.name.clone(), Arc::new(object));
        Some(key)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Key> {
        let gone = self.objects[key.kind].remove(&key.name)?;
        if self.by_uid.get(object::uid(&gone)) == Some(&key) {
            self.by_uid.remove(object::uid(&gone));
        }
        Some(key)
    }
}

/// The name of the experiment that a schedule names.
fn named_by(schedule: &Json) -> Option<Name> {
    let name = schedule["spec"]["experiment"].as_str()?.to_owned();
    Some(Name { name, ..Name::of(schedule) })
}

/// The version of an object. Nobody promises that it is a number that grows; every server there is makes it so, and one that did not
/// would have every answer taken for the newest.
fn version(object: &Json) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::kinds;
    use super::*;
    use serde_json::json;

    fn object(name: &str, version: u64) -> Json {
        let metadata = json!({"namespace": "shop", "name": name, "uid": format!("{name}-uid"),
            "resourceVersion": version.to_string(), "managedFields": []});
        json!({"metadata": metadata})
    }

    #[test]
    fn what_is_older_is_not_taken() {
        let mut store = Store::new(kinds::all(false));
        assert_eq!(store.take(0, Change::All(vec![object("a", 1), object("b", 5)])).len(), 2);
        assert!(store.knows(&[super::super::resources::EXPERIMENT]));
        assert!(store.take(0, Change::Put(object("b", 4))).is_empty());
        assert_eq!(store.take(0, Change::Put(object("b", 6))).len(), 1);
        let gone = store.take(0, Change::All(vec![object("b", 6)]));
        assert_eq!(gone.iter().map(|key| key.name.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(store.by_uid("a-uid").is_none() && store.by_uid("b-uid").is_some());
    }

    #[test]
    fn schedules_and_experiments_find_each_other_by_name() {
        let mut store = Store::new(kinds::all(true));
        let place = |store: &Store, kind: &Kind| store.place(kind).unwrap();
        let (experiments, schedules) = (place(&store, &EXPERIMENT), place(&store, &SCHEDULE));
        let mut schedule = object("nightly", 1);
        schedule["spec"] = json!({"experiment": "x"});
        store.put(schedules, schedule.clone());
        assert!(store.scheduled(&schedule).is_none());
        let key = Key { kind: experiments, name: Name::of(&object("x", 1)) };
        let names: Vec<String> = store.schedules_of(&key).into_iter().map(|key| key.name.name).collect();
        assert_eq!(names, ["nightly"], "they are told when it comes");
        store.put(experiments, object("x", 1));
        assert!(store.scheduled(&schedule).is_some());
        assert!(store.schedules_of(&Key { kind: schedules, ..key }).is_empty());
    }

    #[test]
    fn what_was_not_listed_yet_is_not_taken_for_deleted() {
        let mut store = Store::new(kinds::all(true));
        let source =
            json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "name": "a", "uid": "u"});
        let run = json!({"spec": {"source": source}});
        assert!(!store.knows_source(&run));
        let kind = store.place(&kinds::MESH[0]).unwrap();
        store.take(kind, Change::All(Vec::new()));
        assert!(store.knows_source(&run) && store.source(&run).is_none());
        assert!(Store::new(kinds::all(false)).knows_source(&run), "nobody looks after it");
    }

    #[test]
    fn runs_are_found_by_what_they_are_of() {
        let mut store = Store::new(kinds::all(true));
        let runs = store.place(&super::super::resources::RUN).unwrap();
        let mut own = object("x", 1);
        own["kind"] = json!("Experiment");
        store.put(0, own.clone());
        let mut run = |name: &str, source: Json, label: &str| {
            let mut run = object(name, 1);
            run["spec"] = json!({"source": source});
            run["metadata"]["labels"] = json!({SOURCE: label});
            store.put(runs, run);
        };
        run(
            "mine",
            json!({"apiVersion": "squall.dev/v1", "kind": "Experiment", "name": "x", "uid": "x-uid"}),
            "",
        );
        run("by-hand", json!({"name": "x"}), "");
        run(
            "of-another-of-this-name",
            json!({"apiVersion": "squall.dev/v1", "kind": "Experiment", "name": "x", "uid": "old"}),
            "",
        );
        run("by-label", json!({"name": "y"}), "x-uid");
        let key = Key { kind: 0, name: Name::of(&own) };
        let found = store.runs_of(&key, &own, runs);
        let names: Vec<String> = found.iter().map(|run| Name::of(run).name).collect();
        assert_eq!(names, ["by-hand", "by-label", "mine"]);
        assert!(store.source(&found[0]).is_some() && store.source(&found[2]).is_some());
    }
}
