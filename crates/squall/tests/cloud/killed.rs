//! Whoever is killed, what was stopped runs again.

use crate::lab::{Lab, Told, until};
use squall_aws::State;
use std::process::Stdio;

/// The children of a process that are called so.
fn children(parent: u32, name: &str) -> Vec<u32> {
    // Each thread has its own children.
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let listed: String =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok()).collect();
    let is_named = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes())
    };
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(is_named).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn a_killed_agent_leaves_no_instance_stopped() {
    let Some(lab) = Lab::open() else { return };
    lab.launch(2);
    lab.experiment("{fault: aws.ec2_stop, target: {instances: {tag: app=shop}}, mode: one, for: 60s}");
    let mut run = lab.command(&["run", "shop.yaml", "--yes"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("stopped", || lab.count(State::Stopped) == 1);
    children(run.id(), "agent").into_iter().for_each(kill);
    until("started again", || lab.count(State::Running) == 3);
    Told::of(&run.wait_with_output().unwrap()).is(4, &["ABORTED"]);
}

#[test]
fn what_is_left_when_all_are_killed_is_started_by_recover() {
    let Some(lab) = Lab::open() else { return };
    lab.launch(2);
    lab.experiment("{fault: aws.ec2_stop, target: {instances: {tag: app=shop}}, mode: one, for: 60s}");
    let mut run = lab.command(&["run", "shop.yaml", "--yes"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("stopped", || lab.count(State::Stopped) == 1);
    let agent = children(run.id(), "agent").remove(0);
    let warden = children(agent, "warden").remove(0);
    [warden, agent].into_iter().for_each(kill);
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(lab.count(State::Stopped), 1);
    lab.squall(&["leftovers"]).is(1, &["owed: start instance i-", "squall recover"]);
    lab.squall(&["recover"]).is(0, &["put back: aws.ec2_stop on instance i-", "it runs"]);
    assert_eq!(lab.count(State::Running), 3);
    lab.squall(&["recover"]).is(0, &["nothing to put back"]);
}
