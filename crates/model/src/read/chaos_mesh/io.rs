//! `IOChaos`: files that answer late, wrongly or not at all.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, Entries, entry};
use super::{Chaos, Kind, Strike};
use crate::node::{Content, Node, Place};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "IOChaos", embedded: "ioChaos", read };

const ACTIONS: [&str; 4] = ["latency", "fault", "attrOverride", "mistake"];
const METHODS: [&str; 32] = [
    "lookup",
    "forget",
    "getattr",
    "setattr",
    "readlink",
    "mknod",
    "mkdir",
    "unlink",
    "rmdir",
    "symlink",
    "rename",
    "link",
    "open",
    "read",
    "write",
    "flush",
    "release",
    "fsync",
    "opendir",
    "readdir",
    "releasedir",
    "fsyncdir",
    "statfs",
    "setxattr",
    "getxattr",
    "listxattr",
    "removexattr",
    "access",
    "create",
    "getlk",
    "setlk",
    "bmap",
];
const KINDS_OF_FILES: [&str; 7] =
    ["namedPipe", "charDevice", "blockDevice", "directory", "regularFile", "symlink", "socket"];
/// Errors of Linux by their numbers (`errno(3)`, asm-generic).
const ERRORS: [(i64, &str); 37] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (61, "ENODATA"),
    (110, "ETIMEDOUT"),
    (122, "EDQUOT"),
];

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let pods = translator.containers(fields);
    let action = translator
        .required(fields, "action", "latency, fault, attrOverride or mistake")
        .and_then(|node| Some((translator.word(node, "action", &ACTIONS)?, node.place)));
    let place = action.map_or(fields.place, |(_, place)| place);
    let which = translator.which_files(fields);
    let harm = translator.harm_of_files(fields, action.map(|(action, _)| action), place);
    let (((action, place), pods), (which, harm)) = action.zip(pods).zip(which.zip(harm))?;
    let fault = match action {
        "latency" => "storage.latency",
        "fault" => "storage.error",
        "attrOverride" => "storage.attribute",
        _ => "storage.mistake",
    };
    let with = harm.into_iter().chain(which).collect();
    Some(Chaos {
        strikes: vec![Strike { fault, place, target: pods.node(), with }],
        once: false,
        lasts: None,
    })
}

impl Translator<'_> {
    /// Which files and operations are meant, and how often.
    fn which_files(&mut self, fields: &mut Fields<'_>) -> Option<Entries> {
        let volume = self.required(fields, "volumePath", "where the volume is mounted").and_then(|node| {
            let path = self.text(node)?;
            if !path.starts_with('/') {
                let message = format!("`volumePath` is an absolute path, and this is {path:?}");
                self.error(ReadError::at(node.place, message));
                return None;
            }
            Some(node.clone())
        });
        let path = self.optional_text(fields, "path");
        let methods: Vec<Option<Node>> = self
            .optional_texts(fields, "methods")
            .into_iter()
            .map(|node| {
                // The manual of Chaos Mesh writes them in capitals, its code does not.
                let lower = match &node.content {
                    Content::Text(text) => make::text(text.to_ascii_lowercase(), node.place),
                    _ => node,
                };
                self.word(&lower, "method", &METHODS).map(|_| lower)
            })
            .collect();
        let methods = methods.into_iter().collect::<Option<Vec<Node>>>();
        let percent = self.optional_whole(fields, "percent", (0, 100));
        let mut which = vec![entry("volume", volume?)];
        if let Some(path) = path {
            let place = path.place;
            which.push(entry("paths", make::list(vec![path], place)));
        }
        let methods = methods?;
        if !methods.is_empty() {
            which.push(entry("operations", make::list(methods, fields.key_place("methods"))));
        }
        if let Some((percent, place)) = percent {
            which.push(entry("probability", make::percent(percent as f64, place)));
        }
        Some(which)
    }

    fn harm_of_files(
        &mut self,
        fields: &mut Fields<'_>,
        action: Option<&str>,
        place: Place,
    ) -> Option<Entries> {
        let delay =
            fields.get("delay").filter(|node| !super::form::is_blank(node)).map(|node| self.span(node));
        let errno = fields.get("errno").map(|node| self.errno(node));
        let attributes = fields.get("attr").map(|node| self.attributes(node));
        let mistake = fields.get("mistake").map(|node| self.mistake(node));
        let needed = match action? {
            "latency" => ("delay", delay.map(|delay| Some(vec![entry("delay", delay?.node())]))),
            "fault" => ("errno", errno.map(|errno| Some(vec![entry("errno", errno?)]))),
            "attrOverride" => ("attr", attributes.map(|node| Some(vec![entry("attributes", node?)]))),
            _ => ("mistake", mistake),
        };
        let others = ["delay", "errno", "attr", "mistake"].into_iter().filter(|name| *name != needed.0);
        let others: Vec<&str> = others.collect();
        self.pass_over(fields, &others, "this action");
        if needed.1.is_none() {
            let message = format!("`{}` is missing: this action needs it", needed.0);
            self.error(ReadError::at(place, message));
        }
        needed.1?
    }

    fn errno(&mut self, node: &Node) -> Option<Node> {
        let number = self.whole(node, 1, 4095)?;
        let name = ERRORS.iter().find(|(known, _)| *known == number);
        Some(name.map_or_else(|| node.clone(), |(_, name)| make::text(*name, node.place)))
    }

    fn attributes(&mut self, node: &Node) -> Option<Node> {
        let mut fields = self.reader.fields(node, "`attr`")?;
        let mut entries = Entries::new();
        let u32_max = i64::from(u32::MAX);
        for (name, most) in [
            ("ino", i64::MAX),
            ("size", i64::MAX),
            ("blocks", i64::MAX),
            ("perm", 0o7777),
            ("nlink", u32_max),
            ("uid", u32_max),
            ("gid", u32_max),
            ("rdev", u32_max),
        ] {
            if let Some((number, place)) = self.optional_whole(&mut fields, name, (0, most)) {
                entries.push(entry(name, make::whole(number, place)));
            }
        }
        for name in ["atime", "mtime", "ctime"] {
            if let Some(node) = fields.get(name)
                && self.timespec(node).is_some()
            {
                entries.push(entry(name, node.clone()));
            }
        }
        if let Some(node) = fields.get("kind")
            && self.word(node, "kind of file", &KINDS_OF_FILES).is_some()
        {
            entries.push(entry("kind", node.clone()));
        }
        fields.finish(&mut self.reader);
        if entries.is_empty() {
            self.error(
                ReadError::at(node.place, "`attr` names no attribute").help("such as `attr: {perm: 72}`"),
            );
            return None;
        }
        Some(make::map(entries, node.place))
    }

    fn timespec(&mut self, node: &Node) -> Option<()> {
        let mut fields = self.reader.fields(node, "a time")?;
        let seconds = self
            .required(&mut fields, "sec", "seconds since 1970")
            .and_then(|node| self.whole(node, i64::MIN, i64::MAX));
        let rest = self
            .required(&mut fields, "nsec", "nanoseconds")
            .and_then(|node| self.whole(node, 0, 999_999_999));
        fields.finish(&mut self.reader);
        seconds.zip(rest).map(drop)
    }

    fn mistake(&mut self, node: &Node) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`mistake`")?;
        let filling = self
            .optional_text(&mut fields, "filling")
            .map(|node| self.word(&node, "filling", &["zero", "random"]).map(|_| node));
        let mut with = Entries::new();
        for (theirs, ours) in [("maxOccurrences", "occurrences"), ("maxLength", "length")] {
            if let Some((number, place)) = self.optional_whole(&mut fields, theirs, (1, i64::MAX)) {
                with.push(entry(ours, make::whole(number, place)));
            }
        }
        fields.finish(&mut self.reader);
        if let Some(filling) = filling {
            with.insert(0, entry("filling", filling?));
        }
        if with.is_empty() && matches!(&node.content, Content::Map(entries) if entries.is_empty()) {
            self.error(
                ReadError::at(node.place, "`mistake` says nothing")
                    .help("such as `mistake: {filling: zero}`"),
            );
            return None;
        }
        Some(with)
    }
}
