//! YAML files whose values know their lines. Built on the parser's events, so that depth, size and aliases are bounded
//! and a key that occurs twice is seen.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::Error;
pub(super) use super::scalar::Type;
use super::scalar::{as_json, as_python, json_string, type_of};
use crate::model::Origin;

/// Limits that no configuration file of a person reaches.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 100_000;
/// How many bytes count as a value, where text is repeated by aliases.
const NODE_BYTES: usize = 256;

/// A value and the line it begins on.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub line: u32,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A scalar's text; `plain` if it was written without quotes, so that its type depends on what it looks like.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys and values in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The scalar's text and type; `None` if this is a list or a map.
    pub fn scalar(&self) -> Option<(&str, Type)> {
        match &self.value {
            Value::Scalar { text, plain } => Some((text, if *plain { type_of(text) } else { Type::Text })),
            _ => None,
        }
    }

    /// The text that Python makes of a scalar: `8` of `010`, but not of `"010"`.
    pub fn python_text(&self) -> Option<String> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(as_python(text)),
            Value::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        }
    }

    /// The text that Python's `json` makes of it once the platform's tool has sorted its keys; `None` where there is a
    /// date, of which it makes none.
    pub fn json(&self) -> Option<String> {
        Some(match &self.value {
            Value::Scalar { text, plain: true } => as_json(text)?,
            Value::Scalar { text, .. } => json_string(text),
            Value::List(list) => {
                let values: Option<Vec<String>> = list.iter().map(Self::json).collect();
                format!("[{}]", values?.join(", "))
            }
            Value::Map(entries) => {
                let mut entries: Vec<&(String, Self)> = entries.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                let values = entries.iter().map(|(key, node)| {
                    let key = json_string(key);
                    node.json().map(|value| format!("{key}: {value}"))
                });
                format!("{{{}}}", values.collect::<Option<Vec<String>>>()?.join(", "))
            }
        })
    }

    /// Whether nothing is here: no value, `null`, or an empty list or map.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar { .. } => self.scalar().is_some_and(|(_, kind)| kind == Type::Null),
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
        }
    }
}

/// A collection being read.
struct Open {
    anchor: usize,
    line: u32,
    value: Value,
    /// The key whose value comes next, and the keys seen, of a map.
    key: Option<String>,
    keys: BTreeSet<String>,
    /// Whether that key is `<<`, and the entries that such keys bring, which go before the map's own.
    merges: bool,
    merged: Vec<(String, Node)>,
}

/// Parses a file that holds one document. An empty one is an empty map.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Error> {
    let syntax = |line: u32, problem: String| Error::Syntax {
        origin: Origin::line(file, line),
        language: "YAML",
        problem,
    };
    let mut anchors: BTreeMap<usize, (Node, usize)> = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| syntax(line(error.marker().line()), error.info().to_owned()))?;
        let at = line(span.start.line());
        let (node, anchor, size) = match event {
            Event::MappingStart(anchor, _) | Event::SequenceStart(anchor, _) if open.len() >= MAX_DEPTH => {
                let _ = anchor;
                return Err(syntax(at, "it is nested too deeply".to_owned()));
            }
            Event::MappingStart(anchor, _) => {
                let value = Value::Map(Vec::new());
                open.push(Open::new(anchor, at, value));
                continue;
            }
            Event::SequenceStart(anchor, _) => {
                let value = Value::List(Vec::new());
                open.push(Open::new(anchor, at, value));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(closed) = open.pop() else { continue };
                let (anchor, node) = (closed.anchor, closed.finish());
                let size = if anchor == 0 { 0 } else { count(&node) };
                (node, anchor, size)
            }
            Event::Scalar(text, style, anchor, _) => {
                nodes += 1;
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let node = Node { line: at, value };
                let size = if anchor == 0 { 0 } else { count(&node) };
                (node, anchor, size)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = anchors.get(&anchor) else {
                    return Err(syntax(at, "an alias inside its own anchor".to_owned()));
                };
                nodes += size;
                if nodes > MAX_NODES || depth(node) + open.len() > MAX_DEPTH {
                    return Err(syntax(at, "aliases make it too large".to_owned()));
                }
                (node.clone(), 0, 0)
            }
            Event::DocumentStart(_) if root.is_some() => {
                return Err(syntax(at, "more than one document".to_owned()));
            }
            _ => continue,
        };
        if nodes > MAX_NODES {
            return Err(syntax(at, "it has too many values".to_owned()));
        }
        if anchor != 0 {
            anchors.insert(anchor, (node.clone(), size));
            nodes += size;
        }
        match open.last_mut() {
            None => root = Some(node),
            Some(parent) => parent.add(node).map_err(|problem| syntax(at, problem))?,
        }
    }
    Ok(root.filter(|node| !node.is_empty()).unwrap_or(Node { line: 1, value: Value::Map(Vec::new()) }))
}

impl Open {
    fn new(anchor: usize, line: u32, value: Value) -> Self {
        Self { anchor, line, value, key: None, keys: BTreeSet::new(), merges: false, merged: Vec::new() }
    }

    fn finish(self) -> Node {
        let value = match self.value {
            Value::Map(own) if !self.merged.is_empty() => {
                let mut entries: Vec<(String, Node)> = Vec::new();
                let mut places = BTreeMap::new();
                // Of one key the last value counts, in the place of the first.
                for (key, node) in self.merged.into_iter().chain(own) {
                    match places.get(&key) {
                        Some(&at) => {
                            let (_, known): &mut (String, Node) = &mut entries[at];
                            *known = node;
                        }
                        None => {
                            places.insert(key.clone(), entries.len());
                            entries.push((key, node));
                        }
                    }
                }
                Value::Map(entries)
            }
            value => value,
        };
        Node { line: self.line, value }
    }

    /// What `<<` brings: a map's entries, or those of several maps, of which the first counts most.
    fn merge(&mut self, node: Node) -> Result<(), String> {
        let maps = match node.value {
            Value::List(list) => list,
            value => vec![Node { line: node.line, value }],
        };
        for map in maps.into_iter().rev() {
            let Value::Map(entries) = map.value else {
                return Err("`<<` takes a mapping, or a list of mappings".to_owned());
            };
            self.merged.extend(entries);
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), String> {
        let entries = match &mut self.value {
            Value::List(list) => {
                list.push(node);
                return Ok(());
            }
            Value::Map(entries) => entries,
            Value::Scalar { .. } => return Ok(()),
        };
        match self.key.take() {
            Some(_) if self.merges => return self.merge(node),
            Some(key) => entries.push((key, node)),
            None => match node.value {
                Value::Scalar { text, plain } if self.keys.insert(text.clone()) => {
                    self.merges = plain && text == "<<";
                    self.key = Some(text);
                }
                Value::Scalar { text, .. } => {
                    return Err(format!("the key `{}` occurs twice", text.escape_debug()));
                }
                _ => return Err("a key must be a single value".to_owned()),
            },
        }
        Ok(())
    }
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// The size of a tree, in nodes; its depth is bounded.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { text, .. } => text.len() / NODE_BYTES,
        Value::List(list) => list.iter().map(count).sum(),
        Value::Map(map) => {
            map.iter().map(|(key, node)| 1 + key.len() / NODE_BYTES + count(node)).sum::<usize>()
        }
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines_and_types() {
        let node =
            parse("c.yml", "# head\na: 1.45\nb:\n  - x\n  - 'no'\nc: &c {d: yes}\ne: *c\nf: 3.13.5\ng:\n")
                .unwrap();
        let at = |key: &str| node.get(key).unwrap();
        assert_eq!((at("a").line, at("a").scalar()), (2, Some(("1.45", Type::Number))));
        assert_eq!(at("f").scalar(), Some(("3.13.5", Type::Text)));
        assert_eq!(at("e").get("d").unwrap().scalar(), Some(("yes", Type::Bool)));
        assert!(at("g").is_empty());
        let Value::List(list) = &at("b").value else { panic!() };
        assert_eq!((list[1].line, list[1].scalar()), (5, Some(("no", Type::Text))));
        assert!(parse("c.yml", "").unwrap().is_empty());
    }

    #[test]
    fn merge_keys_bring_the_entries_of_other_maps() {
        let text =
            "a: &a {x: '1', y: '2'}\nb: &b {x: '3', z: '4'}\nc:\n  y: '5'\n  <<: [*a, *b]\nd:\n  '<<': '6'\n";
        let node = parse("c.yml", text).unwrap();
        let entries = |key: &str| match &node.get(key).unwrap().value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| format!("{key}{}@{}", node.scalar().unwrap().0, node.line))
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(entries("c"), ["x1@1", "z4@2", "y5@4"]);
        assert_eq!(entries("d"), ["<<6@7"]);
    }

    #[test]
    fn broken_and_hostile_files_are_errors_with_a_line() {
        let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned())
            .chain((1..12).map(|n| {
                let alias = format!("*a{}", n - 1);
                format!("a{n}: &a{n} [{}]\n", vec![alias; 10].join(","))
            }))
            .collect();
        let heavy = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1000));
        let deep = "[".repeat(100_000);
        let blocks = format!("{}x", "- ".repeat(100_000));
        let many = format!("[{}]", "x,".repeat(200_000));
        for (text, line) in [
            ("a: 1\nb: [\n", 3),
            ("a: 1\nb: 2\na: 3\n", 3),
            ("a: 1\n---\nb: 1\n", 2),
            ("x:\n  ? [a]\n  : b\n", 2),
            ("a: &a [*a]\n", 1),
            ("a: *nope\n", 1),
            ("x: 1\ny: \"open\n", 2),
            ("a:\n\t- b", 2),
            ("a:\n  <<: x", 2),
            (&bomb, 5),
            (&heavy, 2),
            (&deep, 1),
            (&blocks, 1),
            (&many, 1),
        ] {
            let shown: String = text.chars().take(40).collect();
            match parse("c.yml", text) {
                Err(Error::Syntax { origin, .. }) => assert_eq!(origin.line, Some(line), "{shown:?}"),
                other => panic!("{shown:?}: {other:?}"),
            }
        }
    }
}
