//! Quantities in the words of people: `2 minutes`, `two minutes`, `1 %`, `500 ms`, `10:15`.

use squall_model::units::Duration;
use std::ops::Range;

/// Numbers that are written as words.
const WORDS: [(&str, f64); 18] = [
    ("a", 1.0),
    ("an", 1.0),
    ("one", 1.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("fifteen", 15.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty-five", 45.0),
    ("sixty", 60.0),
    ("half", 0.5),
];

/// Units of time, in seconds.
const TIMES: [(&[&str], f64); 4] = [
    (&["ms", "msec", "millisecond", "milliseconds"], 0.001),
    (&["s", "sec", "secs", "second", "seconds"], 1.0),
    (&["m", "min", "mins", "minute", "minutes"], 60.0),
    (&["h", "hr", "hrs", "hour", "hours"], 3600.0),
];

/// A quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Quantity {
    /// Seconds.
    Time(f64),
    /// A fraction of one.
    Share(f64),
    /// Times a second.
    Frequency(f64),
    /// A number without a unit.
    Bare(f64),
}

/// A quantity and the bytes that it stands in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) quantity: Quantity,
    pub(super) range: Range<usize>,
}

/// All quantities in a text, in order. Names with digits in them, such as `p99` and `5xx`, are none.
pub(super) fn all(text: &str) -> Vec<Found> {
    let words = words(text);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some((word, range)) = words.get(index) {
        let (quantity, used) = quantity(word, &words[index + 1..]);
        if let Some(quantity) = quantity {
            let end = words[index + used].1.end;
            found.push(Found { quantity, range: range.start..end });
            index += used;
        }
        index += 1;
    }
    found
}

/// The words of a text in small letters, without the punctuation around them.
pub(super) fn words(text: &str) -> Vec<(String, Range<usize>)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let belongs = c.is_alphanumeric()
            || matches!(c, '.' | '%' | '-' | '_' | ',' | '/' | '<' | '>' | '=' | '≤' | '≥');
        match (belongs, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                start = None;
                let trimmed = text[from..at].trim_end_matches(['.', ',', '-', '/']);
                if !trimmed.is_empty() {
                    words.push((trimmed.to_lowercase(), from..from + trimmed.len()));
                }
            }
            _ => {}
        }
    }
    words
}

/// The quantity that begins with a word, and how many of the words after it belong to it.
fn quantity(word: &str, after: &[(String, Range<usize>)]) -> (Option<Quantity>, usize) {
    let word = word.trim_start_matches(['<', '>', '=', '≤', '≥']);
    let (number, unit) = split(word);
    let (number, spelled) = match number {
        Some(number) => (number, false),
        None => match WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, number)) => (*number, true),
            None => return (None, 0),
        },
    };
    if !unit.is_empty() && !spelled {
        return (in_unit(number, unit).or_else(|| compound(word)), 0);
    }
    let next = |index: usize| after.get(index).map_or("", |(word, _)| word.as_str());
    // `half a minute`
    let skip = usize::from(spelled && number < 1.0 && matches!(next(0), "a" | "an"));
    let unit = next(skip);
    if unit.is_empty() {
        return (if spelled { None } else { Some(Quantity::Bare(number)) }, 0);
    }
    match in_unit(number, unit) {
        Some(quantity) if spelled && !matches!(quantity, Quantity::Time(_)) => (None, 0),
        // A bare letter after a word (`a s…`) is no unit.
        Some(_) if spelled && unit.len() == 1 => (None, 0),
        Some(quantity) => (Some(quantity), skip + 1),
        None if spelled => (None, 0),
        None => (Some(Quantity::Bare(number)), 0),
    }
}

/// `1h30m` and the like.
fn compound(word: &str) -> Option<Quantity> {
    word.parse::<Duration>().ok().map(|duration| Quantity::Time(duration.as_seconds()))
}

/// The number that a word begins with, and the rest of it.
fn split(word: &str) -> (Option<f64>, &str) {
    let end = word.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(word.len());
    let digits = &word[..end];
    // `1,000` has a thousand in it, `1,5` a fraction.
    let number = match digits.split_once(',') {
        Some((whole, rest)) if rest.len() == 3 && !rest.contains(['.', ',']) => format!("{whole}{rest}"),
        Some(_) => digits.replacen(',', ".", 1),
        None => digits.to_owned(),
    };
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return (None, word);
    }
    (number.parse().ok(), &word[end..])
}

fn in_unit(number: f64, unit: &str) -> Option<Quantity> {
    let unit = unit.trim_start_matches('-');
    if let Some((_, seconds)) = TIMES.iter().find(|(names, _)| names.contains(&unit)) {
        return Some(Quantity::Time(number * seconds));
    }
    match unit {
        "%" | "percent" | "pct" => Some(Quantity::Share((number * 1e9).round() / 1e11)),
        "/s" | "rps" | "req/s" | "requests/s" | "qps" => Some(Quantity::Frequency(number)),
        _ => None,
    }
}

/// Minutes since midnight of a time of day as people write it (`10:15`, `9.30`, `2:05 PM`, `T+15`, `+15m`), and how many
/// bytes it takes; none where a text begins with none. What looks like a time and is none is an error.
pub(super) fn time_of_day(text: &str) -> Option<Result<(f64, usize), String>> {
    let rest = text.trim_start();
    let before = text.len() - rest.len();
    if let Some(after) = rest.strip_prefix("T+").or_else(|| rest.strip_prefix('+')) {
        let end = after.find([' ', '-', '–', '—', ':']).filter(|at| *at > 0).unwrap_or(after.len());
        let word = &after[..end];
        let minutes = word
            .parse::<f64>()
            .ok()
            .or_else(|| word.parse::<Duration>().ok().map(|duration| duration.as_seconds() / 60.0))?;
        return Some(Ok((minutes, text.len() - after.len() + end)));
    }
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let hours: u32 = rest[..digits].parse().ok()?;
    let after = rest[digits..].strip_prefix([':', '.'])?;
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    if end == 0 {
        return None;
    }
    let minutes: u32 = after[..end].parse().ok()?;
    let mut taken = before + digits + 1 + end;
    let half = text[taken..].trim_start().to_lowercase();
    let hours = if let Some(mark) = ["am", "pm"].iter().find(|mark| half.starts_with(**mark)) {
        taken = text.len() - text[taken..].trim_start().len() + 2;
        match (*mark, hours) {
            (_, 0 | 13..) => return Some(Err(format!("{} is no time of day", text[..taken].trim()))),
            ("am", 12) => 0,
            ("pm", 1..=11) => hours + 12,
            _ => hours,
        }
    } else {
        hours
    };
    if hours > 23 || minutes > 59 {
        return Some(Err(format!("{} is no time of day", text[..taken].trim())));
    }
    Some(Ok((f64::from(hours * 60 + minutes), taken)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Quantity> {
        all(text).into_iter().map(|found| found.quantity).collect()
    }

    #[test]
    fn people_write_times_in_many_ways() {
        for (text, seconds) in [
            ("within 2 minutes", 120.0),
            ("within two minutes.", 120.0),
            ("in under 90s", 90.0),
            ("after 1h30m", 5400.0),
            ("in 500 ms", 0.5),
            ("half a minute", 30.0),
            ("a 30-second window", 30.0),
            ("within a minute", 60.0),
            ("1.5 hours", 5400.0),
        ] {
            assert_eq!(of(text), [Quantity::Time(seconds)], "{text}");
        }
    }

    #[test]
    fn shares_and_rates_and_what_is_neither() {
        assert_eq!(of("stays below 1%"), [Quantity::Share(0.01)]);
        assert_eq!(of("99.9 percent of the time"), [Quantity::Share(0.999)]);
        assert_eq!(of("at least 1,000 req/s"), [Quantity::Frequency(1000.0)]);
        assert_eq!(of("p99 below 500ms"), [Quantity::Time(0.5)]);
        assert_eq!(of("error_rate<=2%"), []);
        assert_eq!(of("no 5xx answers"), []);
        assert_eq!(of("the queue holds 10 items"), [Quantity::Bare(10.0)]);
        assert_eq!(of("a second opinion"), [Quantity::Time(1.0)]);
    }

    #[test]
    fn times_of_day_are_read_or_refused() {
        let read = |text: &str| time_of_day(text).map(|read| read.map(|(minutes, _)| minutes));
        assert_eq!(read("10:15 - Inject"), Some(Ok(615.0)));
        assert_eq!(read("2:05 PM: go"), Some(Ok(845.0)));
        assert_eq!(read("12:00 am"), Some(Ok(0.0)));
        assert_eq!(read("T+15 inject"), Some(Ok(15.0)));
        assert_eq!(read("+1h30m - x"), Some(Ok(90.0)));
        assert!(read("25:00 - x").is_some_and(|read| read.is_err()));
        assert!(read("13:00 PM").is_some_and(|read| read.is_err()));
        assert_eq!(read("Inject failure"), None);
        assert_eq!(time_of_day("10:15 - Inject").unwrap().unwrap().1, 5);
    }
}
