//! The faults that there are, on containers.

use crate::lab::{Lab, wait_until};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A network namespace with a cable into a container; both go when the test ends.
struct Cable(String);

impl Cable {
    const FAR: &str = "10.211.7.2";

    fn into_container(pid: u32) -> Self {
        let cable = Self(format!("sqt-dk-{}", std::process::id()));
        let (space, pid) = (cable.0.clone(), pid.to_string());
        ip(&["netns", "add", &space]);
        ip(&["-n", &space, "link", "add", "near", "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        ip(&["-n", &space, "addr", "add", "10.211.7.1/24", "dev", "near"]);
        ip(&["-n", &space, "link", "set", "near", "up"]);
        for words in
            [["addr", "add", "10.211.7.2/24", "dev", "eth0"].as_slice(), &["link", "set", "eth0", "up"]]
        {
            run(Command::new("nsenter").args(["-t", &pid, "-n", "ip"]).args(words));
        }
        cable
    }

    fn pings(&self) -> bool {
        let ping = ["netns", "exec", &self.0, "ping", "-c", "1", "-W", "1", "-q", Self::FAR];
        Command::new("ip").args(ping).output().unwrap().status.success()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn experiment(lab: &Lab, name: &str, method: &str) -> String {
    let path = lab.path(&format!("{name}.yaml"));
    let text =
        format!("apiVersion: squall.dev/v1\nkind: Experiment\nname: {name}\nbaseline: 0\nmethod:\n{method}");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// State letters of the processes in a container.
fn states(id: &str) -> Vec<char> {
    let group = |pid: &str| std::fs::read_to_string(Path::new("/proc").join(pid).join("cgroup"));
    let pids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let inside = pids
        .filter_map(|pid| pid.into_string().ok())
        .filter(|pid| group(pid).is_ok_and(|text| text.contains(id)));
    inside
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .collect()
}

#[test]
fn faults_strike_containers_and_only_those_named() {
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let script = "/bin/busybox sleep 600 & /bin/busybox sleep 600; :";
    let web = lab.run("web", &[("app", "shop")], script);
    let other = lab.run("other", &[("app", "blog")], script);
    let cable = Cable::into_container(lab.pid(&web));
    wait_until("the cable carries", || cable.pings());

    let paused =
        experiment(&lab, "paused", "- fault: process.pause\n  target: {container: {name: web}}\n  for: 3s\n");
    let mut pausing =
        lab.squall(&["run", "--yes", "--json", &paused]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("all of the container stands still", || {
        let frozen = |file: &PathBuf| {
            std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "FROZEN" || text.trim() == "1")
        };
        lab.freezers(&web).iter().any(frozen) || states(&web).iter().all(|state| *state == 'T')
    });
    assert!(states(&other).contains(&'S'));
    assert!(pausing.wait().unwrap().success());
    wait_until("it goes on", || states(&web).iter().all(|state| *state == 'S'));

    let parted = experiment(
        &lab,
        "parted",
        "- fault: network.partition\n  target: {container: {label: app=shop}}\n  with: {destination: 10.211.7.0/24}\n  \
         for: 6s\n",
    );
    let mut parting =
        lab.squall(&["run", "--yes", "--json", &parted]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("nothing gets through", || !cable.pings());
    assert!(parting.wait().unwrap().success());
    assert!(cable.pings());

    let struck = experiment(
        &lab,
        "struck",
        "- fault: cpu.load\n  target: {container: {image: sqt-busybox, name: web}}\n  with: {percent: 30%, cores: 1}\n  for: \
         2s\n- fault: process.kill\n  target: {container: {id: ID}}\n  for: 1s\n"
            .replace("ID", &web)
            .as_str(),
    );
    let output = lab.output(&["run", "--yes", "--json", &struck]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "passed");
    assert_eq!(lab.state(&web)["ExitCode"], 137);
    assert!(lab.runs(&other));

    let output = lab.output(&["run", "--yes", &struck]);
    assert_eq!(output.status.code(), Some(2), "a container that is gone is no target");
    let leftovers = lab.output(&["leftovers", "--json"]);
    assert!(leftovers.status.success(), "{}", String::from_utf8_lossy(&leftovers.stdout));
}
