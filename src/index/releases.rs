//! What an index offers of one project.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use url::Url;

use super::packed::Packed;
use crate::model::{Archive, Digest};

/// All releases of one project on one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The normalised name.
    pub name: PackageName,
    /// The index they are from: the base URL of its Simple API, without credentials.
    pub index: Url,
    /// The files of each version, in the order of the index.
    pub versions: BTreeMap<Version, Files>,
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
    /// When it was uploaded (RFC 3339), where the index tells.
    pub upload_time: Option<String>,
    /// Whether the index offers the metadata as a file of its own (PEP 658).
    pub core_metadata: CoreMetadata,
}

/// Whether an index offers a file's metadata as a file of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CoreMetadata {
    /// It does not.
    #[default]
    Absent,
    /// It does, without its hash.
    Offered,
    /// It does, with this hash.
    Hashed(Digest),
}
