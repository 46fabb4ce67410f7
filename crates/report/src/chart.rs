//! Charts as SVG, written by hand: across, everything is in percent of the width, so that a chart fits a phone and a
//! printed page alike and its letters keep their size; down, in pixels.

use crate::html::escape;
use crate::paint::cut;
use crate::sample;
use crate::story::{Injection, Miss, PhaseSpan, Series, Story, Tally, wants_less};
use crate::words;
use squall_model::condition::Bound;
use squall_model::event::Phase;
use squall_model::quantity::{Scale, Unit, clock, span, title};
use std::fmt::Write as _;

/// Height of the area that a course is drawn in.
const HEIGHT: f64 = 148.0;
/// Labels nearer to each other than this would overlap.
const LABEL_HEIGHT: f64 = 13.0;
/// Room under it for the time.
pub(crate) const AXIS: f64 = 22.0;
/// Stretches of time within which a pointer finds a value.
const HINTS: usize = 100;
/// Columns that missed checks are drawn in.
const MISS_COLUMNS: usize = 400;
/// At most so many faults, and so many checks, have a lane of their own.
const LANES: usize = 8;
/// An objective more than this many times above the course would flatten it, and is named under the chart instead.
const FURTHEST_OBJECTIVE: f64 = 12.0;
/// A limit of the guard likewise. It is of less interest, as it was hardly ever come near.
const FURTHEST_LIMIT: f64 = 2.5;

/// A window of faults is named where it takes at least so many percent of the width.
const NARROWEST_NAMED: f64 = 20.0;
/// Names are cut to so many characters, and those of checks to half as many more: what fits on a telephone.
const LONGEST_NAME: usize = 32;

/// How much of a chart is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    /// Stretches of time of which the extremes are kept.
    pub columns: usize,
    /// Whether a pointer finds values.
    pub hints: bool,
}

/// A chart of one metric: its course, the times of faults, thresholds, gaps. `number` makes names within the page
/// unique.
pub(crate) fn metric(story: &Story, series: &Series, number: usize, detail: Detail) -> String {
    let vertical = Vertical::of(series);
    let time = Time { end: story.horizon() };
    let mut svg = String::new();
    let label = described(story, series);
    let _ = write!(
        svg,
        r#"<svg class="chart" role="img" aria-label="{}" width="100%" height="{}">"#,
        escape(&label),
        HEIGHT + AXIS
    );
    faults(&mut svg, story, time);
    gaps(&mut svg, series, time);
    vertical.grid(&mut svg);
    course(&mut svg, series, &vertical, time, number, detail.columns);
    let mut used = Vec::new();
    for bound in &series.objectives {
        threshold(&mut svg, bound, &vertical, "objective", &mut used);
    }
    for bound in &series.limits {
        threshold(&mut svg, bound, &vertical, "limit", &mut used);
    }
    fault_names(&mut svg, story, time, &used);
    time.axis(&mut svg, HEIGHT);
    if detail.hints {
        hints(&mut svg, series, time);
    }
    svg.push_str("</svg>");
    svg
}

/// Thresholds that lie too far above the chart to be drawn.
pub(crate) fn beyond(series: &Series) -> Vec<&Bound> {
    let top = Vertical::of(series).top;
    series.objectives.iter().chain(&series.limits).filter(|bound| bound.value > top).collect()
}

/// Time runs from the start of the run to the end of the journal.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) end: f64,
}

impl Time {
    pub(crate) fn percent(self, elapsed: f64) -> f64 {
        (100.0 * elapsed / self.end).clamp(0.0, 100.0)
    }

    pub(crate) fn rectangle(
        self,
        svg: &mut String,
        class: &str,
        (from, to): (f64, f64),
        (y, height): (f64, f64),
    ) {
        let (start, end) = (self.percent(from), self.percent(to));
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{start:.2}%" y="{y}" width="{:.2}%" height="{height}"/>"#,
            (end - start).max(0.05)
        );
    }

    /// Windows as an eye sees them: those that hardly stand apart are one.
    fn seen(self, windows: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
        let mut seen: Vec<(f64, f64)> = Vec::new();
        for window in windows {
            match seen.last_mut() {
                Some(last) if window.0 - last.1 < self.end / 400.0 => last.1 = window.1,
                _ => seen.push(window),
            }
        }
        seen
    }

    /// Marks and labels at round times, few enough for a phone.
    pub(crate) fn axis(self, svg: &mut String, y: f64) {
        const STEPS: [f64; 19] = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0,
            3600.0, 7200.0, 14400.0, 43200.0,
        ];
        let step = STEPS.into_iter().find(|step| self.end / step <= 5.0).unwrap_or(self.end / 4.0);
        let mut count = 0;
        while f64::from(count) * step <= self.end * 0.985 {
            let elapsed = f64::from(count) * step;
            let x = self.percent(elapsed);
            let anchor = if count == 0 { "" } else { r#" text-anchor="middle""# };
            let label = match step {
                _ if count == 0 => "0".to_owned(),
                1.0..60.0 => clock(elapsed),
                _ => span(elapsed),
            };
            let _ = write!(
                svg,
                r#"<line class="mark" x1="{x:.2}%" x2="{x:.2}%" y1="{y}" y2="{}"/><text class="tick" x="{x:.2}%" y="{}"{anchor}>{label}</text>"#,
                y + 4.0,
                y + 17.0
            );
            count += 1;
        }
    }
}

/// The axis of values.
struct Vertical {
    bottom: f64,
    top: f64,
    step: f64,
    scale: Scale,
}

impl Vertical {
    fn of(series: &Series) -> Self {
        let values = || series.points.iter().filter_map(|point| point.value);
        let greatest = values().fold(f64::NEG_INFINITY, f64::max);
        let least = values().fold(f64::INFINITY, f64::min);
        let (least, greatest) = if greatest.is_finite() { (least, greatest) } else { (0.0, 0.0) };
        let unit = series.unit();
        let mut top = greatest.max(0.0);
        let objectives = series.objectives.iter().map(|bound| (bound.value, FURTHEST_OBJECTIVE));
        let limits = series.limits.iter().map(|bound| (bound.value, FURTHEST_LIMIT));
        for (threshold, times) in objectives.chain(limits) {
            if threshold <= greatest * times || (top <= 0.0 && times > FURTHEST_LIMIT) {
                top = top.max(threshold);
            }
        }
        if top <= 0.0 {
            top = if unit == Unit::Share { 0.01 } else { 1.0 };
        }
        // A share cannot be more than all, and room above a line keeps it from the edge.
        let room = if unit == Unit::Share && top > 0.95 { 1.0 } else { 1.06 };
        // What hardly moves, far from zero, is not to be seen from there: an unknown number, or an availability.
        let share = unit == Unit::Share && sample::less_is_worse(&series.name);
        let from_zero = !(share || unit == Unit::Plain) || least < 0.7 * greatest;
        let bottom = if from_zero { least.min(0.0) } else { least - (top - least) * 0.1 };
        let scale = unit.scale(top);
        let range = (top * room - bottom).max(f64::MIN_POSITIVE * 1e9);
        let step = round_step(range * scale.factor / 4.0) / scale.factor;
        let bottom = (bottom / step).floor() * step;
        let top = ((top * room / step - 1e-9).ceil() * step).max(bottom + step);
        Self { bottom, top, step, scale: unit.scale(top) }
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT * (1.0 - ((value - self.bottom) / (self.top - self.bottom)).clamp(0.0, 1.0))
    }

    fn grid(&self, svg: &mut String) {
        let lines = ((self.top - self.bottom) / self.step).round().min(8.0) as u32;
        for line in 0..=lines {
            let value = self.bottom + self.step * f64::from(line);
            let y = self.y(value);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="0" dx="-8" y="{:.1}" text-anchor="end">{}</text>"#,
                y + 4.0,
                self.scale.show(value)
            );
        }
    }
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|round| *round >= step)
        .unwrap_or(10.0 * power)
}

fn faults(svg: &mut String, story: &Story, time: Time) {
    for window in time.seen(story.fault_windows()) {
        time.rectangle(svg, "fault", window, (0.0, HEIGHT));
    }
}

/// The names of the faults, where there is room; below labels that reach into their place on a narrow screen.
fn fault_names(svg: &mut String, story: &Story, time: Time, used: &[f64]) {
    let is_free = |y: &f64| used.iter().all(|taken| (taken - y).abs() >= LABEL_HEIGHT);
    let y = [14.0, 28.0, 42.0].into_iter().find(is_free).unwrap_or(14.0);
    for window in time.seen(story.fault_windows()) {
        let (start, end) = (time.percent(window.0), time.percent(window.1));
        if end - start < NARROWEST_NAMED {
            continue;
        }
        let within = |injection: &&Injection| {
            story.window(injection).is_some_and(|(start, end)| start < window.1 && end > window.0)
        };
        let mut names: Vec<&str> =
            story.injections.iter().filter(within).map(|injection| injection.fault.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let label =
            if let [name] = names[..] { cut(name, LONGEST_NAME) } else { format!("{} faults", names.len()) };
        let label = escape(&label);
        let _ = write!(svg, r#"<text class="fault-name" x="{start:.2}%" dx="6" y="{y}">{label}</text>"#);
    }
}

fn gaps(svg: &mut String, series: &Series, time: Time) {
    for gap in sample::gaps(&series.points) {
        time.rectangle(svg, "gap", gap, (0.0, HEIGHT));
        if time.percent(gap.1) - time.percent(gap.0) >= 22.0 {
            let middle = f64::midpoint(time.percent(gap.0), time.percent(gap.1));
            let y = HEIGHT / 2.0;
            let _ = write!(
                svg,
                r#"<text class="gap-name" x="{middle:.2}%" y="{y}" text-anchor="middle">no reading</text>"#
            );
        }
    }
}

/// The course itself, in a space of its own that stretches with the page; where an objective is broken, drawn again
/// in the colour of what is bad.
fn course(svg: &mut String, series: &Series, vertical: &Vertical, time: Time, number: usize, columns: usize) {
    let range = (0.0, time.end);
    let mut path = String::new();
    for piece in sample::pieces(&series.points, range, columns) {
        for (index, (elapsed, value)) in piece.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", time.percent(*elapsed) * 10.0, vertical.y(*value));
        }
        // A reading between two gaps is a dot.
        if piece.len() == 1 {
            path.push_str("h0");
        }
    }
    let _ = write!(
        svg,
        r#"<svg width="100%" height="{HEIGHT}" viewBox="0 0 1000 {HEIGHT}" preserveAspectRatio="none"><g class="course"><path id="course-{number}" vector-effect="non-scaling-stroke" d="{path}"/></g>"#
    );
    if let Some((y, height)) = broken(series, vertical) {
        let _ = write!(
            svg,
            r##"<clipPath id="broken-{number}"><rect x="0" y="{y:.1}" width="1000" height="{height:.1}"/></clipPath><g class="broken" clip-path="url(#broken-{number})"><use href="#course-{number}"/></g>"##
        );
    }
    svg.push_str("</svg>");
}

/// The part of the chart in which an objective is broken, as top and height.
fn broken(series: &Series, vertical: &Vertical) -> Option<(f64, f64)> {
    let upper = series.objectives.iter().filter(|bound| wants_less(bound)).map(|bound| bound.value);
    let lower = series.objectives.iter().filter(|bound| !wants_less(bound)).map(|bound| bound.value);
    if let Some(upper) = upper.min_by(f64::total_cmp).filter(|upper| *upper < vertical.top) {
        return Some((-4.0, vertical.y(upper) + 4.0));
    }
    let lower = lower.max_by(f64::total_cmp).filter(|lower| *lower > vertical.bottom)?;
    Some((vertical.y(lower), HEIGHT - vertical.y(lower) + 4.0))
}

/// A threshold with its label, on the left: before the fault the course is where it should be, and leaves room. One that would stand on another's label goes without, as it is named under the chart.
fn threshold(svg: &mut String, bound: &Bound, vertical: &Vertical, class: &str, used: &mut Vec<f64>) {
    if bound.value > vertical.top || bound.value < vertical.bottom {
        return;
    }
    let y = vertical.y(bound.value);
    let _ = write!(svg, r#"<line class="{class}" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/>"#);
    let below = y < 16.0;
    let label_y = if below { y + 13.0 } else { y - 5.0 };
    if used.iter().any(|taken: &f64| (taken - label_y).abs() < LABEL_HEIGHT) {
        return;
    }
    used.push(label_y);
    let _ = write!(
        svg,
        r#"<text class="{class}-name" x="0" dx="6" y="{label_y:.1}">{} {}</text>"#,
        if class == "limit" { "guard" } else { class },
        escape(&words::bound(bound))
    );
}

/// Invisible columns that tell their value to a pointer.
fn hints(svg: &mut String, series: &Series, time: Time) {
    let count = HINTS.min(series.points.len());
    let worst = sample::worst(&series.points, (0.0, time.end), count, sample::less_is_worse(&series.name));
    let width = 100.0 / count.max(1) as f64;
    for (index, value) in worst.into_iter().enumerate() {
        let Some(value) = value else { continue };
        let x = width * index as f64;
        let when = span(time.end * (index as f64 + 0.5) / count as f64);
        let _ = write!(
            svg,
            r#"<rect class="hint" x="{x:.2}%" y="0" width="{width:.2}%" height="{HEIGHT}"><title>{when}: {}</title></rect>"#,
            series.unit().show(value)
        );
    }
}

/// The chart in words, for who cannot see it.
fn described(story: &Story, series: &Series) -> String {
    let values = || series.points.iter().filter_map(|point| point.value);
    let unit = series.unit();
    let mut words = format!("{} over {}", title(&series.name), span(story.horizon()));
    if values().next().is_some() {
        let (least, greatest) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let _ = write!(words, ": {} to {}", unit.show(least), unit.show(greatest));
    } else {
        words.push_str(": never read");
    }
    if let Some(change) = story.change(&series.name) {
        let _ = write!(words, "; under the fault {}", crate::change::amount(change));
    }
    for bound in &series.objectives {
        let _ = write!(words, "; objective {}", words::bound(bound));
    }
    words
}

/// The run as bands: its parts, the faults, and when checks missed.
pub(crate) fn timeline(story: &Story) -> String {
    const BAND: f64 = 24.0;
    const LANE: f64 = 24.0;
    const ROW: f64 = 32.0;
    let time = Time { end: story.horizon() };
    let lanes = lanes(story);
    let rows = check_rows(story);
    let height = BAND + 8.0 + LANE * lanes.len() as f64 + ROW * rows.len() as f64 + 4.0;
    let mut svg = String::new();
    let _ = write!(
        svg,
        r#"<svg class="timeline" role="img" aria-label="{}" width="100%" height="{}">"#,
        escape(&told(story)),
        height + AXIS
    );
    for window in time.seen(story.fault_windows()) {
        time.rectangle(&mut svg, "fault", window, (BAND, height - BAND));
    }
    for part in &story.phases {
        band(&mut svg, *part, time, BAND);
    }
    let mut y = BAND + 8.0;
    for (name, windows) in &lanes {
        lane(&mut svg, name, windows, time, y);
        y += LANE;
    }
    for row in &rows {
        check_row(&mut svg, row, time, y);
        y += ROW;
    }
    time.axis(&mut svg, height);
    svg.push_str("</svg>");
    svg
}

fn band(svg: &mut String, part: PhaseSpan, time: Time, height: f64) {
    let (start, end) = (time.percent(part.start), time.percent(part.end));
    let name = words::phase(part.phase);
    let _ = write!(
        svg,
        r#"<svg x="{start:.2}%" y="0" width="{:.2}%" height="{height}"><rect class="part {}" width="100%" height="100%"/><title>{name}: {}</title>"#,
        (end - start).max(0.1),
        part_class(part.phase),
        span(part.end - part.start)
    );
    // Only where a phone, too, has room for the name.
    if end - start > name.len() as f64 * 2.4 {
        let _ = write!(svg, r#"<text class="part-name" x="50%" y="16" text-anchor="middle">{name}</text>"#);
    }
    svg.push_str("</svg>");
}

/// The class of a part of the run in the style sheet.
pub(crate) fn part_class(phase: Phase) -> &'static str {
    match phase {
        Phase::Plan => "plan",
        Phase::SteadyState => "steady",
        Phase::Baseline => "baseline",
        Phase::Fault => "method",
        Phase::Undo => "undo",
        Phase::Recovery => "recovery",
        Phase::Analysis => "analysis",
    }
}

/// Faults with the times in which they were active: each by itself, or by kind where they are many.
fn lanes(story: &Story) -> Vec<(String, Vec<(f64, f64)>)> {
    let active: Vec<(&Injection, (f64, f64))> = story
        .injections
        .iter()
        .filter_map(|known| story.window(known).map(|window| (known, window)))
        .collect();
    if active.len() <= LANES {
        return active.into_iter().map(|(known, window)| (known.name(), vec![window])).collect();
    }
    let mut lanes: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (known, window) in active {
        match lanes.iter_mut().find(|(name, _)| *name == known.fault) {
            Some((_, windows)) => windows.push(window),
            None => lanes.push((known.fault.clone(), vec![window])),
        }
    }
    lanes.truncate(LANES);
    lanes
}

pub(crate) fn lane(svg: &mut String, name: &str, windows: &[(f64, f64)], time: Time, y: f64) {
    let windows = if windows.len() > MISS_COLUMNS { &windows[..MISS_COLUMNS] } else { windows };
    for window in windows {
        time.rectangle(svg, "active", *window, (y + 2.0, 18.0));
    }
    let Some((first, last)) = windows.first().zip(windows.last()) else { return };
    let (start, end) = (time.percent(first.0), time.percent(last.1));
    let short = cut(name.split_once(" on ").map_or(name, |(fault, _)| fault), LONGEST_NAME);
    // Within the bar where it is long, else beside it, where there is room.
    let needed = short.len() as f64 * 2.9;
    let (class, x, dx, anchor) = if end - start >= needed && windows.len() == 1 {
        ("active-name", start, 6, "start")
    } else if start > 100.0 - end {
        ("beside-name", start, -6, "end")
    } else {
        ("beside-name", end, 6, "start")
    };
    let _ = write!(
        svg,
        r#"<text class="{class}" x="{x:.2}%" dx="{dx}" y="{}" text-anchor="{anchor}">{}</text>"#,
        y + 15.0,
        escape(&short)
    );
}

/// A check over the whole run.
struct CheckRow {
    name: String,
    asked: (f64, f64),
    misses: Vec<Miss>,
}

fn check_rows(story: &Story) -> Vec<CheckRow> {
    let mut rows: Vec<CheckRow> = Vec::new();
    for tally in &story.tallies {
        let name = check_name(tally);
        let asked = (tally.first, tally.last);
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.asked = (row.asked.0.min(asked.0), row.asked.1.max(asked.1));
                row.misses.extend(&tally.misses);
            }
            None => rows.push(CheckRow { name, asked, misses: tally.misses.clone() }),
        }
    }
    // Where not all fit, those that missed are worth more.
    if rows.len() > LANES {
        rows.sort_by_key(|row| row.misses.is_empty());
        rows.truncate(LANES);
    }
    rows
}

fn check_name(tally: &Tally) -> String {
    words::check(&tally.check, &tally.expect)
}

fn check_row(svg: &mut String, row: &CheckRow, time: Time, y: f64) {
    let _ = write!(
        svg,
        r#"<text class="check-name" x="0" y="{}">{}</text>"#,
        y + 12.0,
        escape(&cut(&row.name, LONGEST_NAME * 3 / 2))
    );
    time.rectangle(svg, "asked", row.asked, (y + 18.0, 6.0));
    for unknown in [false, true] {
        let class = if unknown { "unknown" } else { "missed" };
        for run in runs(row.misses.iter().filter(|miss| miss.unknown == unknown), time) {
            time.rectangle(svg, class, run, (y + 16.0, 10.0));
        }
    }
}

/// Moments joined to stretches of time, so that an hour of misses is not thousands of marks.
fn runs<'m>(misses: impl Iterator<Item = &'m Miss>, time: Time) -> Vec<(f64, f64)> {
    let column = time.end / MISS_COLUMNS as f64;
    let mut columns = vec![false; MISS_COLUMNS];
    for miss in misses {
        if let Some(column) = sample::bucket_of(miss.elapsed, (0.0, time.end), MISS_COLUMNS) {
            columns[column] = true;
        }
    }
    let mut runs: Vec<(f64, f64)> = Vec::new();
    for (index, _) in columns.iter().enumerate().filter(|(_, missed)| **missed) {
        let (start, end) = (index as f64 * column, (index + 1) as f64 * column);
        match runs.last_mut() {
            // Checks are asked about once a second: what lies closer is one stretch.
            Some(run) if start - run.1 < column.max(1.2) => run.1 = end,
            _ => runs.push((start, end)),
        }
    }
    runs
}

/// The timeline in words.
fn told(story: &Story) -> String {
    let mut parts: Vec<String> = story
        .phases
        .iter()
        .map(|part| format!("{} from {} to {}", words::phase(part.phase), span(part.start), span(part.end)))
        .collect();
    parts.extend(story.injections.iter().take(LANES).filter_map(|known| {
        let (start, end) = story.window(known)?;
        Some(format!("{} active from {} to {}", known.name(), span(start), span(end)))
    }));
    let missed = check_rows(story).into_iter().filter(|row| !row.misses.is_empty());
    parts.extend(missed.map(|row| format!("{} missed {} times", row.name, row.misses.len())));
    format!("Timeline. {}", parts.join("; "))
}
