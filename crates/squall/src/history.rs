//! The history as the verbs use it: with all journals taken in that it does not know yet. A damaged one is moved aside and
//! made again, which only those verbs do: a run never does.

use crate::epilogue;
use crate::exit::Failure;
use crate::margins::Margins;
use crate::out;
use crate::state::State;
use jiff::Timestamp;
use squall_engine::journal;
use squall_history::{History, HistoryError, Kind, Trouble};
use squall_linux::trust;
use squall_model::gameday;
use squall_model::past::{Facts, GameDay, Run};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// So many journals are taken in at once.
const BATCH: usize = 200;
/// From so many new journals on, it is said that they are taken in.
const WORTH_TELLING: usize = 500;
/// A journal without a beginning or an end that was written to so lately may get them yet.
const YOUNG: Duration = Duration::from_mins(1);
/// A folder that was changed so lately may be changed again without its time showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// Asks the history something. Where that shows that it is damaged, it is made again, and asked once more.
pub(crate) fn ask<T>(
    state: &State,
    mut question: impl FnMut(&History) -> Result<T, HistoryError>,
) -> Result<T, Failure> {
    if !state.folder().exists() {
        // Who asks makes no folder.
        return History::of_nothing().and_then(|history| question(&history)).map_err(failed);
    }
    state.prepare().map_err(|error| {
        Failure::invalid(format!("could not use the state folder {}: {error}", state.folder().display()))
    })?;
    // A run that was killed gets its verdict first.
    epilogue::write(state, &[]);
    let asked = current(state).and_then(|history| question(&history));
    match asked {
        Err(error) if error.trouble == Trouble::Damaged => {
            move_aside(state, &error)?;
            current(state).and_then(|history| question(&history)).map_err(failed)
        }
        asked => asked.map_err(failed),
    }
}

/// What judgements know of the past at a moment.
pub(crate) fn facts(state: &State, now: Timestamp) -> Result<Facts, Failure> {
    let facts = ask(state, |history| history.facts(now))?;
    Ok(Facts { limits: Margins::of(state).all(), ..facts })
}

fn failed(error: HistoryError) -> Failure {
    Failure::failed(error.to_string())
}

/// The history with all that the journals tell; where it cannot be written, as it is, with a warning.
fn current(state: &State) -> Result<History, HistoryError> {
    let file = state.history_file();
    let taken = History::open(&file).and_then(|mut history| catch_up(state, &mut history).map(|()| history));
    match taken {
        Err(error) if matches!(error.trouble, Trouble::Busy | Trouble::Unwritable) && file.exists() => {
            out::warn(format!("squall: {error}; newer runs may be missing here"));
            History::look(&file)
        }
        taken => taken,
    }
}

/// Moves a damaged history out of the way, with the files beside it.
fn move_aside(state: &State, why: &HistoryError) -> Result<(), Failure> {
    let file = state.history_file();
    let aside = file.with_extension(format!("db.corrupt-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S")));
    let beside = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    for ending in ["", "-wal", "-shm"] {
        match fs::rename(beside(&file, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::failed(format!("{why}; and it could not be moved aside: {error}")));
            }
            _ => {}
        }
    }
    out::warn(format!(
        "squall: the history was damaged; it is made again from the journals, and what was there is {} now",
        aside.display()
    ));
    Ok(())
}

/// Takes in the journals that the history does not know.
fn catch_up(state: &State, history: &mut History) -> Result<(), HistoryError> {
    let announced = state.announced();
    catch_up_with(history, Kind::Run, &state.runs(), |history, paths| {
        let mut waits = false;
        let mut runs = Vec::new();
        for path in paths {
            let name = stem(path);
            // It is not over, or its end is still to be written.
            let found = if announced.contains(&name) { Found::Later } else { found(path) };
            match found {
                Found::Run(run) => {
                    // A copy is the same run, whatever its file is called.
                    if run.run != name {
                        history.pass_over(Kind::Run, &name, &format!("it is the journal of {}", run.run))?;
                    }
                    runs.push(*run);
                }
                Found::Later => waits = true,
                Found::Nothing(why) => history.pass_over(Kind::Run, &name, &why)?,
            }
        }
        history.take_in(&runs)?;
        Ok(waits)
    })?;
    catch_up_with(history, Kind::GameDay, &state.gamedays(), |history, paths| {
        let read = |path: &PathBuf| {
            let bytes = trust::look(path).unwrap_or_default();
            let lines = bytes.split(|byte| *byte == b'\n');
            let entries: Vec<gameday::Entry> =
                lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
            GameDay::of(&entries)
        };
        let days: Vec<GameDay> = paths.iter().filter_map(read).collect();
        history.take_in_game_days(&days)?;
        // One that is not over can go on at any time.
        Ok(days.len() < paths.len() || days.iter().any(|day| day.verdict.is_none()))
    })
}

/// What stands in a journal.
enum Found {
    Run(Box<Run>),
    /// There may be more in it soon.
    Later,
    /// Nothing, and why.
    Nothing(String),
}

fn found(path: &Path) -> Found {
    let bytes = match trust::look(path) {
        Ok(bytes) => bytes,
        Err(error) => return Found::Nothing(error.to_string()),
    };
    let run = Run::of(&journal::read(&bytes).entries);
    match run {
        Some(run) if run.verdict.is_some() => Found::Run(Box::new(run)),
        _ if is_young(path) => Found::Later,
        // Nobody is left who would end it.
        Some(run) => Found::Run(Box::new(run)),
        None => Found::Nothing("it has no beginning".to_owned()),
    }
}

/// The name of a run or a session, from its journal's.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn age(path: &Path) -> Duration {
    let changed = fs::metadata(path).and_then(|status| status.modified());
    changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default()
}

fn is_young(path: &Path) -> bool {
    age(path) < YOUNG
}

/// Gives the journals of a folder that are not known to `take`, some at a time, the oldest first. `take` says whether there
/// is more to come in one of them. A folder to which nothing was added since all were known is not looked through.
fn catch_up_with(
    history: &mut History,
    kind: Kind,
    folder: &Path,
    mut take: impl FnMut(&mut History, &[PathBuf]) -> Result<bool, HistoryError>,
) -> Result<(), HistoryError> {
    let stamp = stamp(folder);
    if stamp.is_some() && history.stamp(kind)? == stamp {
        return Ok(());
    }
    let is_settled = age(folder) > SETTLED;
    let new = unknown(folder, &history.known(kind)?);
    if new.len() >= WORTH_TELLING {
        out::warn(format!("squall: {} journals are taken into the history …", new.len()));
    }
    let mut waits = false;
    for some in new.chunks(BATCH) {
        waits |= take(history, some)?;
    }
    match stamp {
        Some(stamp) if is_settled && !waits => history.set_stamp(kind, stamp),
        _ => Ok(()),
    }
}

/// When something was last added to a folder.
fn stamp(folder: &Path) -> Option<i64> {
    let changed = fs::metadata(folder).and_then(|status| status.modified()).ok()?;
    i64::try_from(changed.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// The journals of a folder whose names are not known.
fn unknown(folder: &Path, known: &HashSet<String>) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_new = |name: &OsString| {
        let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        stem.is_some_and(|stem| !known.contains(stem))
    };
    let mut new: Vec<PathBuf> = names.filter(is_new).map(|name| folder.join(name)).collect();
    new.sort();
    new
}
