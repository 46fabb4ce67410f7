//! The templates of a workflow as a timeline, and the timeline as the method of an experiment.

use super::super::ReadError;
use super::form::{Span, Translator};
use super::make::{self, Entries, entry};
use super::schedule::{Rounds, What as Scheduled};
use super::status_check::Wanted;
use super::task::{self, Branch, Task};
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
    /// The condition without which it is left out.
    when: Option<String>,
}

/// A timeline.
#[derive(Debug, Default)]
struct Laid {
    items: Vec<Timed>,
    /// Checks that are asked at a moment.
    checks: Vec<(i128, Node)>,
    length: i128,
    /// Where it is of branches that may be taken together: how long each is, and when it is taken.
    branches: Vec<(i128, String)>,
}

/// What a template comes to: timelines, and Tasks between them, of which nobody knows before when they end.
#[derive(Debug, Default)]
struct Course {
    parts: Vec<Part>,
    /// How long it takes at most, in nanoseconds.
    most: i128,
}

/// A part of a course, and the condition without which it is left out.
#[derive(Debug)]
struct Part {
    when: Option<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    Time(Laid),
    Ask(Node),
}

impl Course {
    fn of(laid: Laid) -> Self {
        let most = laid.length;
        Self { parts: vec![Part { when: None, what: What::Time(laid) }], most }
    }

    /// The one timeline that it is, where it has no Task.
    fn into_timeline(mut self) -> Result<Laid, Self> {
        match self.parts.pop() {
            None => Ok(Laid::default()),
            Some(Part { when: None, what: What::Time(laid) })
                if self.parts.is_empty() && laid.branches.is_empty() =>
            {
                Ok(laid)
            }
            Some(last) => {
                self.parts.push(last);
                Err(self)
            }
        }
    }

    /// This, and then the other.
    fn then(&mut self, other: Self) {
        self.most += other.most;
        for part in other.parts {
            match (self.parts.last_mut(), part) {
                (
                    Some(Part { when: None, what: What::Time(before) }),
                    Part { when: None, what: What::Time(after) },
                ) if before.branches.is_empty() && after.branches.is_empty() => before.then(after),
                (_, part) => self.parts.push(part),
            }
        }
    }

    /// The same, only where this holds.
    fn only(mut self, when: &str) -> Self {
        for part in &mut self.parts {
            part.when = Some(both(when, part.when.as_deref()));
        }
        self
    }

    fn timelines(&self) -> impl Iterator<Item = &Laid> {
        self.parts.iter().filter_map(|part| match &part.what {
            What::Time(laid) => Some(laid),
            What::Ask(_) => None,
        })
    }

    fn strikes(&self) -> usize {
        self.timelines().map(|laid| laid.items.len()).sum()
    }
}

impl Laid {
    fn then(&mut self, other: Self) {
        let start = self.length;
        self.items.extend(other.items.into_iter().map(|item| Timed { after: item.after + start, ..item }));
        self.checks.extend(other.checks.into_iter().map(|(at, check)| (at + start, check)));
        self.length += other.length;
    }
}

/// A condition that holds where both do.
fn both(one: &str, other: Option<&str>) -> String {
    other.map_or_else(|| one.to_owned(), |other| format!("({one}) and ({other})"))
}

/// A workflow that is being laid out.
pub(super) struct Layout<'w> {
    templates: &'w [Template],
    parts: Parts,
    /// What answers are called.
    answers: Vec<String>,
    /// How many branches of Tasks stand around what is laid out.
    depth: usize,
}

impl<'w> Layout<'w> {
    pub(super) fn new(templates: &'w [Template]) -> Self {
        Self { templates, parts: Parts::default(), answers: Vec::new(), depth: 0 }
    }

    /// The experiment of this entry.
    pub(super) fn finish(
        mut self,
        translator: &mut Translator<'_>,
        entry: &Node,
        place: Place,
    ) -> Option<Parts> {
        let course = self.lay(translator, entry, &mut Vec::new())?;
        if course.strikes() == 0 {
            translator.error(ReadError::at(entry.place, "this workflow comes to no fault"));
            return None;
        }
        self.place_checks(translator, &course)?;
        self.parts.method = course.parts.into_iter().flat_map(|part| entries(part, place)).collect();
        Some(self.parts)
    }

    fn lay(
        &mut self,
        translator: &mut Translator<'_>,
        name: &Node,
        chain: &mut Vec<String>,
    ) -> Option<Course> {
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
                let course = self.serial(translator, children, chain);
                course.and_then(|course| shortened(translator, course, template))
            }
            Type::Parallel(children) => {
                let course = self.parallel(translator, children, chain);
                course.and_then(|course| shortened(translator, course, template))
            }
            Type::Suspend => {
                Some(Course::of(Laid { length: template.deadline?.nanoseconds, ..Laid::default() }))
            }
            Type::Chaos(chaos) => Some(Course::of(lasting(translator, chaos, template.deadline))),
            Type::Rounds(rounds) => repeated(translator, rounds, template).map(Course::of),
            Type::StatusCheck { .. } => self.status(translator, template).map(Course::of),
            Type::Task(task) => self.task(translator, template, task, chain),
        };
        chain.pop();
        let course = laid?;
        if course.strikes() > MAX_STRIKES {
            let message = format!("this comes to more than {MAX_STRIKES} faults");
            translator
                .error(ReadError::at(name.place, message).help("let rounds begin less often, or end sooner"));
            return None;
        }
        Some(course)
    }

    fn serial(
        &mut self,
        translator: &mut Translator<'_>,
        children: &[Node],
        chain: &mut Vec<String>,
    ) -> Option<Course> {
        let mut whole = Course::default();
        for child in children {
            whole.then(self.lay(translator, child, chain)?);
        }
        Some(whole)
    }

    /// A question, and then those of its branches that its answer chooses.
    fn task(
        &mut self,
        translator: &mut Translator<'_>,
        template: &Template,
        task: &Task,
        chain: &mut Vec<String>,
    ) -> Option<Course> {
        let answer = self.answer_of(template);
        if let Some(deadline) = template.deadline {
            let deadline = go::duration(deadline.nanoseconds);
            translator.note(format!(
                "the `deadline` of the Task `{}` holds for its container, and for each of its branches anew; in Chaos Mesh it holds \
                 for both together, and a container that takes longer is left behind there",
                template.title()
            ));
            translator.note(format!(
                "a Task that says nothing within {deadline} ends the run: what follows is not known"
            ));
        }
        let ask = task.entry(&answer, template.deadline);
        let most = task::most(template.deadline);
        let mut course = Course { parts: vec![Part { when: None, what: What::Ask(ask) }], most };
        self.depth += 1;
        let branches = task.branches.iter().map(|branch| {
            let laid = self.lay(translator, &branch.target, chain)?;
            Some((branch, shortened(translator, laid, template)?))
        });
        let branches: Option<Vec<(&Branch, Course)>> = branches.collect();
        self.depth -= 1;
        let branches = branches?;
        course.then(if task.is_a_choice() {
            one_of(branches, &answer)
        } else {
            side_by_side(translator, branches, &answer)?
        });
        Some(course)
    }

    /// A name for the answer of a Task, which may be there more than once.
    fn answer_of(&mut self, template: &Template) -> String {
        let name = metric_name(&template.title());
        let mut free = name.clone();
        let mut number = 1;
        while self.answers.contains(&free) {
            number += 1;
            free = format!("{name}_{number}");
        }
        self.answers.push(free.clone());
        free
    }

    fn parallel(
        &mut self,
        translator: &mut Translator<'_>,
        children: &[Node],
        chain: &mut Vec<String>,
    ) -> Option<Course> {
        if let [only] = children {
            return self.lay(translator, only, chain);
        }
        let mut whole = Laid::default();
        for child in children {
            let Ok(laid) = self.lay(translator, child, chain)?.into_timeline() else {
                let message = "a Task beside other templates: nobody knows before how long it takes, so that what is done beside \
                               it has no place on the timeline";
                let error = ReadError::at(child.place, message).label("cannot be honoured");
                translator.error(error.help("let it stand in a Serial, before what depends on it"));
                return None;
            };
            whole.items.extend(laid.items);
            whole.checks.extend(laid.checks);
            whole.length = whole.length.max(laid.length);
        }
        Some(Course::of(whole))
    }

    /// A check that is asked once has its place on the timeline; one that goes on is a guard, or judges the hypothesis.
    fn status(&mut self, translator: &mut Translator<'_>, template: &Template) -> Option<Laid> {
        let Type::StatusCheck { check, aborts } = &template.kind else { return None };
        if self.depth > 0 {
            let message = "a StatusCheck in a branch of a Task: checks of Squall hold for the whole run, whatever is chosen";
            let error = ReadError::at(template.name.place, message).label("cannot be honoured");
            translator.error(error.help("put it before the Task"));
            return None;
        }
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
    fn place_checks(&mut self, translator: &mut Translator<'_>, course: &Course) -> Option<()> {
        let mut whole = Laid::default();
        for laid in course.timelines() {
            let (items, checks, length) = (laid.items.clone(), laid.checks.clone(), laid.length);
            whole.then(Laid { items, checks, length, ..Laid::default() });
        }
        for (at, check) in &whole.checks {
            let before = whole.items.iter().all(|item| item.after >= *at);
            let after = whole.items.iter().all(|item| item.after + item.lasts <= *at);
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
    let items =
        chaos.strikes.iter().map(|strike| Timed { after: 0, lasts, strike: strike.clone(), when: None });
    Laid { items: items.collect(), length, ..Laid::default() }
}

/// The rounds of a schedule within its deadline.
fn repeated(translator: &mut Translator<'_>, rounds: &Rounds, template: &Template) -> Option<Laid> {
    let Scheduled::Chaos(chaos) = &rounds.of else { return None };
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
        chaos.strikes.iter().map(move |strike| Timed { after, lasts, strike: strike.clone(), when: None })
    });
    Some(Laid { items: items.collect(), length: end, ..Laid::default() })
}

/// What is left of something that is cut off at its deadline.
fn cut(laid: Laid, deadline: Option<Span>) -> Laid {
    let Some(end) = deadline.map(|span| span.nanoseconds) else { return laid };
    let items = laid.items.into_iter().filter(|item| item.after < end);
    let items = items.map(|item| Timed { lasts: item.lasts.min(end - item.after), ..item }).collect();
    let checks = laid.checks.into_iter().filter(|(at, _)| *at <= end).collect();
    Laid { items, checks, length: laid.length.min(end), ..laid }
}

/// What is left of a course at the deadline of its template.
fn shortened(translator: &mut Translator<'_>, course: Course, template: &Template) -> Option<Course> {
    let course = match course.into_timeline() {
        Ok(laid) => return Some(Course::of(cut(laid, template.deadline))),
        Err(course) => course,
    };
    let Some(deadline) = template.deadline.filter(|deadline| deadline.nanoseconds < course.most) else {
        return Some(course);
    };
    let message = "there is a Task within this deadline, which nobody knows before how long it takes, so that it is not known what \
                   the deadline would cut off";
    let error = ReadError::at(deadline.place, message).label("cannot be honoured");
    let most = go::duration(course.most);
    translator.error(error.help(format!("leave it away, or give it all the time that it may take: {most}")));
    None
}

/// Branches of which one is taken at most.
fn one_of(branches: Vec<(&Branch, Course)>, answer: &str) -> Course {
    let most = branches.iter().map(|(_, course)| course.most).max().unwrap_or_default();
    let parts = branches.into_iter().flat_map(|(branch, course)| course.only(&branch.when(answer)).parts);
    Course { parts: parts.collect(), most }
}

/// Branches of which several may be taken, at once then.
fn side_by_side(
    translator: &mut Translator<'_>,
    branches: Vec<(&Branch, Course)>,
    answer: &str,
) -> Option<Course> {
    let mut whole = Laid::default();
    for (branch, course) in branches {
        let Ok(laid) = course.into_timeline() else {
            let message = "a Task in a branch that may be taken together with others: nobody knows before how long it takes, so \
                           that what is done beside it has no place on the timeline";
            let error = ReadError::at(branch.place, message).label("cannot be honoured");
            translator.error(
                error.help("let the expressions exclude each other, by `exitCode` or by what `stdout` is"),
            );
            return None;
        };
        let when = branch.when(answer);
        whole.length = whole.length.max(laid.length);
        whole.branches.push((laid.length, when.clone()));
        whole.items.extend(laid.items.into_iter().map(|item| Timed { when: Some(when.clone()), ..item }));
    }
    Some(Course::of(whole))
}

/// A part as entries of a method.
fn entries(part: Part, place: Place) -> Vec<Node> {
    let nodes = match part.what {
        What::Ask(node) => vec![node],
        What::Time(laid) => method(laid, place),
    };
    let only = |node: Node| match &part.when {
        Some(when) => chosen(node, when),
        None => node,
    };
    nodes.into_iter().map(only).collect()
}

/// An entry of a method, only where this holds.
fn chosen(node: Node, when: &str) -> Node {
    let Content::Map(mut entries) = node.content else { return node };
    let own = entries.iter().position(|(key, _)| key.name == "when").map(|at| entries.remove(at).1);
    let own = match own.map(|node| node.content) {
        Some(Content::Text(own)) => Some(own),
        _ => None,
    };
    entries.push(entry("when", make::text(both(when, own.as_deref()), node.place)));
    make::map(entries, node.place)
}

/// From where to where is waited between faults, each part with its condition: as long as a branch that is taken lasts.
fn waits(branches: &[(i128, String)], from: i128, to: i128) -> Vec<(i128, Option<String>)> {
    if branches.is_empty() {
        return vec![(to - from, None)];
    }
    let mut ends: Vec<i128> =
        branches.iter().map(|(end, _)| (*end).min(to)).filter(|end| *end > from).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut begins = from;
    let part = |end: i128| {
        let length = end - std::mem::replace(&mut begins, end);
        let mut those: Vec<String> =
            branches.iter().filter(|(last, _)| *last >= end).map(|(_, when)| format!("({when})")).collect();
        those.dedup();
        (length, Some(those.join(" or ")))
    };
    ends.into_iter().map(part).collect()
}

/// A timeline as entries of a method: what is active at the same time stands together.
fn method(laid: Laid, place: Place) -> Vec<Node> {
    let Laid { mut items, length, branches, .. } = laid;
    items.sort_by_key(|item| item.after);
    let mut entries: Vec<(Node, i64)> = Vec::new();
    let mut now = 0;
    let mut rest = items.into_iter().peekable();
    let wait = |from: i128, to: i128| {
        let parts = waits(&branches, from, to).into_iter().map(|(nanoseconds, when)| {
            let wait = make::map(vec![entry("wait", Span { nanoseconds, place }.node())], place);
            (when.map_or_else(|| wait.clone(), |when| chosen(wait.clone(), &when)), 1)
        });
        parts.collect::<Vec<_>>()
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
            entries.extend(wait(now, start));
        }
        let together = group_entry(&group, start, place);
        match entries.last_mut() {
            Some((last, times)) if *last == together => *times += 1,
            _ => entries.push((together, 1)),
        }
        now = end;
    }
    if length > now {
        entries.extend(wait(now, length));
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
        if let Some(when) = &item.when {
            entries.push(entry("when", make::text(when, item.strike.place)));
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
