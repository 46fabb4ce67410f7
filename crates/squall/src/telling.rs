//! What runs tell other systems, as options and settings ask for it: the outbox as a witness of runs, and as a herald of
//! the monkey.

use crate::carry::Witness;
use crate::exit::Failure;
use crate::monkey::{Herald, News};
use crate::out;
use crate::settings::SettingsOptions;
use crate::state::{Audience, State};
use clap::Args;
use jiff::Timestamp;
use squall_model::event::Entry;
use squall_model::settings::{Call, Settings};
use squall_outbox::{Answers, Follower, Message, Outbox, Surroundings, asked_for};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Where metrics and traces go. What is given here stands in place of the settings' own.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TellingOptions {
    #[command(flatten)]
    settings: SettingsOptions,
    /// Serves metrics there, at /metrics, while the command lasts; a port alone is on loopback
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// Sends metrics to a Prometheus Pushgateway
    #[arg(long, value_name = "URL")]
    metrics_push: Option<String>,
    /// Writes metrics to a file for the node exporter's text file collector
    #[arg(long, value_name = "FILE.prom")]
    metrics_file: Option<PathBuf>,
    /// Sends a trace of each run, and metrics, to an OpenTelemetry collector by OTLP over HTTP
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

impl TellingOptions {
    /// Which settings count.
    pub(crate) fn settings(&self) -> &SettingsOptions {
        &self.settings
    }

    /// The same with settings alone.
    pub(crate) fn of_settings(settings: SettingsOptions) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Everything that is told while these files are carried out.
    ///
    /// # Errors
    /// Settings or options are wrong, or an address cannot be listened on; nothing was touched.
    pub(crate) fn open(&self, files: &[PathBuf], state: &State) -> Result<Outbox, Failure> {
        let mut outbox = Outbox::default();
        let asked = self.asked()?;
        self.add_found(&mut outbox, &asked, files, state)?;
        add_asked(&mut outbox, &asked)?;
        if outbox.is_empty() {
            return Ok(outbox);
        }
        outbox.keep(&state.folder().join("metrics.json"));
        let addresses = outbox.listen().map_err(Failure::invalid)?;
        addresses
            .iter()
            .for_each(|address| out::warn(format!("squall: metrics are at http://{address}/metrics")));
        Ok(outbox)
    }

    /// Adds what the settings ask for and the options do not.
    fn add_found(
        &self,
        outbox: &mut Outbox,
        asked: &Settings,
        files: &[PathBuf],
        state: &State,
    ) -> Result<(), Failure> {
        let Some(mut found) = self.settings.find(files, state)? else { return Ok(()) };
        found.settings.metrics.retain(|call| asked.metrics.iter().all(|asked| asked.kind != call.kind));
        let added = outbox.add(&found.settings, &surroundings(found.folder.clone()));
        added.map_err(|errors| found.wrong(&errors))
    }

    /// What the options ask for, as settings.
    fn asked(&self) -> Result<Settings, Failure> {
        let metrics = self.given()?.iter().map(|(kind, text)| asked_for(kind, text)).collect();
        Ok(Settings { metrics, ..Settings::default() })
    }

    /// The options, by the names that they have in settings.
    fn given(&self) -> Result<Vec<(String, String)>, Failure> {
        let file = self.metrics_file.as_deref().map(std::path::absolute).transpose()?;
        let file = file.map(|file| file.display().to_string());
        let options = [
            ("listen", &self.metrics_listen),
            ("push", &self.metrics_push),
            ("file", &file),
            ("otlp", &self.otlp),
        ];
        let given = options.into_iter().filter_map(|(kind, text)| Some((kind.to_owned(), text.clone()?)));
        Ok(given.collect())
    }

    /// Who is told while these files are carried out, for whoever has to tell the end of a run whose process was killed.
    pub(crate) fn audience(&self, files: &[PathBuf], state: &State) -> Audience {
        let found = self.settings.find(files, state).ok().flatten();
        let settings = found.and_then(|found| std::path::absolute(found.source.name).ok());
        Audience { settings, options: self.given().unwrap_or_default() }
    }
}

impl Audience {
    /// Tells them how a run ended that could not tell it any more: `past` they have heard of, `added` is new. What is wrong
    /// with their settings now, or does not arrive, is in the program's own log alone.
    pub(crate) fn tell(&self, state: &State, past: &[Entry], added: &[Entry]) {
        let told =
            self.outbox(state).and_then(|outbox| Ok(outbox.map(|outbox| outbox.follow()).transpose()?));
        match told {
            Ok(None) => {}
            Ok(Some(mut follower)) => {
                follower.recall(past);
                added.iter().for_each(|entry| follower.see(entry));
                follower.close().iter().for_each(|note| tracing::warn!(note, "the end of a killed run"));
            }
            Err(error) => tracing::warn!(%error, "nobody is told of the end of a killed run"),
        }
    }

    fn outbox(&self, state: &State) -> Result<Option<Outbox>, Failure> {
        let options = TellingOptions {
            settings: SettingsOptions::of(self.settings.clone()),
            ..TellingOptions::default()
        };
        let metrics: Vec<Call> = self.options.iter().map(|(kind, text)| asked_for(kind, text)).collect();
        let asked = Settings { metrics, ..Settings::default() };
        let mut outbox = Outbox::default();
        if self.settings.is_some() {
            options.add_found(&mut outbox, &asked, &[], state)?;
        }
        add_asked(&mut outbox, &asked)?;
        outbox.keep(&state.folder().join("metrics.json"));
        Ok(Some(outbox).filter(|outbox| !outbox.is_empty()))
    }
}

/// Adds what options of the command line ask for.
fn add_asked(outbox: &mut Outbox, asked: &Settings) -> Result<(), Failure> {
    outbox.add(asked, &surroundings(PathBuf::new())).map_err(|errors| {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::invalid(format!("--metrics-… or --otlp: {}; nothing was touched", words.join("; ")))
    })
}

fn surroundings(folder: PathBuf) -> Surroundings {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let environment: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
    Surroundings::new(environment, folder, host())
}

/// The name of this host.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Those who follow the next run; nobody where nothing is to be told. What did not arrive is said at its end.
pub(crate) fn witnesses(outbox: &Outbox) -> Vec<Box<dyn Witness>> {
    telling(outbox, out::warn)
}

/// The same while a screen is drawn: what did not arrive is said at the end of the command.
pub(crate) fn witnesses_beside_a_screen(outbox: &Outbox) -> Vec<Box<dyn Witness>> {
    telling(outbox, out::warn_later)
}

fn telling(outbox: &Outbox, say: fn(String)) -> Vec<Box<dyn Witness>> {
    let telling = follower(outbox).map(|follower| Box::new(Telling { follower, say }) as Box<dyn Witness>);
    telling.into_iter().collect()
}

/// Lets those who came for metrics while the command lasted come once more: only then do they know how the last run ended.
/// Bounded by how often they come; a signal ends it.
pub(crate) fn farewell(outbox: &Outbox) {
    let Some(patience) = outbox.next_scrape_within() else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    out::warn(format!(
        "squall: all is done; the metrics are kept for one more scrape, at most {:.0} s (Ctrl-C ends that)",
        patience.as_secs_f64().ceil()
    ));
    runtime.block_on(async {
        let Ok(mut ended) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            () = outbox.next_scrape() => {}
            () = tokio::time::sleep(patience) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = ended.recv() => {}
        }
    });
}

fn follower(outbox: &Outbox) -> Option<Follower> {
    if outbox.is_empty() {
        return None;
    }
    // That nobody can be told is no reason not to put things to the test.
    let told = outbox.follow();
    told.map_err(|error| out::warn(format!("squall: nobody is told of this run: {error}"))).ok()
}

/// Passes on what happens in a run.
struct Telling {
    follower: Follower,
    say: fn(String),
}

impl Witness for Telling {
    fn see(&mut self, entry: &Entry) {
        self.follower.see(entry);
    }

    fn close(&mut self) {
        self.follower.close().iter().for_each(|note| (self.say)(format!("squall: {note}")));
    }
}

/// Tells owners what the monkey does.
pub(crate) struct Messenger(Mutex<Follower>);

impl Messenger {
    /// One that tells those whom the settings name; none where they name nobody.
    pub(crate) fn of(outbox: &Outbox) -> Option<Self> {
        follower(outbox).map(|follower| Self(Mutex::new(follower)))
    }
}

impl Herald for Messenger {
    fn tell(&self, News { owner, group, words }: &News) {
        let message = Message::news(owner.clone(), group, words, &host(), Timestamp::now());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tell(message);
    }
}

impl Drop for Messenger {
    fn drop(&mut self) {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner).close();
        notes.iter().for_each(|note| out::warn(format!("monkey: {note}")));
    }
}

/// Tells everybody whom the settings beside this place name that they can be reached; what came of it, by name.
pub(crate) fn test(settings: SettingsOptions, place: &Path) -> Result<Answers, Failure> {
    let state = State::locate()?;
    let Some(found) = settings.find(&[place.join("experiment")], &state)? else {
        return Err(Failure::invalid(format!(
            "there are no settings: neither squall.yaml here nor settings.yaml in {}; name them with --settings",
            state.folder().display()
        )));
    };
    let only_people = Settings { notify: found.settings.notify.clone(), ..Settings::default() };
    let mut outbox = Outbox::default();
    outbox.add(&only_people, &surroundings(found.folder.clone())).map_err(|errors| found.wrong(&errors))?;
    if outbox.is_empty() {
        return Err(Failure::invalid(format!("{} names nobody under `notify`", found.source.name)));
    }
    Ok(outbox.tell(&Message::test(&host(), Timestamp::now())))
}
