//! Passwords: they open the door, and stand nowhere that anybody could read them afterwards.

use crate::lab::{Killed, Run, Strike};
use crate::support::wait_until;
use squall_database::testing::{PostgresServer, Setup};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// With letters that an address must encode.
const PASSWORD: &str = "hunter2@%/s3cret";
const ENCODED: &str = "hunter2%40%25%2Fs3cret";

/// A server that lets nobody in without TLS and a password, and a folder with its authority and the password.
struct Guarded {
    server: PostgresServer,
    folder: TempDir,
}

impl Guarded {
    fn start() -> Option<Self> {
        let (authority, certificate, key) = squall_http::testing::certified();
        let server = PostgresServer::start_as(&Setup {
            settings: &[
                "ssl=on",
                "ssl_cert_file=server.pem",
                "ssl_key_file=server.key",
                "password_encryption=scram-sha-256",
            ],
            admitted: Some("hostssl all all 127.0.0.1/32 scram-sha-256"),
            files: &[("server.pem", &certificate), ("server.key", &key)],
            namespace: None,
        })?;
        server.ask(&format!(
            "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE t (x int); ALTER TABLE t OWNER TO app"
        ));
        server.ask("ALTER DATABASE postgres OWNER TO app");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority).unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Some(Self { server, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Its address with whatever says the password.
    fn url(&self, login: &str, more: &str) -> String {
        let (port, ca) = (self.server.port, self.path("ca.pem"));
        format!("postgres://{login}@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={ca}{more}")
    }

    fn is_read_only(&self) -> bool {
        self.server.ask("SELECT count(*) FROM pg_db_role_setting") != "0"
    }
}

/// Files below a folder in which a password stands.
fn telling(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(telling(&path));
        } else if fs::read(&path).is_ok_and(|bytes| tells(&String::from_utf8_lossy(&bytes))) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn tells(text: &str) -> bool {
    text.contains("hunter2") || text.contains("s3cret")
}

#[test]
fn passwords_open_the_door_and_are_never_told() {
    let Some(guarded) = Guarded::start() else { return };
    let (in_file, told) = (format!("&password_file={}", guarded.path("password")), format!("app:{ENCODED}"));
    for (login, more, environment) in [
        ("app", "&password_env=SHOP_PASSWORD", &[("SHOP_PASSWORD", PASSWORD), ("SQUALL_LOG", "trace")][..]),
        ("app", in_file.as_str(), &[("SQUALL_LOG", "trace")]),
        (told.as_str(), "", &[("SQUALL_LOG", "trace")]),
    ] {
        let target = format!("{{database: \"{}\"}}", guarded.url(login, more));
        let strike = Strike { fault: "postgres.readonly", target: &target, with: "{}", lasts: "5m" };
        for who in [Killed::Agent, Killed::BrainAndAgent, Killed::All] {
            let mut run = Run::start_with(&strike, environment);
            wait_until(|| guarded.is_read_only());
            assert_eq!(telling(&run.state()), [""; 0], "while it is active");
            run.kill(who);
            wait_until(|| !guarded.is_read_only());
            if matches!(who, Killed::All) {
                // What stood in an address was written nowhere: whoever comes later says it again.
                let url = guarded.url(login, more);
                let recovered = run.squall(&["recover", "--database", &url]);
                assert!(recovered.status.success(), "{recovered:?}");
                assert!(!tells(&format!("{recovered:?}")), "{recovered:?}");
            }
            wait_until(|| !run.owes());
            assert_eq!(telling(&run.state()), [""; 0], "afterwards");
            assert!(!tells(&run.told()), "{}", run.told());
            let plan = run.squall(&["plan", "strike.yaml"]);
            assert!(plan.status.success() && !tells(&format!("{plan:?}")), "{plan:?}");
        }
    }
}

#[test]
fn a_run_to_its_end_is_told_without_its_password() {
    let Some(guarded) = Guarded::start() else { return };
    let target = format!("{{database: \"{}\"}}", guarded.url(&format!("app:{ENCODED}"), ""));
    let strike = Strike { fault: "postgres.lock", target: &target, with: "{table: t}", lasts: "2s" };
    let mut run = Run::start_with(&strike, &[("SQUALL_LOG", "trace")]);
    assert_eq!(run.code(), 0, "{}", run.told());
    let journal = fs::read_dir(run.state().join("runs")).unwrap().flatten().next().unwrap().path();
    let journal = journal.display().to_string();
    for format in ["text", "json", "html", "markdown", "junit"] {
        let report = run.squall(&["report", &journal, "--format", format]);
        assert!(
            report.status.success() && !tells(&String::from_utf8_lossy(&report.stdout)),
            "{format}: {report:?}"
        );
    }
    assert_eq!(telling(&run.state()), [""; 0]);
    assert!(!tells(&run.told()), "{}", run.told());
}

#[test]
fn a_closed_door_is_told_with_a_remedy_and_without_the_password() {
    let Some(guarded) = Guarded::start() else { return };
    let port = guarded.server.port;
    let folder = tempfile::tempdir().unwrap();
    for (url, says) in [
        (guarded.url("app:hunter2", ""), "password authentication failed"),
        (guarded.url("app", ""), "password_env=NAME"),
        (guarded.url("app", "&password_env=NOT_THERE"), "$NOT_THERE"),
        (guarded.url("app", "&password_file=/nowhere"), "/nowhere"),
        (
            format!("postgres://app:{ENCODED}@127.0.0.1:{port}/postgres?sslmode=disable"),
            "no pg_hba.conf entry",
        ),
        (format!("postgres://app:{ENCODED}@127.0.0.1:{port}/postgres?sslmode=verify-full"), "sslrootcert="),
    ] {
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: strike\nhypothesis: it is seen\nmethod:\n  \
             - fault: postgres.connections\n    target: {{database: \"{url}\"}}\n    with: {{count: 1}}\n    for: 1s\n"
        );
        fs::write(folder.path().join("strike.yaml"), text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["plan", "strike.yaml"]).current_dir(folder.path()).env("SQUALL_LOG", "trace");
        let output = command.env("SQUALL_STATE", folder.path().join("state")).output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && told.contains(says), "{says}: {told}");
        assert!(!tells(&told), "{told}");
    }
}
