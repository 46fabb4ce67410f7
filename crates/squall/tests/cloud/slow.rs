//! An EC2 that takes its time, as the real one does: what stops is `stopping` for a while and cannot be started, what
//! starts is `pending` for a while.

use crate::lab::{Desk, until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long each change takes: longer than all quick tries of an undo together.
const TAKES: Duration = Duration::from_secs(5);

/// The one instance: the state that it goes to, and when it gets there.
struct Instance {
    passing: &'static str,
    then: &'static str,
    at: Instant,
}

impl Instance {
    fn state(&self) -> &'static str {
        if Instant::now() < self.at { self.passing } else { self.then }
    }

    fn goes(&mut self, passing: &'static str, then: &'static str) {
        (self.passing, self.then, self.at) = (passing, then, Instant::now() + TAKES);
    }

    fn answer(&mut self, body: &str) -> (u16, String) {
        let before = self.state();
        let change = |name: &str, now: &str| {
            let text = format!(
                "<{name}Response><instancesSet><item><instanceId>i-1</instanceId><currentState><name>{now}</name>\
                 </currentState><previousState><name>{before}</name></previousState></item></instancesSet></{name}Response>"
            );
            (200, text)
        };
        if body.contains("Action=StopInstances") {
            self.goes("stopping", "stopped");
            change("StopInstances", "stopping")
        } else if body.contains("Action=StartInstances") && before == "stopping" {
            let error = "<Response><Errors><Error><Code>IncorrectInstanceState</Code><Message>not now</Message></Error></Errors></Response>";
            (400, error.to_owned())
        } else if body.contains("Action=StartInstances") {
            if before == "stopped" {
                self.goes("pending", "running");
            }
            change("StartInstances", self.state())
        } else {
            let text = format!(
                "<DescribeInstancesResponse><reservationSet><item><ownerId>1</ownerId><instancesSet><item>\
                 <instanceId>i-1</instanceId><instanceState><name>{before}</name></instanceState><placement>\
                 <availabilityZone>eu-west-1a</availabilityZone></placement><tagSet><item><key>squall</key>\
                 <value>allowed</value></item></tagSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
            );
            (200, text)
        }
    }
}

/// The server; it ends with the test's process.
fn start() -> (String, Arc<Mutex<Instance>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let instance = Arc::new(Mutex::new(Instance { passing: "running", then: "running", at: Instant::now() }));
    let shared = Arc::clone(&instance);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(stream, &shared));
        }
    });
    (url, instance)
}

fn serve(mut stream: TcpStream, instance: &Mutex<Instance>) {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    let is_whole = |request: &str| {
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        body.len() >= length.unwrap_or(0)
    };
    while !is_whole(&request) {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..length])),
            _ => return,
        }
    }
    let (status, body) = instance.lock().unwrap().answer(&request);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

#[test]
fn an_undo_waits_for_a_cloud_that_takes_its_time() {
    let (url, instance) = start();
    let desk = Desk::at(&url);
    desk.experiment("{fault: aws.ec2_stop, target: {instances: {id: i-1}}, for: 1s}");
    let told = desk.squall(&["run", "shop.yaml", "--yes"]);
    told.is(
        0,
        &["i-1 is stopping", "is being put back", "started as soon as it is", "1 of 1 injection put back"],
    );
    assert_eq!(instance.lock().unwrap().state(), "running");
}

#[test]
fn who_is_left_goes_on_when_the_brain_is_killed_at_a_bad_moment() {
    let (url, instance) = start();
    let desk = Desk::at(&url);
    desk.experiment("{fault: aws.ec2_stop, target: {instances: {id: i-1}}, for: 60s}");
    let mut run = desk.command(&["run", "shop.yaml", "--yes"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("stopping", || instance.lock().unwrap().state() == "stopping");
    run.kill().unwrap();
    run.wait().unwrap();
    // The agent waits until it can be started, and until it runs; nobody else does anything.
    until("running", || instance.lock().unwrap().state() == "running");
    // It lets go a little later than the cloud says so.
    until("nothing is owed", || desk.squall(&["recover"]).all.contains("nothing to put back"));
    desk.squall(&["leftovers"]).is(0, &[]);
}
