//! Follow-ups as comma-separated values, for a tracker or a spreadsheet.

use super::Chronicle;
use crate::csv::row;

/// A table with a head: what, owner, due, game day, session.
pub fn follow_ups(chronicle: &Chronicle) -> String {
    let head = "follow_up,owner,due,game_day,session\r\n".to_owned();
    let rows = chronicle
        .follow_ups
        .iter()
        .map(|one| row(&[&one.what, &one.owner, &one.due, &chronicle.plan.title, &chronicle.session]));
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::gameday::FollowUp;

    #[test]
    fn follow_ups_are_a_table() {
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
