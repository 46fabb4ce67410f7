//! What tests of the engine are made of.

use crate::link::LinkError;
use squall_model::condition::Condition;
use squall_model::experiment::{
    Action, Ask, Check, DEFAULT_FRESH, Experiment, Load, Metric, ProbeCall, Strike,
};
use squall_model::machine::Leftover;
use squall_model::node::{Content, Node, Place};
use squall_model::plan::PlannedInjection;
use squall_model::protocol::{CallError, CallErrorKind, Restored};
use squall_model::target::{Mode, Round, Selection, Target};
use squall_model::undo::{Difference, Reverted};
use squall_model::units::Duration;

pub(crate) fn injection(id: &str, entry: usize) -> PlannedInjection {
    PlannedInjection {
        id: id.into(),
        entry,
        fault: "network.latency".into(),
        target: "eth0".into(),
        steps: Vec::new(),
        does: Vec::new(),
        undone_by: Vec::new(),
        claims: Vec::new(),
        lasts: Duration::seconds(10),
        within: Vec::new(),
        strikes: Vec::new(),
    }
}

pub(crate) fn restored(id: &str) -> Restored {
    Restored {
        injection: id.into(),
        fault: "network.latency".into(),
        target: "eth0".into(),
        steps: vec![Reverted::Undone { looked_at: "qdisc of eth0".into() }],
        errors: Vec::new(),
    }
}

pub(crate) fn drifted(id: &str) -> Restored {
    let difference = Difference {
        looked_at: "qdisc of eth0".into(),
        before: "fq_codel".into(),
        now: "netem".into(),
        remedy: "tc qdisc del dev eth0 root".into(),
        under_way: false,
    };
    Restored { steps: vec![Reverted::Drifted(difference)], ..restored(id) }
}

pub(crate) fn leftover(id: &str) -> Leftover {
    Leftover {
        what: "a qdisc".into(),
        injection: Some(id.into()),
        claim: None,
        digest: None,
        held: None,
        remedy: "tc qdisc del dev eth0 root".into(),
    }
}

pub(crate) fn lost() -> LinkError {
    LinkError::Lost("the stream ended".into())
}

pub(crate) fn refused(message: &str) -> LinkError {
    LinkError::Refused(CallError { kind: CallErrorKind::Failed, message: message.into(), entry: None })
}

/// An experiment that does nothing and asks nothing.
pub(crate) fn experiment() -> Experiment {
    Experiment {
        name: "test".into(),
        hypothesis: "it holds".into(),
        recovery_within: Duration::seconds(30),
        ..Experiment::default()
    }
}

/// A fault of so many seconds on this host.
pub(crate) fn strike(seconds: u64) -> Strike {
    Strike {
        fault: "network.latency".into(),
        selection: Selection {
            target: Target::Host(true),
            mode: Mode::All,
            value: None,
            round: Round::Down,
            optional: false,
            follow: false,
        },
        with: nothing(),
        lasts: Duration::seconds(seconds),
        after: Duration::seconds(0),
        place: Place::default(),
        stage: None,
        when: None,
    }
}

/// A question of the method that waits for so many seconds.
pub(crate) fn ask(name: &str, seconds: u64) -> Action {
    let probe = ProbeCall { kind: "exec".into(), parameters: nothing() };
    Action::Ask(Ask { name: name.into(), probe, within: Duration::seconds(seconds), when: None })
}

/// The same fault, only where this holds.
pub(crate) fn only(when: &str, strike: Strike) -> Strike {
    Strike { when: Some(Condition::parse(when).unwrap()), ..strike }
}

pub(crate) fn nothing() -> Node {
    Node { content: Content::Null, place: Place::default() }
}

/// A check that asks a probe.
pub(crate) fn check(name: &str, expect: &str) -> Check {
    let probe = ProbeCall { kind: "http".into(), parameters: nothing() };
    Check { name: name.into(), probe: Some(probe), expect: Condition::parse(expect).unwrap(), within: None }
}

/// A check that speaks of metrics.
pub(crate) fn metric_check(expect: &str) -> Check {
    Check { name: expect.into(), probe: None, expect: Condition::parse(expect).unwrap(), within: None }
}

pub(crate) fn metric(name: &str) -> Metric {
    Metric { name: name.into(), source: "prometheus".into(), parameters: nothing(), fresh_for: DEFAULT_FRESH }
}

pub(crate) fn load(name: &str) -> Load {
    Load {
        name: name.into(),
        kind: "http".into(),
        parameters: nothing(),
        rate: "100/s".parse().unwrap(),
        timeout: Duration::seconds(2),
        window: Duration::seconds(10),
    }
}
