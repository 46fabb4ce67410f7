//! `squall ci init`: the pipelines are carried out step by step, as the runners do, against a service of the test's own in a
//! network of its own.

use crate::lab::{Desk, Owned, Told, has, until};
use serde_json::Value as Json;
use squall_model::read::{self, Source};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PORT: &str = "18080";

/// A network namespace with a web server and a process that is started again whenever it ends.
struct Site {
    network: String,
    victim: String,
    parts: Vec<Owned>,
}

impl Site {
    /// None, with a word on why, where it takes more than there is.
    fn open(desk: &Desk, which: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !has("ip") || !has("python3") {
            println!("skipped: network namespaces take root and ip, the web server python3");
            return None;
        }
        let site = Self {
            network: format!("sqt-ci{which}-{}", std::process::id()),
            victim: format!("sqtc{which}{}", std::process::id()),
            parts: Vec::new(),
        };
        for words in
            [vec!["netns", "add", &site.network], vec!["-n", &site.network, "link", "set", "lo", "up"]]
        {
            let made = Command::new("ip").args(&words).output().unwrap();
            assert!(made.status.success(), "{words:?}: {made:?}");
        }
        std::os::unix::fs::symlink("/bin/sleep", desk.path(&site.victim)).unwrap();
        std::fs::create_dir_all(desk.path("site")).unwrap();
        std::fs::write(desk.path("site/health"), "ok").unwrap();
        Some(site)
    }

    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network]).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the service: the page, and the process that is supervised.
    fn deploy(&mut self, desk: &Desk) {
        let mut server = self.inside("python3");
        server.args(["-m", "http.server", PORT, "--bind", "127.0.0.1"]).current_dir(desk.path("site"));
        let mut supervisor = self.inside("sh");
        // The supervisor ends with its standard input's other end gone, which is this test.
        supervisor.args([
            "-c",
            "trap 'kill $!; exit' TERM; while :; do ./$0 300 & wait $!; done",
            &self.victim,
        ]);
        supervisor.current_dir(desk.folder());
        self.parts = vec![Owned(server.spawn().unwrap()), Owned(supervisor.spawn().unwrap())];
        until("the page is there", || {
            let mut page = self.inside("python3");
            let ask = format!("import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health')");
            page.args(["-c", &ask]).status().unwrap().success().then_some(())
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The supervisor must end before the process that it would start again.
        for part in &self.parts {
            let _ = Command::new("kill").args(["-TERM", &part.0.id().to_string()]).status();
        }
        self.parts.clear();
        let _ = Command::new("ip").args(["netns", "delete", &self.network]).status();
    }
}

/// A file as JSON, by Squall's own strict reader of YAML.
fn yaml(file: &Path) -> Json {
    let text = std::fs::read_to_string(file).unwrap();
    let source = Source { name: file.display().to_string(), text };
    read::parse(&source).unwrap_or_else(|error| panic!("{error}")).to_json()
}

/// Texts of a map, to be put into the environment.
fn texts(map: &Json) -> Vec<(String, String)> {
    let entries = map.as_object().unwrap().iter();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Where the kernel cannot delay packets, the pipeline carries out another fault in the place of the latency.
fn suit_the_kernel(desk: &Desk, site: &Site) {
    let variables = [format!("process={}", site.victim), format!("port={PORT}")];
    let planned =
        desk.squall(&["plan", "chaos/network-latency.yaml", "--var", &variables[0], "--var", &variables[1]]);
    if planned.code != 0 {
        let other = "apiVersion: squall.dev/v1\nkind: Experiment\nname: network-latency\nmethod:\n  - fault: process.pause\n    \
                     target: {process: {name: \"${process}\"}}\n    for: \"${lasts}\"\n";
        desk.write("chaos/network-latency.yaml", &format!("{other}variables: {{process: x, lasts: 1s}}\n"));
    }
}

/// A step as a runner carries it out, with the built program on the path.
fn step(desk: &Desk, site: &Site, environment: &[(String, String)], script: &str) -> Told {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_squall"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = site.inside("bash");
    command
        .args(["-e", "-c", script])
        .current_dir(desk.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.env("PATH", path).env("SQUALL_STATE", desk.path("state")).env_remove("SQUALL_LOG");
    command.env("SQUALL_VAR_url", format!("http://127.0.0.1:{PORT}/health")).env("SQUALL_VAR_port", PORT);
    command
        .env("SQUALL_VAR_process", &site.victim)
        .env("ROOT", "")
        .env("MEASURE", "1s")
        .env("LATENCY_P99", "10000");
    command.env("SQUALL_VAR_slowest", "30s").env("SQUALL_VAR_lasts", "2s").env("SQUALL_VAR_before", "1s");
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    Told::of(&command.output().unwrap())
}

/// Carries a GitHub job out: each step's name and what it told; of a job that failed only what always runs.
fn github(desk: &Desk, site: &Site) -> Vec<(String, Told)> {
    let workflow = yaml(&desk.path(".github/workflows/chaos.yml"));
    let environment = texts(&workflow["env"]);
    let mut done: Vec<(String, Told)> = Vec::new();
    for part in workflow["jobs"]["chaos-tests"]["steps"].as_array().unwrap() {
        let Some(script) = part["run"].as_str() else { continue };
        let failed = done.iter().any(|(_, told)| told.code != 0);
        if !failed || part["if"] == "always()" {
            let name = part["name"].as_str().unwrap().to_owned();
            done.push((name, step(desk, site, &environment, script)));
        }
    }
    done
}

#[test]
fn the_workflow_for_github_passes_on_a_service_that_is_well_and_cleans_up_after_one_that_is_not() {
    let desk = Desk::new();
    desk.squall(&["ci", "init", "github"])
        .is(0, &["wrote .github/workflows/chaos.yml", "wrote chaos/process-failure.yaml"]);
    let text = desk.read(".github/workflows/chaos.yml");
    assert!(text.contains("if: always()") && !text.contains("kubectl apply"));
    let Some(mut site) = Site::open(&desk, "a") else { return };

    // Nothing is deployed: the baseline fails, and the clean-up runs all the same.
    let done = github(&desk, &site);
    let names: Vec<&str> = done.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["Install Squall", "Deploy to Test Environment", "Run Baseline Tests", "Clean Up Chaos"]
    );
    done[2].1.is(1, &["missed: error_rate"]);
    done[3].1.is(0, &["nothing is alive", "nothing to put back", "no leftovers"]);

    site.deploy(&desk);
    suit_the_kernel(&desk, &site);
    let done = github(&desk, &site);
    for (name, told) in &done {
        assert_eq!(told.code, 0, "{name}\n{}{}", told.out, told.errors);
    }
    assert_eq!(done.len(), 8);
    for report in [
        "process-failure.xml",
        "process-failure.html",
        "process-failure.jsonl",
        "network-latency.xml",
        "network-latency.html",
    ] {
        assert!(desk.path("reports").join(report).exists(), "{report}");
    }
}

#[test]
fn the_pipeline_for_gitlab_passes_and_cleans_up() {
    let desk = Desk::new();
    desk.squall(&["ci", "init", "gitlab"]).is(0, &["wrote .gitlab-ci.chaos.yml"]);
    let job = yaml(&desk.path(".gitlab-ci.chaos.yml"))["chaos-tests"].clone();
    assert_eq!(job["artifacts"]["reports"]["junit"], "reports/*.xml");
    let Some(mut site) = Site::open(&desk, "b") else { return };
    site.deploy(&desk);
    suit_the_kernel(&desk, &site);
    let lines = |name: &str| {
        let lines = job[name].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        lines.collect::<Vec<_>>().join("\n")
    };
    let environment = texts(&job["variables"]);
    step(&desk, &site, &environment, &lines("script"))
        .is(0, &["process-failure", "network-latency", "passed"]);
    step(&desk, &site, &environment, &lines("after_script")).is(0, &["nothing is alive", "no leftovers"]);
}

#[test]
fn what_is_there_is_not_written_over() {
    let desk = Desk::new();
    desk.write("chaos/process-failure.yaml", "mine");
    desk.squall(&["ci", "init", "github", "--stdout"]).is(0, &["always()", "squall halt"]);
    assert!(!desk.path(".github").exists());
    desk.squall(&["ci", "init", "github"]).is(0, &["kept chaos/process-failure.yaml"]);
    desk.write(".github/workflows/chaos.yml", "mine");
    desk.squall(&["ci", "init", "github"]).is(2, &["is there already", "--force"]);
    assert_eq!(desk.read(".github/workflows/chaos.yml"), "mine");
    desk.squall(&["ci", "init", "github", "--force"]).is(0, &["wrote .github/workflows/chaos.yml"]);
    assert_eq!(desk.read("chaos/process-failure.yaml"), "mine");
    let other = Desk::new();
    other.write("chaos", "somebody's file");
    other.squall(&["ci", "init", "github"]).is(2, &["chaos must be a folder", "nothing was written"]);
    assert!(!other.path(".github").exists());
    desk.squall(&["ci", "init", "jenkins"]).is(2, &["github", "gitlab"]);
}
