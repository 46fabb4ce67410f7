//! What people are told: nothing that nobody looked at, and nothing that cannot be.

use super::tests::{OFTEN, own};

#[test]
fn what_nobody_watched_is_not_told_as_watched() {
    for (outage, judges, words) in [
        ("", false, "nothing was watched"),
        ("outage: {watch: 1s}\n", false, "nothing was watched"),
        ("outage: {steady_state: []}\n", false, "nothing was watched"),
        ("outage: {guard: [{abort_if: 'load > 3'}]}\n", false, "the guard had no reason"),
        ("outage: {steady_state: [{tcp: {address: '127.0.0.1:1'}}]}\n", true, "the others did without it"),
        (
            "outage: {hypothesis_holds: [{tcp: {address: '127.0.0.1:1'}}]}\n",
            true,
            "the others did without it",
        ),
    ] {
        let config = own(&format!("{OFTEN}{outage}"));
        assert_eq!(config.trial.judges(), judges, "{outage}");
        assert!(config.trial.shown().contains(words), "{outage}: {}", config.trial.shown());
        let is_noted = config.notes.iter().any(|note| note.contains("nothing is watched"));
        assert_eq!(is_noted, !judges, "{outage}: {:?}", config.notes);
    }
}
