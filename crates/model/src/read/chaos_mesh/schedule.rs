//! `Schedule`, and `scheduler` of the first version: when rounds of an experiment begin. The rounds are told as data; what is
//! read is one of them.

use super::super::fields::Fields;
use super::super::{ReadError, nearest};
use super::form::{Translator, is_blank};
use super::make::{self, entry};
use super::{Chaos, KINDS, Kind, Parts, refused};
use crate::node::{Content, Node};

/// A schedule as it stands in a manifest.
#[derive(Debug)]
pub(super) struct Rounds {
    /// When they begin.
    pub(super) cron: Node,
    /// Whether one may begin while another goes on.
    pub(super) overlap: bool,
    /// The fault of each.
    pub(super) of: What,
    rest: make::Entries,
}

/// What is done in a round.
#[derive(Debug)]
pub(super) enum What {
    /// Faults.
    Chaos(Chaos),
    /// A workflow, by its specification.
    Workflow(Node),
}

impl Translator<'_> {
    /// A Schedule: one round, and when the others begin.
    pub(super) fn schedule(&mut self, spec: &Node) -> Option<Parts> {
        let Rounds { cron, overlap, of, rest } = self.rounds(spec, "`spec`", true)?;
        self.about_rounds(&cron);
        let place = cron.place;
        let concurrency = if overlap { "allow" } else { "forbid" };
        let entries = [entry("cron", cron), entry("concurrency", make::text(concurrency, place))];
        let schedule = make::map(entries.into_iter().chain(rest).collect(), spec.place);
        let parts = match of {
            What::Chaos(chaos) => {
                self.about_duration(&chaos);
                Parts { method: vec![chaos.entry(spec.place)], ..Parts::default() }
            }
            What::Workflow(node) => self.workflow(&node)?,
        };
        Some(Parts { schedule: Some(schedule), ..parts })
    }

    /// `scheduler: {cron: …}` beside the fault.
    pub(super) fn scheduler(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`scheduler`")?;
        let cron = self.cron(&mut fields, "cron");
        fields.finish(&mut self.reader);
        let cron = cron?;
        self.note(
            "`scheduler` is of the first version of Chaos Mesh; later ones pass over it, Squall does not",
        );
        self.about_rounds(&cron);
        let place = cron.place;
        Some(make::map(
            vec![entry("cron", cron), entry("concurrency", make::text("forbid", place))],
            node.place,
        ))
    }

    fn about_rounds(&mut self, cron: &Node) {
        if let Content::Text(cron) = &cron.content {
            self.note(format!("`squall run` carries out one round; when others begin (`{cron}`) is for whoever keeps schedules"));
        }
    }

    fn cron(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<Node> {
        let node = self.required(fields, name, "when rounds begin, such as `@every 2h` or `0 3 * * *`")?;
        self.text(node).map(|_| node.clone())
    }

    /// What a schedule says; `workflows` where it may start those.
    pub(super) fn rounds(&mut self, spec: &Node, what: &str, workflows: bool) -> Option<Rounds> {
        let mut fields = self.reader.fields(spec, what)?;
        let cron = self.cron(&mut fields, "schedule");
        let policy = fields.get("concurrencyPolicy").filter(|node| !is_blank(node));
        let policy = policy.map(|node| self.word(node, "policy", &["Forbid", "Allow"]));
        let mut rest = make::Entries::new();
        if let Some((seconds, place)) =
            self.optional_whole(&mut fields, "startingDeadlineSeconds", (1, i64::from(u32::MAX)))
        {
            rest.push(entry("starting_deadline", make::text(format!("{seconds}s"), place)));
        }
        if let Some((count, place)) =
            self.optional_whole(&mut fields, "historyLimit", (1, i64::from(u32::MAX)))
        {
            rest.push(entry("history", make::whole(count, place)));
        }
        let of = self.what_is_scheduled(&mut fields, workflows);
        fields.finish(&mut self.reader);
        let overlap = policy.unwrap_or(Some("Forbid"))? == "Allow";
        Some(Rounds { cron: cron?, overlap, of: of?, rest })
    }

    fn what_is_scheduled(&mut self, fields: &mut Fields<'_>, workflows: bool) -> Option<What> {
        let own = KINDS.iter().map(|kind| (kind.name, kind.embedded));
        let all: Vec<(&str, &str)> =
            own.chain(refused::embedded()).chain(workflows.then_some(("Workflow", "workflow"))).collect();
        let node = self.required(fields, "type", "what is scheduled, such as PodChaos")?;
        let name = self.text(node)?;
        let Some((_, key)) = all.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
            let error = ReadError::at(node.place, format!("unknown type `{name}`"));
            self.error(error.label("not known here").help(nearest::advice(&name, &known)));
            return None;
        };
        let others: Vec<&str> = all.iter().map(|(_, other)| *other).filter(|other| other != key).collect();
        self.pass_over(fields, &others, &format!("`type: {name}`"));
        if let Some(refusal) = refused::refusal(&name) {
            fields.get(key);
            self.error(refusal.error(&name, node.place));
            return None;
        }
        let spec = self.required(fields, key, &format!("what the {name} does"))?;
        match KINDS.iter().find(|kind: &&Kind| kind.name == name) {
            Some(kind) => self.embedded(kind, spec).map(What::Chaos),
            None => Some(What::Workflow(spec.clone())),
        }
    }
}
