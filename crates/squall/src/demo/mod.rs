//! `squall demo`: the whole job on a small shop: a weakness found, put back, proven, fixed, and shown to be fixed.

pub(crate) mod keeper;
mod network;
pub(crate) mod processes;
pub(crate) mod scenario;
pub(crate) mod shop;

use crate::carry::{self, Carried};
use crate::exit::{Failure, Outcome};
use crate::out;
use clap::Args;
use processes::Shop;
use shop::Service;
use squall_linux::machine::LinuxMachine;
use squall_model::facts::{Feature, HostFacts, Privilege};
use squall_model::machine::Machine;
use squall_model::verdict::Verdict;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The experiments of the demo, carried within the binary so that it needs nothing beside itself.
const EXPERIMENTS: [(&str, &str); 3] = [
    ("silent-ledger.yaml", include_str!("../../../../examples/shop/silent-ledger.yaml")),
    ("cut-off-ledger.yaml", include_str!("../../../../examples/shop/cut-off-ledger.yaml")),
    ("slow-ledger.yaml", include_str!("../../../../examples/shop/slow-ledger.yaml")),
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the shop with its weakness fixed
    #[arg(long)]
    fixed: bool,
    /// Leaves the shop running afterwards, to play with
    #[arg(long)]
    keep: bool,
    /// Only opens the shop, and closes it on Ctrl-C or when standard input ends
    #[arg(long, conflicts_with = "keep")]
    open: bool,
    /// Opens it on loopback ports, without network namespaces, also as root
    #[arg(long, requires = "open")]
    loopback: bool,
    /// Where the reports go
    #[arg(long, default_value = "squall-demo")]
    output: PathBuf,
}

/// What this machine lets the demo do.
struct Stage {
    experiment: (&'static str, &'static str),
    /// The experiment's variable that says where the ledger is, and how it is found.
    ledger: (&'static str, fn(&Shop) -> Option<String>),
    with_network: bool,
    what_happens: &'static str,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let host = LinuxMachine::new().host().map_err(|error| Failure::failed(error.to_string()))?;
        let stage = set_stage(&host);
        if self.open {
            return self.only_open(stage.with_network && !self.loopback);
        }
        std::fs::create_dir_all(&self.output).map_err(|error| {
            Failure::invalid(format!("could not make the folder {}: {error}", self.output.display()))
        })?;
        let mut shop = Shop::start(self.fixed, stage.with_network, self.keep).map_err(Failure::failed)?;
        introduce(&shop, &stage);

        let mut carried = Vec::new();
        if !self.fixed {
            out::say("\n1. The shop as first built: payment waits for the ledger without a timeout.\n");
            carried.push(self.strike(&shop, &stage, "before")?);
            out::say(
                "\n2. The same experiment on the shop with timeout, retry budget, circuit breaker and fallback.\n",
            );
            shop.restart(true).map_err(Failure::failed)?;
        }
        carried.push(self.strike(&shop, &stage, "fixed")?);
        conclude(&carried, self.fixed);
        if self.keep {
            tell_how_to_play(&shop);
        }
        Ok(verdict_on_the_demo(&carried, self.fixed))
    }

    /// Opens the shop and waits until it is to be closed: for experiments and game days of one's own.
    fn only_open(&self, with_network: bool) -> Outcome {
        let shop = Shop::start(self.fixed, with_network, false).map_err(Failure::failed)?;
        tell_where(&shop);
        out::say("The shop is open. Ctrl-C closes it.");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut ended = signal(SignalKind::terminate())?;
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => pressed?,
                _ = ended.recv() => {}
                () = processes::input_ended() => {}
            }
            Ok::<(), std::io::Error>(())
        })?;
        // The thread that reads standard input may wait for ever.
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }

    /// Runs the experiment once, with a report named by `label`.
    fn strike(&self, shop: &Shop, stage: &Stage, label: &str) -> Result<(PathBuf, Carried), Failure> {
        let (name, text) = stage.experiment;
        let file = self.output.join(name);
        std::fs::write(&file, text)?;
        let report = self.output.join(format!("{label}.html"));
        let carried = carry::out_of_file(&file, variables(shop, stage), &["demo"], &report)?;
        if carried.interrupted {
            return Err(Failure::halted("the demo was stopped; everything was put back"));
        }
        Ok((report, carried))
    }
}

/// Chooses what can be shown here: a fault of the network where that is possible, a hanging process everywhere else.
fn set_stage(host: &HostFacts) -> Stage {
    let with_network = host.privileges.contains(&Privilege::NetAdmin) && network::is_possible();
    let namespace: (_, fn(&Shop) -> _) = ("ledger_namespace", |shop| shop.namespace(Service::Ledger));
    let pid: (_, fn(&Shop) -> _) =
        ("ledger_pid", |shop| shop.pid(Service::Ledger).map(|pid| pid.to_string()));
    let (experiment, ledger, what_happens) = if with_network && host.has(Feature::PacketFilter) {
        (
            EXPERIMENTS[1],
            namespace,
            "the network drops everything between payment and the ledger for 9 seconds",
        )
    } else if with_network && host.has(Feature::Netem) {
        (EXPERIMENTS[2], namespace, "the ledger answers 150 ms later for 9 seconds")
    } else {
        (EXPERIMENTS[0], pid, "the ledger hangs for 9 seconds")
    };
    Stage { experiment, ledger, with_network, what_happens }
}

/// What the experiment needs to know about this shop.
fn variables(shop: &Shop, stage: &Stage) -> Vec<String> {
    let (name, of) = stage.ledger;
    let ledger = of(shop).map(|value| format!("{name}={value}"));
    ledger.into_iter().chain([format!("gateway={}", shop.address(Service::Gateway))]).collect()
}

fn introduce(shop: &Shop, stage: &Stage) {
    let place =
        if stage.with_network { "each in a network namespace of its own" } else { "on loopback ports" };
    out::say(format!(
        "A small shop is open on http://{}, four processes {place}:",
        shop.address(Service::Gateway)
    ));
    out::say("  customers → gateway → payment → ledger, and a cache beside the gateway\n");
    out::say("Squall sends 200 checkouts a second, and then");
    out::say(format!("  {}.", stage.what_happens));
    out::say("Do customers notice?");
    if !stage.with_network {
        out::say("(As root the demo breaks the network instead of a process: sudo squall demo)");
    }
}

fn conclude(carried: &[(PathBuf, Carried)], only_fixed: bool) {
    out::say("");
    let titles = if only_fixed {
        ["with the weakness fixed", ""]
    } else {
        ["as first built", "with the weakness fixed"]
    };
    for ((report, carried), title) in carried.iter().zip(titles) {
        out::say(format!("{title:24} {:8}  {}", carried.verdict.name(), carried.reason));
        out::say(format!("{:24} report   {}", "", report.display()));
    }
    if let Some((report, _)) = carried.first() {
        out::say(format!(
            "\nOpen the report: file://{}",
            std::path::absolute(report).unwrap_or_default().display()
        ));
    }
}

fn tell_how_to_play(shop: &Shop) {
    out::say("\nThe shop stays open (--keep):");
    tell_where(shop);
    out::say(
        "Try `squall init`, or end it with `kill` and those numbers; `squall demo` tidies up what was left.",
    );
}

/// Address, process and namespace of each service.
fn tell_where(shop: &Shop) {
    for service in Service::ALL {
        let pid = shop.pid(service).unwrap_or_default();
        let place =
            shop.namespace(service).map_or_else(String::new, |name| format!(", network namespace {name}"));
        out::say(format!("  {service:8} http://{} (pid {pid}{place})", shop.address(service)));
    }
}

/// The demo has told its story if the first run failed, the second passed, and everything was put back.
fn verdict_on_the_demo(carried: &[(PathBuf, Carried)], only_fixed: bool) -> ExitCode {
    let verdicts: Vec<Verdict> = carried.iter().map(|(_, carried)| carried.verdict).collect();
    let story: &[Verdict] = if only_fixed { &[Verdict::Passed] } else { &[Verdict::Failed, Verdict::Passed] };
    if verdicts == story {
        return ExitCode::SUCCESS;
    }
    out::warn("squall demo: this machine told another story than expected; the reports say why");
    ExitCode::FAILURE
}
