//! Undo logs of earlier versions are read as they were meant; those of later ones are refused, never misread.

use squall_model::undo::Undo;
use squall_model::undo_log::{self, Contents};

/// A log as an early squall wrote it, which also kept the step itself.
const VERSION_1: &str = include_str!("golden/version-1.undo");

fn line(json: &str) -> String {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn read(text: &str) -> Contents {
    undo_log::read(text.as_bytes())
}

#[test]
fn a_log_of_version_1_is_read() {
    let contents = read(VERSION_1);
    let opened = contents.opened.unwrap();
    assert_eq!((opened.version, opened.fault.as_str(), opened.owner.pid), (1, "network.partition", 27_386));
    let [(0, Undo::PacketFilter { namespace, table })] = contents.owed.as_slice() else {
        unreachable!("{:?}", contents.owed)
    };
    assert_eq!((table.as_str(), namespace.inode), ("squall_459dba-2-b3b3", 4_026_532_178));
    assert_eq!((contents.foreign, contents.damaged_lines), (None, 0));
}

#[test]
fn a_log_of_a_newer_version_is_refused_whole() {
    let newer = VERSION_1.lines().map(|whole| {
        let (_, json) = whole.split_once(' ').unwrap();
        line(&json.replacen("\"version\":1", "\"version\":2", 1))
    });
    let contents = read(&newer.collect::<String>());
    assert_eq!((contents.owed.len(), contents.damaged_lines), (0, 0));
    let why = contents.foreign.unwrap();
    assert!(why.contains("version 2") && why.contains("squall recover"), "{why}");
    // Also where nothing but the version is as we know it.
    let why = read(&line(r#"{"record":"opened","version":7,"who":[1]}"#)).foreign.unwrap();
    assert!(why.contains("version 7"), "{why}");
}

#[test]
fn a_whole_record_that_is_not_known_is_no_damage_and_refuses_the_log() {
    for json in [
        r#"{"record":"suspended","index":0}"#,
        r#"{"record":"intend","index":1,"undo":{"undo":"of_later","path":"/x"}}"#,
        r#"["something else"]"#,
    ] {
        let contents = read(&format!("{VERSION_1}{}", line(json)));
        assert_eq!((contents.owed.len(), contents.damaged_lines), (0, 0), "{json}");
        assert!(contents.foreign.is_some(), "{json}");
    }
    // A line that is not as it was written is damage, whatever it says.
    let torn = line(r#"{"record":"suspended"}"#).replace("pend", "pond");
    let contents = read(&format!("{VERSION_1}{torn}"));
    assert_eq!((contents.owed.len(), contents.damaged_lines, contents.foreign), (1, 1, None));
}
