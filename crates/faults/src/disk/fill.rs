//! `disk.fill`: takes up the space of a file system with one file.

use super::path;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, PathFacts, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::{FillStep, FillUntil, Step};
use squall_model::units::{Share, Size};

/// What stays free, at the least, where the machine itself or Squall's undo logs and journals need the space.
const LEAST_FREE: Size = Size(64 << 20);
/// What stays available of the host's memory, at the least, where a file system lies in it.
const LEAST_MEMORY: u64 = 256 << 20;

/// See [`Fault::SUMMARY`].
pub(crate) struct Fill;

/// What `disk.fill` takes. Space is counted as `df` counts it: what is kept for root alone does not count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The file system is filled until this share of it is used, whoever uses it: 95%. With 100% nothing is left.
    #[serde(default)]
    percent: Option<Share>,
    /// So much is taken: 1GiB.
    #[serde(default)]
    size: Option<Size>,
    /// How much stays free: 100MB. Alone it says how far to fill. By default nothing, but at least 64MiB on the file
    /// system of the root directory and on the one with Squall's state folder.
    #[serde(default)]
    leave_free: Option<Size>,
}

impl Parameters {
    fn until(&self) -> Result<FillUntil, PlanError> {
        match (self.percent, self.size, self.leave_free) {
            (Some(share), None, _) => Ok(FillUntil::Used(share)),
            (None, Some(size), _) => Ok(FillUntil::By(size)),
            (None, None, Some(_)) => Ok(FillUntil::LeftFree),
            (Some(_), Some(_), _) => Err(PlanError::Parameters(
                "`percent` and `size` are two ways to say how much; give one of them".to_owned(),
            )),
            (None, None, None) => Err(PlanError::Parameters(
                "how full? give one of `percent: 95%`, `size: 1GiB` or `leave_free: 100MB`".to_owned(),
            )),
        }
    }

    /// What stays free. Where the machine and Squall live, less than a floor is refused.
    fn floor(&self, path: &PathFacts) -> Result<Size, PlanError> {
        let least = if path.is_root || path.holds_state { LEAST_FREE } else { Size(0) };
        let floor = self.leave_free.unwrap_or(least);
        if floor >= least {
            return Ok(floor);
        }
        let whose =
            if path.holds_state { "Squall keeps its undo logs and journals" } else { "this machine lives" };
        Err(PlanError::Refused(format!(
            "{whose} on the file system of {}, so {least} of it stay free; give leave_free: {least} or more",
            path.directory.path
        )))
    }
}

impl Fault for Fill {
    const NAME: &'static str = "disk.fill";
    const SUMMARY: &'static str =
        "Fills a file system with one file, to a share of it, by a size, or until so much is free";
    const EXAMPLE: &'static str = "\
- fault: disk.fill
  target: {path: /data}
  with: {percent: 95%}
  for: 30s
";
    const SCOPE: Scope = Scope::Path;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        match parameters.until()? {
            FillUntil::Used(share) if share.fraction() <= 0.0 => {
                Err(PlanError::Parameters("0% has no effect; give a share, such as 95%".to_owned()))
            }
            FillUntil::By(Size(0)) => {
                Err(PlanError::Parameters("0 bytes have no effect; give a size, such as 1GiB".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let path = path(facts)?;
        if path.is_root && path.directory.path != "/" {
            return Err(PlanError::Refused(format!(
                "{} lies on the machine's root file system, so that filling it would strike everything on this machine; \
                 give a directory with a file system of its own, or say `target: {{path: /}}` if that is what you mean",
                path.directory.path
            )));
        }
        let step = FillStep {
            directory: path.directory.clone(),
            name: FillStep::name_of(&facts.injection),
            until: parameters.until()?,
            leave_free: parameters.floor(path)?,
        };
        check_space(&step, path)?;
        check_memory(&step, path, facts)?;
        Ok(vec![Step::Fill(step)])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(path) = path(facts) else { return Vec::new() };
        let directory = &path.directory;
        let shared = format!(
            "{} shares its file system with all of {}: whatever writes there is struck",
            directory.path, directory.mounted_on
        );
        let memory =
            format!("{} lies in memory: what is filled is taken from the host's memory", directory.path);
        let notes = [(directory.path != directory.mounted_on, shared), (directory.in_memory, memory)];
        notes.into_iter().filter_map(|(is_so, note)| is_so.then_some(note)).collect()
    }
}

/// Checks that there is something to take and enough to leave.
fn check_space(step: &FillStep, path: &PathFacts) -> Result<(), PlanError> {
    let (missing, available) = (step.missing(path.size, path.available), path.available.0 as i64);
    let place = &path.directory.path;
    if missing <= 0 {
        return Err(PlanError::Parameters(format!(
            "{place} has only {} of {} free already, so that this would change nothing",
            path.available, path.size
        )));
    }
    if available - missing < step.leave_free.0 as i64 {
        let most = Size(path.available.0.saturating_sub(step.leave_free.0));
        return Err(PlanError::Refused(format!(
            "{} is too much: {place} has {} free, of which {} stay free, so at most {most} can be taken; give less, or a \
             smaller leave_free",
            Size(missing as u64),
            path.available,
            step.leave_free
        )));
    }
    Ok(())
}

/// Checks that a file system in memory does not take the memory that the host needs.
fn check_memory(step: &FillStep, path: &PathFacts, facts: &Facts) -> Result<(), PlanError> {
    let missing = Size(step.missing(path.size, path.available).unsigned_abs());
    let reserve = (facts.host.memory_total.0 / 20).max(LEAST_MEMORY);
    let most = Size(facts.host.memory_available.0.saturating_sub(reserve));
    if !path.directory.in_memory || missing <= most {
        return Ok(());
    }
    Err(PlanError::Refused(format!(
        "{} lies in memory, and {missing} of that is too much: {} are available, of which {} stay so; give less",
        path.directory.path,
        facts.host.memory_available,
        Size(reserve)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, golden, notes, on_path, refusal};

    #[test]
    fn the_example_fills_to_95_percent() {
        golden::<Fill>(
            &example::<Fill>(),
            &on_path("/data", "/data"),
            &[
                "fill the file system on /data until 95% of it is used, with the file /data/.squall-run-1.fill",
            ],
        );
        assert!(notes::<Fill>("{percent: 95%}", &on_path("/data", "/data")).is_empty());
    }

    #[test]
    fn a_size_or_what_stays_free_says_how_much() {
        let data = on_path("/data/orders", "/data");
        golden::<Fill>(
            "{size: 1GiB}",
            &data,
            &["fill the file system on /data by 1GiB, with the file /data/orders/.squall-run-1.fill"],
        );
        golden::<Fill>(
            "{leave_free: 100MB}",
            &data,
            &[
                "fill the file system on /data until 100MB is free, with the file /data/orders/.squall-run-1.fill",
            ],
        );
        assert!(notes::<Fill>("{size: 1GiB}", &data)[0].contains("all of /data"));
    }

    #[test]
    fn the_machine_and_squall_keep_their_space() {
        let within_root = on_path("/srv", "/");
        assert!(refusal::<Fill>("{size: 1GiB}", &within_root).contains("{path: /}"));
        let root = on_path("/", "/");
        golden::<Fill>(
            "{size: 1GiB}",
            &root,
            &["fill the file system on / by 1GiB, with the file /.squall-run-1.fill"],
        );
        assert!(refusal::<Fill>("{percent: 100%}", &root).contains("64MiB stay free"));
        assert!(refusal::<Fill>("{leave_free: 1MiB}", &root).contains("this machine lives"));
        let mut state = on_path("/data", "/data");
        let squall_model::facts::Subject::Path(path) = &mut state.subject else { panic!("no path") };
        path.holds_state = true;
        assert!(refusal::<Fill>("{size: 1GiB, leave_free: 63MiB}", &state).contains("undo logs"));
    }

    #[test]
    fn a_file_system_in_memory_leaves_memory() {
        let mut facts = on_path("/dev/shm", "/dev/shm");
        let squall_model::facts::Subject::Path(path) = &mut facts.subject else { panic!("no path") };
        path.directory.in_memory = true;
        // 6 GiB are available, of which 5 % of 8 GiB stay.
        let message = refusal::<Fill>("{size: 6GiB}", &facts);
        assert!(message.contains("lies in memory") && message.contains("409.6MiB stay so"), "{message}");
        assert!(notes::<Fill>("{size: 1GiB}", &facts)[0].contains("taken from the host's memory"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        // 10 GiB, of which 8 GiB are free.
        for (with, says) in [
            ("{}", "how full?"),
            ("{percent: 95%, size: 1GiB}", "give one of them"),
            ("{percent: 0%}", "no effect"),
            ("{size: 0B}", "no effect"),
            ("{percent: 20%}", "change nothing"),
            ("{leave_free: 9GiB}", "change nothing"),
            ("{size: 9GiB}", "at most 8GiB"),
            ("{percent: 95%, leave_free: 1GiB}", "at most 7GiB"),
            ("{full: 95%}", "unknown key `full`"),
        ] {
            let message = refusal::<Fill>(with, &on_path("/data", "/data"));
            assert!(message.contains(says), "{with}: {message}");
        }
    }
}
