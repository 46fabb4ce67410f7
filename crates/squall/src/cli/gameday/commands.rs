//! What people say on lines of text: `note cache is cold`, `go`, `follow-up Add a replica; Jane; 2026-12-01`.

use squall_model::gameday::{NoteKind, Outcome};
use squall_practice::gameday::{Command, follow_up};

/// All of them, for who asks.
const HELP: &str = "go [remark], no-go [remark], note TEXT, decision TEXT, follow-up WHAT; OWNER; DUE, halt [reason], \
                    quit; to a question about a criterion: yes [remark], no [remark], unknown [remark]";

/// Understands a line; none where it is empty. `asked`: whether a question about a criterion is open.
pub(super) fn parse(line: &str, asked: bool) -> Result<Option<Command>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    let said = |make: fn(String) -> Command, what: &str| {
        if rest.is_empty() {
            Err(format!("{word} what? such as `{word} {what}`"))
        } else {
            Ok(make(rest.clone()))
        }
    };
    let command = match (word.to_lowercase().as_str(), asked) {
        ("yes" | "y" | "met", true) => Command::Answer(Outcome::Met, rest),
        ("no" | "x" | "missed", true) => Command::Answer(Outcome::NotMet, rest),
        ("unknown" | "u", true) => Command::Answer(Outcome::Unknown, rest),
        ("go" | "g", _) => Command::Go(rest),
        ("no-go" | "nogo" | "x", _) => Command::NoGo(rest),
        ("note" | "n", _) => said(|text| Command::Note(NoteKind::Note, text), "the cache is cold")?,
        ("decision" | "d", _) => {
            said(|text| Command::Note(NoteKind::Decision, text), "we wait for the failover")?
        }
        ("follow-up" | "followup" | "f", _) => {
            said(|text| Command::FollowUp(follow_up(&text)), "Add a replica; Jane; 2026-12-01")?
        }
        ("halt" | "h", _) => Command::Halt(or(rest, "the facilitator")),
        ("quit" | "q", _) => Command::Suspend(or(rest, "the facilitator")),
        _ => return Err(format!("{word:?} is not understood; {HELP}")),
    };
    Ok(Some(command))
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::gameday::FollowUp;

    #[test]
    fn lines_are_understood() {
        let said = |line: &str| parse(line, false).unwrap().unwrap();
        assert_eq!(said("go"), Command::Go(String::new()));
        assert_eq!(said("No-Go a release is on"), Command::NoGo("a release is on".into()));
        assert_eq!(said("n  cold cache "), Command::Note(NoteKind::Note, "cold cache".into()));
        assert_eq!(said("halt"), Command::Halt("the facilitator".into()));
        assert_eq!(
            said("follow-up Add a replica; Jane; 2026-12-01"),
            Command::FollowUp(FollowUp {
                what: "Add a replica".into(),
                owner: "Jane".into(),
                due: "2026-12-01".into()
            })
        );
        assert_eq!(
            parse("no customers saw it", true),
            Ok(Some(Command::Answer(Outcome::NotMet, "customers saw it".into())))
        );
        assert_eq!(parse("  ", false), Ok(None));
        assert!(parse("yes", false).unwrap_err().contains("not understood"));
        assert!(parse("note", false).unwrap_err().contains("note what"));
    }
}
