//! Answers that the method asked for, and what follows from them: which of its later parts are carried out.
//!
//! An answer that is not there decides nothing: neither is a fault made that nobody chose, nor is one left out as if somebody
//! had.

use crate::words;
use squall_model::condition::{Condition, ConditionState, Truth};
use squall_model::value::Reading;
use std::collections::BTreeMap;

/// All answers so far, by their full names: `decision.exit_code`.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    reading: Reading,
    /// The same without secrets.
    told: Reading,
}

/// What follows for a part of the method.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// It is carried out.
    Goes,
    /// It is left out, since the answers were these.
    LeftOut(String),
    /// That is not known, for this reason.
    Unknown(String),
}

impl Answers {
    /// Keeps an answer; `told` is what may be told of it.
    pub(crate) fn keep(&mut self, name: &str, reading: &Reading, told: &Reading) {
        let full = |reading: &Reading| -> Reading {
            reading.iter().map(|(value, read)| (format!("{name}.{value}"), read.clone())).collect()
        };
        self.reading.extend(full(reading));
        self.told.extend(full(told));
    }

    /// What follows for a part with this condition.
    pub(crate) fn decide(&self, when: Option<&Condition>) -> Decision {
        let Some(when) = when else { return Decision::Goes };
        let found = || words::reading_of(when, &self.told, &BTreeMap::new());
        match when.judge(&mut ConditionState::default(), 0.0, &self.reading) {
            Truth::Holds => Decision::Goes,
            Truth::Fails => Decision::LeftOut(found()),
            Truth::Unknown { .. } => Decision::Unknown(format!("`when: {when}`: {}", found())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::value::Value;

    #[test]
    fn an_answer_decides_and_none_decides_nothing() {
        let mut answers = Answers::default();
        let when = |text: &str| Condition::parse(text).unwrap();
        let decides = |answers: &Answers, text: &str| answers.decide(Some(&when(text)));
        assert_eq!(answers.decide(None), Decision::Goes);
        let unknown = decides(&answers, "decision.exit_code == 0");
        assert!(
            matches!(&unknown, Decision::Unknown(why) if why.contains("decision.exit_code")),
            "{unknown:?}"
        );
        let reading = Reading::from([
            ("exit_code".to_owned(), Value::Number(0.0)),
            ("stdout".to_owned(), Value::from("slow hunter2")),
        ]);
        let told = Reading::from([
            ("exit_code".to_owned(), Value::Number(0.0)),
            ("stdout".to_owned(), Value::from("slow •••")),
        ]);
        answers.keep("decision", &reading, &told);
        assert_eq!(
            decides(&answers, "decision.stdout =~ \"hunter2\" and decision.exit_code == 0"),
            Decision::Goes
        );
        let left_out = decides(&answers, "decision.stdout == \"fast\"");
        assert_eq!(left_out, Decision::LeftOut("decision.stdout = \"slow •••\"".to_owned()));
        // What is decided without the missing one is decided.
        assert!(matches!(
            decides(&answers, "decision.exit_code == 1 and other.a == 2"),
            Decision::LeftOut(_)
        ));
    }
}
