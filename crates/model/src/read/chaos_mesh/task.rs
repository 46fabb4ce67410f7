//! `Task`: a container of the user's that runs to its end, and branches by what it said.

use super::super::ReadError;
use super::super::fields::Fields;
use super::expression::Names;
use super::form::{Span, Translator};
use super::make::{self, Entries, entry};
use super::{expression, go};
use crate::condition::{Condition, ConditionState, Truth};
use crate::node::{Node, Place};
use crate::value::{Reading, Value};
use std::collections::BTreeSet;

/// How long a container may take whose Task says nothing of it, in nanoseconds.
const TAKES: i128 = 300_000_000_000;
/// How much longer is waited for the answer, so that it can be told what was waited for.
const LONGER: i128 = 15_000_000_000;

/// What a Task says.
#[derive(Debug)]
pub(super) struct Task {
    /// The parameters of the probe, without the time that it may take.
    pod: Entries,
    /// What follows.
    pub(super) branches: Vec<Branch>,
    place: Place,
}

/// What follows a Task where an expression holds.
#[derive(Debug)]
pub(super) struct Branch {
    /// The template.
    pub(super) target: Node,
    /// As it stands in the manifest, and is known to be understood.
    expression: String,
    /// Where that is.
    pub(super) place: Place,
}

impl Branch {
    /// The condition on the answer that is called so.
    pub(super) fn when(&self, answer: &str) -> String {
        expression::condition(&self.expression, answer).unwrap_or_default()
    }
}

/// How long the answer of a Task is waited for at most, in nanoseconds.
pub(super) fn most(deadline: Option<Span>) -> i128 {
    deadline.map_or(TAKES, |span| span.nanoseconds) + LONGER
}

impl Task {
    /// The question that it is, as an entry of a method.
    pub(super) fn entry(&self, answer: &str, deadline: Option<Span>) -> Node {
        let place = self.place;
        let time = |nanoseconds: i128| make::text(go::duration(nanoseconds), place);
        let mut pod = self.pod.clone();
        pod.push(entry("timeout", time(most(deadline) - LONGER)));
        let ask = make::map(vec![entry("pod", make::map(pod, place))], place);
        let entries = vec![
            entry("ask", ask),
            entry("as", make::text(answer, place)),
            entry("within", time(most(deadline))),
        ];
        make::map(entries, place)
    }

    /// Whether at most one of its branches is taken, whatever the container says.
    pub(super) fn is_a_choice(&self) -> bool {
        let names = Names { code: "code", printed: "printed", searched: "searched" };
        let parsed =
            |branch: &Branch| Condition::parse(&expression::with_names(&branch.expression, names).ok()?).ok();
        let conditions: Option<Vec<Condition>> = self.branches.iter().map(parsed).collect();
        let Some(conditions) = conditions else { return false };
        let readings = self.answers();
        let may_hold = |condition: &&Condition, reading: &Reading| {
            condition.judge(&mut ConditionState::default(), 0.0, reading) != Truth::Fails
        };
        let is_alone = |reading: &Reading| {
            conditions.iter().filter(|condition| may_hold(condition, reading)).count() <= 1
        };
        readings.iter().all(is_alone)
    }

    /// What the container may say: with each exit code the texts that its branches name, and another, of which it is not known what
    /// is found in it.
    fn answers(&self) -> Vec<Reading> {
        let texts: BTreeSet<String> =
            self.branches.iter().flat_map(|branch| expression::texts(&branch.expression)).collect();
        let other = texts.iter().map(String::as_str).chain(["another"]).collect::<String>();
        let reading = |code: u8, printed: &str| {
            Reading::from([
                ("code".to_owned(), Value::Number(code.into())),
                ("printed".to_owned(), printed.into()),
            ])
        };
        let of = |code: u8| {
            let known = texts.iter().map(move |text| {
                let mut reading = reading(code, text);
                reading.insert("searched".to_owned(), text.as_str().into());
                reading
            });
            known.chain([reading(code, &other)]).collect::<Vec<_>>()
        };
        (0..=u8::MAX).flat_map(of).collect()
    }
}

impl Translator<'_> {
    /// The Task of a template.
    pub(super) fn task(&mut self, fields: &mut Fields<'_>, place: Place) -> Option<Task> {
        let pod = self.required(fields, "task", "what is run").and_then(|node| self.task_pod(node));
        let list = fields.get("conditionalBranches");
        let items = list.map_or(&[][..], |node| self.reader.list(node, "`conditionalBranches`"));
        let branches: Option<Vec<Branch>> = items.iter().map(|item| self.branch(item)).collect();
        Some(Task { pod: pod?, branches: branches?, place })
    }

    fn task_pod(&mut self, node: &Node) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`task`")?;
        let container = self.required(&mut fields, "container", "what is run");
        let volumes = fields.get("volumes");
        let labels = self.optional_text_map(&mut fields, "labels");
        fields.finish(&mut self.reader);
        let mut pod = Entries::new();
        if let Some(namespace) = self.namespace.clone() {
            pod.push(entry("namespace", namespace));
        }
        pod.push(entry("container", container?.clone()));
        pod.extend(volumes.map(|volumes| entry("volumes", volumes.clone())));
        pod.extend(labels.map(|labels| entry("labels", labels)));
        Some(pod)
    }

    fn branch(&mut self, node: &Node) -> Option<Branch> {
        let mut fields = self.reader.fields(node, "an entry of `conditionalBranches`")?;
        let target = self.required(&mut fields, "target", "the template that follows");
        let asks = self.required(&mut fields, "expression", "when it follows, such as `exitCode == 0`");
        fields.finish(&mut self.reader);
        let (target, asks) = (target?, asks?);
        self.text(target)?;
        let expression = self.text(asks)?;
        if let Err(why) = expression::condition(&expression, "t") {
            let message = format!("the expression cannot be read: {why}");
            let error = ReadError::at(asks.place, message).label("cannot be honoured");
            self.error(error.help(
                "`exitCode` and `stdout`, `==` `!=` `<` `>` `in`, `contains` `startsWith` `endsWith` `matches`, `&&` `||` `!` are",
            ));
            return None;
        }
        Some(Branch { target: target.clone(), expression, place: asks.place })
    }
}
