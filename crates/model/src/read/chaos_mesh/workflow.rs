//! `Workflow`: templates that follow each other or run side by side.

use super::super::fields::Fields;
use super::super::{ReadError, nearest};
use super::form::{Span, Translator, is_blank};
use super::layout::Layout;
use super::schedule::Rounds;
use super::status_check::StatusCheck;
use super::task::Task;
use super::{Chaos, KINDS, Parts, refused};
use crate::node::{Content, Node, Place};

/// A template of a workflow.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: Node,
    pub(super) deadline: Option<Span>,
    pub(super) kind: Type,
}

/// What a template does.
#[derive(Debug)]
pub(super) enum Type {
    /// Its children, one after another.
    Serial(Vec<Node>),
    /// Its children, at once.
    Parallel(Vec<Node>),
    /// Nothing.
    Suspend,
    /// Faults.
    Chaos(Chaos),
    /// Faults, again and again.
    Rounds(Rounds),
    /// A question.
    StatusCheck {
        /// What is asked.
        check: StatusCheck,
        /// Whether a wrong answer ends the workflow.
        aborts: bool,
    },
    /// A container of the user's, and what follows by what it says.
    Task(Task),
}

/// What only templates of some types may say.
const OWN: [(&str, &[&str]); 6] = [
    ("children", &["Serial", "Parallel"]),
    ("schedule", &["Schedule"]),
    ("statusCheck", &["StatusCheck"]),
    ("task", &["Task"]),
    ("conditionalBranches", &["Task"]),
    ("abortWithStatusCheck", &["StatusCheck"]),
];

impl Template {
    /// Whether it goes by this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        matches!(&self.name.content, Content::Text(own) if own == name)
    }

    /// Its name.
    pub(super) fn title(&self) -> String {
        match &self.name.content {
            Content::Text(name) => name.clone(),
            _ => String::new(),
        }
    }

    /// The templates that it leads to.
    fn children(&self) -> Vec<&Node> {
        match &self.kind {
            Type::Serial(children) | Type::Parallel(children) => children.iter().collect(),
            Type::Task(task) => task.branches.iter().map(|branch| &branch.target).collect(),
            _ => Vec::new(),
        }
    }
}

impl Translator<'_> {
    /// The experiment of a workflow.
    pub(super) fn workflow(&mut self, spec: &Node) -> Option<Parts> {
        let mut fields = self.reader.fields(spec, "`spec`")?;
        let start = self
            .required(&mut fields, "entry", "the template that the workflow begins with")
            .and_then(|node| {
                self.text(node)?;
                Some(node.clone())
            });
        let list = self.required(&mut fields, "templates", "what the workflow is made of");
        fields.finish(&mut self.reader);
        let items = list.map_or(&[][..], |node| self.reader.list(node, "`templates`"));
        let read: Vec<Option<Template>> = items.iter().map(|item| self.template(item)).collect();
        let known: Vec<String> = items.iter().filter_map(|item| text_of(item.get("name")?)).collect();
        self.unique(items);
        let start = start?;
        self.must_be_there(&start, &known);
        let templates = read.into_iter().collect::<Option<Vec<Template>>>()?;
        for child in templates.iter().flat_map(Template::children) {
            self.must_be_there(child, &known);
        }
        if !self.reader.errors.is_empty() {
            return None;
        }
        self.about_unused(&start, &templates);
        Layout::new(&templates).finish(self, &start, spec.place)
    }

    fn unique(&mut self, items: &[Node]) {
        let mut seen = Vec::new();
        for node in items.iter().filter_map(|item| item.get("name")) {
            let Some(name) = text_of(node) else { continue };
            if seen.contains(&name) {
                self.error(ReadError::at(node.place, format!("a second template is called `{name}`")));
            }
            seen.push(name);
        }
    }

    fn must_be_there(&mut self, node: &Node, known: &[String]) {
        let Some(name) = text_of(node) else { return };
        if !known.contains(&name) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let error = ReadError::at(node.place, format!("no template is called `{name}`"));
            self.error(error.label("not known here").help(nearest::advice(&name, &known)));
        }
    }

    /// Tells of templates that nothing leads to.
    fn about_unused(&mut self, start: &Node, templates: &[Template]) {
        let mut used: Vec<String> = text_of(start).into_iter().collect();
        let mut next = 0;
        while let Some(name) = used.get(next).cloned() {
            next += 1;
            let children =
                templates.iter().filter(|template| template.is_called(&name)).flat_map(Template::children);
            let new: Vec<String> =
                children.filter_map(text_of).filter(|child| !used.contains(child)).collect();
            used.extend(new);
        }
        for template in templates.iter().filter(|template| !used.contains(&template.title())) {
            self.note(format!("nothing leads to the template `{}`; it is left out", template.title()));
        }
    }

    fn template(&mut self, node: &Node) -> Option<Template> {
        let mut fields = self.reader.fields(node, "an entry of `templates`")?;
        let name = self.required(&mut fields, "name", "what the template is called").and_then(|node| {
            self.text(node)?;
            Some(node.clone())
        });
        let deadline = self.optional_span(&mut fields, "deadline");
        let kind = self.template_type(&mut fields, deadline);
        fields.finish(&mut self.reader);
        Some(Template { name: name?, deadline, kind: kind? })
    }

    fn template_type(&mut self, fields: &mut Fields<'_>, deadline: Option<Span>) -> Option<Type> {
        let others = ["Serial", "Parallel", "Suspend", "Schedule", "StatusCheck", "Task"];
        let chaos: Vec<(&'static str, &'static str)> =
            KINDS.iter().map(|kind| (kind.name, kind.embedded)).chain(refused::embedded()).collect();
        let known: Vec<&'static str> =
            others.into_iter().chain(chaos.iter().map(|(name, _)| *name)).collect();
        let node = self.required(fields, "templateType", "what the template does");
        let kind = node.and_then(|node| Some((self.word(node, "type of template", &known)?, node.place)));
        let Some((name, place)) = kind else {
            // Known all the same, so that they are no mistakes on top.
            let keys = OWN.iter().map(|(key, _)| *key).chain(chaos.iter().map(|(_, key)| *key));
            keys.for_each(|key| {
                fields.get(key);
            });
            return None;
        };
        let strangers = OWN.iter().filter(|(_, owners)| !owners.contains(&name)).map(|(key, _)| *key);
        let strangers = strangers.chain(chaos.iter().filter(|(kind, _)| *kind != name).map(|(_, key)| *key));
        for key in strangers {
            if let Some(node) =
                fields.get(key).filter(|node| !is_blank(node) && node.content != Content::Bool(false))
            {
                let message = format!("`{key}` cannot stand in a template of type {name}");
                self.error(ReadError::at(node.place, message).label("not here"));
            }
        }
        self.type_of(name, place, fields, deadline, &chaos)
    }

    fn type_of(
        &mut self,
        name: &'static str,
        place: Place,
        fields: &mut Fields<'_>,
        deadline: Option<Span>,
        chaos: &[(&'static str, &'static str)],
    ) -> Option<Type> {
        match name {
            "Serial" | "Parallel" => {
                let node = self.required(fields, "children", "the templates that it is made of")?;
                let children = self.texts(node, "`children`");
                Some(if name == "Serial" { Type::Serial(children) } else { Type::Parallel(children) })
            }
            "Suspend" => {
                if deadline.is_none() {
                    self.required(fields, "deadline", "how long the workflow waits");
                }
                deadline.map(|_| Type::Suspend)
            }
            "Schedule" => {
                let node = self.required(fields, "schedule", "when its rounds begin")?;
                self.rounds(node, "`schedule`", false).map(Type::Rounds)
            }
            "StatusCheck" => {
                let aborts = fields.get("abortWithStatusCheck").map(|node| self.flag(node));
                let node = self.required(fields, "statusCheck", "what is asked")?;
                let check = self.status_check(node, "`statusCheck`")?;
                Some(Type::StatusCheck { check, aborts: aborts.unwrap_or(Some(false))? })
            }
            "Task" => self.task(fields, place).map(Type::Task),
            _ => {
                let key = chaos.iter().find(|(kind, _)| *kind == name).map_or("", |(_, key)| *key);
                if let Some(refusal) = refused::refusal(name) {
                    fields.get(key);
                    self.error(refusal.error(name, place));
                    return None;
                }
                let kind = KINDS.iter().find(|kind| kind.name == name)?;
                let spec = self.required(fields, key, &format!("what the {name} does"))?;
                if let Some(node) = spec.get("duration").filter(|node| !is_blank(node)) {
                    let message =
                        "within a workflow, how long a fault lasts is said by the `deadline` of its template";
                    self.error(ReadError::at(node.place, message).help("move it there"));
                }
                self.embedded(kind, spec).map(Type::Chaos)
            }
        }
    }
}

fn text_of(node: &Node) -> Option<String> {
    match &node.content {
        Content::Text(text) => Some(text.clone()),
        _ => None,
    }
}
