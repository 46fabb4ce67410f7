//! What people say on lines of text: `note cache is cold`, `go`, `follow-up Add a replica; Jane; 2026-12-01`.

use squall_model::gameday::{NoteKind, Outcome};
use squall_practice::gameday::{Command, follow_up};

/// All of them, for who asks.
const HELP: &str = "go [remark], no-go [remark], note TEXT, decision TEXT, follow-up WHAT; OWNER; DUE, halt [reason], \
                    quit; to a question about a criterion: yes [remark], no [remark], unknown [remark]";

/// What somebody said, and what of it could not be read.
pub(super) type Said = (Command, Option<String>);

/// Understands what was said of a follow-up.
pub(super) fn agreed(text: &str) -> Result<Said, String> {
    let read = follow_up(text)?;
    Ok((Command::FollowUp(read.follow_up), read.unread))
}

/// Understands a line; none where it is empty. `asked`: whether a question about a criterion is open.
pub(super) fn parse(line: &str, asked: bool) -> Result<Option<Said>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    let text = |example: &str| {
        if rest.is_empty() {
            Err(format!("{word} what? such as `{word} {example}`"))
        } else {
            Ok(rest.clone())
        }
    };
    let command = match (word.to_lowercase().as_str(), asked) {
        ("yes" | "y" | "met", true) => Command::Answer(Outcome::Met, rest),
        ("no" | "x" | "missed", true) => Command::Answer(Outcome::NotMet, rest),
        ("unknown" | "u", true) => Command::Answer(Outcome::Unknown, rest),
        ("go" | "g", _) => Command::Go(rest),
        ("no-go" | "nogo" | "x", _) => Command::NoGo(rest),
        ("note" | "n", _) => Command::Note(NoteKind::Note, text("the cache is cold")?),
        ("decision" | "d", _) => Command::Note(NoteKind::Decision, text("we wait for the failover")?),
        ("follow-up" | "followup" | "f", _) => {
            return agreed(&text("Add a replica; Jane; 2026-12-01")?).map(Some);
        }
        ("halt" | "h", _) => Command::Halt(or(rest, "the facilitator")),
        ("quit" | "q", _) => Command::Suspend(or(rest, "the facilitator")),
        _ => return Err(format!("{word:?} is not understood; {HELP}")),
    };
    Ok(Some((command, None)))
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
        let said = |line: &str| parse(line, false).unwrap().unwrap().0;
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
            Ok(Some((Command::Answer(Outcome::NotMet, "customers saw it".into()), None)))
        );
        assert_eq!(parse("  ", false), Ok(None));
        assert!(parse("yes", false).unwrap_err().contains("not understood"));
        assert!(parse("f ; ;", false).unwrap_err().contains("what is to be done"));
        let (_, unread) = parse("f fix it; Bob; 31.12.2026", false).unwrap().unwrap();
        assert!(unread.unwrap().contains("31.12.2026"));
        assert!(parse("note", false).unwrap_err().contains("note what"));
    }
}
