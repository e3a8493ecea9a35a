//! What a distribution says about itself: the core metadata of its `METADATA` file.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Crc;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement};
use url::Url;

use super::lenient;
use super::typed::{Reader, put_number, put_requirement, put_specifiers, put_text, put_version};

/// The part of a distribution's metadata that resolving needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// What it depends on, as it lists it.
    pub requires_dist: Vec<Arc<Requirement<Url>>>,
    /// The Python versions it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras it offers.
    pub provides_extras: Vec<ExtraName>,
}

/// Requirements read so far, by their text and by their packed form. Versions of one package repeat each other's
/// requirements, and reading one costs far more than finding it here.
#[derive(Debug, Default)]
pub(super) struct Memo {
    texts: Known<String>,
    packed: Known<Box<[u8]>>,
}

type Known<K> = Mutex<HashMap<K, Arc<Requirement<Url>>>>;

impl Memo {
    fn requirement(&self, text: &str) -> Result<Arc<Requirement<Url>>, String> {
        found(&self.texts, text, || lenient::requirement(text))
    }

    fn unpacked(&self, bytes: &[u8]) -> Option<Arc<Requirement<Url>>> {
        found(&self.packed, bytes, || Reader { bytes }.requirement().ok_or(())).ok()
    }
}

/// What is known for a key, or else is read now.
fn found<K, Q, E>(
    known: &Known<K>,
    key: &Q,
    read: impl FnOnce() -> Result<Requirement<Url>, E>,
) -> Result<Arc<Requirement<Url>>, E>
where
    K: Borrow<Q> + for<'q> From<&'q Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(requirement) = known.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
        return Ok(Arc::clone(requirement));
    }
    let requirement = Arc::new(read()?);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(K::from(key), Arc::clone(&requirement));
    Ok(requirement)
}

impl Metadata {
    /// Reads the metadata of a distribution that is installed somewhere. The error says what is wrong.
    pub fn of_installed(text: &str) -> Result<Self, String> {
        Self::parse(text.as_bytes(), &Memo::default())
    }

    /// Reads a `METADATA` file: headers as in mail, up to the first empty line. The error says what is wrong.
    pub(super) fn parse(bytes: &[u8], memo: &Memo) -> Result<Self, String> {
        let headers = Fields::of(&String::from_utf8_lossy(bytes))?;
        let (name, version) = (headers.name.trim(), headers.version.trim());
        let read =
            |text: &String| memo.requirement(text).map_err(|error| format!("`{}`: {error}", clipped(text)));
        Ok(Self {
            name: name.parse().map_err(|_| format!("`{}` is not a name", clipped(name)))?,
            version: version.parse().map_err(|_| format!("`{}` is not a version", clipped(version)))?,
            requires_dist: headers.requires_dist.iter().map(read).collect::<Result<_, _>>()?,
            requires_python: match headers.requires_python.as_deref().map(str::trim) {
                None | Some("") => None,
                Some(text) => Some(
                    lenient::specifiers(text)
                        .ok_or_else(|| format!("`Requires-Python: {}` is not readable", clipped(text)))?,
                ),
            },
            // A name that no requirement can ask for is of no use to anyone.
            provides_extras: headers.provides_extras.iter().filter_map(|extra| extra.parse().ok()).collect(),
        })
    }

    /// The first field in which another reading of the same distribution's metadata says something else, with what it is here
    /// and there.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let python = |metadata: &Self| metadata.requires_python.as_ref().map(ToString::to_string);
        fn texts<T: ToString>(all: &[T]) -> BTreeSet<String> {
            all.iter().map(ToString::to_string).collect()
        }
        let fields = [
            ("Requires-Dist", texts(&self.requires_dist), texts(&other.requires_dist)),
            ("Requires-Python", python(self).into_iter().collect(), python(other).into_iter().collect()),
            ("Provides-Extra", texts(&self.provides_extras), texts(&other.provides_extras)),
        ];
        fields.into_iter().find(|(_, here, there)| here != there).map(|(field, here, there)| {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                let only: Vec<String> =
                    these.difference(those).map(|text| format!("`{}`", clipped(text))).collect();
                if only.is_empty() { "nothing".to_owned() } else { only.join(", ") }
            };
            (field, only(&here, &there), only(&there, &here))
        })
    }

    /// As the store keeps it.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, self.name.as_ref());
        put_version(&mut out, &self.version);
        out.push(u8::from(self.requires_python.is_some()));
        if let Some(specifiers) = &self.requires_python {
            put_specifiers(&mut out, specifiers);
        }
        put_number(&mut out, self.provides_extras.len() as u64);
        self.provides_extras.iter().for_each(|extra| put_text(&mut out, extra.as_ref()));
        put_number(&mut out, self.requires_dist.len() as u64);
        let mut packed = Vec::new();
        for requirement in &self.requires_dist {
            packed.clear();
            put_requirement(&mut packed, requirement);
            put_number(&mut out, packed.len() as u64);
            out.extend_from_slice(&packed);
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads what [`Metadata::to_record`] wrote.
    pub(super) fn from_record(bytes: &[u8], memo: &Memo) -> Option<Self> {
        let (bytes, sum) = bytes.split_last_chunk()?;
        if checksum(bytes) != *sum {
            return None;
        }
        let mut reader = Reader { bytes };
        let (name, version) = (reader.text()?.parse().ok()?, reader.version()?);
        let requires_python = if reader.byte()? == 0 { None } else { Some(reader.specifiers()?) };
        let provides_extras =
            (0..reader.len()?).map(|_| reader.text()?.parse().ok()).collect::<Option<_>>()?;
        let mut requires_dist = Vec::with_capacity(reader.len()?);
        for _ in 0..requires_dist.capacity() {
            let len = reader.len()?;
            requires_dist.push(memo.unpacked(reader.take(len)?)?);
        }
        Some(Self { name, version, requires_dist, requires_python, provides_extras })
    }
}

/// What tells a record from one that a disk has damaged.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The fields of a `METADATA` file as text.
#[derive(Debug, Default)]
struct Fields {
    name: String,
    version: String,
    requires_dist: Vec<String>,
    requires_python: Option<String>,
    provides_extras: Vec<String>,
}

impl Fields {
    fn of(text: &str) -> Result<Self, String> {
        let (mut name, mut version) = (None, None);
        let mut fields = Self::default();
        for (key, value) in Headers(text) {
            match key.to_ascii_lowercase().as_str() {
                "name" => _ = name.get_or_insert(value),
                "version" => _ = version.get_or_insert(value),
                "requires-dist" => fields.requires_dist.push(value),
                "requires-python" => _ = fields.requires_python.get_or_insert(value),
                "provides-extra" => fields.provides_extras.push(value),
                _ => {}
            }
        }
        fields.name = name.ok_or("it has no `Name`")?;
        fields.version = version.ok_or("it has no `Version`")?;
        Ok(fields)
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
        let record = metadata.to_record();
        assert_eq!(Metadata::from_record(&record, &memo), Some(metadata));
        for broken in [&b"{}"[..], b"", &record[1..], &record[..record.len() - 1]] {
            assert_eq!(Metadata::from_record(broken, &memo), None);
        }
        for at in 0..record.len() {
            let mut broken = record.clone();
            broken[at] ^= 0x10;
            assert_eq!(Metadata::from_record(&broken, &memo), None);
        }
    }
}
