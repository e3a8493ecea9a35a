//! Values that can be known without running the code.

use crate::model::Origin;

const MAX_TEXT: usize = 64 * 1024;
/// How much text counts as one part of a value.
pub(super) const PART: usize = 64;

/// A known value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    None,
    /// A number or the like, of which only the type matters: its name.
    Other(&'static str),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<Entry>),
}

/// An entry of a dictionary, and where its key is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::None => "None",
            Self::Other(name) => name,
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
        }
    }

    /// Whether Python takes it for true; `None` where only its type is known.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Text(text) => Some(!text.is_empty()),
            Self::Bool(value) => Some(*value),
            Self::None => Some(false),
            Self::Dict(entries) => Some(!entries.is_empty()),
            Self::List(values) | Self::Tuple(values) => Some(!values.is_empty()),
            Self::Other(_) => None,
        }
    }

    /// Whether it is equal to another; `None` where that is not known.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one == other),
            (Self::Bool(one), Self::Bool(other)) => Some(one == other),
            (Self::None, Self::None) => Some(true),
            (Self::Other(_), _) | (_, Self::Other(_)) => None,
            _ if self.type_name() == other.type_name() => None,
            _ => Some(false),
        }
    }

    /// Whether it holds another, as `in` has it; `None` where that is not known.
    pub fn contains(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Dict(entries), Self::Text(key)) => Some(entries.iter().any(|entry| entry.key == *key)),
            (Self::Text(text), Self::Text(part)) => Some(text.contains(part.as_str())),
            (Self::List(values) | Self::Tuple(values), _) => {
                let mut found = Some(false);
                for value in values {
                    match value.equals(other) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => found = None,
                    }
                }
                found
            }
            _ => None,
        }
    }

    /// Its two elements, if it has as many.
    pub fn pair(self) -> Option<(Self, Self)> {
        let (Self::List(values) | Self::Tuple(values)) = self else { return None };
        <[Self; 2]>::try_from(values).ok().map(|[one, other]| (one, other))
    }

    /// How many parts it is made of.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => 1 + text.len() / PART,
            Self::Dict(entries) => 1 + entries.iter().map(|entry| entry.value.size()).sum::<usize>(),
            Self::List(values) | Self::Tuple(values) => 1 + values.iter().map(Self::size).sum::<usize>(),
            _ => 1,
        }
    }
}

/// Why a value cannot be known.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub origin: Origin,
    pub reason: String,
}

/// A name with its value.
pub(super) type Given = (String, Result<Value, Unknown>);

/// Names with their values that hide others: what a function, or an expression in it, binds.
#[derive(Clone, Copy)]
pub(super) struct Frame<'f> {
    pub names: &'f [Given],
    pub outer: Option<&'f Frame<'f>>,
}

impl<'f> Frame<'f> {
    pub fn get(&self, name: &str) -> Option<&'f Result<Value, Unknown>> {
        let here = self.names.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        here.or_else(|| self.outer.and_then(|outer| outer.get(name)))
    }
}

/// The value of a key.
pub(super) fn entry(
    entries: Vec<Entry>,
    key: &str,
    origin: impl FnOnce() -> Origin,
) -> Result<Value, Unknown> {
    match entries.into_iter().find(|entry| entry.key == key) {
        Some(entry) => Ok(entry.value),
        None => {
            let reason = format!("there is no key `{}`", key.escape_debug());
            Err(Unknown { origin: origin(), reason })
        }
    }
}

/// Puts an entry into a dictionary: a later value of a key replaces the earlier one in its place.
pub(super) fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => *known = entry,
        None => entries.push(entry),
    }
}

pub(super) fn bounded(text: String, origin: impl FnOnce() -> Origin) -> Result<Value, Unknown> {
    if text.len() > MAX_TEXT {
        return Err(Unknown { origin: origin(), reason: "the text is too long".to_owned() });
    }
    Ok(Value::Text(text))
}
