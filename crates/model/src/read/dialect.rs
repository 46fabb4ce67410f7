//! Files of other tools that are read as experiments: each is known by what it says it is, and translated to the tree of an
//! experiment, which the ordinary reader reads. A dialect joins by one folder or file and one line in the table below.

use super::experiment::in_order;
use super::variables::{passwords, redacted};
use super::{ReadError, Source, chaos_mesh, istio, nearest, parse};
use crate::catalog::Catalog;
use crate::node::{Node, Place};

/// The dialects.
const DIALECTS: [Dialect; 2] = [chaos_mesh::DIALECT, istio::DIALECT];

/// What a cluster writes into the metadata of an object.
pub(super) const ADDED_BY_CLUSTERS: [&str; 11] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "selfLink",
    "clusterName",
];

/// How files of another tool are known and translated.
pub(super) struct Dialect {
    /// What it is called: `chaos-mesh`.
    pub(super) name: &'static str,
    /// Whether a file is of this tool.
    pub(super) is_spoken: fn(&Node) -> bool,
    /// The file as an experiment, or all mistakes in it.
    pub(super) translate: fn(&Node, &str, &dyn Catalog) -> Translated,
}

/// The experiment, or all mistakes that could be found.
pub(super) type Translated = Result<Translation, Vec<ReadError>>;

/// A file as the tree of an experiment.
#[derive(Debug)]
pub(super) struct Translation {
    /// The experiment; its nodes have the places of what they were made of.
    pub(super) root: Node,
    /// What is done otherwise than the file's own tool does it, each a sentence.
    pub(super) notes: Vec<String>,
    /// Whether its faults have no end.
    pub(super) endless: bool,
    /// The faults that are named in it.
    pub(super) wanted: Vec<Wanted>,
}

/// A fault, and what asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) fault: &'static str,
    /// What asked for it.
    pub(super) place: Place,
    /// The kind of the object that did.
    pub(super) who: &'static str,
}

/// A file of another tool, said as an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// The experiment.
    pub root: Node,
    /// What is done otherwise than the file's own tool does it, each a sentence.
    pub notes: Vec<String>,
}

/// The names of the dialects.
pub fn dialects() -> Vec<&'static str> {
    DIALECTS.iter().map(|dialect| dialect.name).collect()
}

/// The dialect that a file is written in; none for Squall's own, and for what nobody knows.
pub(super) fn of(root: &Node) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| (dialect.is_spoken)(root))
}

/// A file of this dialect as an experiment; mistakes are told in the order of the file and without passwords.
pub(super) fn translate(dialect: &Dialect, root: &Node, text: &str, catalog: &dyn Catalog) -> Translated {
    (dialect.translate)(root, text, catalog).map_err(|errors| {
        let mut secrets = Vec::new();
        passwords(root, &mut secrets);
        redacted(in_order(errors), &secrets)
    })
}

/// Says a file of another tool as an experiment. `from` names its dialect, where it is not to be guessed.
///
/// # Errors
/// All mistakes that could be found; that the file is of no dialect, or not of the one that is named.
pub fn convert(
    source: &Source,
    catalog: &dyn Catalog,
    from: Option<&str>,
) -> Result<Conversion, Vec<ReadError>> {
    let root = parse(source).map_err(|error| vec![error])?;
    let names = dialects();
    let found = of(&root).filter(|dialect| from.is_none_or(|from| from == dialect.name));
    let Some(dialect) = found else {
        let place = root.get("apiVersion").map_or(root.place, |node| node.place);
        let message = match from {
            Some(from) => format!("this is no file of `{from}`"),
            None => "this is a file of no tool that is known here".to_owned(),
        };
        return Err(vec![ReadError::at(place, message).help(format!("known: {}", nearest::list(&names)))]);
    };
    let translation = translate(dialect, &root, &source.text, catalog)?;
    Ok(Conversion { root: translation.root, notes: translation.notes })
}

/// Says of faults that are not there yet who asks for them, in place of the reader's own words.
pub(super) fn explain(errors: Vec<ReadError>, wanted: &[Wanted], catalog: &dyn Catalog) -> Vec<ReadError> {
    let missing = |error: &ReadError| {
        let unknown = |wanted: &&Wanted| {
            wanted.place == error.place
                && error.message == format!("unknown fault `{}`", wanted.fault)
                && catalog.fault(wanted.fault).is_none()
        };
        wanted.iter().find(unknown).copied()
    };
    let is_all = errors.iter().all(|error| missing(error).is_some());
    errors
        .into_iter()
        .map(|error| match missing(&error) {
            None => error,
            Some(Wanted { fault, place, who }) => {
                let message = format!(
                    "this {who} needs the fault `{fault}`, which this version of Squall does not have"
                );
                let error = ReadError::at(place, message).label("not there yet");
                let rest =
                    "all else in this file is right: it is carried out as it is once the fault is there";
                if is_all { error.help(rest) } else { error }
            }
        })
        .collect()
}
