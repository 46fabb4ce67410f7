//! A moto and a desk, all of it the test's own and gone with it.

use squall_aws::testing::{ENVIRONMENT, Moto};
use squall_aws::{Aws, AwsError, Filter, State, wait};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long something may take that takes no time on a quiet machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder, and an AWS beside it.
pub(crate) struct Lab {
    pub(crate) moto: Moto,
    pub(crate) aws: Aws,
    desk: Desk,
}

impl Lab {
    /// None where there is no moto, which is said.
    pub(crate) fn open() -> Option<Self> {
        let moto = match Moto::start() {
            Ok(moto) => moto,
            Err(why) => {
                println!("skipped: {why}");
                return None;
            }
        };
        let aws = wait(Aws::open(&moto.place(), Duration::from_secs(20))).unwrap();
        let desk = Desk::at(&moto.url);
        Some(Self { moto, aws, desk })
    }

    /// Instances of the shop, so many that opted in and one that did not. Their numbers, without that one's.
    pub(crate) fn launch(&self, count: u32) -> Vec<String> {
        let launched = wait(async {
            self.moto.launch(&self.aws, 1, &[("app", "shop")]).await?;
            self.moto.launch(&self.aws, count, &[("app", "shop"), ("squall", "allowed")]).await
        });
        launched.unwrap()
    }

    /// How many instances of the shop are in a state.
    pub(crate) fn count(&self, state: State) -> usize {
        let shop = Filter::Tag("app".to_owned(), Some("shop".to_owned()));
        asked(self.aws.instances(&[shop, Filter::State(vec![state])])).len()
    }
}

impl std::ops::Deref for Lab {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

/// What AWS answers.
pub(crate) fn asked<T: Send>(work: impl Future<Output = Result<T, AwsError>> + Send) -> T {
    wait(work).unwrap()
}

/// A folder with files and a state folder, and the address of an AWS.
pub(crate) struct Desk {
    folder: TempDir,
    aws: String,
}

impl Desk {
    pub(crate) fn at(aws: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), aws: aws.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an experiment with one fault.
    pub(crate) fn experiment(&self, fault: &str) {
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: shop\nbaseline: 0\n\
             steady_state: [{{exec: {{command: \"true\"}}, expect: exit_code == 0}}]\nmethod:\n  - {fault}\n"
        );
        std::fs::write(self.path("shop.yaml"), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(ENVIRONMENT).env("AWS_ENDPOINT_URL", &self.aws);
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG").env_remove("GITHUB_ACTIONS");
        command
    }

    pub(crate) fn squall(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }
}

/// How a command ended and what it said.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) all: String,
}

impl Told {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, all: format!("exit code {code}\n{}{}", text(&output.stdout), text(&output.stderr)) }
    }

    #[track_caller]
    pub(crate) fn is(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.all);
        for word in words {
            assert!(self.all.contains(word), "{word:?} is not in\n{}", self.all);
        }
        assert!(!self.all.contains("not-a-secret"), "{}", self.all);
        self
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
