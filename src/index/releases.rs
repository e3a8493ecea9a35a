//! What an index offers of one project.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::lenient;
use crate::model::{Archive, ArchiveKind, Digest, WheelName};

/// All releases of one project on one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The normalised name.
    pub name: PackageName,
    /// The index they are from: the base URL of its Simple API, without credentials.
    pub index: Url,
    /// The files of each version, in the order of the index.
    pub versions: BTreeMap<Version, Vec<ReleaseFile>>,
    /// Where files are from, by name, if not from that index.
    pub elsewhere: BTreeMap<String, Place>,
    /// Whether any version of an earlier index goes before all of a later one.
    pub earlier_index_first: bool,
}

/// Where a file is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its index's position among the indexes.
    pub rank: usize,
    /// The index; none for a list of links or a direct URL.
    pub index: Option<Url>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// The project it belongs to.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The file itself.
    pub archive: Archive,
    /// The Python versions it supports, as the index tells.
    pub requires_python: Option<VersionSpecifiers>,
    /// Why it was yanked, if it was; the reason may be empty.
    pub yanked: Option<String>,
    /// When it was uploaded (RFC 3339), where the index tells.
    pub upload_time: Option<String>,
    /// Whether the index offers the metadata as a file of its own (PEP 658).
    pub core_metadata: CoreMetadata,
}

/// Whether an index offers a file's metadata as a file of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreMetadata {
    /// It does not.
    #[default]
    Absent,
    /// It does, without its hash.
    Offered,
    /// It does, with this hash.
    Hashed(Digest),
}

impl CoreMetadata {
    fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

/// A file as an index lists it: what both formats of the Simple API have in common, and what the store keeps of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// The file name.
    #[serde(rename = "f")]
    pub(super) file_name: String,
    /// The absolute URL.
    #[serde(rename = "u")]
    pub(super) url: String,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Digest>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) requires_python: Option<String>,
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub(super) yanked: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) upload_time: Option<String>,
    #[serde(rename = "m", default, skip_serializing_if = "CoreMetadata::is_absent")]
    pub(super) core_metadata: CoreMetadata,
}

impl Releases {
    /// The position of a file's index among the indexes.
    pub fn rank(&self, file: &ReleaseFile) -> usize {
        self.elsewhere.get(&file.archive.file_name).map_or(0, |place| place.rank)
    }

    /// The index that a file is from; none for a list of links or a direct URL.
    pub fn index_of(&self, file: &ReleaseFile) -> Option<&Url> {
        match self.elsewhere.get(&file.archive.file_name) {
            Some(place) => place.index.as_ref(),
            None => Some(&self.index),
        }
    }

    /// Puts together what lists of links and indexes offer, each in order. A file that is at several places is taken from
    /// the first.
    pub(super) fn merged(links: Vec<Self>, indexes: &[Arc<Self>], earlier_index_first: bool) -> Option<Self> {
        let first = indexes.first().map(Arc::as_ref).or(links.first())?;
        let (name, index) = (first.name.clone(), first.index.clone());
        let mut merged =
            Self { name, index, versions: BTreeMap::new(), elsewhere: BTreeMap::new(), earlier_index_first };
        let mut seen = HashSet::new();
        let mut add = |releases: &Self, place: Option<Place>| {
            for file in releases.versions.values().flatten() {
                if !seen.insert(file.archive.file_name.clone()) {
                    continue;
                }
                if let Some(place) = &place {
                    merged.elsewhere.insert(file.archive.file_name.clone(), place.clone());
                }
                merged.versions.entry(file.version.clone()).or_default().push(file.clone());
            }
        };
        for releases in &links {
            add(releases, Some(Place { rank: 0, index: None }));
        }
        for (rank, releases) in indexes.iter().enumerate() {
            let place = Place { rank, index: Some(releases.index.clone()) };
            add(releases, (rank > 0).then_some(place));
        }
        Some(merged)
    }

    /// Sorts listed files into releases. A file that cannot belong to the project, or says things that cannot be
    /// understood, is left out, from `listed` too.
    pub(super) fn from_listed(name: &PackageName, index: &Url, listed: &mut Vec<Listed>) -> Self {
        Self::from_listed_by(name, index, listed, &["https", "http"])
    }

    /// The same, for files whose URLs have one of these schemes.
    pub(super) fn from_listed_by(
        name: &PackageName,
        index: &Url,
        listed: &mut Vec<Listed>,
        schemes: &[&str],
    ) -> Self {
        let mut versions: BTreeMap<Version, Vec<ReleaseFile>> = BTreeMap::new();
        let mut specifiers = HashMap::new();
        let mut seen = HashSet::new();
        listed.retain(|listed| {
            if !seen.insert(listed.file_name.clone()) {
                return false;
            }
            match release_file(name, listed, &mut specifiers, schemes) {
                Ok(file) => {
                    versions.entry(file.version.clone()).or_default().push(file);
                    true
                }
                Err(reason) => {
                    tracing::debug!(%name, file = %listed.file_name, reason, "a file of the index is left out");
                    false
                }
            }
        });
        Self {
            name: name.clone(),
            index: index.clone(),
            versions,
            elsewhere: BTreeMap::new(),
            earlier_index_first: false,
        }
    }
}

/// Takes a listed file apart. `specifiers` remembers `Requires-Python` values: few differ.
fn release_file(
    name: &PackageName,
    listed: &Listed,
    specifiers: &mut HashMap<String, Option<VersionSpecifiers>>,
    schemes: &[&str],
) -> Result<ReleaseFile, &'static str> {
    let file_name = listed.file_name.as_str();
    let (kind, version) = if file_name.ends_with(".whl") {
        let wheel: WheelName = file_name.parse().map_err(|_| "it has no wheel's name")?;
        if wheel.name != *name {
            return Err("it is of another project");
        }
        let version = wheel.version.clone();
        (ArchiveKind::Wheel(wheel), version)
    } else {
        (ArchiveKind::Sdist, sdist_version(name, file_name).ok_or("it is neither a wheel nor an sdist")?)
    };
    let requires_python = match listed.requires_python.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(text) => {
            let known = specifiers.get(text).cloned();
            let read = known.unwrap_or_else(|| {
                let read = lenient::specifiers(text);
                specifiers.insert(text.to_owned(), read.clone());
                read
            });
            Some(read.ok_or("its Requires-Python is not readable")?)
        }
    };
    let url = Url::parse(&listed.url).map_err(|_| "its URL is not readable")?;
    if !schemes.contains(&url.scheme()) {
        return Err("its URL is of a kind that an index must not have");
    }
    Ok(ReleaseFile {
        name: name.clone(),
        version,
        archive: Archive {
            kind,
            file_name: file_name.to_owned(),
            url,
            size: listed.size,
            sha256: listed.sha256,
        },
        requires_python,
        yanked: listed.yanked.clone(),
        upload_time: listed.upload_time.clone(),
        core_metadata: listed.core_metadata,
    })
}

/// The version of a source distribution from its file name, `NAME-VERSION.EXTENSION`. Old names contain hyphens, so the
/// split is where the part before it is the project's name.
fn sdist_version(name: &PackageName, file_name: &str) -> Option<Version> {
    const EXTENSIONS: [&str; 6] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".tar.Z"];
    if file_name.len() > 255 || file_name.contains(['/', '\\', '\0']) {
        return None;
    }
    let stem = EXTENSIONS.iter().find_map(|extension| file_name.strip_suffix(extension))?;
    stem.match_indices('-').find_map(|(at, _)| {
        let own = stem[..at].parse().is_ok_and(|prefix: PackageName| prefix == *name);
        own.then(|| stem[at + 1..].parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(file_name: &str) -> Listed {
        Listed {
            file_name: file_name.to_owned(),
            url: format!("https://files.example/{file_name}"),
            ..Listed::default()
        }
    }

    #[test]
    fn only_files_of_the_project_are_kept() {
        let name: PackageName = "foo-bar".parse().unwrap();
        let mut files: Vec<Listed> = [
            "foo_bar-1.0-py3-none-any.whl",
            "foo_bar-1.0-py3-none-any.whl",
            "foo-bar-1.0.tar.gz",
            "Foo.Bar-2.0.zip",
            "foo-bar-baz-1.0.tar.gz",
            "foo-bar-notaversion.tar.gz",
            "other-1.0-py3-none-any.whl",
            "foo_bar-1.0-py3.whl",
            "foo_bar-1.0.win32.exe",
            "foo_bar-1.0-py2.7.egg",
        ]
        .map(listed)
        .into();
        files.push(Listed { url: "file:///etc/passwd".to_owned(), ..listed("foo_bar-3-py3-none-any.whl") });
        files.push(Listed {
            requires_python: Some("three".to_owned()),
            ..listed("foo_bar-4-py3-none-any.whl")
        });
        files.push(Listed {
            requires_python: Some(">=3.6.*".to_owned()),
            ..listed("foo_bar-5-py3-none-any.whl")
        });
        let index = Url::parse("https://index.example/simple/").unwrap();
        let releases = Releases::from_listed(&name, &index, &mut files);
        let kept: Vec<_> =
            releases.versions.values().flatten().map(|file| file.archive.file_name.as_str()).collect();
        assert_eq!(
            kept,
            [
                "foo_bar-1.0-py3-none-any.whl",
                "foo-bar-1.0.tar.gz",
                "Foo.Bar-2.0.zip",
                "foo_bar-5-py3-none-any.whl"
            ]
        );
        assert_eq!(files.len(), 4, "what is left out is not stored either");
    }
}
