//! Experiment files from the disk, with the variables from the command line, files and the environment.

use crate::exit::Failure;
use crate::registry::Registry;
use crate::rhythm::Rhythm;
use crate::settings;
use clap::Args;
use squall_model::experiment::Experiment;
use squall_model::node::Place;
use squall_model::read::{self, Overrides, ReadError, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What an experiment file's name ends in.
const ENDINGS: &[&str] = &["yaml", "yml", "json", "toml"];

/// What else of Squall's may lie beside experiments.
const OTHER_KINDS: &[&str] = &["Settings", "Monkey", "GameDay"];

/// The name of what comes over the standard input.
const STANDARD_INPUT: &str = "-";

/// No file is read further than this many bytes. It is more than an experiment may have, whose reader points at what is
/// too much; this bounds what never ends, such as `/dev/zero`.
const READ_AT_MOST: u64 = 4 << 20;

/// Where variables come from; what is named later wins: the file, the environment, variable files, `--var`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VariableOptions {
    /// Sets a variable of the experiment
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Reads variables from a YAML, JSON or TOML file, or lines of NAME=VALUE (.env)
    #[arg(long = "var-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl VariableOptions {
    /// Variables for one purpose, as if given with `--var`.
    pub(crate) fn of(variables: Vec<String>) -> Self {
        Self { variables, files: Vec::new() }
    }

    /// These, as if given with `--var`.
    pub(crate) fn of_pairs(pairs: &[(String, String)]) -> Self {
        Self::default().with(pairs)
    }

    /// The same, then others, which win.
    pub(crate) fn followed_by(&self, others: &Self) -> Self {
        Self {
            variables: [&self.variables[..], &others.variables].concat(),
            files: [&self.files[..], &others.files].concat(),
        }
    }

    /// The files that variables are read from.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The same and more, which win.
    pub(crate) fn with(&self, pairs: &[(String, String)]) -> Self {
        let more = pairs.iter().map(|(name, value)| format!("{name}={value}"));
        Self { variables: self.variables.iter().cloned().chain(more).collect(), files: self.files.clone() }
    }

    /// The names that `--var` gives.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.variables
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, _)| name.trim().to_owned())
            .collect()
    }

    /// All that is given for one experiment file, in rising precedence; of the environment what is named for a variable.
    pub(crate) fn given(&self, file: &Path) -> Result<Vec<(String, String)>, Failure> {
        let overrides = self.overrides(&[file.to_owned()])?;
        let named = overrides.environment.into_iter().filter_map(|(name, value)| {
            Some((name.strip_prefix("SQUALL_VAR_")?.to_ascii_lowercase(), value))
        });
        Ok(named.chain(overrides.variables).collect())
    }

    /// The options that give this experiment file the same variables again: of those given by name only what it uses,
    /// the last word on each, and where the value is secret, `…` for the user to fill in.
    pub(crate) fn again(&self, file: &Path, secrets: &[String]) -> Vec<String> {
        let used =
            source(file).ok().and_then(|source| read::variable_names(&source).ok()).unwrap_or_default();
        let files = self.files.iter().map(|file| ("--var-file", file.display().to_string()));
        let given: BTreeMap<&str, &str> = self
            .variables
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(n, v)| (n.trim(), v))
            .collect();
        let given = given.into_iter().filter(|(name, _)| used.contains(*name)).map(|(name, value)| {
            let shown = if secrets.iter().any(|secret| secret == value) { "…" } else { value };
            ("--var", format!("{name}={shown}"))
        });
        files.chain(given).flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    /// All of them, in rising precedence, for these experiment files. A `--var` that none of them uses is a mistake:
    /// where there is one file, its reader tells; where there are several, this does. What a variable file or the
    /// environment gives may be for other experiments.
    pub(crate) fn overrides(&self, files: &[PathBuf]) -> Result<Overrides, Failure> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut variables = Vec::new();
        for file in &self.files {
            variables.extend(from_file(file)?);
        }
        let mut demanded = BTreeSet::new();
        for pair in &self.variables {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::invalid(format!("--var {pair:?} is not NAME=VALUE, such as --var db_port=5432"))
            })?;
            variables.push((name.trim().to_owned(), value.to_owned()));
            demanded.insert(name.trim().to_owned());
        }
        if files.len() > 1 {
            must_be_used(&demanded, files)?;
            demanded.clear();
        }
        Ok(Overrides { variables, demanded, environment: std::env::vars_os().filter_map(text).collect() })
    }
}

/// Refuses variables that none of several files uses. Of a file that cannot be read nothing is known, so nothing is
/// said: its own mistakes are told when it is.
fn must_be_used(given: &BTreeSet<String>, files: &[PathBuf]) -> Result<(), Failure> {
    let names = |file: &PathBuf| read::variable_names(&source(file).ok()?).ok();
    let Some(known) = files.iter().map(names).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let known: BTreeSet<String> = known.into_iter().flatten().collect();
    let unused: Vec<String> = given
        .difference(&known)
        .map(|name| {
            let advice = read::nearest_variable(name, &known);
            format!("--var {name}=… was given, but none of these {} files uses it; {advice}", files.len())
        })
        .collect();
    if unused.is_empty() { Ok(()) } else { Err(Failure::invalid(unused.join("\n"))) }
}

/// The variables of a file.
fn from_file(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    let source = source(file)?;
    let is_env = file.extension().is_some_and(|ending| ending == "env") || file.ends_with(".env");
    if is_env {
        let lines =
            source.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        return lines
            .map(|line| {
                let (name, value) = line.trim_start_matches("export ").split_once('=').ok_or_else(|| {
                    Failure::invalid(format!("{}: {line:?} is not NAME=VALUE", file.display()))
                })?;
                Ok((name.trim().to_owned(), unquoted(value.trim()).to_owned()))
            })
            .collect();
    }
    read::variables(&source).map_err(|error| Failure::invalid(read::render(&source, &[error], false)))
}

/// A value of a `.env` file without the quotes around it.
fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

/// The file of a name such as `experiments.yaml#2`, and the number of the document in it where the name has one. A file that has
/// such a name itself is that file.
pub(crate) fn file_and_document(name: &Path) -> (&Path, Option<usize>) {
    let parts = name.to_str().filter(|_| !name.exists()).map(read::file_and_document);
    parts.map_or((name, None), |(file, number)| (Path::new(file), number))
}

/// A file as text, or one document of it.
pub(crate) fn source(name: &Path) -> Result<Source, Failure> {
    let (file, number) = file_and_document(name);
    let whole = whole(file)?;
    let Some(number) = number else { return Ok(read::without_list(whole)) };
    read::document(&whole, number).ok_or_else(|| {
        let (file, count) = (file.display(), read::count_documents(&whole));
        Failure::invalid(format!("{file} has no document {number}: those that say something are {count}"))
    })
}

/// The documents of a file by their names; a file of one is itself, and so is one that cannot be read.
pub(crate) fn documents(file: &Path) -> Vec<PathBuf> {
    let count = source(file).map_or(1, |source| read::count_documents(&source));
    match (count, file_and_document(file)) {
        (2.., (_, None)) => {
            let name = file.display().to_string();
            (1..=count).map(|number| read::document_name(&name, number).into()).collect()
        }
        _ => vec![file.to_owned()],
    }
}

fn whole(file: &Path) -> Result<Source, Failure> {
    let wrong = |why: String| Failure::invalid(format!("could not read {}: {why}", file.display()));
    let bytes = bytes(file).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 == READ_AT_MOST {
        return Err(wrong(format!("it has {READ_AT_MOST} bytes or more, far too many for an experiment")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| wrong(format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to())))?;
    Ok(Source { name: file.display().to_string(), text })
}

/// What a file holds. A pipe, such as the standard input (`-`), gives it once, and it is asked for more often.
fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    static PIPED: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let path = if file.as_os_str() == STANDARD_INPUT { Path::new("/dev/stdin") } else { file };
    let mut piped = PIPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = piped.get(path) {
        return Ok(bytes.clone());
    }
    let opened = File::open(path)?;
    let is_pipe = !opened.metadata()?.is_file();
    let mut bytes = Vec::new();
    opened.take(READ_AT_MOST).read_to_end(&mut bytes)?;
    if is_pipe {
        piped.insert(path.to_owned(), bytes.clone());
    }
    Ok(bytes)
}

/// The experiment files that paths name: a file is itself or its documents, a folder its files in the order of their names, without
/// what is of another kind.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let is_experiment = |path: &Path| {
        let is_other = kind(path).is_some_and(|kind| OTHER_KINDS.contains(&kind.as_str()));
        // One that cannot be read as of any kind is told where settings are looked for.
        let is_broken = || path.ends_with(settings::BESIDE) && settings::are_settings(path);
        !is_other && !is_broken()
    };
    find_if(paths, is_experiment)
}

/// The files of any kind that paths name.
pub(crate) fn find_all(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    find_if(paths, |_| true)
}

/// The kind that a file says it is of.
pub(crate) fn kind(file: &Path) -> Option<String> {
    source(file).ok().and_then(|source| read::kind(&source).ok().flatten())
}

fn find_if(paths: &[PathBuf], is_meant: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.extend(documents(path));
            continue;
        }
        let wrong = |error: std::io::Error| {
            Failure::invalid(format!("could not look into {}: {error}", path.display()))
        };
        let may_be_meant = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending))
        };
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(wrong)?
            .flatten()
            .map(|entry| entry.path())
            .filter(may_be_meant)
            .collect();
        inside.sort();
        let inside: Vec<PathBuf> =
            inside.iter().flat_map(|file| documents(file)).filter(|name| is_meant(name)).collect();
        if inside.is_empty() {
            let endings = ENDINGS.join(", ");
            return Err(Failure::invalid(format!(
                "{} holds no experiment: no file ends in {endings}",
                path.display()
            )));
        }
        files.extend(inside);
    }
    Ok(files)
}

/// Reads one experiment; the error is ready to be shown, pointing at the places in the file.
pub(crate) fn read(file: &Path, overrides: &Overrides, colour: bool) -> Result<Experiment, Failure> {
    let source = source(file)?;
    let experiment = check(&source, overrides, colour)?;
    check_rounds(&source, &experiment, colour)?;
    Ok(experiment)
}

/// Whether the rounds of a schedule ever come: `squall run` carries out one, and whoever keeps schedules must understand the rest.
fn check_rounds(source: &Source, experiment: &Experiment, colour: bool) -> Result<(), Failure> {
    let Some(schedule) = &experiment.schedule else { return Ok(()) };
    Rhythm::parse(&schedule.cron, None).map(drop).map_err(|why| {
        let start = source.text.find(&schedule.cron).unwrap_or_default();
        let place = Place { start, end: start + schedule.cron.len() };
        let help = "such as `0 3 * * *`, `*/10 * * * * *` with seconds, or `@every 2h`";
        let error = ReadError::at(place, why).label("this is when rounds begin").help(help);
        Failure::invalid(read::render(source, &[error], colour))
    })
}

/// Reads an experiment that was made and not written by hand; `name` says where it comes from.
pub(crate) fn of_text(name: &str, text: String, overrides: &Overrides) -> Result<Experiment, Failure> {
    check(&Source { name: name.to_owned(), text }, overrides, false)
}

/// Says what to do with what belongs to a game day, where an experiment is wanted.
fn refuse_game_day(source: &Source) -> Result<(), Failure> {
    let name = &source.name;
    if Path::new(name).extension().is_some_and(|ending| ending == "md" || ending == "markdown") {
        return Err(Failure::invalid(format!(
            "{name} is Markdown, and no experiment: the plan of a game day is checked with `squall gameday check {name}`"
        )));
    }
    if read::kind(source).is_ok_and(|kind| kind.as_deref() == Some("GameDay")) {
        return Err(Failure::invalid(format!(
            "{name} says what a game day is measured with, and is no experiment: `squall gameday check PLAN.md --with \
             {name}` checks it"
        )));
    }
    Ok(())
}

fn check(source: &Source, overrides: &Overrides, colour: bool) -> Result<Experiment, Failure> {
    refuse_game_day(source)?;
    experiment(source, overrides).map_err(|errors| {
        let rendered = read::render(source, &errors, colour);
        let first = errors.first().map_or(0, |error| error.place.start);
        Failure::invalid(format!("{} is not valid\n{}", source.name, rendered.trim_end()))
            .at(read::file_and_document(&source.name).0.to_owned(), read::line_of(&source.text, first))
    })
}

/// Reads an experiment; all mistakes in it, each with its place.
pub(crate) fn experiment(source: &Source, overrides: &Overrides) -> Result<Experiment, Vec<ReadError>> {
    let experiment = read::experiment(source, &Registry, overrides)?;
    // What the load generator asks of a whole entry (rate, timeout and window) only it knows.
    let wrong: Vec<_> =
        experiment.loads.iter().filter_map(|load| squall_probes::load_plan(load).err()).collect();
    if wrong.is_empty() { Ok(experiment) } else { Err(wrong) }
}

/// Refuses a file that could not be written later, before anything is touched. Makes nothing.
pub(crate) fn writable(target: &Path) -> Result<(), Failure> {
    let refused = |error: io::Error| {
        Failure::invalid(format!(
            "could not write {}: {error}; name another file, nothing was touched",
            target.display()
        ))
    };
    if target.is_dir() {
        return Err(refused(io::ErrorKind::IsADirectory.into()));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let place = if target.exists() { target } else { folder };
    rustix::fs::access(place, rustix::fs::Access::WRITE_OK).map_err(|error| refused(error.into()))
}

/// Whether two names mean one file that is there, or documents of one: by symbolic links, by hard links, from any folder.
pub(crate) fn are_one(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |name: &Path| {
        let (file, _) = file_and_document(name);
        std::fs::metadata(file).map(|file| (file.dev(), file.ino())).ok()
    };
    identity(one).is_some_and(|file| identity(other) == Some(file))
}

/// Whether a file lies in a folder, or would once it is made.
pub(crate) fn lies_in(file: &Path, folder: &Path) -> bool {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = file.canonicalize().or_else(|_| parent.canonicalize());
    folder.canonicalize().is_ok_and(|folder| place.is_ok_and(|place| place.starts_with(folder)))
}

/// Writes a report to a file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::unwritten(format!("could not write {}: {error}", file.display())))
}

/// Where each of several experiments writes: `report.html` becomes `report-two.html` for `two.yaml`, and
/// `report-two-2.html` for the next of that name. One experiment writes to the target itself.
pub(crate) fn apart(target: &Path, experiments: &[PathBuf]) -> Vec<PathBuf> {
    if experiments.len() <= 1 {
        return vec![target.to_owned()];
    }
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let ending =
        target.extension().map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()));
    let mut taken = BTreeSet::new();
    let name = |file: &PathBuf| {
        let first = format!("{}-{}", stem(target), stem(file));
        let mut name = first.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{first}-{number}");
            number += 1;
        }
        target.with_file_name(format!("{name}{ending}"))
    };
    experiments.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_experiments_never_write_over_each_other() {
        let experiments = ["a/one.yaml", "b/one.yaml", "one-2.json", "two.toml"].map(PathBuf::from);
        let names = ["out/r-one.html", "out/r-one-2.html", "out/r-one-2-2.html", "out/r-two.html"];
        assert_eq!(apart(Path::new("out/r.html"), &experiments), names.map(PathBuf::from));
        assert_eq!(apart(Path::new("r"), &experiments[..1]), [PathBuf::from("r")]);
    }

    #[test]
    fn documents_of_a_file_are_as_files_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let settings = "apiVersion: squall.dev/v1\nkind: Settings\n";
        std::fs::write(path("a.yaml"), format!("a: 1\n---\n{settings}---\nb: 1\n")).unwrap();
        std::fs::write(path("b.yaml"), "c: 1\n").unwrap();
        let names = |found: Vec<PathBuf>| -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            found.iter().map(name).collect()
        };
        assert_eq!(names(find(&[path("")]).unwrap()), ["a.yaml#1", "a.yaml#3", "b.yaml"]);
        assert_eq!(names(find(&[path("a.yaml")]).unwrap()), ["a.yaml#1", "a.yaml#2", "a.yaml#3"]);
        assert_eq!(names(find(&[path("a.yaml#3")]).unwrap()), ["a.yaml#3"]);
        assert_eq!(source(&path("a.yaml#3")).unwrap().text, "\n\n\n\n---\nb: 1\n");
        assert!(source(&path("a.yaml#4")).unwrap_err().to_string().contains("has no document 4"));
        assert!(are_one(&path("a.yaml#1"), &path("a.yaml")), "no report is written over it");
        std::fs::write(path("d.yaml#2"), "d: 1\n").unwrap();
        assert_eq!(source(&path("d.yaml#2")).unwrap().text, "d: 1\n");
        let both = [path("a.yaml#1"), path("a.yaml#2")];
        assert_eq!(names(apart(Path::new("r.html"), &both)), ["r-a.html", "r-a-2.html"]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_before() {
        let folder = std::env::temp_dir();
        assert!(writable(&folder.join("squall-report-that-is-not-there.html")).is_ok());
        assert!(writable(&folder).is_err());
        assert!(writable(&folder.join("no/such/folder/report.html")).is_err());
        assert!(!folder.join("squall-report-that-is-not-there.html").exists());
    }

    #[test]
    fn a_file_is_itself_by_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("plan.md"), "x").unwrap();
        std::fs::write(path("other.md"), "x").unwrap();
        std::os::unix::fs::symlink(path("plan.md"), path("soft.md")).unwrap();
        std::fs::hard_link(path("plan.md"), path("hard.md")).unwrap();
        for name in ["plan.md", "./plan.md", "soft.md", "hard.md"] {
            assert!(are_one(&path("plan.md"), &path(name)), "{name}");
        }
        assert!(!are_one(&path("plan.md"), &path("other.md")));
        assert!(!are_one(&path("gone.md"), &path("gone.md")), "what is not there cannot be written over");
        assert!(lies_in(&path("gone.md"), folder.path()) && lies_in(&path("soft.md"), folder.path()));
        assert!(!lies_in(Path::new("/gone.md"), folder.path()));
    }

    #[test]
    fn variables_are_given_again_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.yaml");
        std::fs::write(&file, "variables: {token: {env: T, secret: true}}\nx: ${port} ${token} ${host}\n")
            .unwrap();
        let given = ["port=1", "token=hunter2", "port=2", "other=hunter3", "host=a b"].map(str::to_owned);
        let options = VariableOptions { variables: given.to_vec(), files: vec![PathBuf::from("v.env")] };
        assert_eq!(
            options.again(&file, &["hunter2".to_owned()]),
            ["--var-file", "v.env", "--var", "host=a b", "--var", "port=2", "--var", "token=…"]
        );
    }

    #[test]
    fn a_variable_must_be_used_by_one_of_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let files = [write("a.yaml", "variables: {port: 1}\n"), write("b.yaml", "x: ${host}\n")];
        let given =
            |names: &[&str]| VariableOptions::of(names.iter().map(|name| format!("{name}=1")).collect());
        let overrides = given(&["port", "host"]).overrides(&files).unwrap();
        assert!(overrides.demanded.is_empty(), "each file is free not to use one of them");
        let error = given(&["prot"]).overrides(&files).err().unwrap().to_string();
        assert!(error.contains("none of these 2 files uses it") && error.contains("`port`"), "{error}");
        let of_one = given(&["prot"]).overrides(&files[..1]).unwrap();
        assert!(of_one.demanded.contains("prot"), "the reader of the file tells");
        let from_file = VariableOptions { variables: Vec::new(), files: vec![write("v.env", "prot=1\n")] };
        assert!(from_file.overrides(&files[..1]).unwrap().demanded.is_empty());
    }

    #[test]
    fn quotes_around_a_value_are_not_part_of_it() {
        assert_eq!([unquoted("\"5432\""), unquoted("'a b'"), unquoted("\"a'")], ["5432", "a b", "\"a'"]);
    }

    #[test]
    fn what_never_ends_is_refused() {
        assert!(read(Path::new("/dev/zero"), &Overrides::default(), false).is_err());
    }
}
