//! What a distribution says about itself: the core metadata of its `METADATA` file.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement};
use serde::{Deserialize, Serialize};
use url::Url;

use super::lenient;

/// The part of a distribution's metadata that resolving needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// What it depends on, as it lists it.
    pub requires_dist: Vec<Requirement<Url>>,
    /// The Python versions it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras it offers.
    pub provides_extras: Vec<ExtraName>,
}

/// Requirements read so far, by their text. Versions of one package repeat each other's requirements, and reading one
/// costs far more than finding it here.
#[derive(Debug, Default)]
pub(super) struct Memo(Mutex<HashMap<String, Requirement<Url>>>);

impl Memo {
    fn requirement(&self, text: &str) -> Result<Requirement<Url>, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(requirement) = known {
            return Ok(requirement);
        }
        let requirement = lenient::requirement(text)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(text.to_owned(), requirement.clone());
        Ok(requirement)
    }
}

impl Metadata {
    /// Reads a `METADATA` file: headers as in mail, up to the first empty line. The error says what is wrong.
    pub(super) fn parse(bytes: &[u8], memo: &Memo) -> Result<Self, String> {
        Self::read(&Record::from_headers(&String::from_utf8_lossy(bytes))?, memo)
    }

    /// Reads the metadata of a distribution that is installed somewhere. The error says what is wrong.
    pub fn of_installed(text: &str) -> Result<Self, String> {
        Self::parse(text.as_bytes(), &Memo::default())
    }

    /// Reads what [`Metadata::to_record`] wrote.
    pub(super) fn from_record(bytes: &[u8], memo: &Memo) -> Option<Self> {
        Self::read(&serde_json::from_slice(bytes).ok()?, memo).ok()
    }

    /// As the store keeps it.
    pub(super) fn to_record(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Record {
            name: self.name.to_string(),
            version: self.version.to_string(),
            requires_dist: self.requires_dist.iter().map(ToString::to_string).collect(),
            requires_python: self.requires_python.as_ref().map(ToString::to_string),
            provides_extras: self.provides_extras.iter().map(ToString::to_string).collect(),
        })
    }

    fn read(record: &Record, memo: &Memo) -> Result<Self, String> {
        let name = record.name.trim();
        let version = record.version.trim();
        Ok(Self {
            name: name.parse().map_err(|_| format!("`{}` is not a name", clipped(name)))?,
            version: version.parse().map_err(|_| format!("`{}` is not a version", clipped(version)))?,
            requires_dist: record
                .requires_dist
                .iter()
                .map(|text| memo.requirement(text).map_err(|error| format!("`{}`: {error}", clipped(text))))
                .collect::<Result<_, _>>()?,
            requires_python: match record.requires_python.as_deref().map(str::trim) {
                None | Some("") => None,
                Some(text) => Some(
                    lenient::specifiers(text)
                        .ok_or_else(|| format!("`Requires-Python: {}` is not readable", clipped(text)))?,
                ),
            },
            // A name that no requirement can ask for is of no use to anyone.
            provides_extras: record.provides_extras.iter().filter_map(|extra| extra.parse().ok()).collect(),
        })
    }
}

/// The fields as text.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    name: String,
    version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires_dist: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provides_extras: Vec<String>,
}

impl Record {
    fn from_headers(text: &str) -> Result<Self, String> {
        let (mut name, mut version) = (None, None);
        let mut record = Self::default();
        for (key, value) in Headers(text) {
            match key.to_ascii_lowercase().as_str() {
                "name" => _ = name.get_or_insert(value),
                "version" => _ = version.get_or_insert(value),
                "requires-dist" => record.requires_dist.push(value),
                "requires-python" => _ = record.requires_python.get_or_insert(value),
                "provides-extra" => record.provides_extras.push(value),
                _ => {}
            }
        }
        record.name = name.ok_or("it has no `Name`")?;
        record.version = version.ok_or("it has no `Version`")?;
        Ok(record)
    }
}

/// Iterates over headers, each with its continuation lines. Ends at the first line that is none.
struct Headers<'a>(&'a str);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, mut rest) = split_line(self.0);
        let (key, value) = line.split_once(':')?;
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let mut value = value.trim().to_owned();
        while rest.starts_with([' ', '\t']) {
            let (line, after) = split_line(rest);
            value.push(' ');
            value.push_str(line.trim());
            rest = after;
        }
        self.0 = rest;
        Some((key, value))
    }
}

/// The first line without its end, and what comes after it.
fn split_line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

/// The beginning of a text, for an error message.
fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Metadata, String> {
        Metadata::parse(text.as_bytes(), &Memo::default())
    }

    #[test]
    fn headers_are_read_up_to_the_body() {
        let metadata = parse(
            "Metadata-Version: 2.1\r\nName: Foo.Bar\r\nVersion: 1.0\r\nSummary: one\r\n  two\r\n\
             Requires-Python: >=3.8.*\r\nRequires-Dist: a (>=1)\r\nRequires-Dist: b ;\r\n extra == 'x'\r\n\
             Provides-Extra: x\r\n\r\nRequires-Dist: not-this\r\n",
        )
        .unwrap();
        assert_eq!(metadata.name.as_ref(), "foo-bar");
        assert_eq!(metadata.requires_python.unwrap().to_string(), ">=3.8");
        let requires: Vec<String> = metadata.requires_dist.iter().map(ToString::to_string).collect();
        assert_eq!(requires, ["a>=1", "b ; extra == 'x'"]);
        assert_eq!(metadata.provides_extras.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, what) in [
            ("", "no `Name`"),
            ("Name: a\n\nVersion: 1\n", "no `Version`"),
            ("Name: a/b\nVersion: 1\n", "`a/b` is not a name"),
            ("Name: a\nVersion: one\n", "`one` is not a version"),
            ("Name: a\nVersion: 1\nRequires-Dist: b >> 2\n", "`b >> 2`"),
            ("Name: a\nVersion: 1\nRequires-Python: three\n", "three"),
            ("\0\u{1}\u{ff}", "no `Name`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let memo = Memo::default();
        let metadata = parse(
            "Name: a\nVersion: 1\nRequires-Python: >=3.8\nProvides-Extra: x\n\
             Requires-Dist: b[c]>=1,<2 ; extra == 'x' and python_version < '3.9'\n\
             Requires-Dist: d @ https://host.example/d-1-py3-none-any.whl\n",
        )
        .unwrap();
        let record = metadata.to_record().unwrap();
        assert_eq!(Metadata::from_record(&record, &memo), Some(metadata));
        assert_eq!(Metadata::from_record(b"{}", &memo), None);
    }
}
