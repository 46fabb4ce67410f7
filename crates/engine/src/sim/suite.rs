//! The model of a host goes through the same laws as the real one.

use super::faults::{FAULTS, samples};
use super::machine::ModelMachine;
use super::world::{Door, Meddling, Qdisc, Role, Shared, Stopped};
use crate::suite::{Deed, Sample, Trial, check, describe};
use squall_model::facts::Facts;
use squall_model::machine::Machine;
use squall_model::step::Step;
use squall_model::units::Duration;
use std::collections::BTreeMap;

/// One trial for each step that the simulator's faults plan.
fn sample(name: &'static str, which: usize, shared: &Shared) -> Sample<ModelMachine> {
    let shared = shared.clone();
    let mut count = 0;
    let prepare = move |machine: &mut ModelMachine| {
        count += 1;
        shared.lock().power_cut();
        let pid = shared.lock().spawn("suite", Role::Squall).pid;
        *machine = ModelMachine(Door::new(&shared, pid));
        let (_, target, with) = samples()[which].clone();
        let fault = FAULTS.iter().find(|fault| fault.name() == name).unwrap();
        let subject = machine.resolve(fault.scope(), &target).unwrap().remove(0);
        let injection = format!("suite-{which}-{count}");
        let facts = Facts {
            injection: injection.clone(),
            host: machine.host().unwrap(),
            target,
            lease: Duration::seconds(5),
            lasts: Duration::default(),
            subject,
            addresses: BTreeMap::new(),
        };
        let step = fault.plan(&with, &facts).unwrap().remove(0);
        trial(step, injection, &shared)
    };
    Sample { name, prepare: Box::new(prepare) }
}

fn trial(step: Step, injection: String, shared: &Shared) -> Trial {
    let world = shared.clone();
    let look = Box::new(move || format!("{:?}", world.lock().host.look()));
    let meddling = |change: Meddling| -> Deed {
        let world = shared.clone();
        Box::new(move || world.lock().meddle(&change))
    };
    let (destroy, meddle) = match &step {
        Step::Qdisc(step) => {
            let inode = step.namespace.inode;
            let by = Some(Qdisc { kind: "sfq".into(), handle: 0x9000, options: Vec::new() });
            let replace = Meddling::Replace { inode, link: step.link.index, by };
            (Some(meddling(Meddling::RemoveNamespace { inode })), Some(meddling(replace)))
        }
        Step::PacketFilter(step) => {
            let inode = step.namespace.inode;
            (Some(meddling(Meddling::RemoveNamespace { inode })), None)
        }
        Step::Signal(step) => {
            let end = Meddling::End { pid: step.process.pid, reused: Some(Stopped(true)) };
            (Some(meddling(end)), None)
        }
        Step::FileValue(step) if step.restore => {
            let write = Meddling::Write { path: step.path.clone(), value: "20".into() };
            (None, Some(meddling(write)))
        }
        Step::Setting(step) => {
            let set = Meddling::Set { name: step.name.clone(), value: "theirs".into() };
            (None, Some(meddling(set)))
        }
        Step::Object(step) => {
            let set = Meddling::Set { name: step.object.to_string(), value: "5".into() };
            (None, Some(meddling(set)))
        }
        Step::Fill(step) => {
            let (directory, name) = (step.directory.path.clone(), step.name.clone());
            let save = Meddling::Save { directory: directory.clone(), name, content: "theirs".into() };
            (Some(meddling(Meddling::Renew { directory })), Some(meddling(save)))
        }
        _ => (None, None),
    };
    let reversible = !matches!(
        &step,
        Step::FileValue(step) if !step.restore
    ) && !matches!(&step, Step::Signal(step) if super::world::opposite(step.signal).is_none());
    let unmarked = matches!(step, Step::Signal(_) | Step::FileValue(_) | Step::Setting(_) | Step::Object(_));
    let marked = !unmarked && !matches!(step, Step::Instance(_) | Step::Container(_));
    Trial { step, injection, look, reversible, marked, destroy, meddle }
}

#[test]
fn the_model_keeps_the_laws() {
    let shared = Shared::new(1);
    let mut machine = ModelMachine(Door::new(&shared, 0));
    let mut all: Vec<_> =
        samples().iter().enumerate().map(|(which, (name, ..))| sample(name, which, &shared)).collect();
    let broken = check(&mut machine, &mut all);
    assert!(broken.is_empty(), "{}", describe(&broken));
}

#[test]
fn the_suite_notices_a_machine_that_breaks_a_law() {
    use super::world::Mutant;
    for (mutant, law) in [
        (Mutant::TrustPids, "the target is gone"),
        (Mutant::OverwriteForeign, "somebody else changed"),
        (Mutant::ActBeforeIntend, "a capture changes nothing"),
    ] {
        let shared = Shared::new(1);
        shared.lock().weather.mutant = Some(mutant);
        let mut machine = ModelMachine(Door::new(&shared, 0));
        let mut all: Vec<_> =
            samples().iter().enumerate().map(|(which, (name, ..))| sample(name, which, &shared)).collect();
        let broken = check(&mut machine, &mut all);
        assert!(broken.iter().any(|broken| broken.law.contains(law)), "{mutant:?}: {}", describe(&broken));
    }
}
