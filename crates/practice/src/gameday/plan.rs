//! From Markdown to a plan: sections by their names, people by their roles, times, phases.

use super::criteria;
use super::markdown::{self, Section, Text};
use super::quantities::time_of_day;
use squall_model::gameday::{FollowUp, LinkedExperiment, Measures, Participant, Phase, Plan, Slot};
use squall_model::node::Place;
use squall_model::read::ReadError;
use std::ops::Range;

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Objective,
    Hypothesis,
    Participants,
    Timeline,
    Criteria,
    Rollback,
    Experiments,
    FollowUps,
}

/// The names of each kind of section; the first is what a template calls it.
const NAMES: [(Kind, &[&str]); 8] = [
    (Kind::Objective, &["objective", "objectives", "goal", "goals", "purpose", "aim"]),
    (Kind::Hypothesis, &["hypothesis", "hypotheses"]),
    (Kind::Participants, &["participants", "participant", "team", "people", "roles", "attendees"]),
    (Kind::Timeline, &["timeline", "time line", "schedule", "agenda"]),
    (
        Kind::Criteria,
        &["success criteria", "success criterion", "criteria", "acceptance criteria", "exit criteria"],
    ),
    (
        Kind::Rollback,
        &["rollback plan", "rollback", "roll back plan", "back out plan", "backout plan", "abort plan"],
    ),
    (Kind::Experiments, &["experiments", "linked experiments", "experiment", "chaos experiments"]),
    (Kind::FollowUps, &["follow ups", "followups", "follow up", "action items", "actions", "next steps"]),
];

/// What stands before the name of a day in the title.
const TITLES: [&str; 3] = ["game day", "gameday", "chaos day"];

/// Words that tell a phase, the most telling first.
const PHASE_WORDS: [(Phase, &[&str]); 6] = [
    (
        Phase::Analyse,
        &[
            "post-mortem",
            "postmortem",
            "debrief",
            "retro",
            "retrospective",
            "analyse",
            "analyze",
            "analysis",
            "review",
            "wrap-up",
            "lessons",
            "report",
        ],
    ),
    (Phase::Recover, &["recovery", "recover", "recovered"]),
    (
        Phase::Verify,
        &["pre-checks", "pre-check", "prechecks", "precheck", "baseline", "verify", "steady", "kick-off"],
    ),
    (Phase::Recover, &["restore", "rollback", "roll", "failback", "fail-back", "put"]),
    (
        Phase::Inject,
        &["inject", "injection", "failure", "fail", "fault", "break", "kill", "attack", "trigger", "start"],
    ),
    (Phase::Observe, &["observe", "observation", "monitor", "watch", "record", "measure"]),
];

/// The roles whose turn a phase is, the fittest first.
const TURNS: [(Phase, &[&str]); 5] = [
    (Phase::Verify, &["observer", "technical lead", "tech lead", "sre", "engineer"]),
    (Phase::Inject, &["technical lead", "tech lead", "chaos", "operator", "engineer", "sre", "lead"]),
    (Phase::Observe, &["observer", "scribe", "note", "analyst", "monitor"]),
    (Phase::Recover, &["technical lead", "tech lead", "operator", "engineer", "sre", "lead"]),
    (Phase::Analyse, DECIDE),
];

/// The roles that say go or no-go.
const DECIDE: &[&str] =
    &["commander", "facilitator", "game master", "moderator", "owner", "manager", "coordinator"];

/// A plan whose criteria are not resolved yet.
#[derive(Debug)]
pub struct Draft {
    /// All but the criteria and experiments.
    plan: Plan,
    /// The bytes of the `squall` block.
    pub block: Option<Range<usize>>,
    /// What is worth knowing and no mistake.
    pub remarks: Vec<String>,
    hypothesis: Option<Text>,
    criteria: Vec<Text>,
    experiments: Vec<(LinkedExperiment, Place)>,
}

/// Reads a plan in Markdown.
///
/// # Errors
/// All mistakes, in the order of the file.
pub fn read(text: &str) -> Result<Draft, Vec<ReadError>> {
    let document = markdown::read(text);
    let mut reader = Reader::default();
    let mut seen: Vec<Kind> = Vec::new();
    for section in &document.sections {
        match kind_of(&section.heading.words) {
            Ok(kind) if seen.contains(&kind) => {
                let message = format!("`{}` is a second section of its kind", section.heading.words);
                reader.errors.push(ReadError::at(section.heading.place, message).help("join the two"));
            }
            Ok(kind) => {
                seen.push(kind);
                reader.section(kind, section);
            }
            Err(Some(meant)) => {
                let message = format!("unknown section `{}`", section.heading.words);
                let help = format!("did you mean `{meant}`?");
                reader.errors.push(ReadError::at(section.heading.place, message).help(help));
            }
            Err(None) => reader.other(section),
        }
    }
    if let [_, second, ..] = document.blocks.as_slice() {
        let place = Place { start: second.start, end: second.start };
        reader.errors.push(ReadError::at(place, "a plan has one `squall` block, and this is another"));
    }
    reader.finish(&seen, document.blocks.first().cloned(), text)
}

/// The kind of a section by its heading; else the name that was probably meant.
fn kind_of(heading: &str) -> Result<Kind, Option<String>> {
    let name: String = heading.to_lowercase().replace(['-', '_'], " ");
    let name = name.trim_matches(|c: char| !c.is_alphabetic()).to_owned();
    let known = || NAMES.iter().flat_map(|(kind, names)| names.iter().map(move |known| (*kind, *known)));
    if let Some((kind, _)) = known().find(|(_, known)| *known == name) {
        return Ok(kind);
    }
    let near = known().map(|(_, known)| (strsim::normalized_damerau_levenshtein(known, &name), known));
    let best = near.max_by(|one, other| one.0.total_cmp(&other.0));
    Err(best.filter(|(likeness, _)| *likeness >= 0.8).map(|(_, known)| titled(known)))
}

/// `success criteria` as `Success Criteria`.
fn titled(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Reader {
    plan: Plan,
    errors: Vec<ReadError>,
    hypothesis: Option<Text>,
    criteria: Vec<Text>,
    experiments: Vec<(LinkedExperiment, Place)>,
    slots: Vec<Text>,
    remarks: Vec<String>,
}

impl Reader {
    fn section(&mut self, kind: Kind, section: &Section) {
        let texts = &section.texts;
        match kind {
            Kind::Objective => self.plan.objective = joined(texts),
            Kind::Hypothesis => {
                self.plan.hypothesis = joined(texts);
                self.hypothesis = texts.first().map(|first| Text { words: joined(texts), ..first.clone() });
            }
            Kind::Participants => texts.iter().for_each(|text| self.participant(text)),
            Kind::Timeline => self.slots.clone_from(texts),
            Kind::Criteria => self.criteria = items(texts),
            Kind::Rollback => self.plan.rollback = items(texts).into_iter().map(|text| text.words).collect(),
            Kind::Experiments => items(texts).iter().for_each(|text| self.experiment(text)),
            Kind::FollowUps => {
                items(texts).iter().for_each(|text| self.follow_up(text));
            }
        }
        if texts.is_empty() {
            let message = format!("the section `{}` is empty", section.heading.words);
            self.errors.push(ReadError::at(section.heading.place, message));
        }
    }

    /// A section that Squall does not know: the title of the day, or words for people.
    fn other(&mut self, section: &Section) {
        let is_title = section.level == pulldown_cmark::HeadingLevel::H1 && self.plan.title.is_empty();
        if !is_title {
            self.plan.others.push(section.heading.words.clone());
            return;
        }
        let title = section.heading.words.as_str();
        let short = TITLES.iter().find_map(|prefix| {
            let begins = title.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
            begins.then(|| title[prefix.len()..].trim_start_matches([':', '-', '–', '—', ' ']))
        });
        short.filter(|short| !short.is_empty()).unwrap_or(title).clone_into(&mut self.plan.title);
        if self.plan.objective.is_empty() {
            self.plan.objective = joined(&section.texts);
        }
    }

    fn follow_up(&mut self, text: &Text) {
        match follow_up(&text.words) {
            Ok(ReadFollowUp { follow_up, unread }) => {
                self.remarks.extend(unread.map(|why| format!("follow-up {:?}: {why}", text.words)));
                self.plan.follow_ups.push(follow_up);
            }
            Err(why) => self.errors.push(ReadError::at(text.place, why)),
        }
    }

    fn participant(&mut self, text: &Text) {
        if !text.is_item {
            return;
        }
        let separators = [": ", ":", " - ", " – ", " — "];
        let split = separators.iter().find_map(|separator| text.words.split_once(separator));
        let (role, name) = split.unwrap_or(("", &text.words));
        if name.trim().is_empty() {
            let message = format!("nobody is named as {}", role.trim());
            let error = ReadError::at(text.place, message).label("a name is missing");
            self.errors.push(error.help(format!("such as `- {}: Jane Smith`", role.trim())));
            return;
        }
        self.plan
            .participants
            .push(Participant { role: role.trim().to_owned(), name: name.trim().to_owned() });
    }

    fn experiment(&mut self, text: &Text) {
        let named = text.files.first().cloned();
        let (file, place) = named.unwrap_or_else(|| (text.words.clone(), text.place));
        if file.contains(char::is_whitespace) || !file.contains('.') {
            let help = "such as `- [the database hangs](database-hangs.yaml)`";
            self.errors.push(ReadError::at(place, "this names no experiment file").help(help));
            return;
        }
        self.experiments.push((LinkedExperiment { name: file.clone(), file, variables: Vec::new() }, place));
    }

    fn timeline(&mut self) {
        let mut first = None;
        let mut last = 0.0;
        for text in std::mem::take(&mut self.slots).iter().filter(|text| text.is_item) {
            let (minutes, taken) = match time_of_day(&text.words) {
                Some(Ok(read)) => read,
                Some(Err(why)) => {
                    let error = ReadError::at(text.place, why).label("not a time");
                    self.errors.push(error.help("such as `10:15` or `2:15 PM`"));
                    continue;
                }
                None => {
                    let error = ReadError::at(text.place, "an entry of the timeline begins with its time");
                    self.errors.push(error.label("no time").help("such as `- 10:15 - Inject failure`"));
                    continue;
                }
            };
            let first = *first.get_or_insert(minutes);
            let mut offset = (minutes - first) * 60.0;
            // Past midnight.
            if offset < -43_200.0 {
                offset += 86_400.0;
            }
            if offset < last {
                let message = format!("{} is earlier than the entry before", text.words[..taken].trim());
                self.errors.push(ReadError::at(text.place, message).label("out of order"));
            }
            last = offset;
            let what = without_end_time(&text.words[taken..]);
            self.plan.timeline.push(Slot {
                at: text.words[..taken].trim().to_owned(),
                offset,
                phase: phase_of(what),
                who: String::new(),
                text: what.to_owned(),
            });
        }
    }

    fn finish(
        mut self,
        seen: &[Kind],
        block: Option<Range<usize>>,
        source: &str,
    ) -> Result<Draft, Vec<ReadError>> {
        self.timeline();
        self.hand_out_turns();
        let start = Place { start: 0, end: source.find('\n').unwrap_or(source.len()) };
        if seen.is_empty() {
            let error = ReadError::at(start, "this is no plan of a game day: no section that one has");
            self.errors
                .push(error.help("`squall gameday new` writes one; `## Success Criteria` is a section"));
        } else if !seen.contains(&Kind::Criteria) {
            let error = ReadError::at(start, "the plan does not say when the day is a success");
            self.errors.push(error.help("add `## Success Criteria` with `- Error rate stays below 1%`"));
        }
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| error.place.start);
            return Err(self.errors);
        }
        let wished = [
            (Kind::Objective, "objective"),
            (Kind::Hypothesis, "hypothesis"),
            (Kind::Participants, "participants"),
            (Kind::Timeline, "timeline"),
            (Kind::Rollback, "rollback plan"),
        ];
        let missing = wished.iter().filter(|(kind, _)| !seen.contains(kind));
        let missing = missing.map(|(_, name)| format!("the plan has no {name}"));
        let remarks = missing.chain(std::mem::take(&mut self.remarks)).collect();
        if self.plan.title.is_empty() {
            "Game day".clone_into(&mut self.plan.title);
        }
        Ok(Draft {
            plan: self.plan,
            block,
            remarks,
            hypothesis: self.hypothesis,
            criteria: self.criteria,
            experiments: self.experiments,
        })
    }

    /// Whose turn it is: who an entry of the timeline names, else who has the role for its phase.
    fn hand_out_turns(&mut self) {
        let participants = self.plan.participants.clone();
        let of_phase = |phase: Phase| {
            let roles = TURNS.iter().find(|(known, _)| *known == phase).map_or(DECIDE, |(_, roles)| roles);
            with_role(&participants, roles)
        };
        for slot in &mut self.plan.timeline {
            let named = participants.iter().find(|participant| is_named(&slot.text, participant));
            let fitting = named.or_else(|| slot.phase.and_then(of_phase));
            slot.who = fitting.map_or(String::new(), called);
        }
        for phase in Phase::ALL {
            let slot =
                self.plan.timeline.iter().find(|slot| slot.phase == Some(phase) && !slot.who.is_empty());
            let who = match slot {
                Some(slot) => slot.who.clone(),
                None => of_phase(phase).map_or(String::new(), called),
            };
            if !who.is_empty() {
                self.plan.turns.push((phase, who));
            }
        }
        self.plan.decides = with_role(&participants, DECIDE).map_or(String::new(), called);
    }
}

/// The participant with the first of these roles that somebody has; else the first participant.
fn with_role<'p>(participants: &'p [Participant], roles: &[&str]) -> Option<&'p Participant> {
    let has =
        |role: &&str| participants.iter().find(|participant| participant.role.to_lowercase().contains(*role));
    roles.iter().find_map(has).or_else(|| participants.first())
}

fn called(participant: &Participant) -> String {
    if participant.role.is_empty() {
        participant.name.clone()
    } else {
        format!("{} ({})", participant.name, participant.role)
    }
}

fn is_named(text: &str, participant: &Participant) -> bool {
    let text = text.to_lowercase();
    let holds = |words: &str| words.len() > 2 && text.contains(&words.to_lowercase());
    let first = participant.name.split_whitespace().next().unwrap_or("");
    let as_word = |name: &str| {
        !name.is_empty() && text.split(|c: char| !c.is_alphanumeric()).any(|word| word == name.to_lowercase())
    };
    holds(&participant.name) || holds(&participant.role) || (first.len() > 2 && as_word(first))
}

/// Entries of a list; paragraphs where there is no list.
fn items(texts: &[Text]) -> Vec<Text> {
    let items: Vec<Text> = texts.iter().filter(|text| text.is_item).cloned().collect();
    if items.is_empty() { texts.to_vec() } else { items }
}

fn joined(texts: &[Text]) -> String {
    texts.iter().map(|text| text.words.as_str()).collect::<Vec<_>>().join(" ")
}

/// What is left of an entry after its time, without the time that it ends at.
fn without_end_time(text: &str) -> &str {
    let marks = |c: char| matches!(c, '-' | '–' | '—' | ':' | ' ' | '|' | '.');
    let text = text.trim_start_matches(marks);
    match time_of_day(text) {
        Some(Ok((_, taken))) if !text.starts_with('+') => text[taken..].trim_start_matches(marks),
        _ => text,
    }
}

fn phase_of(text: &str) -> Option<Phase> {
    let words = super::quantities::words(text);
    let has = |known: &&str| words.iter().any(|(word, _)| word == known);
    PHASE_WORDS.iter().find(|(_, known)| known.iter().any(&has)).map(|(phase, _)| *phase)
}

/// A follow-up as it was understood, and what of it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFollowUp {
    /// What was understood; a due date that is none stays among its words.
    pub follow_up: FollowUp,
    /// What could not be read, in words.
    pub unread: Option<String>,
}

/// `Add a replica; Jane; 2026-12-01`, `Add a replica (owner: Jane, due: 2026-12-01)`,
/// `Add a replica - Jane - 2026-12-01`, `Add a replica @jane`.
///
/// # Errors
/// Where it does not say what is to be done.
pub fn follow_up(text: &str) -> Result<ReadFollowUp, String> {
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let (what, owner, due) = match parts[..] {
        [text] => split_up(text),
        [what, last] if is_like_a_date(last) => (what.to_owned(), String::new(), last.to_owned()),
        [what, owner] => (what.to_owned(), owner.to_owned(), String::new()),
        [what, owner, due] => (what.to_owned(), owner.to_owned(), due.to_owned()),
        _ => return Err("a follow-up has three parts at most: WHAT; OWNER; DUE".to_owned()),
    };
    if what.trim().is_empty() {
        return Err("a follow-up says what is to be done: WHAT; OWNER; DUE".to_owned());
    }
    if due.is_empty() || is_date(&due) {
        return Ok(ReadFollowUp { follow_up: FollowUp { what, owner, due }, unread: None });
    }
    let unread = format!("the due date {due:?} could not be read, such as 2026-12-31; it is kept as words");
    let follow_up = FollowUp { what: format!("{what} (due: {due})"), owner, due: String::new() };
    Ok(ReadFollowUp { follow_up, unread: Some(unread) })
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether a text is meant to be a date: `31.12.2026`, `2027-02-31`.
fn is_like_a_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', '-', '/']).collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}

/// What, owner and due date of a follow-up without semicolons.
fn split_up(text: &str) -> (String, String, String) {
    let (mut owner, mut due) = (String::new(), String::new());
    let parts = text.split([',', '(', ')']).flat_map(|part| part.split(" - "));
    let mut kept: Vec<&str> = Vec::new();
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let lower = part.to_lowercase();
        let value =
            |key: &str| lower.starts_with(key).then(|| part.get(key.len()..).unwrap_or("").trim().to_owned());
        if let Some(named) = value("owner:").or_else(|| part.strip_prefix('@').map(str::to_owned)) {
            owner = named;
        } else if let Some(named) = value("due:").or_else(|| is_like_a_date(part).then(|| part.to_owned())) {
            due = named;
        } else {
            kept.push(part);
        }
    }
    match kept[..] {
        // `what - owner - date`
        [what, named] if owner.is_empty() && !due.is_empty() => (what.to_owned(), named.to_owned(), due),
        _ if owner.is_empty() && due.is_empty() => (text.to_owned(), owner, due),
        _ => (kept.join(", "), owner, due),
    }
}

impl Draft {
    /// The files that the plan's own sections link to, with their places.
    pub fn experiments(&self) -> &[(LinkedExperiment, Place)] {
        &self.experiments
    }

    /// The plan, with each criterion given to a machine or to people.
    ///
    /// # Errors
    /// Criteria that the measures speak of and the plan does not have; places are those of the measures.
    pub fn resolve(&self, measures: &Measures) -> Result<Plan, Vec<ReadError>> {
        let mut plan = self.plan.clone();
        let texts: Vec<&str> = self.criteria.iter().map(|text| text.words.as_str()).collect();
        let stray = measures
            .criteria
            .iter()
            .filter(|assigned| !texts.iter().any(|text| criteria::is_meant(&assigned.criterion, text)));
        let errors: Vec<ReadError> = stray
            .map(|assigned| {
                let message = format!("the plan has no criterion {:?}", assigned.criterion);
                let list = texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
                ReadError::at(assigned.place, message).help(format!("it has {list}"))
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        plan.criteria = texts.iter().map(|text| criteria::of_list(text, measures)).collect();
        // A hypothesis that says just what a criterion says counts once.
        let hypothesis = self.hypothesis.as_ref().map(|text| text.words.as_str());
        let is_new = |words: &&str| !texts.iter().any(|text| criteria::are_alike(text, words));
        plan.criteria.extend(hypothesis.filter(is_new).map(|words| criteria::of_hypothesis(words, measures)));
        plan.experiments = self.experiments.iter().map(|(linked, _)| linked.clone()).collect();
        for (linked, _) in &measures.experiments {
            match plan.experiments.iter_mut().find(|known| known.file == linked.file) {
                Some(known) => *known = linked.clone(),
                None => plan.experiments.push(linked.clone()),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::gameday::{Means, Test};

    /// The plan of a database failure, as a team wrote it.
    const SEED: &str = "# Game Day: Database Failure Simulation\n\n## Objective\nTest system resilience to primary database failure\n\n## Hypothesis\nSystem will maintain 99% availability during database failover\n\n## Participants\n- Incident Commander: John Doe\n- Technical Lead: Jane Smith\n- Observer: Bob Johnson\n\n## Timeline\n- 10:00 - Pre-checks and baseline metrics\n- 10:15 - Inject failure\n- 10:30 - Monitor recovery\n- 11:00 - Post-mortem discussion\n\n## Success Criteria\n- Automatic failover completes within 2 minutes\n- No data loss\n- Error rate stays below 1%\n- All alerts fire correctly\n\n## Rollback Plan\n1. Restore database from backup\n2. Clear connection pools\n3. Restart application pods\n";

    fn plan(text: &str) -> Plan {
        read(text).unwrap().resolve(&Measures::default()).unwrap()
    }

    fn mistakes(text: &str) -> Vec<(String, String)> {
        let place = |error: &ReadError| text[error.place.start..error.place.end].to_owned();
        read(text).unwrap_err().iter().map(|error| (place(error), error.to_string())).collect()
    }

    #[test]
    fn a_plan_is_understood_as_it_was_written() {
        let plan = plan(SEED);
        assert_eq!(plan.title, "Database Failure Simulation");
        assert_eq!(plan.objective, "Test system resilience to primary database failure");
        let roles: Vec<&str> = plan.participants.iter().map(|one| one.role.as_str()).collect();
        assert_eq!(roles, ["Incident Commander", "Technical Lead", "Observer"]);
        let slots: Vec<(f64, Option<Phase>, &str)> =
            plan.timeline.iter().map(|slot| (slot.offset, slot.phase, slot.who.as_str())).collect();
        assert_eq!(
            slots,
            [
                (0.0, Some(Phase::Verify), "Bob Johnson (Observer)"),
                (900.0, Some(Phase::Inject), "Jane Smith (Technical Lead)"),
                (1800.0, Some(Phase::Recover), "Jane Smith (Technical Lead)"),
                (3600.0, Some(Phase::Analyse), "John Doe (Incident Commander)"),
            ]
        );
        assert_eq!(plan.decides, "John Doe (Incident Commander)");
        assert_eq!(plan.rollback.len(), 3);
        assert_eq!(plan.criteria.len(), 5);
        assert!(
            plan.criteria.iter().all(
                |criterion| matches!(&criterion.means, Means::People { remedy, .. } if !remedy.is_empty())
            )
        );
        assert!(plan.criteria[4].of_hypothesis);
    }

    #[test]
    fn mistakes_point_at_their_place() {
        let text = "# Game Day: X\n## Participants\n- Observer:\n## Timeline\n- 10:00 - Start\n- 25:00 - Inject\n- soon - Watch\n- 9:00 - Back\n## Sucess Criteria\n- a\n## Experiments\n- the database hangs\n";
        let found = mistakes(text);
        let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            places,
            [
                "# Game Day: X",
                "Observer:",
                "25:00 - Inject",
                "soon - Watch",
                "9:00 - Back",
                "Sucess Criteria",
                "the database hangs"
            ]
        );
        assert!(found[5].1.contains("did you mean `Success Criteria`"), "{}", found[5].1);
        assert!(mistakes("# Shopping list\n- milk\n")[0].1.contains("no plan of a game day"));
        assert!(
            mistakes("# A\n## Goals\nx\n## Objective\ny\n## Criteria\n- z\n")[0].1.contains("second section")
        );
    }

    #[test]
    fn tables_links_and_follow_ups_are_read() {
        let text = "# Chaos day - Payments\n\n## Team\n\n| Role | Name |\n|---|---|\n| Scribe | Bo Li |\n\n## Schedule\n- 23:30 - 23:45: Bo starts the failure\n- 0:15: Debrief\n\n## Criteria\n- fine\n\n## Experiments\n- [hangs](a.yaml)\n- `b.yaml`\n\n## Follow-ups\n- [ ] Add a replica - Jane - 2026-12-01\n- Fix the alert (owner: Bo, due: 2026-12-24)\n- Talk\n\n## Background\nwords\n";
        let plan = plan(text);
        assert_eq!(plan.title, "Payments");
        assert_eq!(plan.participants, [Participant { role: "Scribe".into(), name: "Bo Li".into() }]);
        assert_eq!(
            (plan.timeline[0].text.as_str(), plan.timeline[0].phase),
            ("Bo starts the failure", Some(Phase::Inject))
        );
        assert_eq!((plan.timeline[1].offset, plan.timeline[0].who.as_str()), (2700.0, "Bo Li (Scribe)"));
        let files: Vec<&str> = plan.experiments.iter().map(|linked| linked.file.as_str()).collect();
        assert_eq!(files, ["a.yaml", "b.yaml"]);
        let told: Vec<(&str, &str, &str)> = plan
            .follow_ups
            .iter()
            .map(|one| (one.what.as_str(), one.owner.as_str(), one.due.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("Add a replica", "Jane", "2026-12-01"),
                ("Fix the alert", "Bo", "2026-12-24"),
                ("Talk", "", "")
            ]
        );
        assert_eq!(plan.others, ["Background"]);
    }

    #[test]
    fn what_cannot_be_read_of_a_follow_up_is_named_and_nothing_of_it_is_lost() {
        let read = |text: &str| {
            let ReadFollowUp { follow_up: FollowUp { what, owner, due }, unread } = follow_up(text).unwrap();
            (what, owner, due, unread.is_some())
        };
        let told =
            |what: &str, owner: &str, due: &str, unread| (what.into(), owner.into(), due.into(), unread);
        assert_eq!(read("fix it; Bob; 2026-12-31"), told("fix it", "Bob", "2026-12-31", false));
        assert_eq!(read("fix it; Bob"), told("fix it", "Bob", "", false));
        assert_eq!(read("fix it; 2026-12-31"), told("fix it", "", "2026-12-31", false));
        assert_eq!(read("fix it; Bob; 31.12.2026"), told("fix it (due: 31.12.2026)", "Bob", "", true));
        assert_eq!(read("fix it; Bob; soon"), told("fix it (due: soon)", "Bob", "", true));
        assert_eq!(read("fix2; Ann; 2027-02-31"), told("fix2 (due: 2027-02-31)", "Ann", "", true));
        assert_eq!(read("fix it - Bob - 31.12.2026"), told("fix it (due: 31.12.2026)", "Bob", "", true));
        assert_eq!(read("fix, and soon"), told("fix, and soon", "", "", false));
        for wrong in ["; ;", " ", ";Bob", "a; b; c; d", "(owner: Bo)"] {
            assert!(follow_up(wrong).is_err(), "{wrong}");
        }
        let plan = "# A\n## Criteria\n- fine\n## Follow-ups\n- fix it (owner: Bo, due: 31.12.2026)\n";
        let draft = super::read(plan).unwrap();
        assert!(draft.remarks.iter().any(|remark| remark.contains("31.12.2026")), "{:?}", draft.remarks);
    }

    #[test]
    fn a_hypothesis_that_is_a_criterion_counts_once() {
        let twice =
            "# A\n## Hypothesis\nerror rate stays below 1%.\n## Criteria\n- Error rate stays below 1%\n";
        assert_eq!(plan(twice).criteria.len(), 1);
        assert_eq!(plan(&twice.replace("below 1%.", "below 2%.")).criteria.len(), 2);
    }

    #[test]
    fn criteria_become_checks_where_there_is_something_to_measure_with() {
        let mut measures = Measures::default();
        let steady = squall_model::condition::Condition::parse("up == 1").unwrap();
        measures.steady_state.push(squall_model::experiment::Check {
            name: "up".into(),
            probe: None,
            expect: steady,
            within: None,
        });
        let plan = read(SEED).unwrap().resolve(&measures).unwrap();
        assert_eq!(plan.criteria[0].means, Means::Machine(Test::Failover { within: 120.0 }));
        assert!(matches!(plan.criteria[2].means, Means::People { .. }));
    }

    #[test]
    fn whatever_stands_in_a_plan_does_no_harm() {
        let odd = [
            "\u{130}",
            "é",
            "**",
            "`",
            "[",
            "](",
            "|",
            "\n\n",
            "\t",
            "```squall\n",
            "1%",
            "25:",
            "- ",
            "#",
            "\u{202e}",
        ];
        for (at, _) in SEED.char_indices().step_by(17) {
            for odd in odd {
                let text = format!("{}{odd}{}", &SEED[..at], &SEED[at..]);
                match read(&text) {
                    Ok(draft) => drop(draft.resolve(&Measures::default())),
                    Err(errors) => {
                        assert!(
                            errors.iter().all(|error| text.get(error.place.start..error.place.end).is_some())
                        );
                    }
                }
            }
        }
    }
}
