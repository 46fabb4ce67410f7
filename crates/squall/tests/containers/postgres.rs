//! A real PostgreSQL in a container: its daemon stops it and starts it again.

use crate::lab::{Lab, wait_until};
use serde_json::json;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server that the host has, in a container that sees the host's programs and a folder of its own.
struct Server<'l> {
    lab: &'l Lab,
    folder: PathBuf,
    id: String,
}

impl<'l> Server<'l> {
    fn start(lab: &'l Lab, programs: &Path) -> Self {
        let folder = lab.path("postgres");
        std::fs::create_dir(&folder).unwrap();
        // The server's own user must get there.
        std::fs::set_permissions(folder.parent().unwrap(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert!(Command::new("chown").arg("postgres:").arg(&folder).status().unwrap().success());
        let made = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(programs.join("initdb"))
            .args(["--no-sync", "--auth", "trust", "-D"])
            .arg(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // The daemon looks for a name in the image, which has no users.
        let owner = std::fs::metadata(&folder).unwrap();
        let read_only = ["/usr", "/lib", "/lib64", "/etc"].map(|path| format!("{path}:{path}:ro"));
        let mut binds = read_only.to_vec();
        binds.push(format!("{}:/data", folder.display()));
        let id = lab.start_container(
            "primary",
            json!({
                "Cmd": [programs.join("postgres"), "-D", "/data", "-k", "/data", "-h", ""],
                "User": format!("{}:{}", owner.uid(), owner.gid()),
                "HostConfig": {"Binds": binds, "RestartPolicy": {"Name": "always"}},
            }),
        );
        Self { lab, folder, id }
    }

    fn says(&self, query: &str) -> Option<String> {
        let asked = Command::new("psql")
            .args([
                "-h",
                &self.folder.display().to_string(),
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-Atc",
                query,
            ])
            .output()
            .unwrap();
        asked.status.success().then(|| String::from_utf8(asked.stdout).unwrap().trim().to_owned())
    }

    fn squall(&self, arguments: &[&str]) -> Command {
        self.lab.squall(arguments)
    }
}

/// Where the server's programs are.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|version| version.path().join("bin")).find(|path| path.join("initdb").exists())
}

const FAILOVER: &str = "\
apiVersion: squall.dev/v1
kind: Experiment
name: failover
baseline: 0
method:
  - fault: postgres.failover
    target: {container: {name: primary}}
    with: {how: stop}
    for: 4s
";

#[test]
fn a_primary_is_stopped_by_its_daemon_and_started_again() {
    let Some(programs) = programs() else {
        println!("skipped: there is no PostgreSQL here (Debian's package postgresql)");
        return;
    };
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let server = Server::start(&lab, &programs);
    wait_until("the server answers", || server.says("SELECT 1").is_some());
    server.says("CREATE TABLE orders AS SELECT 17 AS number").unwrap();
    let file = lab.path("failover.yaml");
    std::fs::write(&file, FAILOVER).unwrap();
    let run = || {
        server
            .squall(&["run", "--yes", "--json"])
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut running = run();
    wait_until("it is stopped", || lab.state(&server.id)["Status"] == "exited");
    assert_eq!(server.says("SELECT 1"), None);
    assert!(running.wait().unwrap().success());
    assert!(lab.runs(&server.id));
    wait_until("the server answers again", || {
        server.says("SELECT number FROM orders").as_deref() == Some("17")
    });

    // Whoever is killed, it is started again.
    let mut running = run();
    wait_until("it is stopped once more", || lab.state(&server.id)["Status"] == "exited");
    running.kill().unwrap();
    running.wait().unwrap();
    wait_until("it was started", || server.says("SELECT number FROM orders").as_deref() == Some("17"));
    wait_until("nothing is owed", || lab.output(&["status"]).status.success());

    // One that would be gone for good is not stopped.
    let script = "while :; do /bin/busybox sleep 1; done";
    let brief = json!({"Cmd": ["/bin/busybox", "sh", "-c", script], "HostConfig": {"AutoRemove": true}});
    let brief = lab.start_container("brief", brief);
    std::fs::write(&file, FAILOVER.replace("name: primary", "name: brief")).unwrap();
    let refused = server.squall(&["run", "--yes"]).arg(&file).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(lab.runs(&brief));
}
