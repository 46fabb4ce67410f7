//! The facilitator's view, drawn as lines of styled text: clock, phases, whose turn it is, metrics against thresholds,
//! what is active, what was said, and the keys. Whoever owns the terminal puts the lines on it.

use super::{Chronicle, Kind};
use crate::live::{metric, stretch};
use crate::paint::{Line, Style, width, wrapped};
use crate::words::{Tone, verdict_word};
use squall_model::gameday::{Phase, Slot};
use squall_model::quantity::clock;

/// Below this width nothing useful can be told apart.
const NARROWEST: usize = 40;
/// At most so many metrics are shown.
const METRICS: usize = 5;
/// At least so many lines are left to the log.
const LEAST_LOG: usize = 4;

/// What is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What is asked for.
    pub label: String,
    /// What was typed so far.
    pub typed: String,
}

/// What stands at the bottom.
#[derive(Debug, Clone, Copy)]
pub enum Bottom<'p> {
    /// The keys.
    Keys,
    /// What is being typed.
    Prompt(&'p Prompt),
    /// Something that is told, above the keys.
    Hint(&'p str),
}

/// The view in exactly `height` lines of at most `columns` columns. `now` is the time in seconds since the session
/// began, `wall` the time on the clock.
pub fn draw(
    chronicle: &Chronicle,
    now: f64,
    wall: &str,
    bottom: Bottom<'_>,
    (width, height): (usize, usize),
) -> Vec<Line> {
    // What is narrower is shown as far as it goes.
    let columns = width.max(NARROWEST);
    let mut top = vec![title(chronicle, now, wall, columns), phases(chronicle, columns)];
    top.extend(progress(chronicle, now, columns));
    top.extend(planned(chronicle, now));
    top.extend(question(chronicle, columns));
    let bottom = footer(chronicle, bottom, columns);
    top.truncate(height.saturating_sub(bottom.len() + 1));
    let room = height.saturating_sub(top.len() + bottom.len() + 1);
    let mut middle = state(chronicle, now);
    let left = room.saturating_sub(middle.len() + LEAST_LOG);
    middle.splice(0..0, metrics(chronicle, now, columns, left.min(METRICS)));
    middle.truncate(room);
    let log = log(chronicle, columns, room.saturating_sub(middle.len()));
    let used = top.len() + middle.len() + log.len() + bottom.len() + 1;
    let gap = std::iter::repeat_n(Line::new(), height.saturating_sub(used));
    let rule = std::iter::once(Line::new().with(Style::Dim, "─".repeat(columns)));
    let lines = top.into_iter().chain(middle).chain(rule).chain(log).chain(gap).chain(bottom);
    lines.take(height).map(|line| line.cut(width)).collect()
}

fn title(chronicle: &Chronicle, now: f64, wall: &str, columns: usize) -> Line {
    let what = if chronicle.is_rehearsal() { "Rehearsal" } else { "Game day" };
    let time = format!("{}  {wall}", clock(now));
    let name = format!("{what}: {}", chronicle.plan.title);
    let name = crate::paint::cut(&name, columns.saturating_sub(width(&time) + 2));
    Line::new().with(Style::Strong, name).to_column(columns - width(&time)).with(Style::Strong, time)
}

/// `1 Verify ✓  2 Inject ✓  ▶ 3 Observe  4 Recover  5 Analyse`
fn phases(chronicle: &Chronicle, columns: usize) -> Line {
    let current = chronicle.phase().map(|(phase, _)| phase);
    let over = chronicle.ending.is_some();
    let mut line = Line::new();
    for phase in Phase::ALL {
        let name = if columns < 64 {
            phase.number().to_string()
        } else {
            format!("{} {}", phase.number(), phase.name())
        };
        let is_done = current.is_some_and(|current| phase < current || over)
            && chronicle.phases.iter().any(|(known, ..)| *known == phase);
        line = if is_done {
            line.with(Style::Good, format!("✓ {name}"))
        } else if current == Some(phase) {
            line.with(if phase == Phase::Inject { Style::Fault } else { Style::Accent }, format!("▶ {name}"))
        } else {
            line.with(Style::Dim, format!("  {name}"))
        };
        line = line.plain("   ");
    }
    line
}

/// How much of the phase is over, and whose turn it is.
fn progress(chronicle: &Chronicle, now: f64, columns: usize) -> Option<Line> {
    if let Some((verdict, reasons, _)) = &chronicle.ending {
        let tone = crate::words::verdict_tone(Some(*verdict));
        let why = reasons.first().map_or("", String::as_str);
        return Some(Line::new().with(tone.into(), verdict_word(Some(*verdict))).plain("  ").plain(why));
    }
    let (phase, from) = chronicle.phase()?;
    let spent = (now - from).max(0.0);
    let setting = chronicle.setting.as_ref()?;
    let (whole, at_most) = match phase {
        Phase::Verify => (setting.baseline, ""),
        Phase::Observe => (setting.observe, ""),
        Phase::Recover => (setting.recovery, "at most "),
        Phase::Inject | Phase::Analyse => (0.0, ""),
    };
    let mut line = Line::new();
    if whole > 0.0 {
        let bar = (columns / 5).clamp(6, 20);
        let done = ((spent / whole).min(1.0) * bar as f64).round() as usize;
        let left = format!(" {} of {at_most}{}", clock(spent), clock(whole));
        line =
            line.with(Style::Accent, "█".repeat(done)).with(Style::Dim, "░".repeat(bar - done)).plain(left);
    } else {
        line = line.plain(format!("{} in this phase", clock(spent)));
    }
    Some(match chronicle.turn(phase) {
        Some(who) => line.with(Style::Dim, "   turn: ").with(Style::Strong, who),
        None => line,
    })
}

/// The entry of the plan's timeline that is due, and the one after it.
fn planned(chronicle: &Chronicle, now: f64) -> Option<Line> {
    let slots = &chronicle.plan.timeline;
    let (phase, _) = chronicle.phase()?;
    let current = slots.iter().position(|slot| slot.phase == Some(phase));
    let due =
        current.or_else(|| slots.iter().rposition(|slot| slot.phase.is_some_and(|known| known <= phase)))?;
    let slot = &slots[due];
    let late = now - slot.offset;
    let when = if late >= 60.0 {
        format!("{} behind", clock(late))
    } else if late <= -60.0 {
        format!("{} ahead", clock(-late))
    } else {
        "on time".to_owned()
    };
    let line =
        Line::new().with(Style::Dim, "plan: ").plain(slot_words(slot)).with(Style::Dim, format!(" ({when})"));
    Some(match slots.get(due + 1) {
        Some(next) => line.with(Style::Dim, format!("   next: {}", slot_words(next))),
        None => line,
    })
}

fn slot_words(slot: &Slot) -> String {
    format!("{} {}", slot.at, slot.text)
}

/// What people are waited for, in two lines at most.
fn question(chronicle: &Chronicle, columns: usize) -> Vec<Line> {
    let text = if let Some(criterion) = chronicle.asked {
        let text = chronicle.plan.criteria.get(criterion).map_or("", |criterion| criterion.text.as_str());
        format!("Was this met? {text}")
    } else if let Some((question, who)) = &chronicle.hold {
        let who = if who.is_empty() { String::new() } else { format!("{who}: ") };
        format!("{who}go or no-go? {question}")
    } else {
        return Vec::new();
    };
    let lines = wrapped(&crate::paint::printable(&text), columns.saturating_sub(2));
    lines
        .iter()
        .take(3)
        .enumerate()
        .map(|(index, text)| {
            let mark = if index == 0 { "» " } else { "  " };
            Line::new().with(Style::Warning, mark).with(Style::Warning, text)
        })
        .collect()
}

fn metrics(chronicle: &Chronicle, now: f64, columns: usize, room: usize) -> Vec<Line> {
    let story = &chronicle.story;
    // Name, value and thresholds take what they take.
    let course = columns.saturating_sub(50).clamp(8, 48);
    let range = (0.0, stretch(now, course));
    let telling = story.series.iter().filter(|series| series.is_telling()).take(room);
    telling.map(|series| metric(series, story, range, course)).collect()
}

/// Steady state, services, alerts, and what is active.
fn state(chronicle: &Chronicle, now: f64) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some((since, holds, failing)) = chronicle.steady.last() {
        let line = Line::new().with(Style::Dim, "steady state").to_column(14);
        lines.push(if *holds {
            line.with(Style::Good, "✓ holds").with(Style::Dim, format!(" since {}", clock(*since)))
        } else {
            let why = failing.first().map_or("", String::as_str);
            line.with(Style::Bad, "✗ does not hold").plain(format!("  {why}"))
        });
    }
    if !chronicle.services.is_empty() {
        let mut line = Line::new().with(Style::Dim, "services").to_column(14);
        for (name, changes) in &chronicle.services {
            let healthy = changes.last().is_some_and(|(_, healthy, _)| *healthy);
            let tone = Tone::of(healthy);
            line = line.with(tone.into(), format!("{} {name}", tone.sign())).plain("  ");
        }
        lines.push(line);
    }
    if let Some((_, firing, error)) = chronicle.alerts.last() {
        let line = Line::new().with(Style::Dim, "alerts").to_column(14);
        lines.push(match (error, firing.is_empty()) {
            (Some(why), _) => line.with(Style::Warning, why),
            (None, true) => line.plain("none fires"),
            (None, false) => line.with(Style::Bad, firing.join(", ")),
        });
    }
    let active: Vec<_> = chronicle.faults.iter().filter(|fault| fault.to.is_none()).collect();
    for fault in active.iter().take(2) {
        lines.push(
            Line::new()
                .with(Style::Dim, "active")
                .to_column(14)
                .with(Style::Fault, &fault.name)
                .plain(format!("  for {}", clock(now - fault.from))),
        );
    }
    if active.len() > 2 {
        let more = active.len() - 2;
        lines.push(Line::new().to_column(14).with(Style::Fault, format!("and {more} more")));
    }
    lines
}

/// The last lines of the log.
fn log(chronicle: &Chronicle, columns: usize, room: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for told in chronicle.log.iter().rev() {
        if lines.len() >= room {
            break;
        }
        let style = match (told.kind, told.tone) {
            (Kind::Note | Kind::Decision | Kind::FollowUp, Tone::Neutral) => Style::Strong,
            (Kind::Phase, _) => Style::Accent,
            (_, tone) => tone.into(),
        };
        let style = if style == Style::Dim { Style::Plain } else { style };
        let text = crate::paint::printable(&told.text);
        let wrapped = wrapped(&text, columns.saturating_sub(9));
        for (index, part) in wrapped.iter().enumerate().rev() {
            let time = if index == 0 { format!("{:>7}  ", clock(told.elapsed)) } else { " ".repeat(9) };
            lines.push(Line::new().with(Style::Dim, time).with(style, part));
        }
    }
    lines.truncate(room);
    lines.reverse();
    lines
}

/// The prompt or the keys.
fn footer(chronicle: &Chronicle, bottom: Bottom<'_>, columns: usize) -> Vec<Line> {
    if let Bottom::Prompt(prompt) = bottom {
        let label = format!("{}: ", prompt.label);
        // The end of what is typed stays in sight.
        let room = columns.saturating_sub(width(&label) + 2);
        let typed: Vec<char> = prompt.typed.chars().collect();
        let shown: String = typed[typed.len().saturating_sub(room)..].iter().collect();
        let hint = Line::new().with(Style::Dim, "Enter keeps it, Esc drops it");
        return vec![Line::new().with(Style::Accent, label).plain(shown).with(Style::Accent, "▏"), hint];
    }
    let mut line = Line::new();
    let keys: &[(&str, &str)] = if chronicle.ending.is_some() {
        &[("q", "close")]
    } else if chronicle.asked.is_some() {
        &[("y", "met"), ("x", "not met"), ("u", "unknown"), ("n", "note"), ("f", "follow-up"), ("q", "leave")]
    } else {
        &[
            ("g", "go"),
            ("x", "no-go"),
            // Before what a narrow terminal has no room for.
            ("h", "HALT"),
            ("n", "note"),
            ("d", "decision"),
            ("f", "follow-up"),
            ("q", "leave"),
        ]
    };
    for (key, does) in keys {
        let style = if *key == "h" { Style::Bad } else { Style::Strong };
        line = line.with(style, *key).plain(format!(" {does}   "));
    }
    match bottom {
        Bottom::Hint(hint) => vec![Line::new().with(Style::Warning, crate::paint::printable(hint)), line],
        _ => vec![line],
    }
}
