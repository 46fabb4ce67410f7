//! Settings of servers: read before, set, read again; put back only over our own value. Where a server can watch over its
//! own settings, it puts them back by itself should it hear nothing more of us.

use crate::{ANSWERS_WITHIN, RemoteMachine, drifted, in_sight, in_time, sessions, watch, worded};
use squall_database::{DatabaseError, Login, Manner, Reason, Session};
use squall_model::machine::MachineError;
use squall_model::server::{ServerRef, SettingStep, Statement};
use squall_model::undo::{Evidence, Reverted, Undo};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a value is put back that the server refuses to take, and how long lies between two attempts.
const ATTEMPTS: u32 = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

async fn open(login: &Login) -> Result<Box<dyn Session>, DatabaseError> {
    squall_database::open(login, &Manner::asking(ANSWERS_WITHIN)).await
}

async fn read(
    session: &mut dyn Session,
    server: &ServerRef,
    read: &Statement,
) -> Result<Option<String>, DatabaseError> {
    in_time(server, session.say(read)).await.map(|rows| rows.first().map(str::to_owned))
}

/// Reads the value to be put back.
pub(crate) fn capture(machine: &mut RemoteMachine, step: &SettingStep) -> Result<Undo, MachineError> {
    machine.check(&step.server, &step.check)?;
    let login = machine.login(&step.server)?;
    let before = machine.run(async { read(&mut *open(&login).await?, &step.server, &step.read).await })?;
    if before.as_ref() == Some(&step.ours) {
        let message = format!(
            "could not change {} on {}: it is {} already, so nothing would change; somebody else did that before",
            step.name, step.server, step.ours
        );
        return Err(MachineError::Refused { message });
    }
    let restore = match (&before, &step.unset) {
        (None, Some(unset)) => unset.clone(),
        (before, _) => step.restore.with(step.server.kind, before.as_deref().unwrap_or_default()),
    };
    Ok(Undo::Setting {
        server: step.server.clone(),
        mark: step.mark.clone(),
        name: step.name.clone(),
        read: step.read.clone(),
        before,
        ours: step.ours.clone(),
        restore,
        finally: step.finally.clone(),
    })
}

/// Sets the value, unless somebody else changed it since it was captured.
pub(crate) fn apply(
    machine: &mut RemoteMachine,
    step: &SettingStep,
    undo: &Undo,
) -> Result<(), MachineError> {
    let Undo::Setting { before, ours, restore, .. } = undo else {
        return Err(MachineError::Failed { message: "the undo is of another step".to_owned() });
    };
    let login = machine.login(&step.server)?;
    let mut session = machine.run(open(&login))?;
    let (now, counted) = machine.run(async {
        let now = read(&mut *session, &step.server, &step.read).await?;
        Ok((now, count(&mut *session, step).await?))
    })?;
    if now != *before && now.as_ref() != Some(ours) {
        let message = format!(
            "could not change {} on {}: it was {} when that was written down and is {} now, so the undo would bring back \
             the wrong value; plan again",
            step.name,
            step.server,
            shown(before.as_deref()),
            shown(now.as_deref())
        );
        return Err(MachineError::Refused { message });
    }
    if let Some(watch) = &step.watch {
        // One watch puts back all that an injection changed, what it changed last first; the one before ends after it began.
        let before = machine.watching.get(&step.mark).map(|watching| watching.restores.clone());
        let restores = std::iter::once(restore.clone()).chain(before.unwrap_or_default()).collect();
        let watching = machine.run(watch::begin(login.clone(), step, watch, restores))?;
        machine.watching.insert(step.mark.clone(), watching);
    }
    machine.counted.insert(key(step), counted);
    let seen = machine.run(async {
        in_time(&step.server, session.say(&step.write)).await?;
        for statement in &step.then {
            in_time(&step.server, session.say(statement)).await?;
        }
        read(&mut *session, &step.server, &step.read).await
    })?;
    if seen.as_ref() == Some(&step.ours) {
        return Ok(());
    }
    let message = format!(
        "could not keep {} on {} at {}: it is {} there",
        step.name,
        step.server,
        step.ours,
        shown(seen.as_deref())
    );
    Err(MachineError::Refused { message })
}

fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("not set")
}

/// Asks for the numbers by which the effect is known; none where it is known by the value alone.
async fn count(
    session: &mut dyn Session,
    step: &SettingStep,
) -> Result<BTreeMap<String, f64>, DatabaseError> {
    match step.look.as_ref().and_then(|look| look.ask.as_ref()) {
        Some(ask) => Ok(sessions::numbers(&in_time(&step.server, session.say(ask)).await?)),
        None => Ok(BTreeMap::new()),
    }
}

/// Looks whether the value is there, and for its effect where it has one of its own.
pub(crate) fn look(
    machine: &RemoteMachine,
    step: &SettingStep,
) -> Result<impl Future<Output = Result<Evidence, DatabaseError>> + Send + use<>, MachineError> {
    let login = machine.login(&step.server)?;
    let before = machine.counted.get(&key(step)).cloned().unwrap_or_default();
    let of_watch = machine.watching.get(&step.mark).and_then(watch::Watching::words);
    let step = step.clone();
    Ok(async move {
        let asked = async {
            let mut session = open(&login).await?;
            let now = read(&mut *session, &step.server, &step.read).await?;
            Ok((now, count(&mut *session, &step).await?))
        };
        let (now, mut measures) = in_sight(&step.server, asked).await?;
        let says = format!("{} on {} is {}", step.name, step.server.place(), shown(now.as_deref()));
        let mut evidence = match &step.look {
            _ if now.as_ref() != Some(&step.ours) => Evidence::not_seen(says),
            Some(look) => {
                if look.grows {
                    // What is not known of before cannot be told from ours.
                    measures
                        .iter_mut()
                        .for_each(|(name, value)| *value -= before.get(name).copied().unwrap_or(*value));
                }
                sessions::told(look, measures, None)
            }
            None => Evidence::seen(says),
        };
        if let Some(words) = of_watch {
            evidence.summary = format!("{}; {words}", evidence.summary);
        }
        Ok(evidence)
    })
}

/// What tells a setting that we changed from others.
fn key(step: &SettingStep) -> (String, String) {
    (step.mark.clone(), step.name.clone())
}

/// Puts the value back over ours, looks again, and ends the sessions that watched over it.
pub(crate) fn revert(machine: &mut RemoteMachine, undo: &Undo) -> Result<Reverted, MachineError> {
    let Undo::Setting { server, mark, name, read: question, before, restore, finally, .. } = undo else {
        return Err(MachineError::Failed { message: "the undo is of another step".to_owned() });
    };
    let login = machine.login(server)?;
    let remedy = format!("on {server}: {restore}");
    let watching = machine.watching.remove(mark);
    let outcome = machine.runtime()?.block_on(async {
        let mut session = open(&login).await?;
        let was_ours = put_back(&mut *session, undo).await?;
        let after = read(&mut *session, server, question).await?;
        // The watch is over in any case: what it waited for has come. Nothing begins it anew.
        drop(watching);
        let ended = sessions::end_all(&mut *session, server, mark).await?;
        if was_ours && after == *before {
            for statement in finally {
                in_time(server, session.say(statement)).await?;
            }
        }
        Ok((was_ours, after, ended))
    });
    let (was_ours, after, ended) = outcome.map_err(worded)?;
    let says = format!("{name} on {} is {}", server.place(), shown(after.as_deref()));
    if after != *before {
        let (before, after) = (shown(before.as_deref()), shown(after.as_deref()));
        return Ok(drifted(format!("{name} on {}", server.place()), before, after, remedy));
    }
    if let Err(count) = ended {
        return Ok(sessions::live_on(server, mark, count));
    }
    Ok(if was_ours {
        Reverted::Undone { looked_at: says }
    } else {
        Reverted::AlreadyGone { looked_at: says }
    })
}

/// Puts the value back over ours; whether it was ours. The server's own watch may do the same at the same moment.
async fn put_back(session: &mut dyn Session, undo: &Undo) -> Result<bool, DatabaseError> {
    let Undo::Setting { server, read: question, ours, restore, .. } = undo else { return Ok(false) };
    let mut was_ours = false;
    for attempt in 1.. {
        if read(session, server, question).await?.as_ref() != Some(ours) {
            break;
        }
        was_ours = true;
        match in_time(server, session.say(restore)).await {
            Err(error) if error.reason == Reason::Answered && attempt < ATTEMPTS => {
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
            other => return other.map(|_| true),
        }
    }
    Ok(was_ours)
}
