//! The probe of containers, against a real daemon.

use crate::lab::{Lab, wait_until};
use squall_model::read::{Source, parse};
use squall_model::value::{Reading, Value};
use std::process::Command;

fn look(lab: &Lab, name: &str) -> Reading {
    let text = format!("{{name: {name}, socket: {}}}", lab.socket().display());
    let parameters = parse(&Source { name: "probe.yaml".to_owned(), text }).unwrap();
    let kind = squall_probes::PROBES.iter().find(|probe| probe.name() == "container").unwrap();
    let probe = kind.build(&parameters).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe.observe()).unwrap()
}

#[test]
fn containers_are_seen_as_they_are() {
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let id = lab.run("sqt-seen", &[], "/bin/busybox sleep 600");
    let running = look(&lab, "sqt-seen");
    assert_eq!((&running["running"], &running["health"]), (&Value::Bool(true), &Value::from("none")));
    assert_eq!((&running["state"], &running["restarts"]), (&Value::from("running"), &Value::Number(0.0)));
    assert!(!running.contains_key("exit_code"));
    assert_eq!(look(&lab, &id[..12]), running, "by its number");

    let killed = Command::new("kill").args(["-KILL", &lab.pid(&id).to_string()]).status().unwrap();
    assert!(killed.success());
    wait_until("the end of the container", || !lab.runs(&id));
    let ended = look(&lab, "sqt-seen");
    assert_eq!((&ended["running"], &ended["state"]), (&Value::Bool(false), &Value::from("exited")));
    assert_eq!(ended["exit_code"], Value::Number(137.0));
    assert_eq!(look(&lab, "sqt-never")["state"], Value::from("missing"));
}
