//! The chain, whole and broken in every way.

use super::*;
use tempfile::TempDir;

fn note(what: &str) -> Note {
    let details = BTreeMap::from([("why".to_owned(), "because \"it\" is\nso".to_owned())]);
    let at = "2026-01-02T03:04:05.123Z".parse().unwrap();
    Note { at, who: "ann".into(), what: what.into(), on: "run-1".into(), details }
}

fn log(entries: usize) -> (TempDir, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::of(folder.path());
    (0..entries).for_each(|number| drop(audit.append(note(&format!("deed_{number}"))).unwrap()));
    (folder, audit)
}

fn text(audit: &Audit) -> String {
    fs::read_to_string(audit.file()).unwrap()
}

fn rewrite(audit: &Audit, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = text(audit).lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(audit.file(), lines.join("\n") + "\n").unwrap();
}

#[track_caller]
fn is_wrong(audit: &Audit, line: usize, why: &str) {
    let wrong = audit.verify(&[]).unwrap().wrong.expect("it is taken for whole");
    assert_eq!(wrong.line, line, "{}", wrong.why);
    assert!(wrong.why.contains(why), "{}", wrong.why);
}

#[track_caller]
fn is_whole(audit: &Audit, lines: u64) -> Vec<String> {
    let verified = audit.verify(&[]).unwrap();
    assert_eq!((verified.lines, verified.wrong), (lines, None));
    verified.notes
}

#[test]
fn a_chain_that_nobody_touched_is_whole() {
    let (_folder, audit) = log(0);
    is_whole(&audit, 0);
    for number in 1..=3 {
        audit.append(note("run_started")).unwrap();
        assert_eq!(is_whole(&audit, number), [""; 0]);
    }
    let lines = audit.lines().unwrap();
    assert_eq!(lines[0].previous, "0".repeat(64));
    assert_eq!(lines[2].previous, lines[1].hash);
    assert_eq!(fs::read_to_string(audit.head_file()).unwrap().trim(), format!("3:{}", lines[2].hash));
}

#[test]
fn the_hash_is_what_the_manual_says() {
    let (_folder, audit) = log(2);
    let line = audit.lines().unwrap().remove(1);
    let text = text(&audit).lines().nth(1).unwrap().to_owned();
    let (bare, _) = text.rsplit_once(",\"hash\":").unwrap();
    let hash = ring::digest::digest(&SHA256, format!("{}{bare}}}", line.previous).as_bytes());
    let hex: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line.hash, hex.concat());
}

#[test]
fn what_was_changed_is_told() {
    let changes: [(&str, &str); 4] = [
        ("deed_1", "deed_x"),
        ("\"ann\"", "\"bob\""),
        ("\"number\":2", "\"number\": 2"),
        ("deed_1", "deed\\u005f1"),
    ];
    for (from, to) in changes {
        let (_folder, audit) = log(4);
        rewrite(&audit, |lines| lines[1] = lines[1].replace(from, to));
        is_wrong(&audit, 2, "changed");
    }
    // Also where the hash is made to fit: the next one does not follow from it.
    let (_folder, audit) = log(4);
    rewrite(&audit, |lines| {
        let mut line: Line = serde_json::from_str(&lines[1]).unwrap();
        line.who = "bob".into();
        line.hash = line.computed().unwrap();
        lines[1] = serde_json::to_string(&line).unwrap();
    });
    is_wrong(&audit, 3, "does not follow");
    // And where it is the last one.
    let (_folder, audit) = log(4);
    rewrite(&audit, |lines| {
        let mut line: Line = serde_json::from_str(&lines[3]).unwrap();
        line.who = "bob".into();
        line.hash = line.computed().unwrap();
        lines[3] = serde_json::to_string(&line).unwrap();
    });
    is_wrong(&audit, 4, "another hash");
}

#[test]
fn what_was_removed_is_told() {
    let (_folder, audit) = log(5);
    rewrite(&audit, |lines| drop(lines.drain(1..3)));
    is_wrong(&audit, 2, "entries 2 to 3 are missing");
    let (_folder, audit) = log(5);
    rewrite(&audit, |lines| drop(lines.remove(0)));
    is_wrong(&audit, 1, "entry 1 is missing");
    let (_folder, audit) = log(5);
    rewrite(&audit, |lines| lines.truncate(3));
    is_wrong(&audit, 4, "knows entry 5, and the last here is 3");
    // It stays to be seen after more was written.
    audit.append(note("later")).unwrap();
    is_wrong(&audit, 4, "entries 4 to 5 are missing");
    let (_folder, audit) = log(5);
    fs::remove_file(audit.file()).unwrap();
    is_wrong(&audit, 1, "knows entry 5, and the last here is 0");
    audit.append(note("later")).unwrap();
    is_wrong(&audit, 1, "entries 1 to 5 are missing");
}

#[test]
fn a_head_that_is_gone_or_false_is_told() {
    let (_folder, audit) = log(3);
    fs::remove_file(audit.head_file()).unwrap();
    is_wrong(&audit, 4, "is gone");
    fs::write(audit.head_file(), "2:nonsense\n").unwrap();
    is_wrong(&audit, 4, "was changed");
    // Killed between the line and the head.
    let (_folder, audit) = log(2);
    let head = fs::read(audit.head_file()).unwrap();
    audit.append(note("last")).unwrap();
    fs::write(audit.head_file(), head).unwrap();
    assert_eq!(is_whole(&audit, 3).len(), 1);
    // Killed between the head of an empty log and its first line.
    let (_folder, audit) = log(0);
    audit.keep(&Head::beginning()).unwrap();
    is_whole(&audit, 0);
    audit.append(note("first")).unwrap();
    is_whole(&audit, 1);
}

#[test]
fn a_head_that_was_lost_stays_to_be_seen() {
    for lose in [
        (|path: &Path| fs::remove_file(path).unwrap()) as fn(&Path),
        |path| fs::write(path, "xx\n").unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
    ] {
        let (_folder, audit) = log(5);
        rewrite(&audit, |lines| lines.truncate(3));
        lose(&audit.head_file());
        is_wrong(&audit, 4, "audit.head");
        // Whatever may become of the head: the line is there.
        let _ = audit.append(note("later"));
        let _ = fs::remove_dir(audit.head_file());
        audit.append(note("later still")).unwrap();
        is_wrong(&audit, 4, "nobody can tell whether entries were removed");
    }
}

#[test]
fn a_head_that_was_kept_elsewhere_shows_what_was_written_anew() {
    let (_folder, audit) = log(3);
    let kept = audit.verify(&[]).unwrap().head.unwrap();
    assert_eq!(kept.to_string().parse::<Head>().unwrap(), kept);
    fs::remove_file(audit.file()).unwrap();
    fs::remove_file(audit.head_file()).unwrap();
    for _ in 0..4 {
        audit.append(note("anew")).unwrap();
    }
    is_whole(&audit, 4);
    let wrong = audit.verify(&[kept]).unwrap().wrong.unwrap();
    assert!(wrong.line == 3 && wrong.why.contains("the head that was given"), "{wrong:?}");
}

#[test]
fn a_torn_end_is_told_and_the_chain_goes_on_after_it() {
    let (_folder, audit) = log(3);
    let whole = text(&audit);
    let start = whole.lines().take(2).map(|line| line.len() + 1).sum::<usize>();
    // Cut within the last line, at every place.
    for end in start + 1..whole.len() {
        fs::write(audit.file(), &whole[..end]).unwrap();
        // The line was not on disk, so it is not in the head either.
        fs::write(audit.head_file(), format!("{}\n", audit.lines().unwrap()[1].head())).unwrap();
        if end == whole.len() - 1 {
            // All but the end of the line: the entry can be read and counts, once the next one has ended it.
            audit.append(note("later")).unwrap();
            is_whole(&audit, 4);
            continue;
        }
        is_wrong(&audit, 3, "torn");
        let line = audit.append(note("later")).unwrap();
        assert_eq!(line.number, 3);
        let notes = is_whole(&audit, 3);
        assert!(notes[0].contains("line 3 is torn"), "{notes:?}");
    }
}

#[test]
fn long_texts_are_cut_and_lines_stay_short() {
    let (_folder, audit) = log(0);
    let mut long = note("x");
    long.on = "ä".repeat(100_000);
    for number in 0..100 {
        long.details.insert(format!("detail {number}"), "ö".repeat(100_000));
    }
    audit.append(long).unwrap();
    audit.append(note("after")).unwrap();
    is_whole(&audit, 2);
    assert!(text(&audit).len() < 64 * 1024);
}

#[test]
fn several_writers_wait_for_each_other() {
    let (_folder, audit) = log(0);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let audit = audit.clone();
            std::thread::spawn(move || (0..10).for_each(|_| drop(audit.append(note("at once")).unwrap())))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(is_whole(&audit, 40), [""; 0]);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::of(folder.path());
    // It never ends.
    std::os::unix::fs::symlink("/dev/zero", audit.file()).unwrap();
    assert!(audit.append(note("x")).unwrap_err().to_string().contains("regular"));
    assert!(audit.verify(&[]).is_err() && audit.lines().is_err());
}
