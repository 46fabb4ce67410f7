//! The demo shop as pods of a real cluster, from its manifests, and the game day that strikes them.

use crate::lab::{Scene, until};
use serde_json::Value as Json;
use squall_kubernetes::{ClusterError, Kind, wait};
use squall_model::read::{self, Source};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Short times.
const SHORT: [&str; 8] =
    ["--baseline", "3s", "--observe", "10s", "--recovery", "60s", "--report", "day.html"];

impl Scene {
    /// Makes what the shop's manifests say, with the image that is tested, and waits until all of it is ready.
    fn open_the_shop(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/kubernetes");
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            fs::copy(entry.path(), self.folder.path().join(entry.file_name())).unwrap();
        }
        let text = fs::read_to_string(folder.join("shop.yaml")).unwrap();
        let text = text.replace("image: squall:0.1.0", &format!("image: \"{}\"", self.image));
        let manifests = Source { name: "shop.yaml".to_owned(), text };
        for number in 1..=read::count_documents(&manifests) {
            let one = read::parse(&read::document(&manifests, number).unwrap()).unwrap().to_json();
            wait(self.make(&one)).unwrap();
        }
        for (app, count) in [("ledger", 1), ("cache", 1), ("payment", 2), ("gateway", 1)] {
            wait(self.room.ready(&format!("app={app}"), count)).unwrap();
        }
        // Nodes learn a moment later where the services are.
        let gateway = self.address("gateway");
        until("orders are taken", || takes_orders(&gateway));
    }

    async fn make(&self, manifest: &Json) -> Result<(), ClusterError> {
        let version = manifest["apiVersion"].as_str().unwrap();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = self.cluster.discover(group, Some(version), manifest["kind"].as_str().unwrap()).await?;
        self.cluster.create(&kind, Some(&self.room.name), manifest).await.map(drop)
    }

    /// Where a service of the shop is, from the node.
    fn address(&self, service: &str) -> String {
        let named = Kind::SERVICE.named(Some(&self.room.name), service);
        let service = wait(self.cluster.get(&named)).unwrap().unwrap();
        format!("{}:8080", service["spec"]["clusterIP"].as_str().unwrap())
    }

    fn payments(&self) -> BTreeSet<String> {
        self.pods("payment").into_iter().map(|pod| pod.uid).collect()
    }

    /// Carries the game day out; how it ended, and what it said.
    fn shop_day(&self) -> (i32, String) {
        let variables = [
            format!("namespace={}", self.room.name),
            format!("gateway={}", self.address("gateway")),
            format!("ledger={}", self.address("ledger")),
            "lasts=6s".to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["gameday", "run", "shop.md", "--yes"]).args(SHORT);
        command.args(variables.iter().flat_map(|variable| ["--var", variable]));
        command.args(["--agent-namespace", &self.room.name]).current_dir(self.folder.path());
        command.env("KUBECONFIG", &self.kubeconfig).env("SQUALL_AGENT_IMAGE", &self.image);
        command.env("SQUALL_STATE", self.folder.path().join("state")).env_remove("SQUALL_LOG");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// The journal of the day.
    fn day(&self) -> Vec<Json> {
        let mut files = fs::read_dir(self.folder.path().join("state/gamedays")).unwrap().flatten();
        let text = fs::read_to_string(files.next().unwrap().path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn takes_orders(gateway: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(gateway) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let request = format!(
        "POST /checkout HTTP/1.1\r\nhost: {gateway}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let mut head = [0; 12];
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut head));
    asked.is_ok() && &head == b"HTTP/1.1 200"
}

#[test]
fn the_demo_shops_manifests_run_as_a_game_day() {
    let Some(scene) = Scene::open() else { return };
    scene.open_the_shop();
    let before = scene.payments();
    let (code, said) = scene.shop_day();

    let day = scene.day();
    let judged =
        day.iter().rev().find(|entry| entry["event"] == "judged").unwrap_or_else(|| panic!("{said}"));
    let judgements = judged["judgements"].as_array().unwrap();
    let outcome = |criterion: &str| {
        let found = judgements.iter().find(|one| one["criterion"].as_str().unwrap().starts_with(criterion));
        found.unwrap_or_else(|| panic!("{judgements:?}"))["outcome"].clone()
    };
    for criterion in ["No data loss", "The system recovers", "All services"] {
        assert_eq!(outcome(criterion), "met", "{criterion}: {said}");
    }
    let all_met = judgements.iter().all(|one| one["outcome"] == "met");
    // A loaded machine may lose requests; then the day must say so.
    assert_eq!(code, i32::from(!all_met), "{said}");
    let page = fs::read_to_string(scene.folder.path().join("day.html")).unwrap();
    for words in ["The Shop in the Cluster", "k8s.pod_kill", "network.partition", "k8s.scale", "<svg"] {
        assert!(page.contains(words), "{words} is not in the report");
    }

    // One payment pod is another one, and all else is as before.
    wait(scene.room.ready("app=payment", 2)).unwrap();
    assert_eq!(scene.payments().intersection(&before).count(), 1, "{said}");
    wait(scene.room.ready("app=cache", 1)).unwrap();
    let ledger = scene.pods("ledger").remove(0);
    assert_eq!(scene.marks_of(&ledger), Vec::<String>::new(), "{said}");
    until("agents leave", || scene.agent_pods().is_empty());
}
