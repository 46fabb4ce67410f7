//! Units of the service manager: whether one runs, since when, and how often it began anew. Seen from outside, by the
//! control group that its processes are in, as targets see it: that needs no rights and no bus. What only the manager
//! knows (`failed`, its own count of restarts) is not told.
//!
//! Source: `/proc/PID/cgroup` and `/proc/PID/stat`, see cgroups(7) and proc(5).

use crate::process::{all, memory, read};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::value::{Reading, Value};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// In which the kernel tells programs of times: the same on every architecture that Squall is built for (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What stands under `service:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The unit: `payment`, `payment@1.service`, `shop.scope`.
    name: String,
}

/// The `service` probe.
pub struct Service {
    unit: String,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen at the looks before.
#[derive(Default)]
struct Seen {
    oldest: Option<Process>,
    restarts: u64,
}

/// A process, and when it began, in clock ticks since the machine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    begun: u64,
    pid: u32,
}

impl Probe for Service {
    const NAME: &'static str = "service";
    const SUMMARY: &'static str = "Looks at a unit of the service manager on this host";
    const EXAMPLE: &'static str = "\
- service: {name: payment}
  expect: active == true and restarts == 0
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("active", "whether a process of it lives"),
        ("processes", "how many live"),
        ("age", "seconds since the oldest of them began; absent where there is none"),
        ("restarts", "how often its oldest process was found to be another one, since the first look"),
        ("memory", "bytes of memory that they hold together, shared pages counted for each (RSS)"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] =
        &[("active", ValueKind::YesOrNo), ("processes", ValueKind::Number), ("restarts", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("active == true");
    type Parameters = Parameters;

    fn new(Parameters { name }: Parameters) -> Result<Self, ProbeError> {
        if name.is_empty() || name.contains('/') {
            return Err(ProbeError(format!("{name:?} is not the name of a unit")));
        }
        let has_kind = [".service", ".scope", ".slice"].iter().any(|kind| name.ends_with(kind));
        let unit = if has_kind { name } else { format!("{name}.service") };
        Ok(Self { unit, seen: Arc::default() })
    }
}

impl Observe for Service {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        let (unit, seen) = (self.unit.clone(), self.seen.clone());
        Box::pin(async move {
            // To read all of /proc of a busy host takes a while.
            let looking = tokio::task::spawn_blocking(move || {
                let looked = look(&unit, &mut seen.lock().unwrap_or_else(PoisonError::into_inner));
                looked.map_err(|error| ProbeError(format!("look for the unit {unit}: {error}")))
            });
            looking.await.map_err(|error| ProbeError(format!("look for a unit: {error}")))?
        })
    }
}

fn look(unit: &str, seen: &mut Seen) -> io::Result<Reading> {
    let mut living = Vec::new();
    for pid in all()? {
        if is_of(unit, &read(pid, "cgroup")?.unwrap_or_default()) {
            living.extend(read(pid, "stat")?.as_deref().and_then(|stat| alive(pid, stat)));
        }
    }
    let oldest = living.iter().min().copied();
    if let Some(oldest) = oldest
        && seen.oldest.replace(oldest).is_some_and(|before| before != oldest)
    {
        seen.restarts += 1;
    }
    let held: u64 = living.iter().filter_map(|process| memory(process.pid)).sum();
    let mut reading = Reading::from([
        ("active".to_owned(), Value::Bool(oldest.is_some())),
        ("processes".to_owned(), Value::Number(living.len() as f64)),
        ("restarts".to_owned(), Value::Number(seen.restarts as f64)),
        ("memory".to_owned(), Value::Number(held as f64)),
    ]);
    if let Some(oldest) = oldest {
        let age = uptime()? - oldest.begun as f64 / TICKS_PER_SECOND;
        reading.insert("age".to_owned(), Value::Number(age.max(0.0)));
    }
    Ok(reading)
}

/// Whether a process is in the unit's control group, or in one below: lines are `0::/system.slice/payment.service`.
fn is_of(unit: &str, groups: &str) -> bool {
    let mut paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.any(|path| path.split('/').any(|part| part == unit))
}

/// The process, where it is no zombie. Its state is the first word after its name, and its beginning the twentieth.
fn alive(pid: u32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?;
    let begun = words.nth(18)?.parse().ok()?;
    (!["Z", "X", "x"].contains(&state)).then_some(Process { begun, pid })
}

/// Seconds since the machine began.
fn uptime() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/uptime")?;
    text.split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/uptime has no number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    #[test]
    fn a_unit_is_found_by_its_whole_name() {
        let groups = "12:pids:/system.slice/pay.service\n0::/system.slice/pay.service/worker\n";
        assert!(is_of("pay.service", groups) && is_of("system.slice", groups));
        assert!(!is_of("ay.service", groups) && !is_of("pay", groups));
        assert_eq!(
            alive(7, &format!("7 (a) b) S {}9 1", "1 ".repeat(18))),
            Some(Process { begun: 9, pid: 7 })
        );
        assert_eq!(alive(7, &format!("7 (a) Z {}9 1", "1 ".repeat(18))), None);
        assert!(refusal::<Service>(json!({"name": "a/b"})).contains("name of a unit"));
    }

    /// A control group of the test's own, called like a unit, with what runs in it.
    struct Unit {
        group: PathBuf,
        child: Option<Child>,
    }

    impl Unit {
        fn new(name: &str) -> Option<Self> {
            let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
            let group = roots.iter().map(|root| PathBuf::from(root).join(name)).find(|group| {
                group.parent().is_some_and(|root| root.join("cgroup.procs").exists())
                    && fs::create_dir(group).is_ok()
            });
            Some(Self { group: group?, child: None })
        }

        fn start(&mut self) {
            let child = Command::new("sleep").arg("600").spawn().unwrap();
            fs::write(self.group.join("cgroup.procs"), child.id().to_string()).unwrap();
            self.child = Some(child);
        }

        fn stop(&mut self) {
            if let Some(mut child) = self.child.take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }

    impl Drop for Unit {
        fn drop(&mut self) {
            self.stop();
            let _ = fs::remove_dir(&self.group);
        }
    }

    #[test]
    fn a_service_that_restarts_is_seen_to() {
        let name = format!("sqt-{}", std::process::id());
        let Some(mut unit) = Unit::new(&format!("{name}.service")) else {
            println!("skipped: no control group can be made here (only root can)");
            return;
        };
        let probe: Service = built(json!({"name": name}));
        let look = || {
            let reading = ask(&probe).unwrap();
            (reading["active"].clone(), reading["processes"].number(), reading["restarts"].number())
        };
        assert_eq!(look(), (Value::Bool(false), Some(0.0), Some(0.0)));
        unit.start();
        assert_eq!(look(), (Value::Bool(true), Some(1.0), Some(0.0)));
        let reading = ask(&probe).unwrap();
        assert!(reading["age"].number().unwrap() < 600.0 && reading["memory"].number().unwrap() > 0.0);
        unit.stop();
        assert_eq!(look(), (Value::Bool(false), Some(0.0), Some(0.0)));
        unit.start();
        assert_eq!(look(), (Value::Bool(true), Some(1.0), Some(1.0)));
    }
}
