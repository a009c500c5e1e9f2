//! YAML with its lines: a tree in which every value knows where it stands.
//!
//! The parser bounds depth, aliases and size; a duplicate key is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::fault::{FieldPath, Step};

/// A value and its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line, from 1.
    pub line: u64,
    /// The value.
    pub data: Data,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Nothing, a truth value, a number or a text.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// An object: key, the key's line, value.
    Object(Vec<(String, u64, Node)>),
}

/// A text that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Where, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// Reads a stream of documents; empty ones are left out.
///
/// # Errors
/// The text is no YAML.
pub fn parse(text: &str) -> Result<Vec<Node>, YamlError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Spanned<Raw>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| YamlError {
            line: error
                .location()
                .map_or(1, |location| location.line().max(1)),
            message: one_line(&error.to_string()),
        })?;
    Ok(documents.into_iter().map(Node::from).collect())
}

/// The parser's words without its own line number, which is given beside them.
fn one_line(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    match first.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest.to_owned(),
        _ => first.to_owned(),
    }
}

impl Node {
    /// The field of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Object(fields) => fields.iter().find(|(k, _, _)| k == key).map(|(_, _, v)| v),
            Data::Scalar(_) | Data::List(_) => None,
        }
    }

    /// The field of an object, where it is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key).map(|node| &node.data) {
            Some(Data::Scalar(Value::String(text))) => Some(text),
            _ => None,
        }
    }

    /// The line of a field, or of the nearest one around it that is there.
    #[must_use]
    pub fn line_of(&self, path: &FieldPath) -> u64 {
        let mut line = self.line;
        let mut node = self;
        for step in path.steps() {
            let next = match (&node.data, step) {
                (Data::Object(fields), Step::Key(key)) => fields
                    .iter()
                    .find(|(k, _, _)| k == key)
                    .map(|(_, line, v)| (*line, v)),
                (Data::List(items), Step::Index(at)) => items.get(*at).map(|n| (n.line, n)),
                _ => None,
            };
            let Some(found) = next else { break };
            (line, node) = found;
        }
        line
    }

    /// The value without lines. A null is an absent field, as an API server takes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => items.iter().map(Self::to_json).collect(),
            Data::Object(fields) => {
                let present = fields.iter().filter(|(_, _, node)| !node.is_null());
                Value::Object(
                    present
                        .map(|(k, _, v)| (k.clone(), v.to_json()))
                        .collect::<Map<_, _>>(),
                )
            }
        }
    }

    /// Whether nothing is written here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.data == Data::Scalar(Value::Null)
    }
}

/// What the parser gives, before lines are taken out of its wrapper.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Object(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        let data = match raw.value {
            Raw::Scalar(value) => Data::Scalar(value),
            Raw::List(items) => Data::List(items.into_iter().map(Self::from).collect()),
            Raw::Object(fields) => {
                let located = |(key, value): (Spanned<String>, _)| {
                    (key.value, key.referenced.line(), Self::from(value))
                };
                Data::Object(fields.into_iter().map(located).collect())
            }
        };
        Self {
            line: raw.referenced.line(),
            data,
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value);
        number
            .map(|n| Raw::Scalar(n.into()))
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = entries.next_entry()? {
            fields.push(field);
        }
        Ok(Raw::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_knows_its_line() {
        let text = "# comment\nkind: A\nspec:\n  list:\n    - topic: a\n    - topic: b\n---\n---\nkind: B\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        let line = |path: &FieldPath| documents[0].line_of(path);
        assert_eq!(line(&FieldPath::of("kind")), 2);
        assert_eq!(line(&FieldPath::of("spec.list").index(1).key("topic")), 6);
        assert_eq!(line(&FieldPath::of("spec.list").index(7)), 4);
        assert_eq!(line(&FieldPath::of("spec.other.deeper")), 3);
        assert_eq!(documents[1].line_of(&FieldPath::of("kind")), 9);
    }

    #[test]
    fn scalars_have_the_types_that_kubectl_gives_them() {
        let [document] =
            parse("a: 1\nb: true\nc: \"1\"\nd: 1.5\ne:\nf: 2h\ng: -3\nh: \"\"\ni: []\n")
                .unwrap()
                .try_into()
                .unwrap();
        let document: Node = document;
        let expected =
            json!({"a": 1, "b": true, "c": "1", "d": 1.5, "f": "2h", "g": -3, "h": "", "i": []});
        assert_eq!(document.to_json(), expected);
    }

    #[test]
    fn broken_yaml_names_its_line() {
        for (text, line) in [
            ("a: 1\nb: [1, 2\n", 3),
            ("a: 1\n  b: 2\n", 2),
            ("a: 1\na: 2\n", 2),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.line.abs_diff(line) <= 1, "{text:?}: {error:?}");
            assert!(
                !error.message.is_empty() && !error.message.contains('\n'),
                "{error:?}"
            );
        }
    }
}
