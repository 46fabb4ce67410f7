//! Against the real Pushgateway, Alertmanager and promtool, where they are installed.

use super::{outbox, tell};
use crate::testing::journal;
use crate::{Metrics, Run};
use serde_json::Value;
use squall_http::{HttpClient, Request};
use squall_model::verdict::Verdict;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of the test's own, ended when dropped.
struct Server {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// None where there is no such program here. `ADDRESS` and `FOLDER` stand for the server's own.
    fn start(program: &str, arguments: &[&str], config: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        // Taken and let go; nobody else on this machine asks for ports in the moment between.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let place = folder.path().display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| argument.replace("ADDRESS", &address).replace("FOLDER", &place))
            .collect();
        let process = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            println!("skipped: there is no program `{program}` here");
            return None;
        };
        let server = Self { process, url: format!("http://{address}"), _folder: folder };
        server.text_until("/-/ready", |_| true);
        Some(server)
    }

    fn text(&self, path: &str) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = Request::get(&format!("{}{path}", self.url)).unwrap();
        let answer =
            runtime.block_on(HttpClient::default().request(&request, Duration::from_secs(10))).ok()?;
        (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }

    fn text_until(&self, path: &str, is_there: impl Fn(&str) -> bool) -> String {
        for _ in 0..600 {
            if let Some(text) = self.text(path).filter(|text| is_there(text)) {
                return text;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{path}: not seen within 30 s; the last was {:?}", self.text(path));
    }
}

#[test]
fn a_real_pushgateway_takes_the_metrics() {
    let arguments = ["--web.listen-address=ADDRESS"];
    let Some(server) = Server::start("prometheus-pushgateway", &arguments, "") else { return };
    let outbox = outbox(&format!("metrics: {{push: \"{}\"}}", server.url));
    let notes = tell(&outbox, &journal("say \"no\"", Verdict::Residue));
    assert!(notes.is_empty(), "{notes:?}");
    let text = server.text("/metrics").unwrap();
    for line in [
        r#"chaos_experiment_status{experiment="say \"no\"",instance="web 1",job="squall"} 0"#,
        r#"squall_residue_total{instance="web 1",job="squall"} 1"#,
        r#"chaos_recovery_time_seconds_bucket{instance="web 1",job="squall",le="2.5"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn a_real_alertmanager_shows_the_alert_and_its_end() {
    let arguments = [
        "--config.file=FOLDER/config.yml",
        "--storage.path=FOLDER/data",
        "--web.listen-address=ADDRESS",
        "--cluster.listen-address=",
    ];
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let Some(server) = Server::start("prometheus-alertmanager", &arguments, config) else { return };
    let outbox = outbox(&format!(
        "notify: [{{alertmanager: {{url: \"{}\", labels: {{team: payment}}}}, on: [residue, end]}}]",
        server.url
    ));
    let now = jiff::Timestamp::now();
    let at_present = |verdict| {
        let mut entries = journal("slow database", verdict);
        let shift = now.duration_since(entries[entries.len() - 1].at);
        entries.iter_mut().for_each(|entry| entry.at += shift);
        entries
    };
    // The end of a run is told too; it is about the same residue.
    let notes = tell(&outbox, &at_present(Verdict::Residue));
    assert!(notes.is_empty(), "{notes:?}");
    let alerts: Value =
        serde_json::from_str(&server.text_until("/api/v2/alerts", |text| text != "[]\n")).unwrap();
    let labels = &alerts[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["team"]), (&"SquallResidue".into(), &"payment".into()));
    assert!(alerts[0]["annotations"]["summary"].as_str().unwrap().contains("residue"), "{alerts}");
    let notes = tell(&outbox, &at_present(Verdict::Passed));
    assert!(notes.is_empty(), "{notes:?}");
    server.text_until("/api/v2/alerts", |text| text.trim() == "[]");
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let (mut run, mut metrics) = (Run::default(), Metrics::default());
    for entry in journal("slow database", Verdict::Residue) {
        run.on(&entry);
        metrics.on(&run, &entry);
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else {
        println!("skipped: there is no program `promtool` here");
        return;
    };
    promtool.stdin.take().unwrap().write_all(metrics.text().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{words}");
}
