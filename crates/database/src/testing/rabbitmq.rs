//! A real RabbitMQ for tests.

use super::{Owner, end, free_port};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The programs without the wrapper that insists on the user of the package.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ with its management, an `epmd` of its own, and the user guest. It takes ten seconds to start: one is enough for
/// a test program.
#[derive(Debug)]
pub struct RabbitServer {
    child: Child,
    epmd: Child,
    folder: TempDir,
    /// Where it speaks AMQP.
    pub port: u16,
    /// Where its management listens.
    pub management: u16,
    /// Where its node takes other nodes.
    pub distribution: u16,
    /// Where its `epmd` listens.
    pub epmd_port: u16,
}

impl RabbitServer {
    /// Starts one. None where it is not installed: says that the test is skipped.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start() -> Option<Self> {
        if !std::path::Path::new(PROGRAMS).join("rabbitmq-server").exists() {
            println!("skipped: there is no RabbitMQ (Debian: rabbitmq-server)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("sqt-rabbitmq-").tempdir().expect("a folder");
        let [port, management, distribution, epmd_port] = [(); 4].map(|()| free_port());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write("plugins", "[rabbitmq_management].");
        write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.port = {management}\nmanagement.tcp.ip = 127.0.0.1\n\
                 collect_statistics_interval = 1000\n"
            ),
        );
        fs::create_dir(folder.path().join("home")).expect("a folder");
        let cookie = folder.path().join("home/.erlang.cookie");
        let mut file = fs::File::options();
        let mut file = file.create_new(true).write(true).mode(0o600).open(&cookie).expect("a cookie");
        file.write_all(b"SQUALLTESTS").expect("a cookie");
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).expect("a cookie's mode");
        let mut epmd = Command::new("epmd");
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let epmd = Owner::ourselves().spawn(&mut epmd, &folder.path().join("epmd.log"));
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        for (name, value) in environment(&folder, epmd_port) {
            command.env(name, value);
        }
        command.env("RABBITMQ_DIST_PORT", distribution.to_string());
        // By this the script becomes the broker, and its number is the broker's; elsewhere it would be another process.
        command.env("RUNNING_UNDER_SYSTEMD", "true");
        let child = Owner::ourselves().spawn(&mut command, &folder.path().join("log"));
        let server = Self { child, epmd, folder, port, management, distribution, epmd_port };
        for _ in 0..600 {
            if server.management("GET", "/api/health/checks/alarms").starts_with("200") {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("RabbitMQ did not start: {}", server.log());
    }

    /// Its address, with the port and the cookie of its node.
    pub fn url(&self) -> String {
        format!(
            "{}&cookie_file={}&dist_port={}",
            self.url_without_cookie(),
            self.cookie().display(),
            self.distribution
        )
    }

    /// Its address for those who have no cookie.
    pub fn url_without_cookie(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}?management_port={}", self.port, self.management)
    }

    /// The file of its cookie.
    pub fn cookie(&self) -> PathBuf {
        self.folder.path().join("home/.erlang.cookie")
    }

    /// What it wrote about itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks it with `rabbitmqctl`, which knows nothing of Squall.
    ///
    /// # Panics
    /// Where it does not answer.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        command.args(["--silent", "--node", "rabbit@localhost"]).args(arguments).stdin(Stdio::null());
        for (name, value) in environment(&self.folder, self.epmd_port) {
            command.env(name, value);
        }
        let output = command.output().expect("rabbitmqctl");
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", told(&output.stdout), told(&output.stderr));
        told(&output.stdout)
    }

    /// Evaluates a text with `rabbitmqctl eval`.
    ///
    /// # Panics
    /// Where it does not answer.
    #[track_caller]
    pub fn eval(&self, text: &str) -> String {
        self.ask(&["eval", text])
    }

    /// Asks its management with `curl`: the status and the body.
    ///
    /// # Panics
    /// Where there is no `curl`.
    pub fn management(&self, method: &str, path: &str) -> String {
        self.management_with(method, path, "")
    }

    /// The same with a body.
    ///
    /// # Panics
    /// Where there is no `curl`.
    pub fn management_with(&self, method: &str, path: &str, body: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.management);
        let mut command = Command::new("curl");
        command.args(["-s", "-u", "guest:guest", "-X", method, "-w", "\n%{http_code}", &url]);
        if !body.is_empty() {
            command.args(["-H", "content-type: application/json", "-d", body]);
        }
        let output = command.output().expect("curl");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = told.rsplit_once('\n').unwrap_or_default();
        format!("{status} {body}")
    }
}

/// What its programs go by. Nothing of the package's own configuration counts.
fn environment(folder: &TempDir, epmd_port: u16) -> Vec<(&'static str, String)> {
    let at = |name: &str| folder.path().join(name).display().to_string();
    vec![
        ("HOME", at("home")),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODENAME", "rabbit@localhost".to_owned()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_MNESIA_BASE", at("mnesia")),
        ("RABBITMQ_LOG_BASE", at("logs")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
        ("RABBITMQ_FEATURE_FLAGS_FILE", at("flags")),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
    ]
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        // What it holds is thrown away: it need not end in order.
        end(&mut self.child, Signal::KILL);
        end(&mut self.epmd, Signal::TERM);
    }
}
