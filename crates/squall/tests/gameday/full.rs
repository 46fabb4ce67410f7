//! Game days with a state folder on a disk that is full.

use crate::disk::Disk;
use crate::lab::{Desk, PLAN, Spoken};
use std::fs;
use std::path::PathBuf;

/// A desk whose state folder lies on a small file system of its own.
struct Small {
    // Gone before the folder that it is mounted in.
    _disk: Disk,
    desk: Desk,
    state: PathBuf,
}

impl Small {
    /// None without the privilege, which is said.
    fn mount() -> Option<Self> {
        let desk = Desk::new();
        let state = desk.path("state");
        let disk = Disk::mount(&state, "1m")?;
        Some(Self { _disk: disk, desk, state })
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        while fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.state.join("ballast"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]))
            .is_ok()
        {}
    }
}

#[test]
fn what_could_not_be_written_down_is_not_shown_as_kept() {
    let Some(small) = Small::mount() else { return };
    let desk = &small.desk;
    desk.write("plan.md", PLAN);
    let mut day =
        Spoken::begin(desk, &["gameday", "run", "plan.md", "--baseline", "0s", "--observe", "600s"]);
    day.hear("Make the failure by hand");
    day.say("note the first");
    day.hear("Note: the first");
    small.fill();
    // More than what is left of the journal's last page.
    day.say(&format!("decision {}", "long ".repeat(2000)));
    day.hear("Lost, the journal could not be written: Decision: long");
    let (_, said) = day.end();
    assert!(!said.lines().any(|line| line.contains("·") && line.contains("Decision: long")), "{said}");
    // Every line of the journal is whole, and the note that was shown as kept is there.
    let journal = desk.journal();
    assert!(journal.iter().any(|entry| entry["text"] == "the first"));
    assert!(!journal.iter().any(|entry| entry["kind"] == "decision"));
}

#[test]
fn a_full_state_folder_is_said_to_be_one_before_anything_is_touched() {
    let Some(small) = Small::mount() else { return };
    let desk = &small.desk;
    desk.write("plan.md", PLAN);
    let (code, said) = desk.squall(&["gameday", "run", "plan.md", "--rehearse", "--yes", "--observe", "1s"]);
    assert!([0, 1].contains(&code), "{said}");
    let sessions = || fs::read_dir(small.state.join("gamedays")).unwrap().count();
    let before = sessions();
    small.fill();
    let (code, said) = desk.squall(&["gameday", "run", "plan.md", "--rehearse", "--yes"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("could not use the state folder") && said.contains("set SQUALL_STATE"), "{said}");
    assert_eq!(sessions(), before, "an empty journal was left");

    let schedule = "schedule: {cron: '0 0 10 * * MON-FRI', time_zone: UTC}";
    let inventory = "inventory: [{processes: {app: shop, match: {name: sqt-none}}}]\nkill: {mean_days: 1}";
    let head = "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\nleashed: true";
    desk.write("monkey.yaml", &format!("{head}\n{schedule}\n{inventory}\n"));
    let (code, said) =
        desk.squall(&["monkey", "run", "--config", "monkey.yaml", "--now", "2026-11-30T09:59:58Z", "--once"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("could not use the state folder") && said.contains("set SQUALL_STATE"), "{said}");
}
