//! All that steps are carried out on: this host's kernel, and servers elsewhere, behind one door.

use clap::Args;
use squall_linux::machine::LinuxMachine;
use squall_model::cluster::ClusterPlace;
use squall_model::facts::{HostFacts, Scope, Subject};
use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::server::ServerUrl;
use squall_model::step::{ProcessRef, Step};
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_remote::{Keyring, RemoteMachine};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where else than on this machine marks are looked for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Elsewhere {
    /// Also on this server, wherever its sessions come from: `postgres://user@host:5432/database`; may be repeated
    #[arg(long, value_name = "URL")]
    database: Vec<ServerUrl>,
    /// Also in the cluster of this context of the kubeconfig, or of its current one; may be repeated
    #[arg(long, value_name = "CONTEXT", num_args = 0..=1, default_missing_value = "")]
    cluster: Vec<String>,
}

impl Elsewhere {
    /// Whether none is named.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.database.is_empty() && self.cluster.is_empty()
    }

    /// The servers that are named, with the passwords in their addresses.
    pub(crate) fn servers(&self) -> &[ServerUrl] {
        &self.database
    }

    /// Hands that look there.
    pub(crate) fn remote(&self) -> RemoteMachine {
        let clusters = self.cluster.iter().map(|context| ClusterPlace {
            kubeconfig: None,
            context: (!context.is_empty()).then(|| context.clone()),
        });
        RemoteMachine::default().knowing(self.database.iter().cloned()).knowing_clusters(clusters)
    }
}

/// The kernel and the servers. Each step says by its kind whom it is for.
#[derive(Default)]
pub(crate) struct Machines {
    kernel: LinuxMachine,
    servers: RemoteMachine,
}

impl Machines {
    /// With a keyring that others fill or read too.
    pub(crate) fn with(keyring: Keyring) -> Self {
        Self { servers: RemoteMachine::new(keyring), ..Self::default() }
    }

    /// Which also looks for marks on these servers and in these clusters.
    pub(crate) fn knowing(elsewhere: &Elsewhere) -> Self {
        Self { servers: elsewhere.remote(), ..Self::default() }
    }

    /// The same, with the folder of the undo logs: the file system that it is on is never filled to its end.
    #[must_use]
    pub(crate) fn keeping(self, state: impl Into<PathBuf>) -> Self {
        Self { kernel: self.kernel.keeping(state), ..self }
    }
}

impl Machine for Machines {
    fn hear_of(&mut self, servers: &[ServerUrl]) {
        self.servers.hear_of(servers);
    }

    fn hurry(&mut self, is_hurried: bool) {
        self.servers.hurry(is_hurried);
    }

    fn host(&mut self) -> Result<HostFacts, MachineError> {
        self.kernel.host()
    }

    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        if RemoteMachine::has(target) {
            self.servers.resolve(scope, target)
        } else {
            self.kernel.resolve(scope, target)
        }
    }

    fn addresses(&mut self, names: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
        self.kernel.addresses(names)
    }

    fn is_alive(&mut self, process: &ProcessRef) -> bool {
        self.kernel.is_alive(process)
    }

    fn capture(&mut self, step: &Step, injection: &str) -> Result<Undo, MachineError> {
        if RemoteMachine::makes(step) {
            self.servers.capture(step)
        } else {
            self.kernel.capture(step, injection)
        }
    }

    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        if RemoteMachine::makes(logged.step()) {
            self.servers.apply(logged)
        } else {
            self.kernel.apply(logged)
        }
    }

    fn makes_at_once(&self, step: &Step) -> bool {
        RemoteMachine::makes_at_once(step)
    }

    fn reverts_at_once(&self, undo: &Undo) -> bool {
        RemoteMachine::reverts_at_once(undo)
    }

    // Of what is asked at once, all is for servers far away.

    fn capture_all(&mut self, steps: &[(&Step, &str)]) -> Vec<Result<Undo, MachineError>> {
        self.servers.capture_all(&steps.iter().map(|(step, _)| *step).collect::<Vec<_>>())
    }

    fn apply_all(&mut self, logged: Vec<Logged<'_>>) -> Vec<Result<(), MachineError>> {
        self.servers.apply_all(&logged)
    }

    fn revert_all(&mut self, undos: &[&Undo]) -> Vec<Result<Reverted, MachineError>> {
        self.servers.revert_all(undos)
    }

    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            applied.iter().copied().partition(|(step, _)| RemoteMachine::makes(step));
        let mut of_servers = self.servers.observe(&ours).into_iter();
        let mut of_kernel = self.kernel.observe(&theirs).into_iter();
        let in_order = applied.iter().filter_map(|(step, _)| {
            if RemoteMachine::makes(step) { of_servers.next() } else { of_kernel.next() }
        });
        in_order.collect()
    }

    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        if RemoteMachine::undoes(undo) { self.servers.revert(undo) } else { self.kernel.revert(undo) }
    }

    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        let mut found = self.kernel.leftovers()?;
        found.extend(self.servers.leftovers()?);
        Ok(found)
    }

    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError> {
        match self.servers.remove(leftover)? {
            Some(outcome) => Ok(outcome),
            None => self.kernel.remove(leftover),
        }
    }
}
