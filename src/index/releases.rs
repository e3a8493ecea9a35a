//! What an index offers of one project.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::packed::Packed;
use crate::model::{Archive, Digest, Timestamp};

/// All releases of one project on one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The normalised name.
    pub name: PackageName,
    /// The index they are from: the base URL of its Simple API, without credentials.
    pub index: Url,
    /// The files of each version, in the order of the index.
    pub versions: BTreeMap<Version, Files>,
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

/// The files of one version. Those of a page are taken apart when somebody looks at them: a project may have hundreds of
/// versions, of which a resolution tries one or two.
#[derive(Clone)]
pub struct Files {
    files: OnceLock<Vec<ReleaseFile>>,
    packed: Option<Packed>,
}

impl Files {
    /// The files that a page holds in packed form.
    pub(super) fn packed(packed: Packed) -> Self {
        Self { files: OnceLock::new(), packed: Some(packed) }
    }

    /// The files.
    pub fn as_slice(&self) -> &[ReleaseFile] {
        self.files.get_or_init(|| self.packed.as_ref().map(Packed::files).unwrap_or_default())
    }
}

impl From<Vec<ReleaseFile>> for Files {
    fn from(files: Vec<ReleaseFile>) -> Self {
        Self { files: OnceLock::from(files), packed: None }
    }
}

impl Deref for Files {
    type Target = [ReleaseFile];

    fn deref(&self) -> &[ReleaseFile] {
        self.as_slice()
    }
}

impl<'f> IntoIterator for &'f Files {
    type Item = &'f ReleaseFile;
    type IntoIter = std::slice::Iter<'f, ReleaseFile>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Files {}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
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
    /// When it was uploaded, where the index tells.
    pub upload_time: Option<Timestamp>,
    /// Whether the index offers the metadata as a file of its own (PEP 658).
    pub core_metadata: CoreMetadata,
}

/// Whether an index offers a file's metadata as a file of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoreMetadata {
    /// It does not.
    #[default]
    Absent,
    /// It does, without its hash.
    Offered,
    /// It does, with this hash.
    Hashed(Digest),
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
        let mut versions: BTreeMap<Version, Vec<ReleaseFile>> = BTreeMap::new();
        let mut elsewhere = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut add = |releases: &Self, place: Option<Place>| {
            for file in releases.versions.values().flatten() {
                if !seen.insert(file.archive.file_name.clone()) {
                    continue;
                }
                if let Some(place) = &place {
                    elsewhere.insert(file.archive.file_name.clone(), place.clone());
                }
                versions.entry(file.version.clone()).or_default().push(file.clone());
            }
        };
        for releases in &links {
            add(releases, Some(Place { rank: 0, index: None }));
        }
        for (rank, releases) in indexes.iter().enumerate() {
            let place = Place { rank, index: Some(releases.index.clone()) };
            add(releases, (rank > 0).then_some(place));
        }
        let versions = versions.into_iter().map(|(version, files)| (version, files.into())).collect();
        Some(Self { name, index, versions, elsewhere, earlier_index_first })
    }
}
