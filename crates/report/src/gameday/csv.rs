//! Follow-ups as comma-separated values (RFC 4180), for a tracker or a spreadsheet.

use super::Chronicle;
use std::fmt::Write as _;

/// A table with a head: what, owner, due, game day, session.
pub fn follow_ups(chronicle: &Chronicle) -> String {
    let mut table = "follow_up,owner,due,game_day,session\r\n".to_owned();
    for one in &chronicle.follow_ups {
        let cells = [&one.what, &one.owner, &one.due, &chronicle.plan.title, &chronicle.session];
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        let _ = write!(table, "{}\r\n", cells.join(","));
    }
    table
}

/// A cell. Spreadsheets carry out what begins like a formula, so a quote is set before it (CSV injection, OWASP).
fn cell(text: &str) -> String {
    let text = crate::paint::printable(text);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t']);
    let text = if is_formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::gameday::FollowUp;

    #[test]
    fn cells_are_quoted_and_harmless() {
        let one = |what: &str| FollowUp { what: what.into(), owner: "J, S".into(), due: "2026-12-01".into() };
        let mut chronicle = Chronicle { session: "s".into(), ..Chronicle::default() };
        chronicle.plan.title = "Day".into();
        chronicle.follow_ups = vec![one("say \"hi\""), one("=HYPERLINK(1)")];
        assert_eq!(
            follow_ups(&chronicle),
            "follow_up,owner,due,game_day,session\r\n\"say \"\"hi\"\"\",\"J, S\",2026-12-01,Day,s\r\n\
             \"'=HYPERLINK(1)\",\"J, S\",2026-12-01,Day,s\r\n"
        );
    }
}
