//! The keeper of a demo's network: a process that lives in it and takes it away when its demo ends, however it ends.

use crate::shop_networks::Number;
use squall_linux::sys::link;
use squall_linux::sys::namespace::Namespace;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the keeper says once it lives in the network.
const READY: u8 = b'1';
/// What it is told where the network is to stay.
const KEEP: u8 = b'k';
/// How long those who live in the network may take to end after the demo.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long it may take to end itself after that.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The keeper as its demo sees it.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    /// Starts it and waits until it lives in the network's namespace of this name. With `keep`, the network stays when
    /// the demo is killed, as long as somebody lives in it.
    pub(super) fn start(number: Number, namespace: &str, keep: bool) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["shop-keeper", &number.0.to_string(), namespace, if keep { "keep" } else { "follow" }]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut keeper = Self(child);
        let mut answer = [0];
        let ready = keeper.0.stdout.take().map_or(Ok(()), |mut stdout| stdout.read_exact(&mut answer));
        if ready.is_err() || answer != [READY] {
            let _ = keeper.0.kill();
            let _ = keeper.0.wait();
            return Err(io::Error::other("the keeper of the demo's network did not start"));
        }
        Ok(keeper)
    }

    /// Tells it to leave the network as it is, and waits for its end.
    pub(super) fn dismiss(&mut self) {
        // Where it cannot be told, it is gone already.
        let _ = self.0.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(&[KEEP]));
        self.take_away();
    }

    /// Tells it that the demo has ended, and waits for its end; whether it has done its duty.
    pub(super) fn take_away(&mut self) -> bool {
        drop(self.0.stdin.take());
        let deadline = Instant::now() + FAREWELL + PATIENCE;
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(BETWEEN_LOOKS),
                ended => return ended.is_ok_and(|status| status.is_some_and(|status| status.success())),
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        false
    }
}

/// `squall shop-keeper NUMBER NAMESPACE keep|follow`: lives in the namespace until standard input ends.
pub(crate) fn main(arguments: &[String]) -> std::process::ExitCode {
    match keep(arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

fn keep(arguments: &[String]) -> Result<(), String> {
    let [number, namespace, bond] = arguments else {
        return Err("usage: squall shop-keeper NUMBER NAMESPACE keep|follow".to_owned());
    };
    let number = Number(number.parse().map_err(|_| format!("{number} is no number of a network"))?);
    // No terminal, and no signal meant for the demo's group, reaches the keeper.
    rustix::process::setsid().map_err(|error| error.to_string())?;
    let mine = Namespace::open(link::namespace_path(namespace)).map_err(|error| error.to_string())?;
    mine.enter().map_err(|error| error.to_string())?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[READY]).and_then(|()| stdout.flush()).map_err(|error| error.to_string())?;
    let mut told = Vec::new();
    // What cannot be read any more has ended.
    let _ = io::stdin().lock().read_to_end(&mut told);
    if told.contains(&KEEP) || (bond == "keep" && number.is_inhabited()) {
        return Ok(());
    }
    let deadline = Instant::now() + FAREWELL;
    while number.is_inhabited() && Instant::now() < deadline {
        std::thread::sleep(BETWEEN_LOOKS);
    }
    // The cable's end on the host goes with the other one, which is in the network.
    number.remove()
}
