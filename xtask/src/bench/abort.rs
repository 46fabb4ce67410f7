//! From a threshold that is crossed to everything put back.

use super::figures::{Row, Samples, time};
use super::processes::{Owned, Scratch, output, wait_until};
use super::server::Server;
use super::victims::Victims;
use super::{Benchmark, release};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "abort",
    title: "Abort: from the threshold to all put back",
    how: "Processes of the benchmark's own are paused (`process.pause`, one injection each, each with its synced undo log). A \
          server whose answer is a metric of the guard changes it at a random moment; the guard looks every second. The \
          crossing is the moment of that change, the rest is read from the journal, and that all victims run again is \
          looked up in `/proc` every 2 ms. No peer ends an experiment by a guard and proves the undo.",
    slow: false,
    run,
};

const REPETITIONS: usize = 10;

/// What the aims are: from the crossing, and after the look that saw it.
const WHOLE: Duration = Duration::from_millis(1500);
const AFTER_TICK: Duration = Duration::from_millis(250);

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let squall = release("squall", None)?;
    let mut rows = Vec::new();
    for count in [1, 100] {
        let mut measured = Measured::default();
        for _ in 0..REPETITIONS {
            measure(scratch, &squall, count, &mut measured)?;
        }
        rows.extend(measured.rows(count));
    }
    Ok(rows)
}

#[derive(Default)]
struct Measured {
    /// From the crossing until the run says that it is aborted.
    noticed: Samples,
    /// From then until the last injection is put back, by the journal.
    undone: Samples,
    /// From the crossing until the last injection is put back, by the journal.
    whole: Samples,
    /// From the crossing until all victims run, by `/proc`.
    seen: Samples,
}

impl Measured {
    fn rows(&self, count: usize) -> Vec<Row> {
        let name = if count == 1 { "1 injection".to_owned() } else { format!("{count} injections") };
        let row = |what: &str, samples: &Samples| {
            let figure = format!("{}, at most {}", samples.times(), time(samples.max()));
            Row::new(format!("{name}: {what}"), figure)
        };
        let within = |row: Row, samples: &Samples, aim: Duration| {
            row.aiming(format!("< {}", time(aim.as_secs_f64())), samples.max() < aim.as_secs_f64())
        };
        vec![
            row("crossing to abort", &self.noticed),
            within(row("abort to all put back and looked at", &self.undone), &self.undone, AFTER_TICK),
            within(row("crossing to all put back and looked at", &self.whole), &self.whole, WHOLE),
            row("crossing to all victims running, by /proc", &self.seen),
        ]
    }
}

fn experiment(server: &Server, victims: &Victims) -> String {
    let (url, target) = (server.url(), victims.target());
    format!(
        "
apiVersion: squall.dev/v1
kind: Experiment
name: abort
hypothesis: the guard ends it
metrics: {{level: {{http: {{url: \"{url}\", value: json.level}}}}}}
steady_state: [{{expect: level < 2}}]
method: [{{fault: process.pause, target: {target}, for: 60s}}]
guard: [{{abort_if: level > 0}}]
baseline: 1s
recovery: {{within: 2s}}
"
    )
}

fn measure(scratch: &Scratch, squall: &Path, count: usize, measured: &mut Measured) -> Result<(), String> {
    let server = Server::start()?;
    let victims = Victims::start(count)?;
    scratch.file("abort.yaml", &experiment(&server, &victims))?;
    output(&mut scratch.command(squall, &["validate", "abort.yaml"]))?;
    let mut brain =
        Owned::start(&mut scratch.command(squall, &["run", "abort.yaml", "--journal", "abort.jsonl"]))?;
    wait_until("all victims are stopped", || victims.all(|state| state == 'T'))?;
    std::thread::sleep(Duration::from_millis(fastrand::u64(1500..2500)));
    server.set(true);
    let crossed = now();
    wait_until("all victims run again", || victims.all(|state| state != 'T'))?;
    measured.seen.add(now() - crossed);
    let passed = brain.finish(Duration::from_mins(1))?;
    if passed {
        return Err("the guard did not end the experiment".to_owned());
    }
    let journal = Journal::read(&scratch.path("abort.jsonl"))?;
    let (aborted, restored) = (journal.last("aborted")?, journal.last("restored")?);
    measured.noticed.add(aborted - crossed);
    measured.undone.add(restored - aborted);
    measured.whole.add(restored - crossed);
    Ok(())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A journal on the wall clock.
struct Journal {
    entries: Vec<serde_json::Value>,
    /// Second zero of the run.
    started: f64,
}

impl Journal {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let entries: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let first =
            entries.first().and_then(|entry| Some((entry["at"].as_str()?, entry["elapsed"].as_f64()?)));
        let (at, elapsed) = first.ok_or("the journal is empty")?;
        Ok(Self { started: seconds(at)? - elapsed, entries })
    }

    /// When something happened last, in seconds since 1970.
    fn last(&self, event: &str) -> Result<f64, String> {
        let mut found = self.entries.iter().rev().filter(|entry| entry["event"] == event);
        let elapsed = found.next().and_then(|entry| entry["elapsed"].as_f64());
        elapsed
            .map(|elapsed| self.started + elapsed)
            .ok_or_else(|| format!("no event {event} in the journal"))
    }
}

/// Seconds since 1970 of an RFC 3339 time of today in UTC: whole days since 1970 do not change while a run lasts.
fn seconds(at: &str) -> Result<f64, String> {
    let wrong = || format!("{at:?} is not a time of the journal");
    let time = at.split_once('T').and_then(|(_, time)| time.strip_suffix('Z')).ok_or_else(wrong)?;
    let parts: Vec<f64> = time.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [hours, minutes, seconds] = parts[..] else { return Err(wrong()) };
    let of_day = hours * 3600.0 + minutes * 60.0 + seconds;
    // The day that brings it nearest to now.
    let day = 86400.0;
    Ok(of_day + ((now() - of_day) / day).round() * day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_journal_are_read() {
        let text = |seconds: f64| {
            let of_day = seconds % 86400.0;
            format!(
                "2000-01-01T{:02}:{:02}:{:06.3}Z",
                (of_day / 3600.0) as u32,
                (of_day / 60.0) as u32 % 60,
                of_day % 60.0
            )
        };
        let soon = now() - 30.0;
        assert!((seconds(&text(soon)).unwrap() - soon).abs() < 0.01);
        assert!(seconds("yesterday").is_err());
    }
}
