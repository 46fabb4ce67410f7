//! What runs tell other systems, with the built program and servers of the test's own: that it arrives, and that nobody who
//! does not answer changes anything about a run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use squall_http::testing::{RawServer, TestServer, answer, refusing_address, tls};
use std::fs;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use support::{Ended, wait_until};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

/// A folder with an experiment that pauses a process for a second, and perhaps settings beside it.
struct Desk {
    folder: tempfile::TempDir,
    victim: Ended,
}

impl Desk {
    fn new(settings: &str) -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
            victim: Ended(Command::new("sleep").arg("61.71875").spawn().unwrap()),
        };
        let pause = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\nblast_radius: {{services: [sleep]}}\n\
             method:\n  - fault: process.pause\n    target: {{process: {{pid: {}}}}}\n    for: 1s\n",
            desk.victim.0.id()
        );
        fs::write(desk.path("pause.yaml"), pause).unwrap();
        if !settings.is_empty() {
            let text = format!("apiVersion: squall.dev/v1\nkind: Settings\n{settings}\n");
            fs::write(desk.path("squall.yaml"), text).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn squall(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Told {
        Told::of(&self.command(arguments).envs(environment.iter().copied()).output().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG");
        command.env("HOOK_KEY", "sesame");
        command
    }

    /// The events of the only run: names and seconds.
    fn journal(&self) -> Vec<(String, f64)> {
        let runs = self.path("state/runs");
        let file = fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
        let entry = |line: &str| {
            let entry: Value = serde_json::from_str(line).unwrap();
            (entry["event"].as_str().unwrap().to_owned(), entry["elapsed"].as_f64().unwrap())
        };
        fs::read_to_string(file).unwrap().lines().map(entry).collect()
    }
}

struct Told {
    code: i32,
    all: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code().unwrap(), all }
    }

    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.all);
        words.iter().for_each(|word| assert!(self.all.contains(word), "{word:?} is not in\n{}", self.all));
    }
}

type Log = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that notes path and body of what it is asked.
fn server() -> (TestServer, Log) {
    use http_body_util::BodyExt as _;
    let log = Log::default();
    let noting = log.clone();
    let server = TestServer::start(move |request| {
        let noting = noting.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            noting.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap_or_default()));
            answer(200, "")
        }
    });
    (server, log)
}

#[test]
fn a_run_is_told_to_all_that_the_settings_name() {
    let (server, log) = server();
    let desk = Desk::new(&format!(
        "metrics: {{push: \"{0}\", otlp: \"{0}\"}}\nnotify:\n  - webhook: {{url: \"{0}/hook\", key: {{env: HOOK_KEY}}}}\n    \
         on: [start, end]\ngrafana: {{url: \"{0}\", token: {{env: HOOK_KEY}}}}",
        server.url("")
    ));
    let told =
        desk.squall(&["run", ".", "--yes", "--metrics-file", "out.prom", "--metrics-listen", "0"], &[]);
    told.is(0, &["metrics are at http://127.0.0.1:"]);
    assert!(!told.all.contains("did not arrive") && !told.all.contains("sesame"), "{}", told.all);
    let log = log.lock().unwrap().clone();
    let of = |path: &str| -> Vec<&Value> {
        log.iter().filter(|(asked, _)| asked == path).map(|(_, body)| body).collect()
    };
    let kinds: Vec<&Value> = of("/hook").into_iter().map(|body| &body["kind"]).collect();
    assert_eq!(kinds, ["start", "end"]);
    assert_eq!(of("/hook")[1]["verdict"], "passed");
    assert_eq!((of("/api/annotations").len(), of("/v1/traces").len()), (1, 1));
    assert!(log.iter().any(|(path, _)| path.starts_with("/metrics/job/squall/instance/")));
    let metrics = fs::read_to_string(desk.path("out.prom")).unwrap();
    for line in
        ["chaos_experiment_status{experiment=\"pause\"} 1", "chaos_blast_radius{services=\"sleep\"} 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    // Another command counts on.
    desk.squall(&["run", "pause.yaml", "--yes", "--metrics-file", "out.prom"], &[]).is(0, &[]);
    let metrics = fs::read_to_string(desk.path("out.prom")).unwrap();
    assert!(metrics.contains("squall_runs_total{verdict=\"passed\"} 2\n"), "{metrics}");
}

#[test]
fn metrics_can_be_asked_for_while_a_fault_is_active() {
    let desk = Desk::new("");
    let mut run = desk.command(&["run", "pause.yaml", "--yes", "--metrics-listen", "0"]);
    let mut run = Ended(run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufReader::new(run.0.stderr.take().unwrap()).lines();
    let told =
        lines.find_map(|line| Some(line.unwrap().split_once("metrics are at ")?.1.to_owned())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = squall_http::Request::get(&told).unwrap();
    let client = squall_http::HttpClient::default();
    let mut was_active = false;
    let mut last = String::new();
    // Until nobody listens any more.
    while let Ok(answer) = runtime.block_on(client.request(&request, std::time::Duration::from_secs(30))) {
        last = String::from_utf8_lossy(&answer.body).into_owned();
        was_active |= last.contains("squall_injections_active 1\n");
        // Seldom enough that the command would be gone before it came once more.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(was_active && run.0.wait().unwrap().success());
    // Whoever asks hears how it ended.
    assert!(last.contains("chaos_experiment_status{experiment=\"pause\"} 1\n"), "{last}");
    assert!(last.contains("squall_runs_total{verdict=\"passed\"} 1\n"), "{last}");
}

#[test]
fn the_end_of_a_run_whose_process_was_killed_is_told_and_counted() {
    let (server, log) = server();
    let desk = Desk::new(&format!(
        "notify: [{{webhook: {{url: \"{}\", key: {{env: HOOK_KEY}}}}, on: [start, abort, end]}}]\n",
        server.url("/hook")
    ));
    let long = fs::read_to_string(desk.path("pause.yaml")).unwrap().replace("for: 1s", "for: 5m");
    fs::write(desk.path("pause.yaml"), long).unwrap();
    let mut run = desk.command(&["run", "pause.yaml", "--yes", "--metrics-file", "out.prom"]);
    let mut run = Ended(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let metrics = || fs::read_to_string(desk.path("out.prom")).unwrap_or_default();
    wait_until(|| metrics().contains("squall_injections_active 1\n"));
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    wait_until(|| metrics().contains("squall_runs_total{verdict=\"aborted\"} 1\n"));
    assert!(metrics().contains("squall_injections_active 0\n"), "{}", metrics());
    wait_until(|| log.lock().unwrap().len() > 1);
    let kinds: Vec<Value> = log.lock().unwrap().iter().map(|(_, body)| body["kind"].clone()).collect();
    assert!(kinds[0] == "start" && kinds[1..].iter().any(|kind| kind == "abort"), "{kinds:?}");
    // It is counted once, whoever comes by later.
    desk.squall(&["status"], &[]).is(0, &[]);
    let short = fs::read_to_string(desk.path("pause.yaml")).unwrap().replace("for: 5m", "for: 1s");
    fs::write(desk.path("pause.yaml"), short).unwrap();
    desk.squall(&["run", "pause.yaml", "--yes", "--metrics-file", "out.prom"], &[]).is(0, &[]);
    assert!(metrics().contains("squall_runs_total{verdict=\"aborted\"} 1\n"), "{}", metrics());
    assert!(metrics().contains("squall_runs_total{verdict=\"passed\"} 1\n"), "{}", metrics());
}

#[test]
fn experiments_of_a_game_day_are_told() {
    let (server, log) = server();
    let desk =
        Desk::new(&format!("notify: [{{webhook: {{url: \"{}\"}}, on: [start, end]}}]", server.url("/hook")));
    let plan = "# Game Day: a pause\n\n## Objective\nSee that a pause is survived\n\n## Hypothesis\nNothing \
                breaks\n\n## Success Criteria\n- Everybody is well\n\n```squall\nexperiments: [pause.yaml]\n```\n";
    fs::write(desk.path("day.md"), plan).unwrap();
    let options = ["--observe", "1s", "--baseline", "0s", "--plain", "--metrics-file", "out.prom"];
    let told = desk.squall(&[&["gameday", "run", "day.md", "--yes"], &options[..]].concat(), &[]);
    let kinds: Vec<Value> = log.lock().unwrap().iter().map(|(_, body)| body["kind"].clone()).collect();
    assert_eq!(kinds, ["start", "end"], "{}", told.all);
    let metrics = fs::read_to_string(desk.path("out.prom")).unwrap();
    assert!(metrics.contains("squall_runs_total{verdict=\"passed\"} 1\n"), "{metrics}");
}

#[test]
fn nobody_who_does_not_answer_delays_an_undo_or_changes_a_verdict() {
    let alone = Desk::new("");
    alone.squall(&["run", "pause.yaml", "--yes"], &[]).is(0, &[]);
    let (silence, over) = mpsc::channel::<()>();
    let over = Mutex::new(over);
    let silent = RawServer::start(move |_stream| over.lock().unwrap().recv().unwrap_or_default());
    let (held, dead) = refusing_address();
    let desk = Desk::new(&format!(
        "metrics: {{push: \"{silent}\", otlp: \"http://{dead}\"}}\nnotify:\n  - slack: {{url: \"{silent}hidden-path\"}}\n    \
         on: [start, end]\n  - webhook: {{url: \"http://{dead}/hidden-path\"}}\n    on: [start, end]",
        silent = silent.url()
    ));
    let told = desk.squall(&["run", "pause.yaml", "--yes"], &[]);
    told.is(0, &["squall: slack (", "no answer in time", "squall: webhook (", "connection refused"]);
    assert!(!told.all.contains("hidden-path"), "{}", told.all);
    // From what was to be undone to the verdict: as long as in a run of which nobody is told.
    let undo = |desk: &Desk| {
        let journal = desk.journal();
        let at = |name: &str| journal.iter().find(|(event, _)| event == name).unwrap().1;
        (at("restored") - at("undo_started"), at("verdict") - at("restored"))
    };
    let (with, without) = (undo(&desk), undo(&alone));
    assert!(with.0 < without.0 + 1.0 && with.1 < without.1 + 1.0, "{with:?} {without:?}");
    drop(silence);
    drop(held);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_touched() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let desk = Desk::new("notify:\n  - slak: {url: {env: HOOK_KEY}}");
    desk.squall(&["run", "pause.yaml", "--yes"], &[]).is(2, &["squall.yaml:4:5", "did you mean `slack`?"]);
    let desk = Desk::new("notify:\n  - slack: {url: {env: NOT_THERE}}");
    desk.squall(&["run", "pause.yaml", "--yes"], &[]).is(2, &["squall.yaml:4:", "no `NOT_THERE`; set it"]);
    let desk = Desk::new("");
    for (option, value, words) in [
        ("--metrics-listen", address.as_str(), "could not listen on"),
        ("--metrics-listen", "somewhere", "no address to listen on"),
        ("--metrics-push", "ftp://127.0.0.1", "http://"),
        ("--metrics-file", "metrics.txt", ".prom"),
        ("--settings", "pause.yaml", "`kind` is not `Settings`"),
        ("--settings", "missing.yaml", "missing.yaml"),
    ] {
        desk.squall(&["run", "pause.yaml", "--yes", option, value], &[]).is(2, &[words]);
    }
    assert!(!desk.path("state/runs").exists(), "nothing was begun");
}

#[test]
fn an_experiment_that_is_called_like_settings_is_one() {
    let desk = Desk::new("");
    fs::rename(desk.path("pause.yaml"), desk.path("squall.yaml")).unwrap();
    desk.squall(&["run", ".", "--yes"], &[]).is(0, &["pause"]);
}

#[test]
fn a_test_message_says_what_came_back() {
    let (server, log) = server();
    let (held, dead) = refusing_address();
    let desk = Desk::new(&format!("notify: [{{slack: {{url: \"{}\"}}}}]", server.url("/hidden-path")));
    let told = desk.squall(&["notify", "test"], &[]);
    told.is(0, &["slack (127.0.0.1:", "HTTP 200"]);
    assert!(!told.all.contains("hidden-path"), "{}", told.all);
    assert!(log.lock().unwrap()[0].1["text"].as_str().unwrap().contains("this is a test"));
    let text = format!(
        "apiVersion: squall.dev/v1\nkind: Settings\nnotify: [{{webhook: {{url: \"http://{dead}\"}}}}]\n"
    );
    fs::write(desk.path("other.yaml"), text).unwrap();
    let told = desk.squall(&["notify", "test", "--settings", "other.yaml"], &[]);
    told.is(1, &["webhook (", "not told: connection refused"]);
    fs::remove_file(desk.path("squall.yaml")).unwrap();
    desk.squall(&["notify", "test"], &[]).is(2, &["there are no settings"]);
    drop(held);
}

#[test]
fn mail_is_sent_encrypted_or_not_at_all() {
    let (acceptor, authority) = tls(&[]);
    let mails = Arc::new(Mutex::new(Vec::<String>::new()));
    let port = mail_server(Some(acceptor), mails.clone());
    let without = mail_server(None, mails.clone());
    let settings = |port: u16| {
        format!(
            "notify:\n  - email: {{server: localhost, port: {port}, from: Squall <squall@example.org>, \
             to: [oncall@example.org], user: squall, password: {{env: HOOK_KEY}}}}"
        )
    };
    let desk = Desk::new(&settings(port));
    fs::write(desk.path("authority.pem"), authority).unwrap();
    let trusted = desk.path("authority.pem");
    let environment = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    desk.squall(&["notify", "test"], &environment).is(0, &["email (localhost:", "SMTP 250"]);
    let mail = mails.lock().unwrap().concat();
    for words in
        ["AUTH PLAIN", "MAIL FROM:<squall@example.org>", "RCPT TO:<oncall@example.org>", "this is a test"]
    {
        assert!(mail.contains(words), "{words}\n{mail}");
    }
    // Nobody is believed whose certificate is not.
    mails.lock().unwrap().clear();
    desk.squall(&["notify", "test"], &[]).is(1, &["not told"]);
    // A server that cannot encrypt is told neither the password nor the mail.
    let desk = Desk::new(&settings(without));
    desk.squall(&["notify", "test"], &[]).is(1, &["not told"]);
    let said = mails.lock().unwrap().concat();
    assert!(!said.contains("AUTH") && !said.contains("MAIL"), "{said}");
}

/// A mail server that notes what is said to it; it lives as long as the test's process.
fn mail_server(acceptor: Option<TlsAcceptor>, said: Arc<Mutex<Vec<String>>>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, said) = (acceptor.clone(), said.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 test ESMTP\r\n").await.unwrap();
                    let offer = if acceptor.is_some() { "STARTTLS" } else { "HELP" };
                    let wants_tls = converse(&mut stream, offer, &said).await;
                    if let (true, Some(acceptor)) = (wants_tls, acceptor)
                        && let Ok(stream) = acceptor.accept(stream.into_inner()).await
                    {
                        converse(&mut BufReader::new(stream), "AUTH PLAIN", &said).await;
                    }
                });
            }
        });
    });
    port
}

/// Speaks SMTP until the end, or until TLS is to begin.
async fn converse<S>(stream: &mut BufReader<S>, offer: &str, said: &Mutex<Vec<String>>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut line, mut is_mail) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        said.lock().unwrap().push(line.clone());
        let answer = match line.split_whitespace().next().unwrap_or_default() {
            "." if is_mail => {
                is_mail = false;
                "250 taken".to_owned()
            }
            _ if is_mail => continue,
            "EHLO" => format!("250-test\r\n250 {offer}"),
            "STARTTLS" => "220 go on".to_owned(),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => {
                is_mail = true;
                "354 go on".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 well".to_owned(),
        };
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return false;
        }
        if line.starts_with("STARTTLS") {
            return true;
        }
    }
}

#[test]
fn a_monkeys_owner_is_told() {
    let (server, log) = server();
    let desk = Desk::new(&format!("notify: [{{webhook: {{url: \"{}\"}}}}]", server.url("/hook")));
    let name = format!("sqtt{}", std::process::id());
    std::os::unix::fs::symlink("/bin/sleep", desk.path(&name)).unwrap();
    let sleep =
        || Ended(Command::new(desk.path(&name)).arg("60").env("SQUALL_MONKEY", "enabled").spawn().unwrap());
    let _instances = [sleep(), sleep()];
    let monkey = format!(
        "apiVersion: squall.dev/v1\nkind: Monkey\nname: shop\nleashed: true\nseed: 5\n\
         schedule: {{cron: '0 0 10 * * MON-FRI', time_zone: UTC}}\ninventory: [{{processes: {{app: shop, match: {{name: \
         {name}}}}}}}]\naccounts: [{{name: production, region: eu, owner: team@shop.example}}]\nkill: {{mean_days: 1}}\n"
    );
    fs::write(desk.path("monkey.yaml"), monkey).unwrap();
    let times = ["--now", "2026-11-30T09:59:58Z", "--until", "2026-11-30T10:00:02Z"];
    let told = desk.squall(&[&["monkey", "run", "--config", "monkey.yaml"], &times[..]].concat(), &[]);
    told.is(0, &["leashed"]);
    let news = log.lock().unwrap().clone();
    assert_eq!(news.len(), 1, "{}", told.all);
    let news = &news[0].1;
    assert_eq!((&news["kind"], &news["owner"]), (&"news".into(), &"team@shop.example".into()));
    assert!(news["title"].as_str().unwrap().contains("would have been ended now"), "{news}");
}
