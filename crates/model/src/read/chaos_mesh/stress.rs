//! `StressChaos`: busy processors and taken memory.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::{Span, Translator, is_blank};
use super::make::{self, Entries, entry};
use super::selector::Pods;
use super::{Chaos, Kind, Strike, go};
use crate::node::{Content, Node, Place};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "StressChaos", embedded: "stressChaos", read };

/// As many workers as `stress-ng` starts.
const MAX_WORKERS: i64 = 8192;

/// What a stressor comes to: the fault, its parameters, and how long it lasts where an option cuts it short.
struct Stress {
    fault: &'static str,
    place: Place,
    with: Entries,
    until: Option<Span>,
}

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let pods = translator.containers(fields);
    let why = "Squall does not run stress-ng";
    let remedy = "say it with `stressors: {cpu: {…}, memory: {…}}`";
    translator.refuse(fields, "stressngStressors", why, remedy);
    let is_refused = fields.get("stressngStressors").is_some_and(|node| !is_blank(node));
    let stressors = match fields.get("stressors") {
        Some(node) => translator.stressors(node),
        None if is_refused => None,
        None => {
            translator.required(fields, "stressors", "what is stressed, `cpu` or `memory`");
            None
        }
    };
    let (pods, stressors) = pods.zip(stressors)?;
    let lasts = stressors.iter().filter_map(|stress| stress.until).min_by_key(|span| span.nanoseconds);
    let strikes = stressors.into_iter().map(|stress| stress.on(&pods)).collect();
    Some(Chaos { strikes, once: false, lasts })
}

impl Stress {
    fn on(self, pods: &Pods) -> Strike {
        Strike { fault: self.fault, place: self.place, target: pods.node(), with: self.with }
    }
}

impl Translator<'_> {
    fn stressors(&mut self, node: &Node) -> Option<Vec<Stress>> {
        let mut fields = self.reader.fields(node, "`stressors`")?;
        let cpu = fields.get("cpu").map(|node| self.cpu(node));
        let memory = fields.get("memory").map(|node| self.memory(node));
        if cpu.is_none() && memory.is_none() {
            self.error(ReadError::at(node.place, "`stressors` names neither `cpu` nor `memory`"));
        }
        fields.finish(&mut self.reader);
        [cpu, memory].into_iter().flatten().collect()
    }

    fn workers(&mut self, fields: &mut Fields<'_>) -> Option<(i64, Place)> {
        let node = self.required(fields, "workers", "how many workers stress it")?;
        Some((self.whole(node, 1, MAX_WORKERS)?, node.place))
    }

    fn cpu(&mut self, node: &Node) -> Option<Stress> {
        let mut fields = self.reader.fields(node, "`cpu`")?;
        let workers = self.workers(&mut fields);
        let load = fields.get("load").map(|node| Some((self.whole(node, 0, 100)?, node.place)));
        let options = fields.get("options").map(|node| self.options(node));
        fields.finish(&mut self.reader);
        let (workers, mut load) = (workers?, load.unwrap_or(Some((100, node.place)))?);
        let options = options.unwrap_or_else(|| Some(Options::default()))?;
        let cores = options.cores.unwrap_or(workers);
        load = options.load.unwrap_or(load);
        if load.0 == 0 {
            self.error(ReadError::at(load.1, "a load of 0 percent stresses nothing"));
            return None;
        }
        let with = vec![
            entry("percent", make::percent(load.0 as f64, load.1)),
            entry("cores", make::whole(cores.0, cores.1)),
        ];
        Some(Stress { fault: "cpu.load", place: node.place, with, until: options.until })
    }

    fn memory(&mut self, node: &Node) -> Option<Stress> {
        let mut fields = self.reader.fields(node, "`memory`")?;
        let workers = self.workers(&mut fields);
        let size = self.memory_size(&mut fields);
        let score = self.optional_whole(&mut fields, "oomScoreAdj", (-1000, 1000));
        if let Some((score, place)) = score.filter(|(score, _)| *score != 0) {
            let message = format!(
                "`oomScoreAdj: {score}`: Squall's own worker is always the first that the kernel ends"
            );
            let error = ReadError::at(place, message).label("cannot be honoured");
            self.error(
                error.help(
                    "leave it away; to see what happens when the target is ended, use `container-kill`",
                ),
            );
        }
        let why = "Squall does not run memStress";
        self.refuse(&mut fields, "options", why, "leave them away; all memory is taken at once");
        fields.finish(&mut self.reader);
        if workers.is_some_and(|(workers, _)| workers > 1) {
            self.note(
                "memory is taken by one worker: as in Chaos Mesh, `size` is what all workers take together",
            );
        }
        workers?;
        Some(Stress { fault: "memory.spike", place: node.place, with: vec![size?], until: None })
    }

    fn memory_size(&mut self, fields: &mut Fields<'_>) -> Option<(crate::node::Key, Node)> {
        let node = self.required(fields, "size", "how much memory is taken, such as \"256MB\"")?;
        let text = self.text(node)?;
        if let Some(number) = text.strip_suffix('%') {
            let percent = number.trim().parse::<i64>().ok().filter(|percent| (1..=100).contains(percent));
            let Some(percent) = percent else {
                let message = format!("{text:?} is no share: a whole number of percent between 1 and 100");
                self.error(ReadError::at(node.place, message));
                return None;
            };
            self.note(
                "a share of memory is that of the container's limit, or of the node where it has none; Chaos Mesh takes it of \
                 the node",
            );
            return Some(entry("percent", make::percent(percent as f64, node.place)));
        }
        if let Some(size) = go::size(&text) {
            return Some(entry("size", make::text(size, node.place)));
        }
        let message = format!("{text:?} is no size");
        self.error(ReadError::at(node.place, message).help("such as \"256MB\", \"1GiB\" or \"50%\""));
        None
    }

    /// The options of `stress-ng` that can be said otherwise; the others are refused by name.
    fn options(&mut self, node: &Node) -> Option<Options> {
        let mut options = Options::default();
        let mut is_right = true;
        for item in self.texts(node, "`options`") {
            let Content::Text(text) = &item.content else { continue };
            let mut words = text.split([' ', '=']).filter(|word| !word.is_empty());
            while let Some(word) = words.next() {
                is_right &= self.option(word, words.next(), item.place, &mut options).is_some();
            }
        }
        is_right.then_some(options)
    }

    fn option(&mut self, name: &str, value: Option<&str>, place: Place, options: &mut Options) -> Option<()> {
        let number = || value?.parse::<i64>().ok();
        match name {
            "--cpu" | "-c" => {
                let cores = number().filter(|cores| (1..=MAX_WORKERS).contains(cores));
                options.cores = Some((cores.or_else(|| self.wrong_option(name, place))?, place));
            }
            "--cpu-load" | "-l" => {
                let load = number().filter(|load| (0..=100).contains(load));
                options.load = Some((load.or_else(|| self.wrong_option(name, place))?, place));
            }
            "--timeout" | "-t" => {
                let nanoseconds = value.and_then(stress_time).or_else(|| self.wrong_option(name, place))?;
                options.until = (nanoseconds > 0).then_some(Span { nanoseconds, place });
            }
            _ => {
                let message = format!(
                    "`options`: Squall does not run stress-ng, and has nothing that does what `{name}` does"
                );
                let error = ReadError::at(place, message).label("cannot be honoured");
                self.error(
                    error
                        .help("leave it away; of these options Squall reads --cpu, --cpu-load and --timeout"),
                );
                return None;
            }
        }
        Some(())
    }

    fn wrong_option<T>(&mut self, name: &str, place: Place) -> Option<T> {
        self.error(ReadError::at(
            place,
            format!("`options`: `{name}` wants a number that stress-ng would take"),
        ));
        None
    }
}

/// What options of `stress-ng` say; the last word on each counts.
#[derive(Default)]
struct Options {
    cores: Option<(i64, Place)>,
    load: Option<(i64, Place)>,
    until: Option<Span>,
}

/// A time as `stress-ng` spells it, in nanoseconds: seconds, or a number with one of s, m, h, d, y.
fn stress_time(text: &str) -> Option<i128> {
    let seconds = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("y", 31_556_926)];
    let unit = seconds.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let number: i128 = number.parse::<u32>().ok()?.into();
    Some(number * size * 1_000_000_000)
}
