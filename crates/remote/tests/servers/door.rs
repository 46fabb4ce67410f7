//! A door to servers, and what the tests of all kinds of server share.

use crate::hands;
use serde_json::Value as Json;
use squall_engine::suite::{self, Sample, Trial};
use squall_model::machine::Machine;
use squall_model::server::{ServerUrl, mark_of};
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::undo::Reverted;
use squall_remote::RemoteMachine;
use std::rc::Rc;

pub(crate) use crate::hands::Hands as Servers;

impl Servers {
    pub(crate) fn knowing(url: &str) -> Self {
        Self(RemoteMachine::default().knowing([url.parse::<ServerUrl>().unwrap()]))
    }
}

/// The first step of a fault on a server.
pub(crate) fn step(machine: &mut Servers, url: &str, injection: &str, fault: &str, with: &Json) -> Step {
    planned(machine, url, injection, fault, with).unwrap().remove(0)
}

/// All its steps, or why there are none.
pub(crate) fn planned(
    machine: &mut Servers,
    url: &str,
    injection: &str,
    fault: &str,
    with: &Json,
) -> Result<Vec<Step>, String> {
    let target = Target::Database(Box::new(url.parse().unwrap()));
    hands::planned(machine, injection, fault, &target, with)
}

/// A step on a server that was started for the test, with a look at it by other means.
pub(crate) fn sample<S: 'static>(
    name: &'static str,
    server: &Rc<S>,
    make: impl Fn(&mut Servers, &str) -> Step + 'static,
    look: impl Fn(&S, &str) -> String + Clone + 'static,
    meddle: Option<fn(&S)>,
) -> Sample<Servers> {
    let (server, mut count) = (Rc::clone(server), 0);
    Sample {
        name,
        prepare: Box::new(move |machine| {
            count += 1;
            let injection = format!("{name}-{count}");
            let step = make(machine, &injection);
            let (looked_at, look, mark) = (Rc::clone(&server), look.clone(), mark_of(&injection));
            let meddled = Rc::clone(&server);
            Trial {
                marked: matches!(step, Step::Sessions(_)),
                step,
                injection,
                look: Box::new(move || look(&looked_at, &mark)),
                reversible: true,
                destroy: None,
                meddle: meddle.map(|deed| -> suite::Deed { Box::new(move || deed(&meddled)) }),
            }
        }),
    }
}

/// Changes a setting, has somebody who knows nothing but the server's address find and end what is there of it, and tells
/// what was found. The owner lives on, and does not bring it back.
pub(crate) fn ended_from_elsewhere(url: &str, fault: &str, is_set: impl Fn() -> bool) -> String {
    let mut owner = Servers::knowing(url);
    let step = step(&mut owner, url, "other-1", fault, &serde_json::json!({}));
    let undo = owner.capture(&step, "other-1").unwrap();
    suite::apply(&mut owner, &step, &undo).unwrap();
    assert!(is_set());
    let mut finder = Servers::knowing(url);
    let found = finder.leftovers().unwrap();
    for leftover in &found {
        let removed = finder.remove(leftover).unwrap();
        assert!(!matches!(removed, Reverted::Drifted(_)), "{removed:?}");
    }
    assert!(!is_set(), "{found:?}");
    assert!(!matches!(owner.revert(&undo).unwrap(), Reverted::Drifted(_)));
    assert!(finder.leftovers().unwrap().is_empty());
    found.into_iter().map(|leftover| leftover.what).collect::<Vec<_>>().join("; ")
}
