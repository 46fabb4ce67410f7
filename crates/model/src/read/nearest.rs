//! The nearest known name, for "did you mean".

/// The known name that is most like `name`, where one is like enough to be meant.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Comparing is quadratic in the length, and nothing that long is a slip of the pen.
    if name.len() > 100 {
        return None;
    }
    let plain = name.to_lowercase().replace(['_', '-', ' '], "");
    known
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase().replace(['_', '-', ' '], "");
            let contains =
                plain.len() > 3 && (other.contains(&plain) || (other.len() > 3 && plain.contains(&other)));
            let likeness = if other == plain { 1.0 } else { strsim::jaro_winkler(&plain, &other) };
            let edits = strsim::osa_distance(&plain, &other);
            let longest = plain.chars().count().max(other.chars().count());
            (candidate, likeness, edits * 3 <= longest || contains)
        })
        .filter(|(_, _, near)| *near)
        .max_by(|(_, left, _), (_, right, _)| left.total_cmp(right))
        .map(|(candidate, ..)| candidate)
}

/// "did you mean `delay`?" and the list of what is known.
pub(crate) fn advice(name: &str, known: &[&str]) -> String {
    let list = list(known);
    match (nearest(name, known.iter().copied()), known.is_empty()) {
        (_, true) => "nothing can be given here".to_owned(),
        (Some(near), _) => format!("did you mean `{near}`? known: {list}"),
        (None, _) => format!("known: {list}"),
    }
}

/// Names in backticks, joined by commas.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_find_what_was_meant() {
        let known = ["delay", "jitter", "destination", "steady_state", "latency_p99", "network.latency"];
        for (name, meant) in [
            ("delai", Some("delay")),
            ("dealy", Some("delay")),
            ("Jitter", Some("jitter")),
            ("steady-state", Some("steady_state")),
            ("steadyState", Some("steady_state")),
            ("latency_p999", Some("latency_p99")),
            ("net.latency", Some("network.latency")),
            ("dest", Some("destination")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }
}
