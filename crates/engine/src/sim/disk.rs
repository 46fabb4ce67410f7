//! A disk that keeps only what was synced, tears what is being written when the power or the process dies, and runs
//! full.

use super::world::{Door, LogFile, Mutant};
use squall_model::undo_log::{Disk, Found, LogError, Opened, Record};
use std::collections::{BTreeMap, BTreeSet};

/// The folder of undo logs as one process sees it, and what it remembers of logs that are gone.
pub(super) struct ModelDisk {
    pub door: Door,
    /// Which folder of several: agents of different users, or with different state folders, do not see each other's.
    pub folder: u8,
    pub heard: BTreeMap<String, Vec<u8>>,
}

fn error(deed: &'static str, name: &str, cause: &str) -> LogError {
    LogError::Disk { deed, name: name.to_owned(), cause: cause.to_owned() }
}

fn dead(deed: &'static str, name: &str) -> LogError {
    error(deed, name, "the process is dead")
}

impl Disk for ModelDisk {
    fn create(&mut self, name: &str, first: &[u8]) -> Result<(), LogError> {
        let mut world = self.door.enter().ok_or_else(|| dead("create", name))?;
        if world.logs.contains_key(name) {
            return Err(error("create", name, "it exists"));
        }
        if world.weather.full {
            return Err(error("create", name, "no space left on device"));
        }
        let log = LogFile {
            holder: Some(self.door.pid),
            folder: self.folder,
            bytes: first.to_vec(),
            synced: first.len(),
        };
        // If the process dies within the call, the file has its name by then, and what belongs to it, or it has not.
        if world.dice.bool() {
            world.logs.insert(name.to_owned(), log);
            return if world.survives(self.door.pid, "create") { Ok(()) } else { Err(dead("create", name)) };
        }
        if !world.survives(self.door.pid, "create") {
            return Err(dead("create", name));
        }
        world.logs.insert(name.to_owned(), log);
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.write(name, bytes)?;
        let mut world = self.door.enter().ok_or_else(|| dead("write", name))?;
        if world.weather.mutant != Some(Mutant::NoSync)
            && let Some(log) = world.logs.get_mut(name)
        {
            log.synced = log.bytes.len();
        }
        Ok(())
    }

    fn note(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.write(name, bytes)
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, LogError> {
        let world = self.door.enter().ok_or_else(|| dead("read", name))?;
        let log = world.logs.get(name).ok_or_else(|| error("read", name, "no such file"))?;
        if world.weather.mutant == Some(Mutant::ForwardOrder) {
            return Ok(with_intents_reversed(&log.bytes));
        }
        Ok(log.bytes.clone())
    }

    fn remove(&mut self, name: &str) -> Result<(), LogError> {
        let mut world = self.door.enter().ok_or_else(|| dead("remove", name))?;
        match world.logs.get(name).map(|log| log.holder) {
            Some(holder) if holder != Some(self.door.pid) => {
                world.violation(format!("process {} removed log {name}, held by {holder:?}", self.door.pid));
            }
            _ => {}
        }
        world.remove_log(name);
        drop(world);
        self.heard.remove(name);
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<String>, LogError> {
        let world = self.door.enter().ok_or_else(|| dead("list", "folder"))?;
        let here = world.logs.iter().filter(|(_, log)| log.folder == self.folder).map(|(name, _)| name);
        let names: BTreeSet<&String> = here.chain(self.heard.keys()).collect();
        Ok(names.into_iter().cloned().collect())
    }

    fn take_over(&mut self, name: &str) -> Result<Found, LogError> {
        let is_gone = !self.door.enter().ok_or_else(|| dead("take over", name))?.logs.contains_key(name);
        if is_gone && let Some(bytes) = self.heard.get(name).cloned() {
            let trusts =
                self.door.enter().is_some_and(|world| world.weather.mutant == Some(Mutant::TrustMemory));
            self.create(name, &if trusts { without_claims(&bytes) } else { bytes })?;
            return Ok(Found::Memory);
        }
        let mut world = self.door.enter().ok_or_else(|| dead("take over", name))?;
        let ignores_locks = world.weather.mutant == Some(Mutant::IgnoreLocks);
        let pid = self.door.pid;
        let log = world.logs.get_mut(name).ok_or_else(|| error("take over", name, "no such file"))?;
        if log.holder.is_some_and(|holder| holder != pid) && !ignores_locks {
            return Err(LogError::Held { name: name.to_owned() });
        }
        log.holder = Some(pid);
        Ok(Found::File)
    }
}

impl ModelDisk {
    /// Adds bytes that nobody waits for.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        let mut world = self.door.enter().ok_or_else(|| dead("write", name))?;
        let is_full = world.weather.full;
        let written = if is_full { world.dice.usize(0..=bytes.len()) } else { bytes.len() };
        // If the process dies within the call, any part may have been written.
        let torn = world.dice.usize(0..=bytes.len());
        let removed = || error("write", name, "it was removed");
        let log = world.logs.get_mut(name).ok_or_else(removed)?;
        let length = log.bytes.len();
        log.bytes.extend_from_slice(&bytes[..torn]);
        if !world.survives(self.door.pid, "append") {
            return Err(dead("write", name));
        }
        let log = world.logs.get_mut(name).ok_or_else(removed)?;
        log.bytes.truncate(length);
        log.bytes.extend_from_slice(&bytes[..written]);
        if is_full {
            world.lost_notes += 1;
            return Err(error("write", name, "no space left on device"));
        }
        Ok(())
    }
}

/// A log that does not tell what it holds.
fn without_claims(bytes: &[u8]) -> Vec<u8> {
    let strip = |line: &[u8]| match serde_json::from_slice(line.get(9..).unwrap_or_default()) {
        Ok(Record::Opened(opened)) => {
            let record = Record::Opened(Opened { claims: Vec::new(), ..opened });
            let json = serde_json::to_string(&record).unwrap_or_default();
            format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
        }
        _ => line.to_vec(),
    };
    bytes.split_inclusive(|byte| *byte == b'\n').flat_map(strip).collect()
}

/// The lines of a log with those that hold an undo in reverse order, which makes recovery undo in the wrong one.
fn with_intents_reversed(bytes: &[u8]) -> Vec<u8> {
    let is_intent = |line: &&[u8]| {
        let json = line.get(9..).unwrap_or_default();
        matches!(serde_json::from_slice(json), Ok(Record::Intend { .. }))
    };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let (intents, others): (Vec<&[u8]>, Vec<&[u8]>) = lines.into_iter().partition(is_intent);
    let header = others.iter().take(1).copied();
    header.chain(intents.into_iter().rev()).chain(others.iter().skip(1).copied()).flatten().copied().collect()
}
