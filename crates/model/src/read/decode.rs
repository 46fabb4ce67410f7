//! From a tree to typed values, by serde, so that every mistake points at the exact place: an unknown field at its
//! name, a wrong value at the value, a missing field at the map that lacks it.
//!
//! Types that buffer what they read (`flatten`, `untagged`, internally tagged enums) lose the places inside; their
//! mistakes point at the whole value.

use super::{ReadError, nearest, scalar};
use crate::node::{Content, Key, Node, Place};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Reads a typed value out of a tree.
///
/// # Errors
/// The first value that does not fit, at its place.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, ReadError> {
    T::deserialize(Tree(node)).map_err(|mistake| mistake.at(node.place).into_read_error())
}

/// A mistake that learns its place on the way out.
#[derive(Debug)]
struct Mistake {
    place: Option<Place>,
    message: String,
    label: String,
    help: Option<String>,
}

impl Mistake {
    fn new(message: String) -> Self {
        Self { place: None, message, label: String::new(), help: None }
    }

    /// The innermost place counts.
    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn into_read_error(self) -> ReadError {
        let place = self.place.unwrap_or_default();
        ReadError { place, message: self.message, label: self.label, help: self.help }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = plain_words(&expected.to_string());
        let found = found_words(&found);
        Self {
            label: format!("expected {expected}"),
            ..Self::new(format!("expected {expected}, found {found}"))
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {length} values", plain_words(&expected.to_string())))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self {
            label: "not known here".to_owned(),
            help: Some(nearest::advice(name, known)),
            ..Self::new(format!("unknown key `{name}`"))
        }
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self {
            label: "not known here".to_owned(),
            help: Some(nearest::advice(name, known)),
            ..Self::new(format!("unknown value `{name}`"))
        }
    }

    fn missing_field(name: &'static str) -> Self {
        Self { label: format!("`{name}` must be given"), ..Self::new(format!("`{name}` is missing")) }
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(format!("`{name}` is given twice"))
    }
}

/// What serde calls a type, in the words of a file.
fn plain_words(expected: &str) -> String {
    let range = |least: &dyn fmt::Display, most: &dyn fmt::Display| {
        format!("a whole number between {least} and {most}")
    };
    match expected {
        "a string" | "str" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" | "map" => "a map".to_owned(),
        "unit" => "nothing".to_owned(),
        "u8" => range(&0, &u8::MAX),
        "u16" => range(&0, &u16::MAX),
        "u32" => range(&0, &u32::MAX),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        "u64" | "usize" | "u128" => "a whole number, not negative".to_owned(),
        "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a character" => "a single character".to_owned(),
        _ if expected.starts_with("struct ") => "a map".to_owned(),
        _ if expected.starts_with("tuple ") || expected.starts_with("a tuple ") => "a list".to_owned(),
        _ if expected.starts_with("a nonzero ") => {
            format!("{}, and not 0", plain_words(expected.trim_start_matches("a nonzero ")))
        }
        _ => expected.to_owned(),
    }
}

fn found_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// A node as serde sees it.
#[derive(Clone, Copy)]
struct Tree<'n>(&'n Node);

impl<'n> Tree<'n> {
    fn unexpected(self) -> Unexpected<'n> {
        match &self.0.content {
            Content::Null => Unexpected::Unit,
            Content::Bool(value) => Unexpected::Bool(*value),
            Content::Integer(number) => Unexpected::Signed(*number),
            Content::Float(number) => Unexpected::Float(*number),
            Content::Text(text) => Unexpected::Str(text),
            Content::List(_) => Unexpected::Seq,
            Content::Map(_) => Unexpected::Map,
        }
    }
}

/// Where a number or a yes or no is wanted, a text that reads as one is one: what is secret is always a text.
macro_rules! as_scalar {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            let read = match &self.0.content {
                Content::Text(text) => scalar::resolve(text).ok(),
                _ => None,
            };
            match read {
                Some(content @ (Content::Integer(_) | Content::Float(_) | Content::Bool(_))) => {
                    Tree(&Node { content, place: self.0.place }).deserialize_any(visitor)
                }
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Tree<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Content::Float(number) => visitor.visit_f64(*number),
            Content::Text(text) => visitor.visit_str(text),
            Content::List(items) => visitor.visit_seq(Items(items.iter())),
            Content::Map(entries) => visitor.visit_map(Pairs { rest: entries.iter(), value: None }),
        }
        .map_err(|mistake| mistake.at(self.0.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|mistake| mistake.at(self.0.place))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let result = self.deserialize_any(visitor);
        if let Content::Integer(_) | Content::Float(_) | Content::Bool(_) = self.0.content {
            return result.map_err(|mut mistake| {
                mistake.help.get_or_insert_with(|| "put it in quotes if it is a text".to_owned());
                mistake
            });
        }
        result
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self).map_err(|mistake| mistake.at(self.0.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let wanted = || format!("expected one of {}", nearest::list(variants));
        let result = match &self.0.content {
            Content::Text(name) => visitor.visit_enum(Variant { name, place: self.0.place, value: None }),
            Content::Map(entries) => match entries.as_slice() {
                [(key, value)] => {
                    visitor.visit_enum(Variant { name: &key.name, place: key.place, value: Some(value) })
                }
                [] => Err(Mistake::new(wanted())),
                [_, (second, _), ..] => {
                    // An unknown key beside a known one is the likelier slip than two known ones.
                    let unknown = entries.iter().find(|(key, _)| !variants.contains(&key.name.as_str()));
                    Err(match unknown {
                        Some((key, _)) => {
                            <Mistake as de::Error>::unknown_field(&key.name, variants).at(key.place)
                        }
                        None => Mistake::new(format!("only one can be given: {}", wanted())).at(second.place),
                    })
                }
            },
            _ => {
                let words = format!("{}, found {}", wanted(), found_words(&self.unexpected()));
                Err(Mistake::new(words))
            }
        };
        result.map_err(|mistake| mistake.at(self.0.place))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.content {
            Content::Map(_) => self.deserialize_any(visitor),
            // A struct would also take its fields as a list, in an order that no file tells.
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a map")),
        }
        .map_err(|mistake: Mistake| mistake.at(self.0.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if self.0.content == Content::Null {
            // Parameters that were left away are an empty map, which tells what is missing from it.
            let nothing = Pairs { rest: [].iter(), value: None };
            return visitor.visit_map(nothing).map_err(|mistake| mistake.at(self.0.place));
        }
        self.deserialize_map(visitor)
    }

    as_scalar! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct seq tuple
        tuple_struct identifier ignored_any
    }
}

struct Items<'n>(std::slice::Iter<'n, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        self.0
            .next()
            .map(|node| seed.deserialize(Tree(node)).map_err(|mistake| mistake.at(node.place)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Pairs<'n> {
    rest: std::slice::Iter<'n, (Key, Node)>,
    value: Option<&'n Node>,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let name: StrDeserializer<'_, Mistake> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|mistake| mistake.at(key.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let value = self
            .value
            .take()
            .ok_or_else(|| Mistake::new("a value was asked for before its key".to_owned()))?;
        seed.deserialize(Tree(value)).map_err(|mistake| mistake.at(value.place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// One of an enum's variants: a text alone, or a map of one entry.
struct Variant<'n> {
    name: &'n str,
    place: Place,
    value: Option<&'n Node>,
}

impl<'n> Variant<'n> {
    fn value(&self) -> Result<Tree<'n>, Mistake> {
        self.value.map(Tree).ok_or_else(|| {
            Mistake::new(format!("`{}` needs a value: {{{}: …}}", self.name, self.name)).at(self.place)
        })
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mistake> {
        let name: StrDeserializer<'_, Mistake> = self.name.into_deserializer();
        let chosen = seed.deserialize(name).map_err(|mistake| mistake.at(self.place))?;
        Ok((chosen, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.value {
            None => Ok(()),
            Some(node) => Err(Mistake::new(format!("`{}` takes no value", self.name)).at(node.place)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        let tree = self.value()?;
        seed.deserialize(tree).map_err(|mistake| mistake.at(tree.0.place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.value()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.value()?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use crate::target::{Mode, Target};
    use crate::units::{Duration, Share, Size};
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        delay: Duration,
        #[serde(default)]
        probability: Option<Share>,
        #[serde(default)]
        port: Option<u16>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        list: Vec<Size>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        mode: Option<Mode>,
        #[serde(default)]
        target: Option<Target>,
        #[serde(default)]
        anything: serde_json::Value,
    }

    #[test]
    fn values_are_read() {
        let text = "{delay: 100ms, probability: 0.5, port: 80, name: x, list: [1KiB, 2MB], headers: {a: b}, \
                    mode: fixed-percent, target: {process: {pid: 7}}, anything: [1, {x: -2.5}, null]}";
        let parameters: Parameters = decode(&yaml::parse(text).unwrap()).unwrap();
        assert_eq!(parameters.delay, Duration::milliseconds(100));
        assert_eq!(parameters.list, [Size(1024), Size(2_000_000)]);
        assert_eq!(parameters.headers["a"], "b");
        assert_eq!(parameters.mode, Some(Mode::FixedPercent));
        assert!(matches!(parameters.target, Some(Target::Process(selector)) if selector.pid == Some(7)));
        assert_eq!(parameters.anything, serde_json::json!([1, {"x": -2.5}, null]));
        assert_eq!((parameters.port, parameters.name.as_deref()), (Some(80), Some("x")));
    }

    #[test]
    fn a_text_that_reads_as_a_number_is_one_where_a_number_is_wanted() {
        let text = "{delay: 1s, port: '80', name: '80'}";
        let parameters: Parameters = decode(&yaml::parse(text).unwrap()).unwrap();
        assert_eq!((parameters.port, parameters.name.as_deref()), (Some(80), Some("80")));
    }

    #[test]
    fn mistakes_point_at_the_innermost_place() {
        for (text, words, at) in [
            (
                "{dealy: 1s}",
                "unknown key `dealy` (not known here); did you mean `delay`? known: `delay`, `prob",
                "dealy",
            ),
            ("{port: 1}", "`delay` is missing", "{port: 1}"),
            ("{delay: 100}", "\"100\" is not a duration, such as 250us, 100ms", "100"),
            (
                "{delay: [1]}",
                "expected a duration, such as 250us, 100ms, 30s, 5m or 1h30m, found a list",
                "[1]",
            ),
            ("{delay: 1s, probability: 150%}", "\"150%\" is not a share between 0 and 1", "150%"),
            (
                "{delay: 1s, port: 70000}",
                "expected a whole number between 0 and 65535, found the number 70000",
                "70000",
            ),
            ("{delay: 1s, port: -1}", "between 0 and 65535, found the number -1", "-1"),
            ("{delay: 1s, port: x}", "found the text \"x\"", "x"),
            (
                "{delay: 1s, name: 5}",
                "expected a text, found the number 5 (expected a text); put it in quotes",
                "5",
            ),
            ("{delay: 1s, list: [1KiB, 2]}", "\"2\" is not a size", "2"),
            ("{delay: 1s, list: 2KiB}", "expected a list, found the text", "2KiB"),
            ("{delay: 1s, headers: {a: [x]}}", "expected a text, found a list", "[x]"),
            (
                "{delay: 1s, mode: fixd}",
                "unknown value `fixd` (not known here); did you mean `fixed`?",
                "fixd",
            ),
            ("{delay: 1s, mode: [one]}", "expected one of `one`, `all`", "[one]"),
            ("{delay: 1s, target: {proces: {}}}", "did you mean `process`?", "proces"),
            ("{delay: 1s, target: {process: {nam: x}}}", "did you mean `name`?", "nam"),
            ("{delay: 1s, target: {process: {port: x}}}", "between 0 and 65535", "x"),
            ("{delay: 1s, target: process}", "`process` needs a value", "process"),
            ("{delay: 1s, target: {process: {}, host: true}}", "only one can be given", "host"),
            ("{delay: 1s, target: {}}", "expected one of `process`", "{}"),
            ("[1]", "expected a map, found a list", "[1]"),
            ("{delay: 1s, list: [~]}", "expected a size, such as 64KiB, 512MiB or 10MB, found nothing", "~"),
            ("~", "`delay` is missing", "~"),
        ] {
            let error = decode::<Parameters>(&yaml::parse(text).unwrap()).expect_err(text);
            assert!(error.to_string().contains(words), "{text}: {error}");
            assert_eq!(&text[error.place.start..error.place.end], at, "{text}: {error}");
        }
    }
}
