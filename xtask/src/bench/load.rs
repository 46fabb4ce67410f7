//! The load generator, beside wrk.

use super::figures::{Row, Samples};
use super::processes::{Owned, Scratch, output, wait_until};
use super::{Benchmark, release};
use crate::shell;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "load",
    title: "The load generator",
    how: "nginx (one worker, an answer of two bytes) on one processor, the generator on the other, 50 connections, one thread, \
          five seconds each, turn by turn: as many requests a second as the load generator sends when it is asked for all it \
          can, and `wrk -t1 -c50`. Then 1,000 requests a second for ten seconds, which wrk cannot be asked for.",
    slow: false,
    run,
};

const ROUNDS: usize = 7;
const AIM: f64 = 0.7;
const RATE: f64 = 1000.0;

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    if !shell::has("nginx") || !shell::has("taskset") {
        return Err("nginx or taskset is missing".to_owned());
    }
    let load = release("squall-probes", Some("load"))?;
    let (_server, url) = start_nginx(scratch)?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let printed =
            output(&mut pinned(&load.to_string_lossy(), &[&url, "--seconds", "5", "--connections", "50"]))?;
        ours.add(number(&printed, "requests/s")?);
        if shell::has("wrk") {
            let printed = output(&mut pinned("wrk", &["-t1", "-c50", "-d5s", &url]))?;
            theirs.add(number(&printed, "Requests/sec:")?);
        }
    }
    let mut full = Row::new("requests/s at full speed", ours.show(thousands));
    if shell::has("wrk") {
        let factor = ours.median() / theirs.median();
        full.peer = format!("wrk: {}", theirs.show(thousands));
        full.factor = format!("{factor:.2} ×");
        full = full.aiming(format!("≥ {AIM} ×"), factor >= AIM);
    } else {
        full.peer = String::from("skipped: wrk is missing");
    }
    let mut rows = vec![full];
    rows.extend(accuracy(&load, &url)?);
    Ok(rows)
}

/// How near a load of a constant rate comes to what was asked for.
fn accuracy(load: &Path, url: &str) -> Result<Vec<Row>, String> {
    let printed = output(&mut pinned(&load.to_string_lossy(), &[url, "--seconds", "10", "--rate", "1000"]))?;
    let sent = number(&printed, "requests/s")?;
    let word = |name: &str| value(&printed, name).unwrap_or("unknown").to_owned();
    Ok(vec![
        Row::new("requests/s, 1,000 wanted", format!("{sent:.1} ({:+.2} %)", (sent / RATE - 1.0) * 100.0)),
        Row::new(
            "how late a request is sent",
            format!("{} on average, {} at most", word("late mean"), word("late max")),
        ),
        Row::new("latency from the intended instant", format!("p50 {}, p99 {}", word("p50"), word("p99"))),
    ])
}

/// A command on the first processor.
fn pinned(program: &str, arguments: &[&str]) -> Command {
    let mut command = shell::command("taskset", &["--cpu-list", "0", program]);
    command.args(arguments);
    command
}

/// A server on the last processor, and its address.
fn start_nginx(scratch: &Scratch) -> Result<(Owned, String), String> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| format!("no port is free: {error}"))?.port();
    let configuration = format!(
        "
daemon off; worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}
}}
"
    );
    scratch.file("nginx.conf", &configuration)?;
    let last = std::thread::available_parallelism().map_or(0, |count| count.get() - 1).to_string();
    let folder = format!("{}/", scratch.path("").display());
    let arguments = ["--cpu-list", &last, "nginx", "-p", &folder, "-c", "nginx.conf"];
    let server = Owned::start(&mut scratch.command("taskset", &arguments))?;
    wait_until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok((server, format!("http://127.0.0.1:{port}/")))
}

/// What stands after a name in printed lines.
fn value<'t>(printed: &'t str, name: &str) -> Option<&'t str> {
    printed.lines().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim)
}

fn number(printed: &str, name: &str) -> Result<f64, String> {
    let number = value(printed, name).and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("no {name} in what was printed:\n{printed}"))
}

fn thousands(number: f64) -> String {
    format!("{:.1}k", number / 1e3)
}
