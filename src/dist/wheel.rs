//! Wheels: the archive with its metadata read and checked (the binary distribution format specification).

use std::collections::HashMap;
use std::fs::File;

use super::entry_points::{self, EntryPoint};
use super::error::{Error, Flaw, printable};
use super::record::{self, Row};
use super::zip::{Archive, Inflater};
use crate::model::{Digest, PackageName, Version, WheelName};

/// The most bytes RECORD may have.
const MAX_RECORD: u64 = 64 << 20;
/// The most bytes any other metadata file may have.
const MAX_METADATA: u64 = 1 << 20;

/// What the name of the metadata directory ends with.
const SUFFIX: &str = ".dist-info";

/// A wheel whose metadata has been read. RECORD agrees with the archive on which files there are and how long they
/// are; that their hashes agree too is checked by whoever unpacks them.
#[derive(Debug)]
pub struct Wheel {
    pub(super) archive: Archive,
    pub(super) name: PackageName,
    /// The directory of the metadata.
    pub(super) dist_info: String,
    /// The directory of files that belong elsewhere than in `site-packages`.
    pub(super) data: String,
    pub(super) record: HashMap<String, Listed>,
    pub(super) scripts: Vec<EntryPoint>,
}

/// What RECORD says of a file.
#[derive(Debug)]
pub(super) struct Listed {
    pub row: Row,
    pub sha256: Option<Digest>,
}

impl Wheel {
    /// Reads the wheel in `file`, which must be the distribution that `name` promises.
    pub fn open(file: File, name: &WheelName) -> Result<Self, Error> {
        let archive = Archive::open(file, name.file_name())?;
        let mut inflater = Inflater::default();
        let dist_info = find_dist_info(&archive, name)?;
        let mut text = |file: &str| -> Result<Option<String>, Error> {
            let path = format!("{dist_info}/{file}");
            let Some(entry) = archive.entries().iter().find(|e| e.name == path && !e.directory) else {
                return Ok(None);
            };
            let limit = if file == "RECORD" { MAX_RECORD } else { MAX_METADATA };
            let bytes = inflater.read(&archive, entry, limit)?;
            String::from_utf8(bytes).map(Some).map_err(|_| invalid(&archive, format!("{file} is not UTF-8")))
        };
        let missing = |file: &str| invalid(&archive, format!("it has no {file}"));
        check_wheel_file(&text("WHEEL")?.ok_or_else(|| missing("WHEEL"))?)
            .map_err(|reason| invalid(&archive, reason))?;
        let record = text("RECORD")?.ok_or_else(|| missing("RECORD"))?;
        let scripts = entry_points::parse(&text("entry_points.txt")?.unwrap_or_default())
            .map_err(|reason| invalid(&archive, reason))?;
        if !archive.entries().iter().any(|e| e.name == format!("{dist_info}/METADATA") && !e.directory) {
            return Err(missing("METADATA"));
        }
        let record = check_record(&archive, &record, &format!("{dist_info}/RECORD"))?;
        let data = format!("{}.data", dist_info.strip_suffix(SUFFIX).unwrap_or(&dist_info));
        Ok(Self { archive, name: name.name.clone(), dist_info, data, record, scripts })
    }

    /// The archive, for unpacking.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The hash that RECORD states for a file.
    pub fn stated(&self, path: &str) -> Option<Digest> {
        self.record.get(path).and_then(|listed| listed.sha256)
    }

    /// The commands it offers.
    pub fn scripts(&self) -> &[EntryPoint] {
        &self.scripts
    }
}

/// An error about the wheel as a whole.
pub(super) fn invalid(archive: &Archive, reason: impl Into<String>) -> Error {
    Error::Wheel { archive: archive.name().to_owned(), reason: reason.into() }
}

/// The one `NAME-VERSION.dist-info` directory, which must say the same as the file name.
fn find_dist_info(archive: &Archive, wheel: &WheelName) -> Result<String, Error> {
    let mut found: Option<&str> = None;
    for entry in archive.entries() {
        let (top, below) = entry.name.split_once('/').unwrap_or((&entry.name, ""));
        if !top.ends_with(SUFFIX) || below.is_empty() && !entry.directory || found == Some(top) {
            continue;
        }
        if let Some(other) = found {
            let reason = format!("it has both `{}` and `{}`", printable(other), printable(top));
            return Err(invalid(archive, reason));
        }
        found = Some(top);
    }
    let top = found.ok_or_else(|| invalid(archive, "it has no .dist-info directory"))?;
    let stem = top.strip_suffix(SUFFIX).unwrap_or(top);
    let agrees = stem.split_once('-').is_some_and(|(name, version)| {
        name.parse::<PackageName>().is_ok_and(|name| name == wheel.name)
            && version.replace('_', "-").parse::<Version>().is_ok_and(|version| version == wheel.version)
    });
    if agrees {
        return Ok(top.to_owned());
    }
    Err(invalid(archive, format!("it holds `{}`, not {} {}", printable(stem), wheel.name, wheel.version)))
}

/// The WHEEL file: a version that this program knows how to install.
fn check_wheel_file(text: &str) -> Result<(), String> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
        })
    };
    let version = value("Wheel-Version").ok_or("WHEEL states no Wheel-Version")?;
    if version.split('.').next() != Some("1") {
        return Err(format!("it has the format version `{}`; only 1 is known", printable(version)));
    }
    match value("Root-Is-Purelib") {
        Some(root) if root.eq_ignore_ascii_case("true") || root.eq_ignore_ascii_case("false") => Ok(()),
        _ => Err("WHEEL does not state Root-Is-Purelib as true or false".to_owned()),
    }
}

/// Reads RECORD and compares it with the archive's directory. Files that it does not list are installed all the same,
/// as every installer does; what it does list must be there and as long as it says.
fn check_record(archive: &Archive, text: &str, own_path: &str) -> Result<HashMap<String, Listed>, Error> {
    let rows = record::parse(text).map_err(|reason| invalid(archive, reason))?;
    let sizes: HashMap<&str, u64> =
        archive.entries().iter().filter(|e| !e.directory).map(|e| (e.name.as_str(), e.size)).collect();
    let mut record = HashMap::new();
    for row in rows {
        if row.path.ends_with('/') || row.path == own_path {
            continue;
        }
        let Some(&actual) = sizes.get(row.path.as_str()) else {
            return Err(archive.flaw(&row.path, Flaw::Missing));
        };
        if let Some(expected) = row.size.filter(|&expected| expected != actual) {
            return Err(archive.flaw(&row.path, Flaw::RecordSize { expected, actual }));
        }
        let sha256 = row.sha256().map_err(|reason| invalid(archive, reason))?;
        let path = row.path.clone();
        if record.get(&path).is_some_and(|other: &Listed| other.row != row) {
            return Err(archive.flaw(&path, Flaw::Duplicate));
        }
        record.insert(path, Listed { row, sha256 });
    }
    Ok(record)
}
