//! Reading what the monkey is told: Squall's own files, and those that other monkeys are told by. One file a dialect.
//!
//! | file | is told by |
//! |---|---|
//! | `kind: Monkey` of `squall.dev/v1` | Squall |
//! | a `ConfigMap` around one of the others | Kubernetes |
//! | `chaosmonkey:` with schedule, accounts and kill | the YAML that goes with a Spinnaker set-up |
//! | TOML with a table `chaosmonkey` | Netflix's Chaos Monkey 2 |
//! | TOML with a table `kubemonkey` | kube-monkey |

mod document;
mod kube_monkey;
mod netflix;
mod squall;

use super::config::{Config, Inventory, Kill, Scope};
use squall_model::node::{Content, Node, Place};
use squall_model::read::{self, Format, ReadError, Source};

/// Mistakes in a file, or in a file within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub source: Source,
    /// The mistakes.
    pub errors: Vec<ReadError>,
}

impl Mistakes {
    /// With the lines that they are about.
    pub fn render(&self, colour: bool) -> String {
        read::render(&self.source, &self.errors, colour)
    }
}

/// Reads a file of any dialect.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(source: &Source) -> Result<Config, Mistakes> {
    if is_empty(source) {
        let empty =
            ReadError::at(Place::default(), "this file is empty: a monkey is told nothing").help(SMALLEST);
        return Err(Mistakes { source: source.clone(), errors: vec![empty] });
    }
    let mut config = of_any_kind(source).map_err(narrowed)?;
    note_never(&mut config);
    if !config.trial.judges() {
        config.notes.push(
            "nothing is watched: without `outage.steady_state` no strike is held back by an outage, and none shows whether the \
             others did without the instance"
                .to_owned(),
        );
    }
    Ok(config)
}

/// The least that a file of Squall's own says.
const SMALLEST: &str = "the least is: `apiVersion: squall.dev/v1`, `kind: Monkey`, `name: shop`, \
                        `schedule: {cron: \"0 * 9-14 * * MON-FRI\"}`, `inventory: [{docker: {}}]`, `kill: {mean_days: 5}`";

/// Whether nothing is in a file but comments.
fn is_empty(source: &Source) -> bool {
    source.text.lines().map(str::trim).all(|line| line.is_empty() || line == "---" || line.starts_with('#'))
}

/// The same mistakes, at the very field of a schedule where that is wrong.
fn narrowed(mut mistakes: Mistakes) -> Mistakes {
    for error in &mut mistakes.errors {
        if let Some(place) = field_of_schedule(&mistakes.source.text, error) {
            error.place = place;
        }
    }
    mistakes
}

fn field_of_schedule(text: &str, error: &ReadError) -> Option<Place> {
    let (_, rest) = error.message.split_once("of the schedule is the ")?;
    let from_the_end = FIELDS.iter().position(|field| rest.starts_with(field))?;
    let written = text.get(error.place.start..error.place.end)?;
    let is_part = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'');
    let fields: Vec<&str> = written.split(|c| !is_part(c)).filter(|field| !field.is_empty()).collect();
    let field = fields.get(fields.len().checked_sub(from_the_end + 1)?)?;
    let start = error.place.start + (field.as_ptr() as usize - written.as_ptr() as usize);
    Some(Place { start, end: start + field.len() })
}

/// The fields of a schedule, the last first; "day of the month" stands before "day" alone could.
const FIELDS: [&str; 6] = ["day of the week", "month,", "day of the month", "hour", "minute", "second"];

/// Says so where nothing can ever be struck.
fn note_never(config: &mut Config) {
    let never = |why: &str| format!("{why}: nothing will ever be struck");
    if !config.calendar.meets(&config.cron) {
        let (cron, days) = (&config.cron, &config.calendar.work_days);
        config.notes.push(never(&format!("the schedule `{cron}` fires on none of the work days ({days})")));
    }
    if config.exceptions.iter().any(Scope::is_everything) {
        config.notes.push(never("an entry of `exceptions` says nothing, and so leaves everything alone"));
    }
    let kills = || std::iter::once(&config.kill).chain(config.apps.values());
    // Owners of workloads may ask for a mean of their own.
    let may_be_asked = config.inventory.iter().any(|inventory| matches!(inventory, Inventory::Kubernetes(_)));
    if !may_be_asked && kills().all(|kill| super::Chance::of(kill).a_day <= 0.0) {
        config.notes.push(never("the chance of a strike is 0"));
    }
}

fn of_any_kind(source: &Source) -> Result<Config, Mistakes> {
    let wrong = |error: ReadError| Mistakes { source: source.clone(), errors: vec![error] };
    let root = read::parse(source).map_err(wrong)?;
    let text = |name: &str| match root.get(name).map(|node| &node.content) {
        Some(Content::Text(text)) => text.as_str(),
        _ => "",
    };
    match (text("apiVersion"), text("kind")) {
        (_, "ConfigMap") => within(source, &root),
        ("squall.dev/v1", "Monkey") => squall::read(&root).map_err(wrong),
        ("", "") if root.get("kubemonkey").is_some() => kube_monkey::read(&root).map_err(wrong),
        ("", "") if root.get("chaosmonkey").is_some() => match Format::of(source) {
            Format::Toml => netflix::read(&root).map_err(wrong),
            Format::Yaml | Format::Json => document::read(&root).map_err(wrong),
        },
        _ => Err(wrong(
            ReadError::at(root.place, "this is no file that tells a monkey what to do").help(
                "a file of Squall's own begins with `apiVersion: squall.dev/v1` and `kind: Monkey`; a ConfigMap around \
                 `chaosmonkey:` and the TOML of Netflix's Chaos Monkey and of kube-monkey are read too",
            ),
        )),
    }
}

/// What a text holds that tells a monkey.
const TELLING: [&str; 3] = ["chaosmonkey", "[kubemonkey]", "kind: Monkey"];

/// The one file in a `ConfigMap`'s `data` that tells a monkey.
fn within(source: &Source, root: &Node) -> Result<Config, Mistakes> {
    let wrong = |error: ReadError| Mistakes { source: source.clone(), errors: vec![error] };
    let Some(Content::Map(data)) = root.get("data").map(|node| &node.content) else {
        return Err(wrong(ReadError::at(root.place, "this ConfigMap has no `data`")));
    };
    let telling = data.iter().filter_map(|(key, node)| match &node.content {
        Content::Text(text) if TELLING.iter().any(|word| text.contains(word)) => {
            let name = format!("{}: data.{}", source.name, key.name);
            // The format is told by the key's ending where it has one, else by what it looks like.
            Some((key, Source { name, text: text.clone() }))
        }
        _ => None,
    });
    let found: Vec<_> = telling.collect();
    match found.as_slice() {
        [(_, inner)] => {
            let mut config = of_any_kind(inner)?;
            if let Some(Content::Text(name)) =
                root.get("metadata").and_then(|metadata| metadata.get("name")).map(|node| &node.content)
                && !inner.text.contains("kind: Monkey")
            {
                config.name.clone_from(name);
            }
            Ok(config)
        }
        [] => Err(wrong(ReadError::at(
            root.place,
            "nothing in this ConfigMap's `data` tells a monkey what to do",
        ))),
        [_, (key, _), ..] => Err(wrong(
            ReadError::at(key.place, "this ConfigMap holds more than one file for a monkey")
                .label("a second one"),
        )),
    }
}

/// Checks numbers that only make sense together.
fn check(kill: &Kill, node: &Node) -> Result<(), ReadError> {
    let wrong = |message: String| Err(ReadError::at(node.place, message));
    if let Some(probability) = kill.probability.filter(|share| !(0.0..=1.0).contains(share)) {
        return wrong(format!("a probability lies between 0 and 1 (0% and 100%), not {probability}"));
    }
    let Some(mean) = kill.mean_days else {
        return match kill.probability {
            Some(_) => Ok(()),
            None => wrong("neither a mean time between kills nor a probability is given".to_owned()),
        };
    };
    if !mean.is_finite() || mean < 1.0 {
        return wrong(format!("the mean time between kills is at least 1 day, not {mean}"));
    }
    if mean < f64::from(kill.min_days) {
        return wrong(format!(
            "the mean time between kills ({mean} days) cannot be less than the least time ({} days)",
            kill.min_days
        ));
    }
    Ok(())
}

/// What is said where a probability and a mean contradict each other.
fn note_contradiction(kill: &Kill, notes: &mut Vec<String>) {
    let by_mean = Kill { probability: None, ..kill.clone() };
    let (Some(probability), Some(mean)) = (kill.probability, kill.mean_days) else { return };
    let (by_mean, both) = (super::Chance::of(&by_mean), super::Chance::of(kill));
    if (by_mean.a_day - probability).abs() > 1e-9 {
        notes.push(format!(
            "a mean of {mean} work days means a chance of {:.1}% a day, and the file also gives a probability of {:.1}%: the \
             smaller of both counts, which makes a mean of {:.1} work days",
            by_mean.a_day * 100.0,
            probability * 100.0,
            both.mean()
        ));
    }
}
