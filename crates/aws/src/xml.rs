//! Answers in XML, as EC2, Auto Scaling and CloudWatch give them, as a tree.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// An element: its name without a prefix, its text, what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

/// Deeper than AWS ever answers; what is deeper is not read.
const DEEPEST: usize = 64;

impl Element {
    /// Reads a whole text.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut open = vec![Self::default()];
        let wrong = || "it is not XML".to_owned();
        for token in Tokenizer::from(text) {
            match token.map_err(|error| format!("it is not XML: {error}"))? {
                Token::ElementStart { local, .. } => {
                    if open.len() > DEEPEST {
                        return Err("it is nested too deeply".to_owned());
                    }
                    open.push(Self { name: local.as_str().to_owned(), ..Self::default() });
                }
                Token::ElementEnd { end: ElementEnd::Empty, .. } => close(&mut open).ok_or_else(wrong)?,
                Token::ElementEnd { end: ElementEnd::Close(_, name), .. } => {
                    if open.last().is_none_or(|last| last.name != name.as_str()) {
                        return Err(wrong());
                    }
                    close(&mut open).ok_or_else(wrong)?;
                }
                Token::Text { text } => {
                    let last = open.last_mut().ok_or_else(wrong)?;
                    last.text.push_str(&unescaped(text.as_str()));
                }
                Token::Cdata { text, .. } => open.last_mut().ok_or_else(wrong)?.text.push_str(text.as_str()),
                _ => {}
            }
        }
        match <[Self; 1]>::try_from(open) {
            Ok([root]) => root.children.into_iter().next().ok_or_else(wrong),
            Err(_) => Err("it ends too early".to_owned()),
        }
    }

    /// The first child of a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text at the end of a path; none where it is not there or empty.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&str> {
        let found = path.iter().try_fold(self, |element, name| element.child(name))?;
        Some(found.text.trim()).filter(|text| !text.is_empty())
    }

    /// The same as a text of its own, empty where it is not there.
    pub(crate) fn text_at(&self, path: &[&str]) -> String {
        self.at(path).unwrap_or_default().to_owned()
    }

    /// The items of a list at the end of a path: `item` with EC2, `member` elsewhere.
    pub(crate) fn items<'e>(&'e self, path: &[&str]) -> impl Iterator<Item = &'e Self> {
        let found = path.iter().try_fold(self, |element, name| element.child(name));
        let items = found.into_iter().flat_map(|list| &list.children);
        items.filter(|item| ["item", "member"].contains(&item.name.as_str()))
    }

    /// The first element of a name, however deep.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name { Some(self) } else { self.children.iter().find_map(|child| child.find(name)) }
    }
}

/// The innermost open element goes to the one around it.
fn close(open: &mut Vec<Element>) -> Option<()> {
    let done = open.pop()?;
    open.last_mut()?.children.push(done);
    Some(())
}

/// Character references (XML 1.0, section 4.1) as what they stand for.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find(';') else { break };
        match character(&rest[1..end]) {
            Some(letter) => plain.push(letter),
            None => plain.push_str(&rest[..=end]),
        }
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    plain
}

fn character(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
            char::from_u32(hexadecimal.unwrap_or_else(|| number.parse()).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_tree() {
        let text = "<?xml version=\"1.0\"?>\n<!-- x --><a:Answer xmlns=\"u\"><set><item><id> i-1 </id><t>a &lt;&amp;&#x41; b</t>\
                    </item><item/></set><empty/><c><![CDATA[<x>]]></c></a:Answer>";
        let root = Element::read(text).unwrap();
        assert_eq!(root.name, "Answer");
        let items: Vec<_> = root.items(&["set"]).collect();
        assert_eq!(
            (items.len(), items[0].at(&["id"]), items[0].at(&["t"])),
            (2, Some("i-1"), Some("a <&A b"))
        );
        assert_eq!(
            (root.at(&["empty"]), root.at(&["no", "such"]), root.at(&["c"])),
            (None, None, Some("<x>"))
        );
        assert_eq!(root.find("id").unwrap().text, " i-1 ");
    }

    #[test]
    fn what_is_torn_is_no_answer() {
        for text in ["", "no", "<a><b></a>", "<a>", "{\"a\": 1}", &"<a>".repeat(10_000)] {
            assert!(Element::read(text).is_err(), "{text:.20}");
        }
    }
}
