//! What tells whether two runs did the same.

use crate::hexadecimal;
use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};
use squall_model::condition::Condition;
use squall_model::experiment::{Action, Experiment, Strike};

/// Parameters that say where a fault strikes, as targets do: they are others in another environment.
const PLACES: [&str; 3] = ["destination", "source", "port"];

/// A mark of what an experiment's faults are, how much of them, on how many of the targets and for how long; wherever they
/// strike: what passed in one environment may be carried out in another, and nothing else under its name. It is the
/// beginning of a SHA-256, so that no parameter can be read from it.
pub fn fingerprint(experiment: &Experiment) -> String {
    let actions = experiment.method.iter().map(|action| match action {
        Action::Wait(wait) => chosen(json!({"wait": wait.lasts.to_string()}), wait.when.as_ref()),
        Action::Ask(ask) => chosen(json!({"ask": [ask.name, ask.probe.kind]}), ask.when.as_ref()),
        Action::Strike(strikes) => strikes.iter().map(does).collect(),
    });
    mark(&Json::Array(actions.collect()).to_string())
}

/// A mark of a text, from which nothing of it can be read: the beginning of its SHA-256.
pub fn mark(text: &str) -> String {
    hexadecimal(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

/// What is only done where a condition holds is something else.
fn chosen(does: Json, when: Option<&Condition>) -> Json {
    match when {
        Some(when) => json!({"does": does, "when": when.text}),
        None => does,
    }
}

fn does(strike: &Strike) -> Json {
    let mut with = strike.with.to_json();
    if let Json::Object(parameters) = &mut with {
        parameters.retain(|name, _| !PLACES.contains(&name.as_str()));
        // In whatever order they were written.
        parameters.sort_keys();
    }
    let selection = &strike.selection;
    let does = json!([
        strike.fault,
        with,
        format!(
            "{:?} {:?}{}",
            selection.mode,
            selection.value,
            if selection.follow { " follow" } else { "" }
        ),
        strike.lasts.to_string(),
        strike.after.to_string()
    ]);
    chosen(does, strike.when.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::node::Place;
    use squall_model::read::{Source, parse};
    use squall_model::target::{Mode, Round, Selection, Target};
    use squall_model::units::Duration;

    fn experiment(with: &str, change: impl FnOnce(&mut Strike)) -> String {
        let source = Source { name: "with.yaml".into(), text: with.into() };
        let mut strike = Strike {
            fault: "network.latency".into(),
            selection: Selection {
                target: Target::Host(true),
                mode: Mode::All,
                value: None,
                round: Round::Down,
                optional: false,
                follow: false,
            },
            with: parse(&source).unwrap(),
            lasts: Duration::seconds(60),
            after: Duration::default(),
            place: Place::default(),
            stage: None,
            when: None,
        };
        change(&mut strike);
        fingerprint(&Experiment {
            method: vec![Action::Strike(vec![strike]), Action::wait(Duration::seconds(3))],
            ..Experiment::default()
        })
    }

    #[test]
    fn what_does_the_same_elsewhere_has_the_same_mark() {
        let one = experiment("{delay: 1s, jitter: 2ms, destination: 10.0.0.1}", |_| ());
        assert_eq!(one.len(), 16);
        let elsewhere = |strike: &mut Strike| {
            strike.selection.target = Target::Netns("other".into());
            strike.place = Place { start: 7, end: 9 };
        };
        assert_eq!(
            experiment("{jitter: 2ms, delay: 1s, destination: db.example, port: 5432}", elsewhere),
            one
        );
        let others = [
            experiment("{delay: 2s, jitter: 2ms}", |_| ()),
            experiment("{delay: 1s}", |_| ()),
            experiment("{delay: 1s, jitter: 2ms}", |strike| strike.fault = "network.loss".into()),
            experiment("{delay: 1s, jitter: 2ms}", |strike| strike.lasts = Duration::seconds(61)),
            experiment("{delay: 1s, jitter: 2ms}", |strike| strike.selection.mode = Mode::One),
            experiment("{delay: 1s, jitter: 2ms}", |strike| strike.selection.follow = true),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
