//! The templates of a workflow as a timeline, and the timeline as the method of an experiment.

use super::super::ReadError;
use super::form::{Span, Translator};
use super::make::{self, Entries, entry};
use super::schedule::{Rounds, What};
use super::status_check::Wanted;
use super::workflow::{Template, Type};
use super::{Chaos, Parts, Strike, go};
use crate::experiment::DEFAULT_LASTS;
use crate::node::{Content, Node, Place};

/// How many faults a workflow may come to.
const MAX_STRIKES: usize = 1000;
/// What the http metric takes for an answer without a number.
const FIRST_ERROR: i64 = 400;

/// A fault on the timeline, in nanoseconds.
#[derive(Debug, Clone)]
struct Timed {
    after: i128,
    lasts: i128,
    strike: Strike,
}

/// What a template comes to.
#[derive(Debug, Default)]
struct Laid {
    items: Vec<Timed>,
    /// Checks that are asked at a moment.
    checks: Vec<(i128, Node)>,
    length: i128,
}

/// A workflow that is being laid out.
pub(super) struct Layout<'w> {
    templates: &'w [Template],
    parts: Parts,
}

impl<'w> Layout<'w> {
    pub(super) fn new(templates: &'w [Template]) -> Self {
        Self { templates, parts: Parts::default() }
    }

    /// The experiment of this entry.
    pub(super) fn finish(
        mut self,
        translator: &mut Translator<'_>,
        entry: &Node,
        place: Place,
    ) -> Option<Parts> {
        let laid = self.lay(translator, entry, &mut Vec::new())?;
        if laid.items.is_empty() {
            translator.error(ReadError::at(entry.place, "this workflow comes to no fault"));
            return None;
        }
        self.place_checks(translator, &laid)?;
        self.parts.method = method(laid.items, laid.length, place);
        Some(self.parts)
    }

    fn lay(&mut self, translator: &mut Translator<'_>, name: &Node, chain: &mut Vec<String>) -> Option<Laid> {
        let Content::Text(text) = &name.content else { return None };
        if chain.contains(text) {
            let message = format!("the template `{text}` is its own child, in a circle");
            translator.error(ReadError::at(name.place, message));
            return None;
        }
        let template = self.templates.iter().find(|template| template.is_called(text))?;
        chain.push(text.clone());
        let laid = match &template.kind {
            Type::Serial(children) => {
                self.serial(translator, children, chain).map(|laid| cut(laid, template.deadline))
            }
            Type::Parallel(children) => {
                self.parallel(translator, children, chain).map(|laid| cut(laid, template.deadline))
            }
            Type::Suspend => Some(Laid { length: template.deadline?.nanoseconds, ..Laid::default() }),
            Type::Chaos(chaos) => Some(lasting(translator, chaos, template.deadline)),
            Type::Rounds(rounds) => repeated(translator, rounds, template),
            Type::StatusCheck { .. } => self.status(translator, template),
        };
        chain.pop();
        let laid = laid?;
        if laid.items.len() > MAX_STRIKES {
            let message = format!("this comes to more than {MAX_STRIKES} faults");
            translator
                .error(ReadError::at(name.place, message).help("let rounds begin less often, or end sooner"));
            return None;
        }
        Some(laid)
    }

    fn serial(
        &mut self,
        translator: &mut Translator<'_>,
        children: &[Node],
        chain: &mut Vec<String>,
    ) -> Option<Laid> {
        let mut whole = Laid::default();
        for child in children {
            let laid = self.lay(translator, child, chain)?;
            let start = whole.length;
            whole
                .items
                .extend(laid.items.into_iter().map(|item| Timed { after: item.after + start, ..item }));
            whole.checks.extend(laid.checks.into_iter().map(|(at, check)| (at + start, check)));
            whole.length += laid.length;
        }
        Some(whole)
    }

    fn parallel(
        &mut self,
        translator: &mut Translator<'_>,
        children: &[Node],
        chain: &mut Vec<String>,
    ) -> Option<Laid> {
        let mut whole = Laid::default();
        for child in children {
            let laid = self.lay(translator, child, chain)?;
            whole.items.extend(laid.items);
            whole.checks.extend(laid.checks);
            whole.length = whole.length.max(laid.length);
        }
        Some(whole)
    }

    /// A check that is asked once has its place on the timeline; one that goes on is a guard, or judges the hypothesis.
    fn status(&mut self, translator: &mut Translator<'_>, template: &Template) -> Option<Laid> {
        let Type::StatusCheck { check, aborts } = &template.kind else { return None };
        if !check.continuous {
            translator.note(format!(
                "the check `{}` is one of the steady state: nothing is touched unless it holds, and it must hold again after \
                 the undo",
                template.title()
            ));
            let checks = vec![(0, check.check(&template.name))];
            return Some(Laid { checks, ..Laid::default() });
        }
        let ends = [template.deadline, check.lasts].into_iter().flatten().map(|span| span.nanoseconds).min();
        let laid = Laid { length: ends.unwrap_or(0), ..Laid::default() };
        if !aborts {
            translator.note(format!(
                "the check `{}` judges the hypothesis while a fault is active, with every answer; Chaos Mesh only writes it down",
                template.title()
            ));
            let check = check.check(&template.name);
            if !self.parts.hypothesis_holds.contains(&check) {
                self.parts.hypothesis_holds.push(check);
            }
            return Some(laid);
        }
        let Wanted { first, last, place } = check.wanted;
        if first >= FIRST_ERROR {
            let message = format!(
                "a status of {FIRST_ERROR} or above ends a run, so that none can be asked to go on with it"
            );
            translator.error(ReadError::at(place, message).label("cannot be honoured"));
            return None;
        }
        translator.note(format!(
            "the check `{}` guards the whole run; no answer, or a status of {FIRST_ERROR} or above, ends it at once",
            template.title()
        ));
        let name = metric_name(&template.title());
        if self.parts.metrics.iter().any(|(key, _)| key.name == name) {
            return Some(laid);
        }
        let (failures, interval) = check.patience;
        let last = last.min(FIRST_ERROR - 1);
        let wrong = if first == last {
            format!("{name} != {first}")
        } else {
            format!("({name} < {first} or {name} > {last})")
        };
        let patience = (failures - 1).saturating_mul(interval);
        let condition = if patience > 0 { format!("{wrong} for {patience}s") } else { wrong };
        let abort_if = entry("abort_if", make::text(condition, place));
        self.parts.guard.push(make::map(vec![abort_if], place));
        let mut http = check.http.clone();
        http.push(entry("value", make::text("status", place)));
        let metric = make::map(vec![entry("http", make::map(http, place))], place);
        self.parts.metrics.push(entry(&name, metric));
        Some(laid)
    }

    /// Checks before all faults, or after them, are checks of the steady state.
    fn place_checks(&mut self, translator: &mut Translator<'_>, laid: &Laid) -> Option<()> {
        for (at, check) in &laid.checks {
            let before = laid.items.iter().all(|item| item.after >= *at);
            let after = laid.items.iter().all(|item| item.after + item.lasts <= *at);
            if !before && !after {
                let message = "this check stands between faults, and the steady state is asked for before and after them all";
                let error = ReadError::at(check.place, message).label("cannot be honoured");
                translator.error(error.help(
                    "put it first or last, or let it judge while faults are active: `mode: Continuous`",
                ));
                return None;
            }
            if !self.parts.steady_state.contains(check) {
                self.parts.steady_state.push(check.clone());
            }
        }
        Some(())
    }
}

/// A fault within its deadline.
fn lasting(translator: &mut Translator<'_>, chaos: &Chaos, deadline: Option<Span>) -> Laid {
    let length = deadline.map_or_else(
        || {
            translator.note(format!(
                "a template without `deadline` does not end in Chaos Mesh; Squall goes on after {DEFAULT_LASTS}"
            ));
            DEFAULT_LASTS.0.as_nanos().cast_signed()
        },
        |span| span.nanoseconds,
    );
    let lasts = chaos.lasts.map_or(length, |span| span.nanoseconds.min(length));
    let items = chaos.strikes.iter().map(|strike| Timed { after: 0, lasts, strike: strike.clone() });
    Laid { items: items.collect(), length, ..Laid::default() }
}

/// The rounds of a schedule within its deadline.
fn repeated(translator: &mut Translator<'_>, rounds: &Rounds, template: &Template) -> Option<Laid> {
    let What::Chaos(chaos) = &rounds.of else { return None };
    let Content::Text(cron) = &rounds.cron.content else { return None };
    let Some(deadline) = template.deadline else {
        let message = "a schedule within a workflow needs a `deadline`: its rounds have no end";
        translator.error(ReadError::at(template.name.place, message));
        return None;
    };
    let Some(every) = cron.trim().strip_prefix("@every ") else {
        let message = format!(
            "within a workflow, rounds are laid out between its beginning and its deadline, and {cron:?} is about \
                               the clock on the wall"
        );
        let error = ReadError::at(rounds.cron.place, message).label("cannot be honoured");
        translator.error(error.help("such as `@every 2m`"));
        return None;
    };
    let every = translator.span(&make::text(every.trim(), rounds.cron.place))?.nanoseconds;
    let end = deadline.nanoseconds;
    let (lasts, spacing) = match (chaos.once, chaos.lasts) {
        (true, _) => (every, every),
        (false, Some(span)) if rounds.overlap => (span.nanoseconds, every),
        // The next begins at the first turn at which the one before is over.
        (false, Some(span)) => (span.nanoseconds, (span.nanoseconds + every - 1) / every * every),
        (false, None) if rounds.overlap => {
            let message = "rounds that may overlap and have no `duration` would pile up";
            translator.error(ReadError::at(rounds.cron.place, message).help("give the fault a `duration`"));
            return None;
        }
        (false, None) => (end, end),
    };
    let count = usize::try_from((end + spacing - 1) / spacing).unwrap_or(usize::MAX);
    if count.saturating_mul(chaos.strikes.len()) > MAX_STRIKES {
        let message = format!("within this deadline there are more than {MAX_STRIKES} rounds");
        translator.error(ReadError::at(rounds.cron.place, message));
        return None;
    }
    translator.note("the rounds of a schedule begin at once; in Chaos Mesh the first waits for its turn");
    let starts = (0..count).map(|round| round as i128 * spacing);
    let items = starts.flat_map(|after| {
        let lasts = lasts.min(end - after);
        chaos.strikes.iter().map(move |strike| Timed { after, lasts, strike: strike.clone() })
    });
    Some(Laid { items: items.collect(), length: end, ..Laid::default() })
}

/// What is left of something that is cut off at its deadline.
fn cut(laid: Laid, deadline: Option<Span>) -> Laid {
    let Some(end) = deadline.map(|span| span.nanoseconds) else { return laid };
    let items = laid.items.into_iter().filter(|item| item.after < end);
    let items = items.map(|item| Timed { lasts: item.lasts.min(end - item.after), ..item }).collect();
    let checks = laid.checks.into_iter().filter(|(at, _)| *at <= end).collect();
    Laid { items, checks, length: laid.length.min(end) }
}

/// A timeline as entries of a method: what is active at the same time stands together.
fn method(mut items: Vec<Timed>, length: i128, place: Place) -> Vec<Node> {
    items.sort_by_key(|item| item.after);
    let mut entries: Vec<(Node, i64)> = Vec::new();
    let mut now = 0;
    let mut rest = items.into_iter().peekable();
    let wait = |from: i128, to: i128| {
        let span = Span { nanoseconds: to - from, place };
        (make::map(vec![entry("wait", span.node())], place), 1)
    };
    while let Some(first) = rest.next() {
        let start = first.after;
        let mut end = start + first.lasts;
        let mut group = vec![first];
        while let Some(next) = rest.next_if(|item| item.after < end) {
            end = end.max(next.after + next.lasts);
            group.push(next);
        }
        if start > now {
            entries.push(wait(now, start));
        }
        let together = group_entry(&group, start, place);
        match entries.last_mut() {
            Some((last, times)) if *last == together => *times += 1,
            _ => entries.push((together, 1)),
        }
        now = end;
    }
    if length > now {
        entries.push(wait(now, length));
    }
    entries.into_iter().map(|(node, times)| repeat(node, times)).collect()
}

fn repeat(node: Node, times: i64) -> Node {
    match node.content {
        Content::Map(mut entries) if times > 1 => {
            entries.push(entry("repeat", make::whole(times, node.place)));
            make::map(entries, node.place)
        }
        content => Node { content, place: node.place },
    }
}

/// The faults of a group, each with its own time where they differ.
fn group_entry(group: &[Timed], start: i128, place: Place) -> Node {
    let time = |name: &str, nanoseconds: i128, strike: &Strike| {
        entry(name, make::text(go::duration(nanoseconds), strike.place))
    };
    let member = |item: &Timed| {
        let mut entries: Entries = item.strike.entries();
        entries.push(time("for", item.lasts, &item.strike));
        if item.after > start {
            entries.push(time("after", item.after - start, &item.strike));
        }
        make::map(entries, item.strike.place)
    };
    match group {
        [item] => member(item),
        items => {
            let members = items.iter().map(member).collect();
            make::map(vec![entry("together", make::list(members, place))], place)
        }
    }
}

/// The name of a template as that of a metric.
fn metric_name(template: &str) -> String {
    let name: String =
        template.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let is_word = matches!(name.as_str(), "and" | "or" | "not" | "for");
    if is_word || !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return format!("check_{name}");
    }
    name
}
