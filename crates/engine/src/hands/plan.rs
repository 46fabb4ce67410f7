//! Planning: from what an experiment names to injections that name each step and its undo. Touches nothing.

use super::notes::{Remarks, note};
use super::{Hands, elsewhere, invalid, joining, unlearned};
use crate::crash::Point;
use squall_model::cluster::ObjectRef;
use squall_model::facts::{Facts, HostFacts, LinkFacts, Privilege, Scope, Subject};
use squall_model::fault::{AnyFault, PlanError, is_for_good};
use squall_model::machine::{Machine, MachineError, subject_name};
use squall_model::plan::{Plan, PlanEntry, PlanRequest, PlannedInjection};
use squall_model::protocol::{CallError, CallErrorKind};
use squall_model::step::{Claim, Step};
use squall_model::target::{Limit, Mode, Target};
use squall_model::target_ref::TargetRef;
use squall_model::undo_log::{Contents, Disk};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

impl<M: Machine, D: Disk> Hands<M, D> {
    /// Resolves targets and plans every entry. The plan is kept, to be injected by name; an entry may be planned again.
    ///
    /// Targets that are protected (process 1, ourselves, the operator's shell …) are spared, with a note, unless
    /// they were named by their number. The limit of the blast radius counts the targets that match an entry and
    /// may be struck.
    ///
    /// Of an entry that is active already, only what joins it is planned; what cannot be struck of that is a note.
    ///
    /// # Errors
    /// `Invalid`, with the entry that it is about: an unknown fault, wrong parameters, a privilege that is missing, no
    /// target or more than the blast radius allows, a conflict with another entry or injection of this run. `Held`, likewise: an
    /// injection that is alive on this host holds what the entry would take. `Unsupported`, likewise: the kernel lacks a feature.
    /// `Failed`: the host could not be looked at.
    pub fn plan(&mut self, request: &PlanRequest, faults: &[&dyn AnyFault]) -> Result<Plan, CallError> {
        self.machine.hurry(request.entries.iter().any(|entry| entry.joining.is_some()));
        let planned = self.plan_entries(request, faults);
        self.machine.hurry(false);
        let plan = planned?;
        check_conflicts(&plan.injections, &request.together)?;
        self.planned.extend(plan.injections.iter().map(|planned| (planned.id.clone(), planned.clone())));
        Ok(plan)
    }

    fn plan_entries(&mut self, request: &PlanRequest, faults: &[&dyn AnyFault]) -> Result<Plan, CallError> {
        let host = self.machine.host()?;
        let mut plan = Plan::default();
        for entry in &request.entries {
            (self.hook)(Point::BeforePlan);
            let number = Some(entry.entry);
            self.plan_entry(entry, request, faults, &host, &mut plan)
                .map_err(|error| CallError { entry: error.entry.or(number), ..error })?;
        }
        Ok(plan)
    }

    fn plan_entry(
        &mut self,
        entry: &PlanEntry,
        request: &PlanRequest,
        faults: &[&dyn AnyFault],
        host: &HostFacts,
        plan: &mut Plan,
    ) -> Result<(), CallError> {
        let fault = *faults.iter().find(|fault| fault.name() == entry.fault).ok_or_else(|| {
            invalid(format!("there is no fault {}; `squall faults` lists them", entry.fault))
        })?;
        let mut dice = Dice::new(request.seed.wrapping_add(entry.entry as u64));
        let entry = &self.with_peers_looked_up(entry, &mut dice)?;
        if elsewhere::is_meant(fault, &entry.selection.target) {
            return self.assign(fault, entry, request, &mut dice, plan);
        }
        check_privileges(fault, host)?;
        check_features(fault, host)?;
        let subjects = self.choose(fault, entry, request, &mut dice, plan)?;
        let names = fault.host_names(&entry.with).map_err(refused)?;
        let addresses = self.addresses_of_names(&names, entry.joining.is_some())?;
        let others = self.others().map_err(|error| invalid(unlearned(&error)))?;
        let mut remarks = Remarks::default();
        for subject in subjects {
            (self.hook)(Point::BeforePlan);
            let facts = Facts {
                injection: self.next_name(&mut dice),
                host: host.clone(),
                target: entry.selection.target.clone(),
                lease: self.lease,
                lasts: entry.lasts,
                subject,
                addresses: addresses.clone(),
            };
            let steps = steps_on(fault, entry, &facts, request.allow_data_loss, &mut remarks);
            match steps.and_then(|steps| self.describe(entry, &facts, steps, &others)) {
                Ok(planned) => plan.injections.push(planned),
                Err(error) if entry.joining.is_some() => note(&mut plan.notes, not_joined(fault, &error)),
                Err(error) => return Err(error),
            }
        }
        remarks.tell(&mut plan.notes);
        Ok(())
    }

    /// The addresses of names. While a fault is active nothing waits for a name server that it may have cut off.
    fn addresses_of_names(
        &mut self,
        names: &[String],
        are_known: bool,
    ) -> Result<BTreeMap<String, Vec<IpAddr>>, CallError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = |name: &String| Some((name.clone(), self.addresses.get(name)?.clone()));
        let known: BTreeMap<_, _> = names.iter().filter_map(known).collect();
        if are_known && names.iter().all(|name| known.contains_key(name)) {
            return Ok(known);
        }
        let found = self.machine.addresses(names)?;
        self.addresses.extend(found.clone());
        Ok(found)
    }

    /// What of the things that match is struck.
    pub(super) fn choose(
        &mut self,
        fault: &dyn AnyFault,
        entry: &PlanEntry,
        request: &PlanRequest,
        dice: &mut Dice,
        plan: &mut Plan,
    ) -> Result<Vec<Subject>, CallError> {
        let (selection, notes) = (&entry.selection, &mut plan.notes);
        let is_elsewhere = elsewhere::is_meant(fault, &selection.target);
        let scope = if is_elsewhere { Scope::Pod } else { fault.scope() };
        (self.hook)(Point::BeforePlan);
        let found = self.machine.resolve(scope, &selection.target)?;
        (self.hook)(Point::BeforePlan);
        if let (true, Some(joining)) = (found.is_empty(), &entry.joining) {
            plan.gone.extend(joining.struck.iter().cloned());
            return Ok(found);
        }
        note_follow(fault, entry, notes);
        if found.is_empty() {
            let nothing = match &selection.target {
                Target::Instances(_) | Target::Template(_) => {
                    format!("nothing in the cloud that runs matches {}", selection.target)
                }
                Target::Pod(selector) if selector.phases.is_empty() => {
                    format!("no pod of the cluster that runs matches {}", selection.target)
                }
                target if target.is_in_cluster() => format!("nothing in the cluster matches {target}"),
                target => format!("nothing on this host matches {target}"),
            };
            if selection.optional {
                let fate =
                    if selection.follow { "optional and waits for it" } else { "optional and left out" };
                note(notes, format!("{nothing}; {} is {fate}", fault.name()));
                return Ok(found);
            }
            let message = format!(
                "{nothing}, which {} should strike; correct the target, or say `optional: true` if that is well",
                fault.name()
            );
            return Err(CallError { kind: CallErrorKind::NothingMatches, ..invalid(message) });
        }
        if entry.joining.is_none() {
            missing(&selection.target, &found).into_iter().for_each(|text| note(notes, text));
        }
        self.refuse_spared(scope, &found, &selection.target, &request.spared)?;
        let found = spare_protected(found, &selection.target, notes)?;
        if let Some(joining) = &entry.joining {
            let limit = request.targets_limit;
            let choice = joining::Choice { fault, selection, joining, limit };
            let joined = choice.among(found, &mut || dice.roll(), notes);
            plan.gone.extend(joined.gone);
            return Ok(joined.subjects);
        }
        let found = if is_elsewhere { elsewhere::ready(found, notes) } else { found };
        let matching = found.len();
        if let (Mode::Fixed, Some(wanted)) = (selection.mode, selection.value)
            && wanted > matching as f64
        {
            let target = &selection.target;
            note(notes, format!("`value: {wanted}` is more than match {target}: all {matching} are struck"));
        }
        if let (Mode::FixedPercent | Mode::RandomMaxPercent, Some(value)) = (selection.mode, selection.value)
            && (matching as f64) * value / 100.0 < 1.0 - 1e-9
        {
            note(
                notes,
                format!(
                    "{value}% of {matching} that match {} is less than one: one is struck",
                    selection.target
                ),
            );
        }
        let chosen = selection.choose(found, &mut || dice.roll());
        check_limit(matching, chosen.len(), request.targets_limit, &selection.target)?;
        Ok(chosen)
    }

    /// Refuses what the user's settings protect, also where it is named in another way. A fault on a network strikes the
    /// processes that its target names, though others live in the same network.
    fn refuse_spared(
        &mut self,
        scope: Scope,
        found: &[Subject],
        target: &Target,
        spared: &[Target],
    ) -> Result<(), CallError> {
        let struck = if spared.is_empty() { BTreeSet::new() } else { self.members(target)? };
        for one in spared {
            let is_named_server = match (target, one) {
                (Target::Database(target), Target::Database(one)) => {
                    one.server.is_same_server(&target.server)
                }
                _ => false,
            };
            let is_place = matches!(
                (scope, one),
                (Scope::Network, Target::Interface(_) | Target::Netns(_))
                    | (Scope::Path, Target::Path(_))
                    | (Scope::Instance, Target::Instances(_))
                    | (Scope::Template, Target::Template(_))
                    | (Scope::Pod, Target::Pod(_))
                    | (Scope::Node, Target::Node(_))
                    | (Scope::Workload, Target::Workload(_))
                    | (Scope::VirtualService, Target::VirtualService(_))
            );
            let strikes = one == target
                || is_named_server
                || !struck.is_disjoint(&self.members(one)?)
                || (is_place
                    && self.resolve_if_there(scope, one)?.iter().any(|place| share_a_place(found, place)));
            if strikes {
                return Err(invalid(format!(
                    "{target} would strike {one}, which the settings protect; choose a target that does not match it"
                )));
            }
        }
        Ok(())
    }

    /// The processes that a target names; none where it names something else.
    fn members(&mut self, target: &Target) -> Result<BTreeSet<(u32, u64)>, CallError> {
        if !matches!(target, Target::Process(_) | Target::Container(_) | Target::Service(_)) {
            return Ok(BTreeSet::new());
        }
        let subjects = self.resolve_if_there(Scope::Process, target)?;
        let processes = subjects.into_iter().flat_map(|subject| match subject {
            Subject::Process(process) => vec![process],
            Subject::Group(group) => group.processes,
            Subject::Network(_)
            | Subject::Resource { .. }
            | Subject::Path(_)
            | Subject::Database(_)
            | Subject::Instance(_)
            | Subject::Template(_)
            | Subject::Pod(_)
            | Subject::Node(_)
            | Subject::Object(_) => Vec::new(),
        });
        Ok(processes.map(|facts| (facts.process.pid, facts.process.start_time)).collect())
    }

    /// What is not there cannot be struck.
    fn resolve_if_there(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, CallError> {
        (self.hook)(Point::BeforePlan);
        match self.machine.resolve(scope, target) {
            Err(MachineError::NotFound { .. } | MachineError::Gone { .. }) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }

    /// A planned injection, with each undo in words as a dry capture gives it. `others` are the undo logs of other owners.
    fn describe(
        &mut self,
        entry: &PlanEntry,
        facts: &Facts,
        steps: Vec<Step>,
        others: &[(String, Contents)],
    ) -> Result<PlannedInjection, CallError> {
        let target = subject_name(facts);
        if steps.is_empty() {
            return Err(invalid(format!("{} on {target} would change nothing", entry.fault)));
        }
        let mut claims: Vec<Claim> = Vec::new();
        for claim in steps.iter().filter_map(Step::claim) {
            if claims.contains(&claim) {
                return Err(invalid(format!("{} on {target} would take {claim} twice", entry.fault)));
            }
            claims.push(claim);
        }
        // Before the look: of what another injection did there, a look would say only that something is wrong.
        if let Some(conflict) = self.held_by(others, &claims) {
            return Err(conflict);
        }
        let mut undone_by = Vec::new();
        for step in &steps {
            undone_by
                .push(self.machine.capture(step, &facts.injection).map_err(CallError::from)?.to_string());
        }
        Ok(PlannedInjection {
            id: facts.injection.clone(),
            entry: entry.entry,
            fault: entry.fault.clone(),
            target,
            does: steps.iter().map(Step::to_string).collect(),
            undone_by,
            claims,
            steps,
            lasts: entry.lasts,
            within: Vec::new(),
            strikes: vec![TargetRef::of(&facts.subject, &facts.target)],
        })
    }

    /// A name that is unique on the host and short enough for a mark: the end of the run's name, a number, and four
    /// random digits.
    fn next_name(&mut self, dice: &mut Dice) -> String {
        self.counter += 1;
        let letters: Vec<char> = self.run.chars().filter(char::is_ascii_alphanumeric).collect();
        let run: String = letters[letters.len().saturating_sub(6)..].iter().collect();
        let salt = hash(&self.run) ^ hash(&self.owner.boot_id) ^ u64::from(self.owner.pid) ^ dice.next();
        format!(
            "{}-{}-{:04x}",
            if run.is_empty() { "run".to_owned() } else { run.to_ascii_lowercase() },
            self.counter,
            Dice::new(salt ^ self.counter).next() & 0xffff
        )
    }
}

/// Random numbers from a seed: `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `[0, 1)`, from the upper 53 bits.
    pub(super) fn roll(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// FNV-1a, to make a number of a name.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn refused(error: PlanError) -> CallError {
    match error {
        PlanError::Unsupported(message) => unsupported(message),
        other => invalid(other.to_string()),
    }
}

fn unsupported(message: String) -> CallError {
    CallError { kind: CallErrorKind::Unsupported, ..invalid(message) }
}

/// Which of the pods that a target names are none of those that were found, each in words.
fn missing(target: &Target, found: &[Subject]) -> Vec<String> {
    let Target::Pod(selector) = target else { return Vec::new() };
    let is_it = |named: &str, pod: &ObjectRef| match named.split_once('/') {
        Some((namespace, name)) => pod.namespace.as_deref() == Some(namespace) && pod.name == name,
        None => pod.name == named,
    };
    let is_missing = |named: &&String| {
        !found.iter().any(|subject| matches!(subject, Subject::Pod(pod) if is_it(named, &pod.object)))
    };
    let words =
        |named: &String| format!("pod {named} is named and passed over: it is not there, or does not match");
    selector.names.iter().filter(is_missing).map(words).collect()
}

/// What a fault does to one target, with what is to be said of it.
fn steps_on(
    fault: &dyn AnyFault,
    entry: &PlanEntry,
    facts: &Facts,
    allow_data_loss: bool,
    remarks: &mut Remarks,
) -> Result<Vec<Step>, CallError> {
    let target = subject_name(facts);
    let mut notes = spared_connections(facts);
    let steps = fault.plan(&entry.with, facts).map_err(refused)?;
    if let Some(what) = fault.loses(&entry.with, facts) {
        notes.push(check_data_loss(fault, &what, allow_data_loss)?);
    }
    notes.extend(fault.notes(&entry.with, facts));
    notes.into_iter().for_each(|text| remarks.add(&target, text));
    Ok(steps)
}

/// Why something that came to match is not struck.
pub(super) fn not_joined(fault: &dyn AnyFault, error: &CallError) -> String {
    format!("{} does not strike what came to match: {}", fault.name(), error.message)
}

/// That targets are followed: whoever says yes to the plan says yes to that.
fn note_follow(fault: &dyn AnyFault, entry: &PlanEntry, notes: &mut Vec<String>) {
    let (name, selection) = (fault.name(), &entry.selection);
    if !selection.follow || entry.joining.is_some() {
        return;
    }
    let again =
        if is_for_good(name) { ", again and again, for nothing brings back what it ended" } else { "" };
    note(
        notes,
        format!(
            "{name} follows its target: for {} also what begins to match {} is struck{again}",
            entry.lasts, selection.target
        ),
    );
}

/// Refuses what could lose data unless that was allowed; what it would be is to be said in any case.
fn check_data_loss(fault: &dyn AnyFault, what: &str, is_allowed: bool) -> Result<String, CallError> {
    let name = fault.name();
    if !is_allowed {
        return Err(invalid(format!(
            "{name} could lose data for good: {what}; no undo brings that back. If that is well, say --allow-data-loss"
        )));
    }
    Ok(format!("{name} could lose data for good, which needs --allow-data-loss: {what}"))
}

fn check_privileges(fault: &dyn AnyFault, host: &HostFacts) -> Result<(), CallError> {
    let missing: Vec<&str> = fault
        .privileges()
        .iter()
        .filter(|privilege| !host.privileges.contains(privilege))
        .map(|privilege: &Privilege| privilege.capability())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let granted = missing.join(",").to_lowercase();
    Err(invalid(format!(
        "{} needs {}, which Squall does not have here: run it as root (`sudo squall …`), let only its agent be root \
         (`squall run --sudo …`), or grant it to the program (`sudo setcap {granted}+ep $(command -v squall)`)",
        fault.name(),
        missing.join(" and "),
    )))
}

fn check_features(fault: &dyn AnyFault, host: &HostFacts) -> Result<(), CallError> {
    match fault.features().iter().find(|feature| !host.has(**feature)) {
        None => Ok(()),
        Some(feature) => {
            Err(unsupported(format!("could not make {}: {}", fault.name(), host.lacks(*feature))))
        }
    }
}

/// Whether one of these is the same place: a network with an interface in common, a file system, a thing in a cloud.
fn share_a_place(found: &[Subject], other: &Subject) -> bool {
    found.iter().any(|subject| match (subject, other) {
        (Subject::Network(network), Subject::Network(other)) => {
            let same = |link: &LinkFacts| other.links.iter().any(|known| known.link.index == link.link.index);
            network.namespace.inode == other.namespace.inode && network.links.iter().any(same)
        }
        (Subject::Instance(facts), Subject::Instance(other)) => facts.instance.id == other.instance.id,
        (Subject::Template(facts), Subject::Template(other)) => facts.template.id == other.template.id,
        (Subject::Pod(facts), Subject::Pod(other)) => facts.object.uid == other.object.uid,
        (Subject::Node(facts), Subject::Node(other)) => facts.object.uid == other.object.uid,
        (Subject::Object(facts), Subject::Object(other)) => facts.object.uid == other.object.uid,
        (Subject::Path(path), Subject::Path(other)) => path.directory.device == other.directory.device,
        _ => false,
    })
}

/// Leaves out what is protected, unless it was named by its number.
fn spare_protected(
    found: Vec<Subject>,
    target: &Target,
    notes: &mut Vec<String>,
) -> Result<Vec<Subject>, CallError> {
    if matches!(target, Target::Process(selector) if selector.pid.is_some()) {
        return Ok(found);
    }
    let mut remarks = Remarks::default();
    let mut keep = |name: &dyn fmt::Display, protected: Option<&String>| {
        if let Some(why) = protected {
            remarks.add(&name.to_string(), format!("{name} is spared: {why}"));
        }
        protected.is_none()
    };
    let kept: Vec<Subject> = found
        .into_iter()
        .filter_map(|subject| match subject {
            Subject::Process(process) => {
                keep(&process.process, process.protected.as_ref()).then_some(Subject::Process(process))
            }
            Subject::Group(group) => {
                keep(&group.name, group.protected.as_ref()).then_some(Subject::Group(group))
            }
            Subject::Instance(facts) => {
                keep(&facts.instance, facts.protected.as_ref()).then_some(Subject::Instance(facts))
            }
            Subject::Template(facts) => {
                keep(&facts.template, facts.protected.as_ref()).then_some(Subject::Template(facts))
            }
            Subject::Pod(facts) => {
                keep(&facts.object, facts.protected.as_ref()).then_some(Subject::Pod(facts))
            }
            Subject::Node(facts) => {
                keep(&facts.object, facts.protected.as_ref()).then_some(Subject::Node(facts))
            }
            Subject::Object(facts) => {
                keep(&facts.object, facts.protected.as_ref()).then_some(Subject::Object(facts))
            }
            Subject::Resource { processes } if !processes.is_empty() => {
                let processes: Vec<_> = processes
                    .into_iter()
                    .filter(|process| keep(&process.process, process.protected.as_ref()))
                    .collect();
                // An empty list would mean the whole host, which nobody named.
                (!processes.is_empty()).then_some(Subject::Resource { processes })
            }
            other => Some(other),
        })
        .collect();
    if !kept.is_empty() {
        remarks.tell(notes);
        return Ok(kept);
    }
    let mut spared = Vec::new();
    remarks.tell(&mut spared);
    let remedy = match target {
        Target::Instances(_) | Target::Template(_) => "",
        target if target.is_in_cluster() => {
            "; to strike it all the same, name it: `{pod: {names: [NAMESPACE/NAME]}}`, `{node: {name: …}}`"
        }
        _ => "; to strike it all the same, name it by its number: `process: {pid: …}`",
    };
    Err(invalid(format!("all that matches {target} is protected ({}){remedy}", spared.join("; "))))
}

/// The blast radius is a hard limit.
fn check_limit(
    matching: usize,
    chosen: usize,
    limit: Option<Limit>,
    target: &Target,
) -> Result<(), CallError> {
    let Some(limit) = limit else { return Ok(()) };
    let allowed = limit.of(matching);
    if chosen <= allowed {
        return Ok(());
    }
    let counted = match limit {
        Limit::Count(_) => String::new(),
        Limit::Share(_) => format!(", so {allowed}"),
    };
    Err(invalid(format!(
        "{matching} targets match {target} and {chosen} would be struck, but the blast radius allows {limit} of \
         them{counted}; choose fewer (`mode: fixed`, `value: {allowed}`) or widen `blast_radius.targets`"
    )))
}

fn spared_connections(facts: &Facts) -> Vec<String> {
    let Subject::Network(network) = &facts.subject else { return Vec::new() };
    let name = &network.namespace.name;
    let is_spared = |path| format!("in {name}, {path} is the connection that you work through; it is spared");
    network.control_paths.iter().map(is_spared).collect()
}

/// Two injections that are active at the same time may not hold the same claim.
fn check_conflicts(injections: &[PlannedInjection], together: &[Vec<usize>]) -> Result<(), CallError> {
    let at_once = |a: usize, b: usize| a == b || together.iter().any(|g| g.contains(&a) && g.contains(&b));
    let mut holders: BTreeMap<&Claim, Vec<&PlannedInjection>> = BTreeMap::new();
    for later in injections {
        for claim in &later.claims {
            let held = holders.entry(claim).or_default();
            if let Some(earlier) = held.iter().find(|earlier| at_once(earlier.entry, later.entry)) {
                let message = format!(
                    "{} on {} and {} on {} would be active at the same time and both take {claim}, so that the undo \
                     of one would undo the other; let one follow the other, or strike different targets",
                    earlier.fault, earlier.target, later.fault, later.target
                );
                return Err(CallError { entry: Some(later.entry), ..invalid(message) });
            }
            held.push(later);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::facts::GroupFacts;

    #[test]
    fn pods_that_are_named_and_not_found_are_told() {
        let named = |names: serde_json::Value| {
            serde_json::from_value(serde_json::json!({"pod": {"names": names}})).unwrap()
        };
        let told = missing(&named(serde_json::json!(["web-0", "shop/web-1"])), &[]);
        assert_eq!(told[1], "pod shop/web-1 is named and passed over: it is not there, or does not match");
        assert_eq!(told.len(), 2);
        assert!(missing(&Target::Service("web-0".into()), &[]).is_empty());
    }

    #[test]
    fn a_group_that_is_spared_by_a_fault_on_networks_is_told() {
        let spared = GroupFacts {
            name: "container agent".into(),
            processes: Vec::new(),
            freezer: None,
            container: None,
            protected: Some("squall (pid 7) in it is Squall itself".into()),
        };
        let others = Subject::Resource { processes: Vec::new() };
        let mut notes = Vec::new();
        let target = Target::Service("*".into());
        let found = vec![others.clone(), Subject::Group(spared)];
        assert_eq!(spare_protected(found, &target, &mut notes).unwrap(), [others]);
        assert_eq!(notes, ["container agent is spared: squall (pid 7) in it is Squall itself"]);
    }
}
