//! `squall gameday run FILE`: carries a game day out. One loop owns the session: it waits for seconds, for what people
//! say, and for what experiments tell, and gives each to the session in order.

use super::commands;
use super::measure::{self, Clock, Measuring};
use super::notebook::{self, Notebook};
use super::plan::{self, Loaded};
use super::report::{self, Reports};
use super::resume::{self, Begun};
use super::screen::Screen;
use crate::audit::{self, Clerk};
use crate::carry::{self, AgentOptions, Carried};
use crate::cli::plan as run_plan;
use crate::epilogue;
use crate::exit::{Failure, Outcome};
use crate::files::VariableOptions;
use crate::out;
use crate::policy;
use crate::state::{Audience, LiveRun, State};
use crate::telling::{self, TellingOptions};
use clap::Args;
use jiff::Timestamp;
use squall_linux::sys::process;
use squall_model::condition::Bound;
use squall_model::event;
use squall_model::experiment::Experiment;
use squall_model::gameday::{Entry, Event, Means, Measures, NoteKind, Plan, Setting, Test};
use squall_model::redaction::Redactor;
use squall_model::units::Duration;
use squall_model::verdict::Verdict;
use squall_outbox::Outbox;
use squall_practice::gameday::{Command, Input, Options as Attendance, Output, Session};
use squall_report::gameday::{Chronicle, line};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How often the screen is drawn at least, for the clock on it, and how often the `halt` file is looked for.
const REDRAWS: std::time::Duration = std::time::Duration::from_millis(250);
/// How long the phase of observation lasts, where neither the plan nor the command says.
const OBSERVE: f64 = 300.0;
/// The same in a rehearsal.
const OBSERVE_REHEARSED: f64 = 10.0;
/// How long is measured before, where there is something to measure.
const BASELINE: f64 = 30.0;
/// How soon the steady state must be back, where no criterion allows more.
const RECOVERY: f64 = 120.0;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The plan, in Markdown; with --resume that of the session, where none is named
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// What it is measured with, where the plan has no `squall` block; else NAME.squall.yaml beside it
    #[arg(long, value_name = "FILE.yaml")]
    with: Option<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    /// Goes through everything without breaking anything
    #[arg(long)]
    rehearse: bool,
    /// Asks nobody: every hold is a go, and what only people can tell stays unknown
    #[arg(short, long)]
    yes: bool,
    /// Goes on with an interrupted session: its name, its journal, or `last`
    #[arg(long, value_name = "SESSION")]
    resume: Option<String>,
    /// With --resume: carries experiments out as they are now, where they are not what they were
    #[arg(long, requires = "resume")]
    accept_changes: bool,
    /// Writes a report, .html or .md; may be given several times
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Writes the follow-ups as a table
    #[arg(long, value_name = "FILE.csv")]
    followups: Option<PathBuf>,
    /// How long is observed at least [default: the plan's, else 300s]
    #[arg(long, value_name = "DURATION")]
    observe: Option<Duration>,
    /// How long is measured before the failure [default: the plan's, else 30s]
    #[arg(long, value_name = "DURATION")]
    baseline: Option<Duration>,
    /// How soon the steady state must be back [default: the plan's, else 2m or what a criterion allows]
    #[arg(long, value_name = "DURATION")]
    recovery: Option<Duration>,
    /// Plain lines in place of the screen
    #[arg(long)]
    plain: bool,
    /// No colour
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    telling: TellingOptions,
    #[command(flatten)]
    agent: AgentOptions,
}

/// What the loop is told.
pub(super) enum Told {
    Input(Input),
    /// A line that was typed or piped in.
    Line(String),
    /// Bytes that a terminal sent.
    Typed(Vec<u8>),
    /// Nothing more will be typed.
    Closed,
    /// What happens in an experiment.
    Event(usize, Box<event::Event>),
    /// An experiment is over.
    Ended(usize, Box<Result<Carried, Failure>>),
    /// A signal came.
    Signal(&'static str),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let reports = Reports::of(&self.report, self.followups.as_deref())?;
        let state = State::locate()?;
        state.prepare().map_err(|error| state.unusable(&error))?;
        if state.halt_file().exists() {
            return Err(Failure::halted(format!(
                "halted: nothing runs while {} is there; remove it to go on",
                state.halt_file().display()
            )));
        }
        match &self.resume {
            Some(name) => self.resume(&state, name, &reports),
            None => self.begin(&state, &reports),
        }
    }

    fn colour(&self) -> bool {
        out::colour(self.no_color)
    }

    fn begin(&self, state: &State, reports: &Reports) -> Outcome {
        let Some(file) = &self.file else { return Err(Failure::invalid("no plan was named")) };
        let loaded = plan::load(file, self.with.as_deref(), &self.variables, self.colour())?;
        reports.spare(state, &self.used(file, &loaded))?;
        if self.yes && !self.rehearse && loaded.plan.experiments.is_empty() {
            let why = "no experiment is linked, so people would make the failure, and --yes asks nobody; link an \
                       experiment, leave --yes away, or --rehearse";
            return Err(Failure::invalid(why));
        }
        let now = Timestamp::now();
        let name = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), fastrand::u16(..));
        let setting = self.setting(file, &loaded)?;
        let outbox = self.telling.open(std::slice::from_ref(file), state)?;
        let experiments = self.experiments(&loaded, file, state)?;
        let seed = carry::random_seed();
        self.ask_first(&loaded, seed)?;
        let path = state.gamedays().join(format!("{name}.jsonl"));
        let notebook = Notebook::create(&path).map_err(|error| state.unusable(&error))?;
        let attendance = Attendance { unattended: self.yes };
        let session = Session::new(loaded.plan.clone(), loaded.measures.clone(), attendance);
        let day = Day {
            state,
            name: name.clone(),
            session,
            notebook,
            clock: Clock::showing(0.0),
            chronicle: Chronicle::default(),
            experiments,
            seed,
            agent: self.agent.clone(),
            redactor: redactor(&loaded),
            outbox,
            audience: self.telling.audience(std::slice::from_ref(file), state),
        };
        let first = Input::Start(Box::new(setting), name);
        self.carry_out(day, &loaded.measures, first, reports)
    }

    fn resume(&self, state: &State, name: &str, reports: &Reports) -> Outcome {
        let path = notebook::find(state, name)?;
        reports.spare(state, std::slice::from_ref(&path))?;
        let (notebook, entries) = Notebook::reopen(&path)
            .map_err(|error| Failure::invalid(format!("could not go on with {}: {error}", path.display())))?;
        let begun = Begun::of(&entries, &path)?;
        let name = begun.session.clone();
        let file = self.file.clone().unwrap_or_else(|| begun.file());
        let with = begun.with(self.with.as_deref())?;
        let loaded = plan::load(&file, with.as_deref(), &begun.variables(&self.variables)?, self.colour())?;
        begun.must_be_alike(&loaded.given)?;
        let changed = begun.changes(&loaded, self.accept_changes)?;
        reports.spare(state, &self.used(&file, &loaded))?;
        let attendance = Attendance { unattended: self.yes };
        let session = Session::resumed(&entries, loaded.measures.clone(), attendance);
        let Some(session) = session else {
            return Err(Failure::invalid(format!("{} does not hold its plan", path.display())));
        };
        if session.plan().experiments.len() != loaded.experiments.len() {
            return Err(Failure::invalid("the plan has other experiments than when the session began"));
        }
        // The clock on the wall tells how long nobody measured.
        let gap = Timestamp::now().duration_since(begun.last.at).as_secs_f64().max(0.0);
        let day = Day {
            state,
            name,
            session,
            notebook,
            clock: Clock::showing(begun.last.elapsed + gap),
            chronicle: Chronicle::of(&entries),
            experiments: self.experiments(&loaded, &file, state)?,
            seed: carry::random_seed(),
            agent: self.agent.clone(),
            redactor: redactor(&loaded),
            audience: self.telling.audience(std::slice::from_ref(&file), state),
            outbox: self.telling.open(&[file], state)?,
        };
        self.carry_out(day, &loaded.measures, Input::Resume(changed), reports)
    }

    /// All files that the day is made of.
    fn used(&self, file: &Path, loaded: &Loaded) -> Vec<PathBuf> {
        let experiments = loaded.plan.experiments.iter().map(|linked| PathBuf::from(&linked.file));
        let others = loaded.with.iter().cloned().chain(self.variables.files().iter().cloned());
        experiments.chain(others).chain([file.to_owned()]).collect()
    }

    /// The experiments of the plan, kept from what the settings protect.
    fn experiments(
        &self,
        loaded: &Loaded,
        file: &PathBuf,
        state: &State,
    ) -> Result<Vec<(PathBuf, Experiment)>, Failure> {
        let spared = policy::spared(self.telling.settings(), std::slice::from_ref(file), state)?;
        let mut experiments = files_of(loaded);
        for (_, experiment) in &mut experiments {
            experiment.blast_radius.spared.clone_from(&spared);
        }
        Ok(experiments)
    }

    /// At a terminal, shows what would be touched and asks; go and no-go come later.
    fn ask_first(&self, loaded: &Loaded, seed: u64) -> Result<(), Failure> {
        if self.yes || self.rehearse || !is_at_terminal() || loaded.experiments.is_empty() {
            return Ok(());
        }
        for (linked, experiment) in loaded.plan.experiments.iter().zip(&loaded.experiments) {
            run_plan::show(Path::new(&linked.file), experiment, seed, &self.agent, false)?;
        }
        out::write("\nBegin the game day? Each failure is still asked for before it is made. [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::invalid("not begun; nothing was touched"))
        }
    }

    fn setting(&self, file: &Path, loaded: &Loaded) -> Result<Setting, Failure> {
        let Loaded { plan, measures, with, .. } = loaded;
        let given = |flag: Option<Duration>, planned: Option<Duration>, otherwise: f64| {
            flag.or(planned).map_or(otherwise, Duration::as_seconds)
        };
        let observe = if self.rehearse { OBSERVE_REHEARSED } else { OBSERVE };
        let planned = measures.observe.filter(|_| !self.rehearse);
        let is_measured = !(measures.loads.is_empty() && measures.metrics.is_empty());
        let allowed = plan.criteria.iter().filter_map(|criterion| match &criterion.means {
            Means::Machine(Test::Failover { within } | Test::Recovery { within }) => Some(*within),
            _ => None,
        });
        let (objectives, limits) = thresholds(plan, measures);
        let (variables, withheld) = resume::written_down(&loaded.given, &redactor(loaded));
        Ok(Setting {
            file: file.display().to_string(),
            folder: std::env::current_dir()?.display().to_string(),
            with: with.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            marks: Some(loaded.marks.clone()),
            variables,
            withheld,
            rehearsal: self.rehearse,
            observe: given(self.observe, planned, observe),
            baseline: given(self.baseline, measures.baseline, if is_measured { BASELINE } else { 0.0 }),
            recovery: given(self.recovery, measures.recovery_within, allowed.fold(RECOVERY, f64::max)),
            objectives,
            limits,
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        })
    }

    fn carry_out(&self, day: Day<'_>, measures: &Measures, first: Input, reports: &Reports) -> Outcome {
        let (sender, told) = mpsc::channel();
        let name = day.name.clone();
        let journal = day.state.gamedays().join(format!("{name}.jsonl"));
        // A session that was killed left its note behind.
        epilogue::write(day.state, &[]);
        let announced = day.state.announce(&LiveRun {
            run: name.clone(),
            experiment: format!("game day: {}", day.session.plan().title),
            brain: process::own()?,
            journal,
            started: Timestamp::now().to_string(),
            through_sudo: self.agent.sudo,
            audience: Audience::default(),
            unwritten: false,
        });
        let announcement = announced.map_err(|error| day.unbegun(&first, &error))?;
        listen(sender.clone());
        let measuring = measure::start(measures, day.clock, measure::teller(sender.clone(), Told::Input))?;
        let face = if is_at_terminal() && !self.plain && Screen::is_possible() {
            Face::Screen(Screen::open(self.colour(), sender.clone())?)
        } else {
            read_lines(sender.clone());
            Face::Lines
        };
        let clerk = Clerk::start(day.state);
        let mut stage = Stage {
            day,
            measuring,
            sender,
            face,
            halts: None,
            names: BTreeMap::new(),
            written: Ok(()),
            unattended: self.yes,
            clerk,
        };
        let verdict = stage.play(first, &told);
        let Stage { day, face, written, clerk, .. } = stage;
        clerk.close(day.state);
        if let Face::Screen(screen) = face {
            screen.close();
            out::say(report::summary(&day.chronicle));
        }
        if let Err(why) = written {
            out::lose(why);
        }
        reports.write(&day.chronicle);
        if day.chronicle.verdict().is_some() {
            // The day is over: nobody needs to halt it any more.
            drop(announcement);
            telling::farewell(&day.outbox);
        } else {
            let withheld = day.session.setting().map_or(&[][..], |setting| &setting.withheld);
            let again: Vec<String> = withheld.iter().map(|name| format!(" --var {name}=…")).collect();
            let again = again.concat();
            out::say(format!("the session can go on: squall gameday run --resume {name}{again}"));
        }
        Ok(ExitCode::from(verdict.exit_code()))
    }
}

/// Whether somebody sits at a terminal.
fn is_at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The thresholds of criteria and steady state, and those of the guard.
fn thresholds(plan: &Plan, measures: &Measures) -> (Vec<Bound>, Vec<Bound>) {
    let mut objectives: Vec<Bound> = Vec::new();
    let of_criteria = plan.criteria.iter().flat_map(|criterion| match &criterion.means {
        Means::Machine(Test::Conditions { conditions, .. }) => conditions.clone(),
        _ => Vec::new(),
    });
    let of_steady = measures.steady_state.iter().filter(|check| check.probe.is_none());
    for condition in of_criteria.chain(of_steady.map(|check| check.expect.clone())) {
        for bound in condition.bounds() {
            if !objectives.contains(&bound) {
                objectives.push(bound);
            }
        }
    }
    (objectives, measures.guard.iter().flat_map(squall_model::condition::Condition::bounds).collect())
}

fn files_of(loaded: &Loaded) -> Vec<(PathBuf, Experiment)> {
    let files = loaded.plan.experiments.iter().map(|linked| PathBuf::from(&linked.file));
    files.zip(loaded.experiments.iter().cloned()).collect()
}

/// Hides what is secret to the measures or to any experiment.
fn redactor(loaded: &Loaded) -> Redactor {
    let of_experiments = loaded.experiments.iter().flat_map(|experiment| experiment.secrets.iter());
    let secrets: Vec<String> = loaded.measures.secrets.iter().chain(of_experiments).cloned().collect();
    Redactor::new(&secrets)
}

/// Turns signals into the end of the session, which puts everything back first.
fn listen(sender: Sender<Told>) {
    let signals = [
        (SignalKind::interrupt(), "Ctrl-C"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "the terminal is gone (SIGHUP)"),
        (SignalKind::user_defined1(), "squall halt"),
    ];
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for (kind, name) in signals {
                let Ok(mut arrivals) = signal(kind) else { continue };
                let sender = sender.clone();
                tasks.spawn(async move {
                    while arrivals.recv().await.is_some() {
                        if sender.send(Told::Signal(name)).is_err() {
                            return;
                        }
                    }
                });
            }
            // The receiver waits until all are listened to.
            let _ = ready.send(());
            while tasks.join_next().await.is_some() {}
        });
    });
    // Where no runtime could be made, signals end the process, and agents put everything back.
    let _ = is_ready.recv();
}

fn read_lines(sender: Sender<Told>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(Told::Line(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Told::Closed);
    });
}

/// A session and all that it is carried out with.
struct Day<'s> {
    state: &'s State,
    name: String,
    session: Session,
    notebook: Notebook,
    clock: Clock,
    chronicle: Chronicle,
    experiments: Vec<(PathBuf, Experiment)>,
    seed: u64,
    agent: AgentOptions,
    redactor: Redactor,
    /// Tells other systems of the experiments.
    outbox: Outbox,
    audience: Audience,
}

impl Day<'_> {
    /// The failure where the state folder cannot be used; a journal in which nothing stands yet goes.
    fn unbegun(&self, first: &Input, error: &std::io::Error) -> Failure {
        if matches!(first, Input::Start(..)) {
            self.notebook.discard();
        }
        self.state.unusable(error)
    }
}

/// What people see.
enum Face {
    Lines,
    Screen(Screen),
}

/// A day on its way.
struct Stage<'s> {
    day: Day<'s>,
    measuring: Measuring,
    sender: Sender<Told>,
    face: Face,
    /// Ends the experiment that goes on.
    halts: Option<UnboundedSender<String>>,
    /// Fault and target of each injection, by its name.
    names: BTreeMap<String, (String, String)>,
    /// Whether the whole journal is on disk.
    written: Result<(), String>,
    unattended: bool,
    /// Tells the audit log.
    clerk: Clerk,
}

impl Stage<'_> {
    /// Goes through the day; returns its verdict.
    fn play(&mut self, first: Input, told: &Receiver<Told>) -> Verdict {
        if let Some(verdict) = self.give(first) {
            return verdict;
        }
        loop {
            let ended = match told.recv_timeout(REDRAWS) {
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => None,
                // This holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return Verdict::Aborted,
            };
            if let Some(verdict) = ended.or_else(|| self.look_for_halt()) {
                return verdict;
            }
            let now = self.day.clock.now();
            if let Face::Screen(screen) = &mut self.face {
                screen.draw(&self.day.chronicle, now);
            }
        }
    }

    fn look_for_halt(&mut self) -> Option<Verdict> {
        let file = self.day.state.halt_file();
        if self.day.chronicle.halted.is_some() || !file.exists() {
            return None;
        }
        self.give(Input::Interrupted(format!("the file {} is there", file.display())))
    }

    fn hear(&mut self, told: Told) -> Option<Verdict> {
        match told {
            Told::Input(input) => self.give(input),
            Told::Line(line) => match commands::parse(&line, self.day.chronicle.asked.is_some()) {
                Ok(Some((command, unread))) => {
                    let ended = self.say(command);
                    unread.into_iter().for_each(|why| self.hint(why));
                    ended
                }
                Ok(None) => None,
                Err(why) => {
                    self.hint(why);
                    None
                }
            },
            Told::Typed(bytes) => {
                let takes = [true, false].map(|go| self.day.session.takes(go));
                let Face::Screen(screen) = &mut self.face else { return None };
                let commands = screen.typed(&bytes, &self.day.chronicle, takes);
                commands.into_iter().find_map(|command| self.say(command))
            }
            Told::Closed if self.unattended => None,
            Told::Closed => {
                let reason = "nobody is there to answer: the input has ended".to_owned();
                self.give(Input::Said(Command::Suspend(reason)))
            }
            Told::Event(experiment, event) => self.follow(experiment, *event),
            Told::Ended(experiment, carried) => self.give(ended(experiment, *carried)),
            Told::Signal(name) => self.give(Input::Interrupted(name.to_owned())),
        }
    }

    /// Somebody said something. A go or no-go that nothing waits for is not swallowed: whoever says it is told, and why it
    /// was said is kept.
    fn say(&mut self, command: Command) -> Option<Verdict> {
        let (go, remark) = match &command {
            Command::Go(remark) => (true, remark),
            Command::NoGo(remark) => (false, remark),
            _ => return self.give(Input::Said(command)),
        };
        if self.day.session.takes(go) {
            return self.give(Input::Said(command));
        }
        let word = if go { "go" } else { "no-go" };
        let note = (!remark.is_empty()).then(|| format!("{word}, while nothing was asked: {remark}"));
        self.hint(match self.day.chronicle.asked {
            Some(_) => format!("nothing waits for a {word}; yes, no or unknown answers the question"),
            None => format!("nothing waits for a {word}; `halt` ends it"),
        });
        note.and_then(|text| self.give(Input::Said(Command::Note(NoteKind::Note, text))))
    }

    /// Tells who leads the day something that is no part of it.
    fn hint(&mut self, text: String) {
        match &mut self.face {
            Face::Lines => out::warn(format!("squall: {text}")),
            Face::Screen(screen) => screen.hint(text),
        }
    }

    /// What an experiment tells that the day must know.
    fn follow(&mut self, experiment: usize, event: event::Event) -> Option<Verdict> {
        // Injections of different runs have the same names.
        let named = |injection: &str| format!("{}:{injection}", experiment + 1);
        match event {
            event::Event::InjectStarted { injection, fault, target, .. } => {
                self.names.insert(named(&injection), (fault, target));
                None
            }
            event::Event::Injected { injection, .. } => {
                let injection = named(&injection);
                let (fault, target) = self.names.get(&injection).cloned().unwrap_or_default();
                self.give(Input::Active { experiment, injection, fault, target })
            }
            event::Event::Restored { restored, residue, .. } => {
                self.give(Input::Over { injection: named(&restored.injection), residue })
            }
            _ => None,
        }
    }

    fn give(&mut self, input: Input) -> Option<Verdict> {
        let now = self.day.clock.now();
        let outputs = self.day.session.on(now, input);
        let mut verdict = None;
        for output in outputs {
            match output {
                Output::Journal(event) => self.write(now, event),
                Output::Run(experiment) => self.carry(experiment),
                Output::HaltRuns(reason) => {
                    if let Some(halts) = &self.halts {
                        let _ = halts.send(reason);
                    }
                }
                Output::Count => self.measuring.count(),
                Output::StopMeasuring => self.measuring.stop(),
                Output::Finish(ended) => verdict = Some(ended),
            }
        }
        verdict
    }

    /// Writes an event down, and only then shows it.
    fn write(&mut self, elapsed: f64, event: Event) {
        let entry = Entry { at: Timestamp::now(), elapsed, event };
        if let Err(why) = self.day.notebook.write(&entry) {
            self.lose(&entry, why);
            return;
        }
        if let Face::Lines = self.face
            && let Some(line) = line(&self.day.chronicle, &entry)
        {
            out::say(self.day.redactor.text(&line));
            let _ = std::io::stdout().flush();
        }
        self.audit(&entry.event);
        self.day.chronicle.on(&entry);
    }

    /// An event could not be written down: it is said to be lost, and the day is ended, for what cannot be written down is
    /// not gone on with.
    fn lose(&mut self, entry: &Entry, why: String) {
        if let Some(lost) = self.day.chronicle.lose(entry)
            && let Face::Lines = self.face
        {
            out::say(self.day.redactor.text(&lost));
            let _ = std::io::stdout().flush();
        }
        self.audit(&entry.event);
        if self.written.is_ok() {
            self.written = Err(why.clone());
            let _ = self.sender.send(Told::Input(Input::Interrupted(why)));
        }
    }

    /// Tells the audit log of what people answer for.
    fn audit(&self, event: &Event) {
        let hide = |text: &str| self.day.redactor.text(text);
        let (what, details) = match event {
            Event::SessionStarted { plan, setting, .. } => {
                let kind = if setting.rehearsal { "rehearsal" } else { "" };
                ("gameday_started", [("plan", hide(&plan.title)), ("kind", kind.to_owned())])
            }
            Event::Decided { go, remark } => {
                let decision = if *go { "go" } else { "no-go" };
                ("gameday_decided", [("decision", decision.to_owned()), ("remark", hide(remark))])
            }
            Event::Halted { reason } => ("gameday_halted", [("why", hide(reason)), ("", String::new())]),
            Event::Ended { verdict, reasons, .. } => {
                let why = reasons.first().map_or(String::new(), |reason| hide(reason));
                ("gameday_ended", [("verdict", verdict.name().to_owned()), ("why", why)])
            }
            _ => return,
        };
        let details = details.each_ref().map(|(name, text)| (*name, text.as_str()));
        self.clerk.note(audit::now(what, &self.day.name, &details));
    }

    /// Carries an experiment out on a thread of its own.
    fn carry(&mut self, experiment: usize) {
        let Some((file, known)) = self.day.experiments.get(experiment).cloned() else { return };
        if let Err(why) = &self.written {
            let refused = Failure::invalid(format!("not begun: {why}"));
            let _ = self.sender.send(Told::Ended(experiment, Box::new(Err(refused))));
            return;
        }
        let (halts, obeys) = unbounded_channel();
        self.halts = Some(halts);
        let (sender, teller) = (self.sender.clone(), self.sender.clone());
        let teller = move |entry: &event::Entry| {
            let _ = teller.send(Told::Event(experiment, Box::new(entry.event.clone())));
        };
        let mut witnesses = telling::witnesses_beside_a_screen(&self.day.outbox);
        witnesses.push(Box::new(teller));
        let order = carry::Order {
            file,
            experiment: known,
            options: Vec::new(),
            seed: self.day.seed,
            environment: String::new(),
            origin: format!("gameday {}", self.day.name),
            agent: self.day.agent.clone(),
            journal: None,
            view: carry::View::Nothing,
            // Go and no-go were said by people before.
            approver: None,
            audience: self.day.audience.clone(),
            witnesses,
            halts: Some(obeys),
            run: None,
        };
        let state = self.day.state.clone();
        std::thread::spawn(move || {
            let carried = carry::out(&state, order);
            let _ = sender.send(Told::Ended(experiment, Box::new(carried)));
        });
    }
}

/// How an experiment ended, for the session.
fn ended(experiment: usize, carried: Result<Carried, Failure>) -> Input {
    match carried {
        Ok(carried) => {
            let run = carried.entries.iter().find_map(|entry| match &entry.event {
                event::Event::RunStarted { run, .. } => Some(run.clone()),
                _ => None,
            });
            let reasons = vec![carried.reason].into_iter().filter(|reason| !reason.is_empty()).collect();
            Input::RunEnded { experiment, run: run.unwrap_or_default(), verdict: carried.verdict, reasons }
        }
        Err(failure) => Input::RunEnded {
            experiment,
            run: String::new(),
            verdict: Verdict::Invalid,
            reasons: vec![failure.to_string()],
        },
    }
}
