//! All alerts fire correctly: a real Prometheus that evaluates them, a real Alertmanager that is told, and a real fault: an
//! exporter that is paused. They must fire within some time of the fault, and be resolved within some time of the undo.

use crate::lab::{Desk, Owned, get, has, until};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An exporter, a Prometheus that watches it, an Alertmanager.
struct Lab {
    _processes: [Owned; 3],
    exporter: u32,
    prometheus: String,
    alertmanager: String,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Lab {
    fn start(folder: &Path) -> Option<Self> {
        if !["prometheus", "prometheus-alertmanager", "python3"].into_iter().all(has) {
            return None;
        }
        let [exporter, prometheus, alertmanager] = [free_port(), free_port(), free_port()];
        let at = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(folder.join("pages")).unwrap();
        std::fs::write(folder.join("pages/metrics"), "shop_up 1\n").unwrap();
        std::fs::write(
            folder.join("rules.yml"),
            "groups: [{name: shop, interval: 250ms, rules: [\
               {alert: ShopDown, expr: 'up{job=\"shop\"} == 0', for: 1s},\
               {alert: Remembers, expr: 'min_over_time(up{job=\"shop\"}[15s]) == 0'},\
               {alert: NeverFires, expr: 'up{job=\"shop\"} == 7'}]}]\n",
        )
        .unwrap();
        std::fs::write(
            folder.join("prometheus.yml"),
            format!(
                "global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 250ms}}\n\
                 rule_files: [rules.yml]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
                 scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]\n"
            ),
        )
        .unwrap();
        std::fs::write(
            folder.join("alertmanager.yml"),
            "route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n",
        )
        .unwrap();
        let mut paged = Command::new("python3");
        paged.args(["-m", "http.server", &exporter.to_string(), "--bind", "127.0.0.1"]);
        let paged = start(paged.current_dir(folder.join("pages")));
        let exporter = paged.id();
        let watching = start(
            Command::new("prometheus")
                .arg(format!("--config.file={}", at("prometheus.yml")))
                .arg(format!("--storage.tsdb.path={}", at("data")))
                .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"))
                // Else alerts are told again and resolved only each minute.
                .args(["--rules.alert.resend-delay=1s", "--log.level=error"]),
        );
        let telling = start(
            Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", at("alertmanager.yml")))
                .arg(format!("--storage.path={}", at("told")))
                .arg(format!("--web.listen-address=127.0.0.1:{alertmanager}"))
                .args(["--cluster.listen-address=", "--log.level=error"]),
        );
        let [prometheus, alertmanager] =
            [prometheus, alertmanager].map(|port| format!("http://127.0.0.1:{port}"));
        let processes = [Owned(paged), Owned(watching), Owned(telling)];
        let lab = Self { _processes: processes, exporter, prometheus, alertmanager };
        let ready = |url: &str| get(url, "/-/ready").is_ok();
        until("the servers of the test", || {
            (ready(&lab.prometheus) && ready(&lab.alertmanager)).then_some(())
        });
        let scraped =
            || get(&lab.prometheus, "/api/v1/query?query=up").is_ok_and(|answer| answer.contains("\"1\""));
        until("the first scrape", || scraped().then_some(()));
        Some(lab)
    }

    /// Waits until nothing fires any more.
    fn is_quiet(&self) {
        let quiet = |url: &str, path: &str, sign: &str| get(url, path).is_ok_and(|told| !told.contains(sign));
        until("the end of the alert", || {
            let over = quiet(&self.prometheus, "/api/v1/alerts", "alertname")
                && quiet(&self.alertmanager, "/api/v2/alerts?active=true", "alertname");
            over.then_some(())
        });
    }

    /// An experiment that pauses the exporter, with what is expected of these alerts.
    fn experiment(&self, desk: &Desk, server: &str, fires: &str, resolves: &str) -> String {
        let at = if server == "prometheus" { &self.prometheus } else { &self.alertmanager };
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: alerts\nhypothesis: somebody is told\nbaseline: 0\n\
             steady_state:\n- name: nothing fires\n  alerts: {{{server}: \"{at}\", names: [ShopDown, NeverFires]}}\n  {resolves}\n\
             hypothesis_holds:\n- name: somebody is told\n  alerts: {{{server}: \"{at}\", names: [ShopDown, NeverFires]}}\n  {fires}\n\
             method: [{{fault: process.pause, target: {{process: {{pid: {}}}}}, for: 12s}}]\n\
             recovery: {{within: 1s}}\n",
            self.exporter
        );
        desk.write("alerts.yaml", &text);
        "alerts.yaml".to_owned()
    }
}

#[test]
fn alerts_fire_and_are_resolved_in_time() {
    let desk = Desk::new();
    let Some(lab) = Lab::start(desk.folder()) else {
        println!("skipped: prometheus, prometheus-alertmanager or python3 is not here");
        return;
    };
    let fires = "expect: alert.ShopDown == true\n  within: 10s";
    for server in ["prometheus", "alertmanager"] {
        let file = lab.experiment(&desk, server, fires, "within: 30s");
        lab.is_quiet();
        let told = desk.squall(&["run", &file, "--yes", "--journal", "journal.jsonl"]);
        told.is(
            0,
            &["somebody is told held", "s after the fault began", "nothing fires (firing == 0) held again"],
        );
        let journal = desk.read("journal.jsonl");
        let judged = journal.lines().find(|line| line.contains("\"judged\"")).unwrap();
        let judged: serde_json::Value = serde_json::from_str(judged).unwrap();
        let after = judged["checks"][0]["after"].as_f64().unwrap();
        assert!(after > 1.0, "the alert waits for a second by itself: {judged}");
        let report = desk.squall(&["report", "journal.jsonl", "--format", "text"]);
        report.is(0, &["held from", "after the fault began, allowed: 10 s"]);
    }

    // One that never fires is a failure.
    let fires = "expect: alert.ShopDown == true and alert.NeverFires == true\n  within: 6s";
    let file = lab.experiment(&desk, "prometheus", fires, "within: 30s");
    desk.squall(&["run", &file, "--yes"])
        .is(1, &["did not hold within 6 s of the fault", "alert.NeverFires = false"]);
    // Who cannot be asked has not said that it fires.
    let file =
        lab.experiment(&desk, "prometheus", "expect: alert.ShopDown == true\n  within: 10s", "within: 30s");
    let text = desk.read(&file);
    let (head, tail) = text.split_once("hypothesis_holds").unwrap();
    desk.write(
        &file,
        &format!("{head}hypothesis_holds{}", tail.replace(&lab.prometheus, "http://127.0.0.1:9")),
    );
    lab.is_quiet();
    desk.squall(&["run", &file, "--yes"]).is(1, &["somebody is told", "refused"]);

    // And so is one that is resolved later than it must be.
    let file =
        lab.experiment(&desk, "alertmanager", "expect: alert.ShopDown == true\n  within: 10s", "within: 2s");
    desk.write(&file, &desk.read(&file).replace("NeverFires]", "Remembers]"));
    lab.is_quiet();
    desk.squall(&["run", &file, "--yes"]).is(
        1,
        &["the steady state was not back within 2s after the undo: nothing fires (firing == 0): firing = "],
    );
}
