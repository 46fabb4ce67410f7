//! Every command of the README and the documentation is carried out as it stands there: in a folder of its own, in a network
//! of its own, with the services beside it that the page speaks of.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::{Ended, wait_until};
use tempfile::TempDir;

/// What is carried out elsewhere, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -- demo", ".ci/run"),
    ("cargo xtask test", "the command that runs this test"),
    ("squall demo --open --fixed", "gameday/days.rs"),
    ("squall gameday run examples/gameday/database-failure.md", "gameday/days.rs"),
    ("squall gameday run gameday.md", "gameday/days.rs, with somebody who answers"),
    ("squall leftovers --database", "databases/postgres.rs"),
    ("squall recover --database", "databases/postgres.rs"),
];

/// How a command may end that does not end with 0.
const ENDS: &[(&str, &[i32])] = &[
    // The hash is another log's.
    ("squall audit verify --head", &[2]),
    // As first built, the shop fails.
    ("sudo squall scenario run disk-full --fixed", &[0]),
    ("sudo squall scenario run disk-full", &[1]),
    // Whether a page in Python is quick enough is the machine's affair.
    ("squall run experiment.yaml --report", &[0, 1, 3]),
    ("squall slo check --url", &[0, 1]),
];

/// What is answered to a command that asks: to each question, what it proposes, but for these.
const ANSWERS: &[(&str, &str)] =
    &[("squall init", "http://127.0.0.1:8080/\npostgres\n\n\n\n"), ("squall gameday new", "\n\n\n\n\n\n\n")];

const SHORT: &str = "apiVersion: squall.dev/v1\nkind: Experiment\nname: short\nbaseline: 1s\n\
    variables: {delay: 1s, region: eu}\n\
    steady_state:\n  - http: {url: \"http://127.0.0.1:8080/?${region}\"}\n    expect: status == 200\n\
    method:\n  - fault: process.pause\n    target: {process: {name: postgres}}\n    for: ${delay}\n";

const SETTINGS: &str = "apiVersion: squall.dev/v1\nkind: Settings\nmetrics: {file: squall.prom}\n\
    notify: [{webhook: {url: \"http://127.0.0.1:9091/hook\"}, on: [start, end]}]\n\
    environments: {production: {targets: 1, duration: 5m}}\n";

const MONKEY: &str = "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\nschedule: {cron: \"0 * 9-14 * * MON-FRI\"}\n\
    inventory: [{processes: {app: shop, match: {name: postgres}}}]\nkill: {mean_days: 2}\n";

/// The files that a block's commands name, and what was done before them.
fn prepared(page: &Page, block: &str) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let file = |name, text: &str| (name, text.to_owned());
    let run = "squall run experiment.yaml";
    match page.name {
        "README.md" => (vec![file("experiment.yaml", &page.yaml())], vec![]),
        "ci.md" if block.contains("--matrix") => (vec![file("chaos/short.yaml", SHORT)], vec![]),
        "ci.md" => {
            (vec![file("summary.json", "{\"error_rate\": 0.002, \"latency_p99\": \"250ms\"}")], vec![])
        }
        "history.md" | "maturity.md" => (vec![file("experiment.yaml", SHORT)], vec![run, run]),
        "metrics-and-alerts.md" => {
            (vec![file("experiment.yaml", SHORT), file("squall.yaml", SETTINGS)], vec![])
        }
        "monkey.md" => (vec![file("monkey.yaml", MONKEY)], vec![]),
        "policy.md" => (vec![file("checkout.yaml", SHORT), file("squall.yaml", SETTINGS)], vec![]),
        _ => (vec![], vec![]),
    }
}

/// A page of documentation.
struct Page {
    name: &'static str,
    text: String,
}

impl Page {
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = if name == "README.md" { folder.join(name) } else { folder.join("docs").join(name) };
        Self { name, text: fs::read_to_string(path).unwrap() }
    }

    /// What stands in its blocks of a language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while lines.any(|line| line == format!("```{language}")) {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(block.fold(String::new(), |text, line| text + line + "\n"));
        }
        blocks
    }

    fn yaml(&self) -> String {
        self.blocks("yaml").remove(0)
    }
}

/// The commands of a block, lines that go on joined.
fn commands(block: &str) -> Vec<String> {
    block.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

fn of<'t, T>(table: &'t [(&str, T)], command: &str) -> Option<&'t T> {
    table.iter().find(|(begins, _)| command.starts_with(begins)).map(|(_, of)| of)
}

/// A folder and a network with the services that pages speak of.
struct Place {
    folder: TempDir,
    network: String,
    /// Stands in place of `postgres`, lest one of this machine's is struck.
    victim: String,
    parts: Vec<Ended>,
}

/// Answers everything with 200, and queries as Prometheus does, with a fixed number.
const SERVER: &str = "
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.rfile.read(int(self.headers.get('content-length') or 0))
        vector = [{'metric': {}, 'value': [0, '0.001']}]
        body = json.dumps({'status': 'success', 'data': {'resultType': 'vector', 'result': vector}}).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_PUT = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

impl Place {
    fn open(number: usize, page: &str) -> Self {
        let network = format!("sqt-doc-{}-{page}-{number}", std::process::id());
        for words in [["netns", "add", &network].as_slice(), &["-n", &network, "link", "set", "lo", "up"]] {
            let made = Command::new("ip").args(words).output().unwrap();
            assert!(made.status.success(), "{words:?}: {made:?}");
        }
        let victim = format!("sqd{}{}{number}", std::process::id(), &page[..2]);
        let mut place = Self { folder: tempfile::tempdir().unwrap(), network, victim, parts: Vec::new() };
        fs::create_dir(place.path("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_squall"), place.path("bin/squall")).unwrap();
        std::os::unix::fs::symlink("/bin/sleep", place.path("bin").join(&place.victim)).unwrap();
        place.start(&format!("exec bin/{} 600", place.victim));
        // A page, a database, a Prometheus, a Pushgateway, a collector.
        for port in [8080, 5432, 9090, 9091, 4318] {
            place.start(&format!("exec python3 -c \"$0\" {port}"));
            wait_until(|| place.shell(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}"), "").status.success());
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network, "bash", "-c", script, SERVER]);
        command.current_dir(self.folder.path()).env("SQUALL_STATE", self.path("state"));
        command.env("PATH", format!("{}:{}", self.path("bin").display(), env!("PATH")));
        for name in ["SQUALL_LOG", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
            command.env_remove(name);
        }
        command
    }

    fn start(&mut self, script: &str) {
        let mut command = self.command(script);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.parts.push(Ended(command.spawn().unwrap()));
    }

    fn shell(&self, script: &str, answers: &str) -> Output {
        let mut command = self.command(script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that asks nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn carry_out(&self, command: &str) {
        let ends = of(ENDS, command).copied().unwrap_or(&[0]);
        let script = if command.starts_with("squall monkey run") {
            format!("timeout --preserve-status --signal INT 3 {command}")
        } else {
            // sudo has a path of its own.
            command.replace("sudo squall", "sudo --preserve-env=SQUALL_STATE \"$(command -v squall)\"")
        };
        let output =
            self.shell(&script, &of(ANSWERS, command).unwrap_or(&"").replace("postgres", &self.victim));
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let code = output.status.code().unwrap_or(-1);
        assert!(ends.contains(&code), "$ {command}\nends with {code}, not {ends:?}\n{out}{errors}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.parts.clear();
        let _ = Command::new("ip").args(["netns", "delete", &self.network]).status();
    }
}

fn every_command_of(name: &'static str) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces take root");
        return;
    }
    let page = Page::read(name);
    for (number, block) in page.blocks("sh").iter().enumerate() {
        let commands: Vec<String> =
            commands(block).into_iter().filter(|command| of(ELSEWHERE, command).is_none()).collect();
        if commands.is_empty() {
            continue;
        }
        let place = Place::open(number, name.trim_end_matches(".md"));
        let (files, before) = prepared(&page, block);
        let mut files = files.into_iter().peekable();
        for command in before.into_iter().map(str::to_owned).chain(commands) {
            // Only when they are named: what asks and writes a file comes first.
            while let Some((file, text)) = files.next_if(|(file, _)| {
                command.contains(file.split('/').next().unwrap()) || file.ends_with("squall.yaml")
            }) {
                fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
                fs::write(place.path(file), text.replace("postgres", &place.victim)).unwrap();
            }
            place.carry_out(&command);
        }
    }
}

macro_rules! pages {
    ($($test:ident $name:literal,)*) => {
        $(#[test] fn $test() { every_command_of($name); })*

        #[test]
        fn no_page_is_left_out() {
            let known = [$($name),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
            for page in fs::read_dir(folder).unwrap().flatten() {
                let name = page.file_name().into_string().unwrap();
                let text = fs::read_to_string(page.path()).unwrap_or_default();
                assert!(!text.contains("```sh\n") || known.contains(&&*name), "{name} has commands; name it here");
            }
        }
    };
}

pages! {
    readme "README.md",
    ci "ci.md",
    dashboard "dashboard.md",
    databases "databases.md",
    gamedays "gamedays.md",
    history "history.md",
    maturity "maturity.md",
    metrics_and_alerts "metrics-and-alerts.md",
    monkey "monkey.md",
    policy "policy.md",
    scenarios "scenarios.md",
}
