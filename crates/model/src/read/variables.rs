//! Variables: what `${name}` stands for, and where it comes from.
//!
//! A file's `variables:` are the defaults. What the user gives counts more: `SQUALL_VAR_NAME` of the environment, then
//! each of [`Overrides::variables`] in order. A text that is exactly `${name}` becomes the variable's value, of
//! whatever type; within a longer text the value is put in as text. `$${` stands for the characters `${`. Variables
//! may use each other, not in circles. `{env: NAME, default: …, secret: true}` takes a variable of the environment;
//! what is secret is always a text and is never shown.

use super::tree::{Budget, depth, weight};
use super::{MAX_DEPTH, MAX_LENGTH, ReadError, Source, decode, dialect, nearest, parse, scalar, yaml};
use crate::node::{Content, Node, Place};
use crate::redaction::Redactor;
use std::collections::{BTreeMap, BTreeSet};

/// What the environment calls a variable that overrides one of the file.
const PREFIX: &str = "SQUALL_VAR_";

/// How many variables a file may declare.
const MAX_VARIABLES: usize = 1000;

/// What is given from outside of the file.
#[derive(Clone, Default)]
pub struct Overrides {
    /// Names and values of `--var-file` and `--var`, in rising precedence. A value is read as a YAML scalar: `5432` is
    /// a number, `"5432"` a text. A name that the file does not use is passed over, for another file may use it.
    pub variables: Vec<(String, String)>,
    /// Names of which it is an error that the file does not use them.
    pub demanded: BTreeSet<String>,
    /// The environment, for `{env: NAME}` and `SQUALL_VAR_NAME`; of the latter, names that the file does not know are
    /// passed over, for another file may know them.
    pub environment: BTreeMap<String, String>,
}

impl Overrides {
    /// What is given for these names, in the form of `--var`; of the environment what is named for a variable.
    pub fn given(&self, names: &BTreeSet<String>) -> BTreeMap<String, String> {
        let named = self.environment.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX)?;
            let spelled = [name.to_owned(), name.to_ascii_lowercase()];
            Some((spelled.into_iter().find(|name| names.contains(name))?, value.clone()))
        });
        let given = self.variables.iter().filter(|(name, _)| names.contains(name)).cloned();
        named.chain(given).collect()
    }
}

/// Reads a file of variables (`--var-file`): a map of single values, in the form of [`Overrides::variables`].
///
/// # Errors
/// Where the file is no such map.
pub fn variables(source: &Source) -> Result<Vec<(String, String)>, ReadError> {
    let root = parse(source)?;
    let Content::Map(entries) = &root.content else {
        return Err(ReadError::at(
            root.place,
            format!("expected variables as `name: value`, found {}", root.kind()),
        ));
    };
    let text = |node: &Node| match &node.content {
        Content::Text(text) => Ok(serde_json::Value::from(text.as_str()).to_string()),
        Content::List(_) | Content::Map(_) => Err(ReadError::at(
            node.place,
            format!("a variable given from outside is a single value, not {}", node.kind()),
        )),
        content => Ok(plain(content)),
    };
    entries.iter().map(|(key, node)| Ok((key.name.clone(), text(node)?))).collect()
}

/// The names of the variables that a file declares or uses, so far as it can be read. Files of other tools have none.
///
/// # Errors
/// Where the file is no text of its format.
pub fn variable_names(source: &Source) -> Result<BTreeSet<String>, ReadError> {
    let root = parse(source)?;
    let mut names = BTreeSet::new();
    if dialect::of(&root).is_some() {
        return Ok(names);
    }
    used(&root, &mut names);
    if let Some(Content::Map(entries)) = root.get("variables").map(|declared| &declared.content) {
        names.extend(entries.iter().map(|(key, _)| key.name.clone()));
    }
    Ok(names)
}

/// What to say of a variable that was given and that nothing of these names is.
pub fn nearest_variable(name: &str, known: &BTreeSet<String>) -> String {
    if known.is_empty() {
        return "it has no variables".to_owned();
    }
    nearest::advice(name, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Puts the variables into all texts of the tree and takes `variables` out of it. Returns what is secret.
pub(super) fn substitute(
    text: &str,
    root: &mut Node,
    overrides: &Overrides,
) -> Result<Vec<String>, Vec<ReadError>> {
    let Content::Map(entries) = &mut root.content else { return Ok(Vec::new()) };
    let position = entries.iter().position(|(key, _)| key.name == "variables");
    let declared = position.map(|position| entries.remove(position));
    let place = declared
        .as_ref()
        .map_or(Place { start: root.place.start, end: root.place.start }, |(key, _)| key.place);

    let mut scope = Scope { text, ..Scope::default() };
    let mut errors = Vec::new();
    if let Some((_, node)) = declared {
        scope.declare(node, overrides, &mut errors);
    }
    scope.override_all(root, place, overrides, &mut errors);
    for name in scope.definitions.keys().cloned().collect::<Vec<_>>() {
        if let Err(error) = scope.resolve(&name, 0) {
            errors.push(error);
        }
    }
    if errors.is_empty() {
        scope.put_in(root, 0, 0, &mut errors);
    }
    let secrets = scope.secrets();
    if errors.is_empty() {
        return Ok(secrets);
    }
    Err(redacted(errors, &secrets))
}

/// Adds the passwords that stand in the addresses of a tree to what is secret.
pub(super) fn passwords(node: &Node, secrets: &mut Vec<String>) {
    match &node.content {
        Content::Text(text) => {
            let found = crate::server::passwords_in(text);
            secrets
                .extend(found.into_iter().filter(|password| !secrets.contains(password)).collect::<Vec<_>>());
        }
        Content::List(items) => items.iter().for_each(|item| passwords(item, secrets)),
        Content::Map(entries) => entries.iter().for_each(|(_, item)| passwords(item, secrets)),
        Content::Null | Content::Bool(_) | Content::Integer(_) | Content::Float(_) => {}
    }
}

/// Mistakes with everything secret taken out of their words.
pub(super) fn redacted(mut errors: Vec<ReadError>, secrets: &[String]) -> Vec<ReadError> {
    let redactor = Redactor::new(secrets);
    for error in &mut errors {
        error.message = redactor.text(&error.message);
        error.label = redactor.text(&error.label);
        error.help = error.help.take().map(|help| redactor.text(&help));
    }
    errors
}

/// Whether `${name}` can be written with this name.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A single value as it stands within a text.
fn plain(content: &Content) -> String {
    match content {
        Content::Bool(value) => value.to_string(),
        Content::Integer(number) => number.to_string(),
        Content::Float(number) => number.to_string(),
        Content::Text(text) => text.clone(),
        Content::Null | Content::List(_) | Content::Map(_) => String::new(),
    }
}

/// A part of a text.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    Plain(&'t str),
    Variable(&'t str),
    Unclosed,
}

/// The parts of a text.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: one of the dollars goes.
            parts.push(Part::Plain(&rest[..at - 1]));
            parts.push(Part::Plain("${"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            parts.push(Part::Plain(&rest[..at]));
        }
        rest = &rest[at + 2..];
        let Some(end) = rest.find('}') else {
            parts.push(Part::Unclosed);
            return parts;
        };
        parts.push(Part::Variable(&rest[..end]));
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Plain(rest));
    }
    parts
}

/// Every name that the texts of a tree use.
fn used(node: &Node, names: &mut BTreeSet<String>) {
    match &node.content {
        Content::Text(text) if text.contains("${") => {
            names.extend(parts(text).into_iter().filter_map(|part| match part {
                Part::Variable(name) => Some(name.to_owned()),
                _ => None,
            }));
        }
        Content::List(items) => items.iter().for_each(|item| used(item, names)),
        Content::Map(entries) => entries.iter().for_each(|(_, node)| used(node, names)),
        _ => {}
    }
}

/// How far a variable's value is known.
#[derive(Debug, Clone)]
enum Definition {
    /// As it stands in the file or was given.
    Raw(Node),
    /// Being put together; met again, it is a circle.
    Open(Place),
    /// With all variables put in.
    Done(Node),
}

#[derive(Default)]
struct Scope<'t> {
    text: &'t str,
    definitions: BTreeMap<String, Definition>,
    secret: BTreeSet<String>,
    budget: Budget,
}

impl Scope<'_> {
    fn declare(&mut self, node: Node, overrides: &Overrides, errors: &mut Vec<ReadError>) {
        let entries = match node.content {
            Content::Map(entries) => entries,
            Content::Null => return,
            _ => {
                let message = format!("expected variables as `name: value`, found {}", node.kind());
                return errors.push(ReadError::at(node.place, message));
            }
        };
        if let Some((key, _)) = entries.get(MAX_VARIABLES) {
            let message =
                format!("at most {MAX_VARIABLES} variables can be given, and these are {}", entries.len());
            return errors.push(ReadError::at(key.place, message).label("one too many"));
        }
        for (key, node) in entries {
            if !is_name(&key.name) {
                let message = format!("`{}` cannot be the name of a variable", key.name);
                errors.push(
                    ReadError::at(key.place, message).help("letters, digits, `_`, `-` and `.` make a name"),
                );
                continue;
            }
            let overridden = is_overridden(&key.name, overrides);
            let value = if node.get("env").is_some() {
                self.take_from_environment(&key.name, &node, overridden, overrides)
            } else {
                Ok(node)
            };
            match value {
                Ok(node) => {
                    self.definitions.insert(key.name, Definition::Raw(node));
                }
                Err(error) => errors.push(error),
            }
        }
    }

    fn take_from_environment(
        &mut self,
        name: &str,
        node: &Node,
        overridden: bool,
        overrides: &Overrides,
    ) -> Result<Node, ReadError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct FromEnvironment {
            env: String,
            #[serde(default, rename = "default")]
            _default: serde::de::IgnoredAny,
            #[serde(default)]
            secret: bool,
        }
        let wanted: FromEnvironment = decode(node)?;
        if wanted.secret {
            self.secret.insert(name.to_owned());
        }
        let place = node.get("env").map_or(node.place, |env| env.place);
        match (overrides.environment.get(&wanted.env), node.get("default")) {
            (Some(value), _) if wanted.secret => {
                // Read as it is: a password may look like a number, or like a variable.
                Ok(Node { content: Content::Text(value.replace("${", "$${")), place })
            }
            (Some(value), _) => literal(value, place),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) if overridden => Ok(Node { content: Content::Null, place }),
            (None, None) => {
                let message = format!("the environment has no `{}`", wanted.env);
                Err(ReadError::at(place, message)
                    .label(format!("wanted by the variable `{name}`"))
                    .help(format!("set it, add `default:`, or give `--var {name}=…`")))
            }
        }
    }

    fn override_all(
        &mut self,
        root: &Node,
        place: Place,
        overrides: &Overrides,
        errors: &mut Vec<ReadError>,
    ) {
        let mut wanted = BTreeSet::new();
        used(root, &mut wanted);
        for definition in self.definitions.values() {
            if let Definition::Raw(node) = definition {
                used(node, &mut wanted);
            }
        }
        wanted.extend(self.definitions.keys().cloned());
        for (name, value) in &overrides.environment {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            let name =
                [name.to_owned(), name.to_ascii_lowercase()].into_iter().find(|name| wanted.contains(name));
            if let Some(name) = name {
                self.override_one(&name, value, place, errors);
            }
        }
        for (name, value) in &overrides.variables {
            if wanted.contains(name) {
                self.override_one(name, value, place, errors);
            }
        }
        for name in overrides.demanded.difference(&wanted) {
            let message = format!("the variable `{name}` was given, but this file does not use it");
            errors.push(ReadError::at(place, message).help(nearest_variable(name, &wanted)));
        }
    }

    fn override_one(&mut self, name: &str, value: &str, place: Place, errors: &mut Vec<ReadError>) {
        let place = match self.definitions.get(name) {
            Some(Definition::Raw(node)) => node.place,
            _ => place,
        };
        let node = if self.secret.contains(name) {
            Ok(Node { content: Content::Text(value.replace("${", "$${")), place })
        } else {
            literal(value, place)
        };
        match node {
            Ok(node) => {
                self.definitions.insert(name.to_owned(), Definition::Raw(node));
            }
            Err(error) => errors.push(error),
        }
    }

    /// Puts a variable's value together; `chain` counts the variables on the way here.
    fn resolve(&mut self, name: &str, chain: usize) -> Result<(), ReadError> {
        let Some(definition) = self.definitions.get(name).cloned() else { return Ok(()) };
        let mut node = match definition {
            Definition::Done(_) => return Ok(()),
            Definition::Open(place) => {
                return Err(ReadError::at(
                    place,
                    format!("the variable `{name}` stands for itself, in a circle"),
                ));
            }
            Definition::Raw(node) => node,
        };
        if chain > MAX_DEPTH {
            return Err(ReadError::at(
                node.place,
                format!("variables use each other deeper than {MAX_DEPTH}"),
            ));
        }
        self.definitions.insert(name.to_owned(), Definition::Open(node.place));
        self.budget.spend(weight(&node), node.place)?;
        let mut errors = Vec::new();
        self.put_in(&mut node, 0, chain + 1, &mut errors);
        self.definitions.insert(name.to_owned(), Definition::Done(node));
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Puts variables into all texts of a tree that stands `level` deep.
    fn put_in(&mut self, node: &mut Node, level: usize, chain: usize, errors: &mut Vec<ReadError>) {
        match &mut node.content {
            Content::Text(text) if text.contains("${") => {
                let text = std::mem::take(text);
                match self.value(&text, node.place, level, chain) {
                    Ok(value) => *node = value,
                    Err(error) => errors.push(error),
                }
            }
            Content::List(items) => {
                for item in items {
                    self.put_in(item, level + 1, chain, errors);
                }
            }
            Content::Map(entries) => {
                for (_, node) in entries {
                    self.put_in(node, level + 1, chain, errors);
                }
            }
            _ => {}
        }
    }

    /// What a text with variables becomes.
    fn value(&mut self, text: &str, place: Place, level: usize, chain: usize) -> Result<Node, ReadError> {
        let parts = parts(text);
        if let [Part::Variable(name)] = parts.as_slice() {
            let node = self.look_up(name, place, chain)?.clone();
            self.budget.spend(weight(&node), place)?;
            if level + depth(&node) > MAX_DEPTH {
                return Err(ReadError::at(place, format!("values nest deeper than {MAX_DEPTH}")));
            }
            // A single value is used here, a list or map is read where its parts stand.
            let place = if depth(&node) == 0 { place } else { node.place };
            return Ok(Node { content: node.content, place });
        }
        let mut whole = String::new();
        for part in parts {
            match part {
                Part::Plain(text) => whole.push_str(text),
                Part::Unclosed => {
                    return Err(ReadError::at(self.within(place, "${"), "this `${` has no `}`")
                        .help("write `$${` for the characters themselves"));
                }
                Part::Variable(name) => {
                    let node = self.look_up(name, place, chain)?;
                    if depth(node) > 0 {
                        let message = format!("`{name}` is {} and cannot stand within a text", node.kind());
                        return Err(ReadError::at(self.within(place, &format!("${{{name}}}")), message));
                    }
                    whole.push_str(&plain(&node.content));
                }
            }
            if whole.len() > MAX_LENGTH {
                return Err(ReadError::at(place, format!("this text grows beyond {MAX_LENGTH} bytes")));
            }
        }
        let node = Node { content: Content::Text(whole), place };
        self.budget.spend(weight(&node), place)?;
        Ok(node)
    }

    fn look_up(&mut self, name: &str, place: Place, chain: usize) -> Result<&Node, ReadError> {
        self.resolve(name, chain)?;
        if let Some(Definition::Done(node)) = self.definitions.get(name) {
            return Ok(node);
        }
        let known: Vec<&str> = self.definitions.keys().map(String::as_str).collect();
        let near = nearest::nearest(name, known.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}`? known: {}", nearest::list(&known)),
            None if !is_name(name) => "write `$${` for the characters `${` themselves".to_owned(),
            None if known.is_empty() => format!("add `variables: {{{name}: …}}`, or give `--var {name}=…`"),
            None => format!("known: {}", nearest::list(&known)),
        };
        let place = self.within(place, &format!("${{{name}}}"));
        Err(ReadError::at(place, format!("unknown variable `{name}`")).label("not known here").help(help))
    }

    /// The place of some characters of a value, where they stand in the file as they are.
    fn within(&self, place: Place, characters: &str) -> Place {
        super::within(self.text, place, characters)
    }

    fn secrets(&self) -> Vec<String> {
        let text = |name: &String| match self.definitions.get(name) {
            Some(Definition::Done(node)) if depth(node) == 0 => Some(plain(&node.content)),
            // Something else went wrong before; what was given is secret all the same.
            Some(Definition::Raw(node)) if depth(node) == 0 => {
                Some(plain(&node.content).replace("$${", "${"))
            }
            _ => None,
        };
        self.secret.iter().filter_map(text).filter(|secret| !secret.is_empty()).collect()
    }
}

fn is_overridden(name: &str, overrides: &Overrides) -> bool {
    overrides.variables.iter().any(|(given, _)| given == name)
        || [name.to_owned(), name.to_ascii_uppercase()]
            .iter()
            .any(|name| overrides.environment.contains_key(&format!("{PREFIX}{name}")))
}

/// What a value given as text means: a YAML scalar, save that nothing is an empty text.
fn literal(text: &str, place: Place) -> Result<Node, ReadError> {
    let trimmed = text.trim();
    let content = if trimmed.is_empty() {
        Content::Text(String::new())
    } else if trimmed.starts_with(['"', '\'']) {
        match yaml::parse(trimmed) {
            Ok(Node { content: Content::Text(text), .. }) => Content::Text(text),
            _ => Content::Text(text.to_owned()),
        }
    } else {
        match scalar::resolve(trimmed).map_err(|words| ReadError::at(place, words))? {
            Content::Text(_) => Content::Text(text.to_owned()),
            content => content,
        }
    };
    Ok(Node { content, place })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fmt::Write;

    fn with(
        text: &str,
        variables: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<serde_json::Value, String> {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let overrides = Overrides {
            variables: owned(variables),
            environment: owned(environment).into_iter().collect(),
            demanded: BTreeSet::new(),
        };
        with_overrides(text, &overrides)
    }

    fn with_overrides(text: &str, overrides: &Overrides) -> Result<serde_json::Value, String> {
        let mut root = yaml::parse(text).unwrap();
        match substitute(text, &mut root, overrides) {
            Ok(secrets) => Ok(json!([root.to_json(), secrets])),
            Err(errors) => Err(errors
                .iter()
                .map(|error| format!("{}: {error}", &text[error.place.start..error.place.end]))
                .collect::<Vec<_>>()
                .join("\n")),
        }
    }

    #[test]
    fn variables_are_put_in_with_their_type() {
        let text = "variables: {port: 5432, host: db, url: 'http://${host}:${port}/', list: [1, '${port}']}\n\
                    a: ${port}\nb: x${port}y\nc: ${url}q\nd: ${list}\ne: $${port}\nf: ['$${a', '$$$${b']\n";
        assert_eq!(
            with(text, &[], &[]).unwrap()[0],
            json!({"a": 5432, "b": "x5432y", "c": "http://db:5432/q", "d": [1, 5432], "e": "${port}",
                "f": ["${a", "$$${b"]})
        );
    }

    #[test]
    fn what_is_given_counts_more_than_the_file() {
        let text = "variables: {a: 1, b: 2, c: 3}\nx: [\"${a}\", \"${b}\", \"${c}\", \"${d}\"]\n";
        let environment = [("SQUALL_VAR_A", "10"), ("SQUALL_VAR_b", "x y"), ("SQUALL_VAR_OTHER", "1")];
        let given = [("b", "\"20\""), ("d", "true"), ("d", "")];
        assert_eq!(with(text, &given, &environment).unwrap()[0], json!({"x": [10, "20", 3, ""]}));
        assert!(with(text, &[("d", "1"), ("e", "1")], &[]).is_ok(), "another file may use it");
        let overrides = Overrides {
            variables: vec![("d".to_owned(), "1".to_owned()), ("e".to_owned(), "1".to_owned())],
            demanded: ["d".to_owned(), "e".to_owned()].into_iter().collect(),
            ..Overrides::default()
        };
        let error = with_overrides(text, &overrides).unwrap_err();
        assert!(
            error.contains("`e` was given, but this file does not use it; known: `a`, `b`, `c`, `d`"),
            "{error}"
        );
    }

    #[test]
    fn the_environment_is_asked_and_secrets_are_kept() {
        let text = "variables: {t: {env: TOKEN, secret: true}, p: {env: PORT, default: 80}}\nx: Bearer ${t}\ny: ${p}\n";
        let given = with(text, &[], &[("TOKEN", "12${34"), ("PORT", "81")]).unwrap();
        assert_eq!(given, json!([{"x": "Bearer 12${34", "y": 81}, ["12${34"]]));
        assert_eq!(with(text, &[("t", "007")], &[]).unwrap(), json!([{"x": "Bearer 007", "y": 80}, ["007"]]));
        let error = with(text, &[], &[]).unwrap_err();
        assert!(
            error.starts_with("TOKEN: the environment has no `TOKEN` (wanted by the variable `t`)"),
            "{error}"
        );
        let wrong = "variables: {t: {env: TOKEN, secret: true}}\nx: ${hunter2}${t}\n";
        let error = with(wrong, &[], &[("TOKEN", "hunter2")]).unwrap_err();
        assert!(error.contains("unknown variable `[hidden]`"), "{error}");
    }

    #[test]
    fn mistakes_point_at_the_variable() {
        for (text, words) in [
            (
                "variables: {port: 1}\na: x ${prot} y\n",
                "${prot}: unknown variable `prot` (not known here); did you mean `port`?",
            ),
            ("a: ${x}\n", "${x}: unknown variable `x` (not known here); add `variables: {x: …}`"),
            ("a: ${HOME:-x}\n", "write `$${` for the characters"),
            ("a: \"x ${y\"\n", "${: this `${` has no `}`"),
            ("variables: {l: [1]}\na: x${l}\n", "${l}: `l` is a list and cannot stand within a text"),
            ("variables: {a: '${b}', b: '${a}'}\n", "stands for itself, in a circle"),
            ("variables: {a: 'x${a}'}\n", "stands for itself, in a circle"),
            ("variables: [1]\n", "expected variables as `name: value`, found a list"),
            ("variables: {a b: 1}\n", "a b: `a b` cannot be the name"),
            (
                "variables: {a: {env: X, defalt: 1}}\n",
                "defalt: unknown key `defalt` (not known here); did you mean `default`?",
            ),
        ] {
            let error = with(text, &[], &[]).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut bomb = "variables:\n  a0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned();
        for level in 1..40 {
            let before = level - 1;
            writeln!(bomb, "  a{level}: \"${{a{before}}}${{a{before}}}\"").unwrap();
        }
        assert!(with(&bomb, &[], &[]).is_err());
        let mut lists = "variables:\n  a0: [1, 2, 3]\n".to_owned();
        for level in 1..20 {
            let before = level - 1;
            writeln!(lists, "  a{level}: [\"${{a{before}}}\", \"${{a{before}}}\", \"${{a{before}}}\"]")
                .unwrap();
        }
        assert!(with(&lists, &[], &[]).unwrap_err().contains("more than 100000 values"));
        let mut chain = "variables:\n  a0: x\n".to_owned();
        for level in 1..5000 {
            writeln!(chain, "  a{level}: \"${{a{}}}\"", level - 1).unwrap();
        }
        let reversed = chain.replace("a0: x", "a0: \"${a4999}\"");
        assert!(with(&reversed, &[], &[]).is_err());
        let mut deep = "variables:\n  a0: [1]\n".to_owned();
        for level in 1..80 {
            writeln!(deep, "  a{level}: [\"${{a{}}}\"]", level - 1).unwrap();
        }
        assert!(with(&deep, &[], &[]).is_err());
    }

    #[test]
    fn a_file_tells_the_names_of_its_variables() {
        let text = "variables: {a: 1, b: '${c}'}\nx: ['${d} ${a}', '$${e}']\n".to_owned();
        let names = variable_names(&Source { name: "x.yaml".to_owned(), text }).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_file_of_variables_becomes_overrides() {
        let source = Source { name: "v.toml".to_owned(), text: "a = 5\nb = \"5\"\nc = true\n".to_owned() };
        let pairs = variables(&source).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "5"), ("b", "\"5\""), ("c", "true")]);
        let source = Source { name: "v.yaml".to_owned(), text: "a: [1]\n".to_owned() };
        assert!(variables(&source).is_err());
    }
}
