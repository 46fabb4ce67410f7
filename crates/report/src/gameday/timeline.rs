//! The day as bands: its phases, what was broken, when the steady state did not hold, and when people wrote something
//! down.

use super::{Chronicle, Kind};
use crate::chart::{AXIS, Time, lane};
use crate::html::escape;
use squall_model::gameday::Phase;
use squall_model::quantity::{clock, span};
use std::fmt::Write as _;

/// Height of the band of phases, and of a lane.
const BAND: f64 = 24.0;
const LANE: f64 = 24.0;
/// At most so many faults have a lane of their own.
const LANES: usize = 6;
/// At most so many notes are marked.
const MARKS: usize = 200;

/// The class of a phase in the style sheet.
pub(super) fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Verify => "baseline",
        Phase::Inject => "undo",
        Phase::Observe => "method",
        Phase::Recover => "recovery",
        Phase::Analyse => "analysis",
    }
}

/// The picture.
pub(super) fn picture(chronicle: &Chronicle) -> String {
    let time = Time { end: chronicle.elapsed.max(0.001) };
    let faults: Vec<(String, Vec<(f64, f64)>)> = chronicle
        .faults
        .iter()
        .take(LANES)
        .map(|fault| (fault.name.clone(), vec![(fault.from, fault.to.unwrap_or(chronicle.elapsed))]))
        .collect();
    let lost = lost(chronicle);
    let lost_lane = f64::from(u8::from(!lost.is_empty()));
    let notes =
        chronicle.log.iter().filter(|line| matches!(line.kind, Kind::Note | Kind::Decision | Kind::FollowUp));
    let notes: Vec<_> = notes.take(MARKS).collect();
    let height = BAND + 8.0 + LANE * (faults.len() as f64 + lost_lane) + 18.0;
    let mut svg = format!(
        r#"<svg class="timeline" role="img" aria-label="{}" width="100%" height="{}">"#,
        escape(&described(chronicle)),
        height + AXIS
    );
    for (_, windows) in &faults {
        for window in windows {
            time.rectangle(&mut svg, "fault", *window, (BAND, height - BAND));
        }
    }
    for (phase, from, to) in &chronicle.phases {
        band(&mut svg, *phase, (*from, *to), time);
    }
    let mut y = BAND + 8.0;
    for (name, windows) in &faults {
        lane(&mut svg, name, windows, time, y);
        y += LANE;
    }
    if !lost.is_empty() {
        for window in &lost {
            time.rectangle(&mut svg, "missed", *window, (y + 6.0, 8.0));
        }
        y += LANE;
    }
    for note in notes {
        let x = time.percent(note.elapsed);
        let _ = write!(
            svg,
            r#"<circle class="said" cx="{x:.2}%" cy="{}" r="4"><title>{}: {}</title></circle>"#,
            y + 7.0,
            clock(note.elapsed),
            escape(&note.text)
        );
    }
    time.axis(&mut svg, height);
    svg.push_str("</svg>");
    svg
}

/// When the steady state did not hold.
pub(super) fn lost(chronicle: &Chronicle) -> Vec<(f64, f64)> {
    let mut windows = Vec::new();
    let mut since = None;
    for (at, holds, _) in &chronicle.steady {
        match (holds, since) {
            (false, None) => since = Some(*at),
            (true, Some(from)) => {
                windows.push((from, at.max(from)));
                since = None;
            }
            _ => {}
        }
    }
    windows.extend(since.map(|from| (from, chronicle.elapsed.max(from))));
    windows
}

fn band(svg: &mut String, phase: Phase, (from, to): (f64, f64), time: Time) {
    let (start, end) = (time.percent(from), time.percent(to));
    let name = phase.name();
    let _ = write!(
        svg,
        r#"<svg x="{start:.2}%" y="0" width="{:.2}%" height="{BAND}"><rect class="part {}" width="100%" height="100%"/><title>{name}: {}</title>"#,
        (end - start).max(0.1),
        class(phase),
        span(to - from)
    );
    // Only where a phone, too, has room for the name.
    if end - start > name.len() as f64 * 2.4 {
        let _ = write!(svg, r#"<text class="part-name" x="50%" y="16" text-anchor="middle">{name}</text>"#);
    }
    svg.push_str("</svg>");
}

/// The picture in words.
fn described(chronicle: &Chronicle) -> String {
    let phases = chronicle
        .phases
        .iter()
        .map(|(phase, from, to)| format!("{} from {} for {}", phase.name(), clock(*from), span(to - from)));
    phases.collect::<Vec<_>>().join("; ")
}
